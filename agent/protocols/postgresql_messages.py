"""PostgreSQL's messages, protocol 3: how they are framed, how they begin, and what is read of one.

https://www.postgresql.org/docs/16/protocol-message-formats.html

    message   type (1 byte), length (4 bytes, itself included), body
    startup   length, code, body: the first message of a connection, and those before it that ask for TLS or cancel

No protocol by itself: `postgresql.py` has the conversation.
"""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from agent.errors import Gap, ProtocolError
from agent.protocols import MAX_CLASSIFY, Verdict
from agent.protocols.captured import read_head
from agent.stream import EndOfStream

if TYPE_CHECKING:
    from agent.stream import Read, Stream

MAX_MESSAGE: Final = 1 << 30
"""The server's own limit, PQ_LARGE_MESSAGE_LIMIT (libpq.h)."""
MAX_STARTUP: Final = 10000
"""MAX_STARTUP_PACKET_LENGTH (pqcomm.h)."""
MAX_SMALL: Final = 30000
"""PQ_SMALL_MESSAGE_LIMIT: what a message that is not long by nature may have."""
MAX_FIRST: Final = 1 << 24
"""Bytes of a message by which a connection is recognized."""

CANCEL: Final = 80877102
SSL: Final = 80877103
GSS: Final = 80877104
VERSION_3: Final = 3
"""The major version, in the upper half of the code."""

SYNC: Final = b"S\0\0\0\x04"
FLUSH: Final = b"H\0\0\0\x04"
READY: Final = tuple(b"Z\0\0\0\x05" + status for status in (b"I", b"T", b"E"))

_LONG: Final = frozenset(b"QPBFdpDTCEVWNAtGHWSv")
"""Types that may be long; all others are small."""
FRONTEND: Final = frozenset(b"BCDEFHPQSXcdfp")
BACKEND: Final = frozenset(b"ACDEGHIKNRSTVWZcdnstv123")


class Kind(enum.Enum):
    """What a client asks for."""

    QUERY = "query"
    """One or more statements as text."""
    EXECUTE = "execute"
    """A portal's statement."""
    PREPARE = "prepare"
    """A statement, to be executed later."""
    CALL = "call"
    """A function, by its number."""


@dataclass(slots=True)
class Session:
    """What a connection's startup said."""

    database: str = ""
    user: str = ""
    has_backslash: bool = False
    """Ordinary strings have escapes: standard_conforming_strings is off."""


@dataclass(slots=True)
class Statement:
    """A request: a statement, and what is done with it."""

    kind: Kind
    text: bytes | None
    """Without its trace context; None where it is not known."""
    session: Session
    carrier: dict[str, str] | None = None
    missing: str = ""
    """Why the text is not known."""
    size: int = 0
    """Bytes on the wire, of all messages that belong to it."""
    is_truncated: bool = False
    """The text was not captured whole, or what came with it was not."""
    has_sync: bool = True
    """ReadyForQuery ends its response. Otherwise its own last message does."""
    replies: int = 0
    """Of a preparation without Sync: the replies that are its response."""
    strays: int = 0
    """Synchronisations before it that are answered by themselves."""


@dataclass(slots=True)
class Reply:
    """A response."""

    rows: int | None = None
    """Rows that were returned."""
    error: str = ""
    """SQLSTATE of the error that ended it."""
    is_skipped: bool = False
    """It was not done, for an error before it in the same pipeline."""
    size: int = 0
    is_truncated: bool = False
    """Rows or the code of an error were not captured."""
    is_end_guessed: bool = False
    """Messages of it lay in a hole: where it ended is known from the end of its turn only."""


def read_frame(stream: Stream, known: frozenset[int]) -> Read[tuple[int, int]]:
    """A message's type and the size of its body; its five bytes are consumed."""
    while len(head := stream.peek(5)) < 5:
        if stream.position + len(head) < stream.end:
            raise Gap("a message's beginning was not captured")
        if head and head[0] not in known:
            raise ProtocolError(f"there is no message {head[:1]!r}")
        if stream.is_closed:
            raise EndOfStream("the stream has ended within a message's beginning")
        yield None
    kind = head[0]
    size = int.from_bytes(head[1:5], "big") - 4
    limit = MAX_MESSAGE if kind in _LONG else MAX_SMALL
    if kind not in known or not 0 <= size <= limit:
        raise ProtocolError(f"no message {head[:1]!r} of {size} bytes")
    stream.take(5)
    return kind, size


def read_startup(stream: Stream) -> Read[tuple[int, bytes]]:
    """The message without a type: its code, and what was captured of its body."""
    head = yield from stream.read(8)
    size, code = int.from_bytes(head[:4], "big"), int.from_bytes(head[4:], "big")
    if not 8 <= size <= MAX_STARTUP:
        raise ProtocolError(f"a startup message of {size} bytes")
    if code not in (CANCEL, SSL, GSS) and code >> 16 != VERSION_3:
        raise ProtocolError(f"protocol {code >> 16}")
    return code, (yield from read_head(stream, size - 8, size))


def parameters(body: bytes) -> dict[bytes, bytes]:
    """Of a startup message."""
    words = body.split(b"\0")
    return dict(zip(words[::2], words[1::2], strict=False))


def sqlstate(body: bytes) -> str:
    """The code of an error (field C); `XX000`, internal error, where it was not captured."""
    at = (b"\0" + body).find(b"\0C")
    code = body[at + 1 : at + 6]
    return code.decode("ascii") if at >= 0 and _SQLSTATE.fullmatch(code) else "XX000"


_SQLSTATE = re.compile(rb"[0-9A-Z]{5}")
_RETURNED = re.compile(rb"(?:SELECT|FETCH) (\d{1,18})\0")
_CHANGED = re.compile(rb"(?:INSERT \d{1,10}|UPDATE|DELETE|MERGE) (\d{1,18})\0")


def returned(tag: bytes, *, has_rows: bool) -> int | None:
    """The rows of a CommandComplete's tag, where they were returned; `has_rows`: some were, by RETURNING."""
    found = _RETURNED.fullmatch(tag)
    if found is None and has_rows:
        found = _CHANGED.fullmatch(tag)
    return int(found[1]) if found is not None else None


# How the beginnings look.


def classify(head: bytes) -> Verdict:
    """What the first bytes of one direction are.

    Of what a client may begin with, a message that only asks to synchronise or to close claims nothing: five bytes are
    too few to be sure.
    """
    if not head:
        return Verdict.MORE
    if head[0] == 0:
        return _classify_startup(head)
    judge = _JUDGES.get(head[:1])
    if judge is None:
        return Verdict.NO
    if len(head) < 5:
        return Verdict.MORE if head[1:2] in (b"", b"\0") else Verdict.NO
    size = int.from_bytes(head[1:5], "big") - 4
    if not 0 <= size <= MAX_FIRST:
        return Verdict.NO
    body = head[5 : 5 + size]
    return judge(body, size, is_all=len(body) == size or len(head) >= MAX_CLASSIFY)


_CODES: Final = tuple(
    size.to_bytes(4, "big") + code.to_bytes(4, "big")
    for size, code in ((8, SSL), (8, GSS), (16, CANCEL))
)
_KEY = re.compile(rb"[A-Za-z_][\w.]{0,40}")
_VALUE = re.compile(rb"[\x20-\x7e\x80-\xff]*")


def _classify_startup(head: bytes) -> Verdict:  # noqa: PLR0911  (each field may refuse)
    """Its first parameter has a name: other protocols have zeros where this one's version is, but a number behind."""
    for code in _CODES:
        if head.startswith(code):
            size = code[3]
            if len(head) == size:
                return Verdict.REQUEST
            return Verdict.MORE if len(head) < size else Verdict.NO
        if code.startswith(head):
            return Verdict.MORE
    begin = head[:8]
    if any(begin[:2]) or begin[4:7] != b"\0\x03\0"[: len(begin[4:7])]:
        return Verdict.NO
    size = int.from_bytes(begin[:4].ljust(4, b"\0"), "big")
    if size > MAX_STARTUP or (len(begin) >= 4 and size < 9) or begin[7:] > b"\x02":
        return Verdict.NO
    key, end, rest = head[8:].partition(b"\0")
    if not key:
        return Verdict.NO if end else Verdict.MORE
    if _KEY.fullmatch(key) is None or _VALUE.fullmatch(rest.partition(b"\0")[0]) is None:
        return Verdict.NO
    return Verdict.REQUEST if end else Verdict.MORE


def _judge_query(body: bytes, size: int, *, is_all: bool) -> Verdict:
    """Text with a zero at its end."""
    if size < 1 or (len(body) == size and body[-1]):
        return Verdict.NO
    text = body[: size - 1]
    if _TEXT.fullmatch(text) is None or (text and text[0] not in _TEXT_FIRST):
        return Verdict.NO
    return Verdict.REQUEST if is_all else Verdict.MORE


_TEXT = re.compile(rb"[\t\n\r\x20-\x7e\x80-\xff]*")
_TEXT_FIRST = frozenset(b"\t\n\r ;(/-" + bytes(range(0x41, 0x5B)) + bytes(range(0x61, 0x7B)))
_NAME = re.compile(rb"[\x20-\x7e\x80-\xff]*")


def _judge_parse(body: bytes, size: int, *, is_all: bool) -> Verdict:
    """A name, a text, how many parameters have types."""
    name, end, rest = body.partition(b"\0")
    if size < 4 or _NAME.fullmatch(name) is None:
        return Verdict.NO
    if not end:
        return Verdict.NO if len(body) == size else _long(is_all=is_all)
    text, end, rest = rest.partition(b"\0")
    if _TEXT.fullmatch(text) is None or (text and text[0] not in _TEXT_FIRST):
        return Verdict.NO
    if len(body) == size and (not end or len(rest) != 2 + 4 * int.from_bytes(rest[:2], "big")):
        return Verdict.NO
    return Verdict.REQUEST if is_all else Verdict.MORE


def _judge_bind(body: bytes, size: int, *, is_all: bool) -> Verdict:
    """Two names, formats, values."""
    parts = body.split(b"\0", 2)
    if size < 8 or not all(map(_NAME.fullmatch, parts[:2])):
        return Verdict.NO
    if len(parts) < 3:
        return Verdict.NO if len(body) == size else _long(is_all=is_all)
    rest = parts[2]
    count = int.from_bytes(rest[:2], "big")
    if len(rest) >= 2 and count > 1024:
        return Verdict.NO
    formats = rest[2 : 2 + 2 * count]
    if any(formats[::2]) or any(code > 1 for code in formats[1::2]):
        return Verdict.NO
    if len(body) == size and len(rest) < 6 + 2 * count:
        return Verdict.NO
    return Verdict.REQUEST if is_all else Verdict.MORE


def _long(*, is_all: bool) -> Verdict:
    """A name that does not end where one has to decide."""
    return Verdict.NO if is_all else Verdict.MORE


def _judge_empty(body: bytes, size: int, *, is_all: bool) -> Verdict:
    del body, is_all
    return Verdict.RESPONSE if size == 0 else Verdict.NO


def _judge_ready(body: bytes, size: int, *, is_all: bool) -> Verdict:
    if size != 1 or body[:1] not in b"ITE":
        return Verdict.NO
    return Verdict.RESPONSE if is_all else Verdict.MORE


def _judge_error(body: bytes, size: int, *, is_all: bool) -> Verdict:
    """Its first field is the severity (src/backend/utils/error/elog.c)."""
    if size < 10 or body[:1] not in b"S" or _NAME.fullmatch(body[1:].split(b"\0")[0]) is None:
        return Verdict.NO
    return Verdict.RESPONSE if is_all else Verdict.MORE


def _judge_columns(body: bytes, size: int, *, is_all: bool) -> Verdict:
    """RowDescription: how many columns, and the name of the first."""
    if size < 2 or len(body) < 2:
        return Verdict.NO if size < 2 else Verdict.MORE
    count = int.from_bytes(body[:2], "big")
    if count > 1664 or size < 2 + 19 * count or (count == 0 and size != 2):
        return Verdict.NO
    name, end, _ = body[2:].partition(b"\0")
    if _NAME.fullmatch(name) is None:
        return Verdict.NO
    if not is_all:
        return Verdict.MORE
    return Verdict.RESPONSE if end or len(body) < size or not count else Verdict.NO


def _judge_tag(body: bytes, size: int, *, is_all: bool) -> Verdict:
    """CommandComplete: words in capitals, and numbers."""
    if not 3 <= size <= 64 or (len(body) == size and body[-1]):
        return Verdict.NO
    if _TAG.fullmatch(body[: size - 1]) is None:
        return Verdict.NO
    return Verdict.RESPONSE if is_all else Verdict.MORE


_TAG = re.compile(rb"(?:[A-Z]+(?: [A-Z]+)*(?: \d*(?: \d*)?| )?)?")


def _judge_authentication(body: bytes, size: int, *, is_all: bool) -> Verdict:
    """Which kind of authentication: 0 to 12."""
    code = body[:4]
    if not 4 <= size <= 4096 or any(code[:3]) or (len(code) == 4 and code[3] > 12):
        return Verdict.NO
    return Verdict.RESPONSE if len(code) == 4 or is_all else Verdict.MORE


_JUDGES: Final = {
    b"Q": _judge_query,
    b"P": _judge_parse,
    b"B": _judge_bind,
    b"1": _judge_empty,
    b"2": _judge_empty,
    b"Z": _judge_ready,
    b"E": _judge_error,
    b"T": _judge_columns,
    b"C": _judge_tag,
    b"R": _judge_authentication,
}
