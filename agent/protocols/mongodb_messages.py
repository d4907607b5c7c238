"""MongoDB's messages: how they are framed, what they are made of, and how they begin.

https://www.mongodb.com/docs/manual/reference/mongodb-wire-protocol/

    message         size (itself included), id, the id that it answers, opcode: 4 bytes each, little-endian; then
    OP_MSG          flags, sections: a document (kind 0), or documents under a name (kind 1); perhaps a checksum
    OP_QUERY        flags, `database.collection`, two numbers, a document: today only a connection's first hello
    OP_REPLY        flags, cursor, two numbers, documents: answers it
    OP_COMPRESSED   the opcode, size and way of what is compressed in it

No protocol by itself: `mongodb_commands.py` reads what they hold, `mongodb.py` has the conversation.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from agent.errors import ProtocolError
from agent.protocols import Verdict
from agent.protocols.captured import read_beginning
from agent.protocols.compressed import from_snappy, from_zlib, from_zstd
from agent.protocols.mongodb_bson import MIN_DOCUMENT, TYPES, size_at

if TYPE_CHECKING:
    from agent.stream import Read, Stream

OP_REPLY, OP_UPDATE, OP_INSERT, OP_QUERY, OP_GET_MORE, OP_DELETE, OP_KILL_CURSORS = 1, 2001, 2002, 2004, 2005, 2006, 2007  # fmt: skip
OP_COMPRESSED, OP_MSG = 2012, 2013
REQUESTS: Final = {
    OP_MSG: "", OP_QUERY: "find", OP_COMPRESSED: "", OP_UPDATE: "update", OP_INSERT: "insert", OP_GET_MORE: "getMore",
    OP_DELETE: "delete", OP_KILL_CURSORS: "killCursors",
}  # fmt: skip
"""What clients send, and what those that are no commands ask for (until MongoDB 5.1)."""
RESPONSES: Final = frozenset((OP_MSG, OP_REPLY, OP_COMPRESSED))

CHECKSUM, MORE_TO_COME, EXHAUST = 1 << 0, 1 << 1, 1 << 16

MAX_MESSAGE: Final = 64 * 1024 * 1024
"""maxMessageSizeBytes is 48000000."""
MAX_FIRST: Final = 1 << 24
"""Bytes of a message by which a connection is recognized."""
MAX_BODY: Final = 16 * 1024
"""Bytes of a message that are looked at: as many as a record can hold."""
HEADER: Final = 16

_HEADER = struct.Struct("<iiii")
_FLAGS = struct.Struct("<I")


@dataclass(frozen=True, slots=True)
class Header:
    """What every message begins with."""

    size: int
    """Of what follows it."""
    id: int
    answers: int
    opcode: int


def read_header(stream: Stream, known: frozenset[int] | dict[int, str]) -> Read[Header]:
    """The first 16 bytes."""
    size, number_, answers, opcode = _HEADER.unpack((yield from stream.read(HEADER)))
    if opcode not in known or not HEADER < size <= MAX_MESSAGE:
        raise ProtocolError(f"no message {opcode} of {size} bytes")
    return Header(size - HEADER, number_, answers, opcode)


def read_body(stream: Stream, header: Header) -> Read[tuple[int, bytes | None, int]]:
    """The opcode of a message, the beginning of its body, None if it cannot be read, and the size of all of that."""
    head = yield from read_beginning(stream, header.size, MAX_BODY)
    if header.opcode != OP_COMPRESSED:
        return header.opcode, head, header.size
    if len(head) < 9:
        return OP_MSG, None, header.size
    opcode, size = struct.unpack_from("<ii", head)
    if opcode == OP_COMPRESSED or not 0 < size <= MAX_MESSAGE:
        raise ProtocolError(f"no compressed message {opcode} of {size} bytes")
    return opcode, _decompressed(head[8], head[9:], min(size, MAX_BODY)), size


def _decompressed(way: int, data: bytes, limit: int) -> bytes | None:
    if way == 0:
        return data[:limit]
    if way == 1:
        return from_snappy(data, limit)
    return from_zlib(data, limit) if way == 2 else from_zstd(data, limit) if way == 3 else None


@dataclass(frozen=True, slots=True)
class Section:
    """Documents of an OP_MSG: the command's own, or those under a name."""

    name: bytes
    first: int
    """Where the first one begins."""
    count: int
    """0 where not all of them were captured."""


def sections_of(body: bytes, size: int) -> tuple[int, list[Section], bool]:
    """The flags, the sections whose beginning was captured, and whether all of them were."""
    if len(body) < 4:
        return 0, [], False
    (flags,) = _FLAGS.unpack_from(body)
    if flags & 0xFFFF & ~(CHECKSUM | MORE_TO_COME):
        raise ProtocolError(f"unknown flags {flags:#x}")
    end = size - 4 * (flags & CHECKSUM)
    sections: list[Section] = []
    at = 4
    while at < end:
        if at + 5 > len(body):
            return flags, sections, False
        kind = body[at]
        section_end = at + 1 + size_at(body, at + 1)
        if kind > 1 or section_end > end:
            raise ProtocolError(f"no section of kind {kind} that ends at {section_end}")
        if kind == 0:
            sections.append(Section(b"", at + 1, 1))
        else:
            name_end = body.find(b"\0", at + 5, section_end)
            if name_end < 0:
                if section_end <= len(body):
                    raise ProtocolError("a section without a name")
                return flags, sections, False
            name = body[at + 5 : name_end]
            sections.append(Section(name, name_end + 1, _count(body, name_end + 1, section_end)))
        at = section_end
    return flags, sections, at <= len(body)


def _count(body: bytes, at: int, end: int) -> int:
    """How many documents there are up to `end`; 0 if that was not captured."""
    count = 0
    while at < end:
        if at + 4 > len(body):
            return 0
        at += size_at(body, at)
        count += 1
    return count


# How the beginnings look.


def classify(head: bytes) -> Verdict:  # noqa: PLR0911  (each field may refuse)
    """What the first bytes of one direction are: a header, and behind it a document, or the name of a collection."""
    if len(head) < 4:
        return Verdict.MORE
    if not HEADER < _FLAGS.unpack_from(head)[0] <= MAX_FIRST:
        return Verdict.NO
    if len(head) < HEADER:
        opcode = head[12:]
        is_known = any(struct.pack("<i", code).startswith(opcode) for code in _CLAIMED)
        return Verdict.MORE if is_known else Verdict.NO
    size, _, answers, opcode = _HEADER.unpack_from(head)
    if opcode not in _CLAIMED:
        return Verdict.NO
    verdict = Verdict.RESPONSE if answers else Verdict.REQUEST
    if opcode == OP_REPLY and not answers:
        return Verdict.NO
    if opcode == OP_QUERY and answers:
        return Verdict.NO
    body, left = head[HEADER:size], size - HEADER
    if opcode == OP_MSG:
        return _judge_sections(body, left, verdict)
    if opcode == OP_QUERY:
        return _judge_namespace(body, left)
    if opcode == OP_REPLY:
        return _judge_reply(body, left)
    return _judge_compressed(body, left, verdict)


_CLAIMED: Final = (OP_MSG, OP_QUERY, OP_REPLY, OP_COMPRESSED)


def _judge_sections(body: bytes, size: int, verdict: Verdict) -> Verdict:
    """Flags, a section, and in it a document, or a name."""
    if any(body[at] & ~known for at, known in enumerate((3, 0, 1, 0, 1)[: len(body)])):
        return Verdict.NO
    if len(body) < 9:
        return Verdict.MORE
    section = _FLAGS.unpack_from(body, 5)[0]
    if not MIN_DOCUMENT <= section <= size - 5:
        return Verdict.NO
    if body[4]:
        name, end, _ = body[9:].partition(b"\0")
        if _NAME.fullmatch(name) is None and (name or end):
            return Verdict.NO
        return verdict if end else Verdict.MORE
    return _judge_document(body[5:], verdict)


def _judge_document(data: bytes, verdict: Verdict) -> Verdict:
    """Its size is known to fit; it has a field, of a type that is, with a name. Of 40 bytes, it is enough to see 12."""
    if len(data) < 12:
        return Verdict.MORE
    is_field = data[4] in TYPES and _NAME.match(data, 5, 12) is not None
    return verdict if is_field else Verdict.NO


_NAME = re.compile(rb"[A-Za-z$_][\w$.]*")


def _judge_namespace(body: bytes, size: int) -> Verdict:
    """Flags, and `database.collection`."""
    if any(body[1:4]) or size < 16 + MIN_DOCUMENT:
        return Verdict.NO
    name, end, _ = body[4:].partition(b"\0")
    if _NAMESPACE.fullmatch(name) is None or (end and b"." not in name):
        return Verdict.NO
    if len(name) > 40:
        return Verdict.REQUEST if b"." in name else Verdict.NO
    return Verdict.REQUEST if end else Verdict.MORE


_NAMESPACE = re.compile(rb"(?:[\w\-]+(?:\.[\w\-$.]*)?)?")


def _judge_reply(body: bytes, size: int) -> Verdict:
    """Flags, a cursor, where its documents begin, how many there are, and the first one."""
    if any(body[1:4]) or (body and body[0] & ~15) or size < 20:
        return Verdict.NO
    if len(body) < 32:
        return Verdict.MORE if size >= 20 + MIN_DOCUMENT + 8 else Verdict.NO
    if not MIN_DOCUMENT <= _FLAGS.unpack_from(body, 20)[0] <= size - 20:
        return Verdict.NO
    return _judge_document(body[20:], Verdict.RESPONSE)


def _judge_compressed(body: bytes, size: int, verdict: Verdict) -> Verdict:
    """What is compressed is a message, and of a size that it can be."""
    opcode = body[:4]
    codes = (OP_MSG, OP_QUERY) if verdict is Verdict.REQUEST else (OP_MSG, OP_REPLY)
    if not any(struct.pack("<i", code).startswith(opcode) for code in codes) or size < 12:
        return Verdict.NO
    if len(body) < 9:
        return Verdict.MORE
    length = struct.unpack_from("<i", body, 4)[0]
    return verdict if 9 < length <= MAX_MESSAGE and body[8] < 4 else Verdict.NO
