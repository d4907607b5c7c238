"""FastCGI's records: how they are framed, what the parameters of a request say, and how records begin.

https://fastcgi-archives.github.io/FastCGI_Specification.html (§3.3, §3.4, §5, §8)

    record   version 1, type, id of the request (2 bytes), size (2), size of the padding, a reserved byte;
             then so many bytes of content and of padding
    PARAMS   pairs of a name and a value: the size of either (one byte, or four with the highest bit set), then both

Of the parameters, which hold cookies and credentials too, only WANTED are looked at.

No protocol by itself: `fastcgi.py` has the conversation.
"""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from agent.errors import ProtocolError
from agent.protocols import MAX_CLASSIFY, Verdict
from agent.protocols.captured import read_beginning
from agent.protocols.http1_head import CONTEXT_FIELDS

if TYPE_CHECKING:
    from agent.stream import Read, Stream

HEADER: Final = 8
VERSION: Final = 1
RESPONDER: Final = 1
"""The role of programs that answer requests; nothing speaks to the others, authorizers and filters, today."""


class Kind(enum.IntEnum):
    """Types of records (§8)."""

    BEGIN_REQUEST = 1
    ABORT_REQUEST = 2
    END_REQUEST = 3
    PARAMS = 4
    STDIN = 5
    STDOUT = 6
    STDERR = 7
    DATA = 8
    GET_VALUES = 9
    GET_VALUES_RESULT = 10
    UNKNOWN_TYPE = 11


CONTEXTS: Final = {
    b"HTTP_" + name.upper().replace(b"-", b"_"): name for name in sorted(CONTEXT_FIELDS)
}
"""Parameters that hold header fields of trace contexts (RFC 3875 §4.1.18), and their fields."""
WANTED: Final = frozenset(
    (
        *(b"REQUEST_METHOD", b"REQUEST_URI", b"SCRIPT_NAME", b"PATH_INFO", b"QUERY_STRING"),
        *(b"HTTP_HOST", b"SERVER_NAME", b"SERVER_PORT", b"HTTPS", b"REQUEST_SCHEME"),
        *(b"HTTP_USER_AGENT", *CONTEXTS),
    )
)


@dataclass(frozen=True, slots=True)
class Record:
    """A record's header."""

    kind: int
    number: int
    """Of the request; 0: of the connection."""
    size: int
    padding: int

    @property
    def length(self) -> int:
        """Bytes that follow the header."""
        return self.size + self.padding


def read_header(stream: Stream) -> Read[Record | None]:
    """The next header; None if it was not captured whole."""
    data = yield from read_beginning(stream, HEADER, HEADER)
    if len(data) < HEADER:
        return None
    if data[0] != VERSION or not Kind.BEGIN_REQUEST <= data[1] <= Kind.UNKNOWN_TYPE:
        raise ProtocolError(f"{data!r} begins no record")
    number, size = int.from_bytes(data[2:4], "big"), int.from_bytes(data[4:6], "big")
    return Record(data[1], number, size, data[6])


def pairs_of(data: bytes, *, is_whole: bool) -> dict[bytes, list[bytes]]:
    """The values of the WANTED parameters; with `is_whole` false the data may end anywhere."""
    found: dict[bytes, list[bytes]] = {}
    at = 0
    while at < len(data):
        name_size, at = _size_at(data, at)
        value_size, at = _size_at(data, at)
        value_at = at + name_size
        end = value_at + value_size
        if end > len(data):
            if is_whole:
                raise ProtocolError("a parameter is longer than all of them")
            break
        name = data[at:value_at]
        if name in WANTED:
            found.setdefault(name, []).append(data[value_at:end])
        at = end
    return found


def _size_at(data: bytes, at: int) -> tuple[int, int]:
    """The size that stands there, and where it ends; beyond the data where it is cut."""
    if at < len(data) and data[at] < 0x80:
        return data[at], at + 1
    return int.from_bytes(data[at : at + 4], "big") & 0x7FFFFFFF, at + 4


# How the beginnings look.

_BEGIN = re.compile(
    rb"\x01\x01(?!\x00\x00)[\x00-\xff]{2}\x00\x08[\x00-\x07]\x00\x00\x01[\x00\x01]\x00{5}"
)
_BEGIN_SAMPLE: Final = b"\x01\x01\x00\x01\x00\x08\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00"
_OUTPUT = re.compile(
    rb"\x01[\x06\x07](?!\x00\x00)[\x00-\xff]{2}(?!\x00\x00)[\x00-\xff]{2}[\x00-\x07]\x00"
)
_OUTPUT_SAMPLE: Final = b"\x01\x06\x00\x01\x00\x01\x00\x00"
_FIELD_NAME = re.compile(rb"[A-Za-z][A-Za-z0-9-]*")
_TEXT = re.compile(rb"[\t\n\r -~\x80-\xff]*")


def classify(head: bytes) -> Verdict:
    """A server's BEGIN_REQUEST to a responder, or a program's header fields or errors."""
    head = head[:MAX_CLASSIFY]
    if head[1:2] in (b"\x06", b"\x07"):
        return _classify_output(head)
    if _BEGIN.match(head + _BEGIN_SAMPLE[len(head) :]) is None:
        return Verdict.NO
    return Verdict.REQUEST if len(head) >= len(_BEGIN_SAMPLE) else Verdict.MORE


def _classify_output(head: bytes) -> Verdict:
    if _OUTPUT.match(head + _OUTPUT_SAMPLE[len(head) :]) is None:
        return Verdict.NO
    size = int.from_bytes(head[4:6], "big")
    text = head[HEADER : HEADER + size] if len(head) > HEADER else b""
    is_all = len(head) == MAX_CLASSIFY or 0 < len(text) == size
    if head[1] == Kind.STDERR:
        is_it, is_sure = _TEXT.fullmatch(text) is not None, is_all
    else:
        name, colon, _ = text.partition(b":")
        is_it, is_sure = not text or _FIELD_NAME.fullmatch(name) is not None, bool(colon)
    if not is_it or (is_all and not is_sure):
        return Verdict.NO
    return Verdict.RESPONSE if is_sure else Verdict.MORE
