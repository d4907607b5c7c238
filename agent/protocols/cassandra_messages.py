"""Cassandra's frames, native protocol 3 to 5: how they look, and what is read of one.

https://github.com/apache/cassandra/blob/trunk/doc/native_protocol_v4.spec, and v5

    frame   version (1 byte, the highest bit set in responses), flags, stream (2 bytes), opcode, size (4 bytes), body

A response has the stream of its request. Kept are statements (agent/sql takes their values out), keyspaces, the
consistency, rows returned, the number of an error. Values, rows, messages of errors, and all of an authentication are
walked over.

No protocol by itself: `cassandra.py` has the conversation.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from agent.errors import ProtocolError
from agent.protocols.captured import read_beginning
from agent.protocols.compressed import from_lz4, from_snappy

if TYPE_CHECKING:
    from agent.stream import Read, Stream

(ERROR, STARTUP, READY, AUTHENTICATE, OPTIONS, SUPPORTED, QUERY, RESULT, PREPARE, EXECUTE, REGISTER, EVENT, BATCH,
 AUTH_CHALLENGE, AUTH_RESPONSE, AUTH_SUCCESS) = 0, 1, 2, 3, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16  # fmt: skip
REQUESTS: Final = frozenset(
    (STARTUP, OPTIONS, QUERY, PREPARE, EXECUTE, REGISTER, BATCH, AUTH_RESPONSE)
)
RESPONSES: Final = frozenset(
    (ERROR, READY, AUTHENTICATE, SUPPORTED, RESULT, EVENT, AUTH_CHALLENGE, AUTH_SUCCESS)
)
VERSIONS: Final = (3, 4, 5)
RESPONSE: Final = 0x80
COMPRESSED, TRACED, PAYLOAD, WARNED = 0x01, 0x02, 0x04, 0x08
MAX_FLAGS: Final = 0x1F
MAX_FRAME: Final = 256 * 1024 * 1024
"""Section 2.5."""
MAX_BODY: Final = 16 * 1024
"""Bytes of a body that are looked at."""
HEADER: Final = 9

VOID, ROWS, SET_KEYSPACE, PREPARED = 1, 2, 3, 4
"""Kinds of results."""
MAX_COLUMNS: Final = 1024
"""Whose types are walked over to the number of rows."""
MAX_DEPTH: Final = 8
"""Of a type."""
MAX_STATEMENTS: Final = 1024
"""Of a batch that are looked at; the server refuses more than 65535."""

CONSISTENCIES: Final = (
    "any", "one", "two", "three", "quorum", "all", "local_quorum", "each_quorum", "serial", "local_serial", "local_one",
)  # fmt: skip
"""By number (section 3), as the conventions write them."""
ERRORS: Final = {
    0x0000: "server_error", 0x000A: "protocol_error", 0x0100: "authentication_error", 0x1000: "unavailable",
    0x1001: "overloaded", 0x1002: "is_bootstrapping", 0x1003: "truncate_error", 0x1100: "write_timeout",
    0x1200: "read_timeout", 0x1300: "read_failure", 0x1400: "function_failure", 0x1500: "write_failure",
    0x1600: "cdc_write_failure", 0x1700: "cas_write_unknown", 0x2000: "syntax_error", 0x2100: "unauthorized",
    0x2200: "invalid", 0x2300: "config_error", 0x2400: "already_exists", 0x2500: "unprepared",
}  # fmt: skip
"""Section 9."""


@dataclass(frozen=True, slots=True)
class Frame:
    """A frame, and what was captured of its body."""

    version: int
    flags: int
    stream: int
    opcode: int
    size: int
    """Of the body, as it passed."""
    body: bytes
    """Its beginning, without compression."""
    is_cut: bool
    """There is more of the body."""


class Cursor:
    """Reads a body from its beginning; None says that what comes was not captured."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def number(self, width: int) -> int | None:
        """A signed integer."""
        piece = self.data[self.at : self.at + width]
        self.at += width
        return int.from_bytes(piece, "big", signed=True) if len(piece) == width else None

    def sized(self, width: int) -> bytes | None:
        """Bytes behind their size in `width` bytes; of those that are cut, what is there. Null is empty."""
        size = self.number(width)
        if size is None:
            return None
        size = size & 0xFFFF if width == 2 else max(size, 0)
        self.at += size
        return self.data[self.at - size : self.at]

    @property
    def is_cut(self) -> bool:
        """Whether something that was asked for was not there."""
        return self.at > len(self.data)


def read_header(stream: Stream, opcodes: frozenset[int], bit: int) -> Read[tuple[int, int, int, int, int]]:  # fmt: skip
    """Version, flags, stream, opcode, size of the body. `bit`: RESPONSE, or 0."""
    head = yield from stream.read(HEADER)
    version, flags, opcode = head[0] ^ bit, head[1], head[4]
    size = int.from_bytes(head[5:], "big")
    if version not in VERSIONS or opcode not in opcodes or flags > MAX_FLAGS or size > MAX_FRAME:
        raise ProtocolError(f"no frame {opcode} of version {version:#x} and {size} bytes")
    return version, flags, int.from_bytes(head[2:4], "big", signed=True), opcode, size


def read_frame(stream: Stream, opcodes: frozenset[int], bit: int) -> Read[Frame]:
    """A frame; of its body only the beginning is consumed, `size - consumed` bytes are left."""
    version, flags, number, opcode, size = yield from read_header(stream, opcodes, bit)
    body = yield from read_beginning(stream, size, MAX_BODY)
    return Frame(version, flags, number, opcode, size, body, len(body) < size)


def plain(frame: Frame) -> Frame:
    """Without compression, and without what flags put in front of the body."""
    body, is_cut = frame.body, frame.is_cut
    if frame.flags & COMPRESSED and frame.version < 5:
        body = decompressed(body)
        is_cut = True  # what is looked at is a beginning
    cursor = Cursor(body)
    if frame.opcode in RESPONSES and frame.flags & TRACED:
        cursor.at += 16
    if frame.opcode in RESPONSES and frame.flags & WARNED:
        for _ in range(_count(cursor)):
            cursor.sized(2)
    if frame.flags & PAYLOAD:
        for _ in range(_count(cursor)):
            cursor.sized(2)
            cursor.sized(4)
    return Frame(frame.version, frame.flags, frame.stream, frame.opcode, frame.size, body[cursor.at :], is_cut)  # fmt: skip


def decompressed(body: bytes) -> bytes:
    """LZ4's begins with its size, the highest byte first; Snappy's with the lowest. None is 0, or 16 MB or more."""
    return from_lz4(body[4:], MAX_BODY) if body[:1] == b"\0" else from_snappy(body, MAX_BODY)


def _count(cursor: Cursor) -> int:
    """How many follow; those that were captured."""
    count = cursor.number(2)
    return 0 if count is None else min(count & 0xFFFF, len(cursor.data) // 2)


# What a client sends.


def startup_of(body: bytes) -> dict[bytes, bytes]:
    """STARTUP's options."""
    cursor = Cursor(body)
    said = {}
    for _ in range(_count(cursor)):
        key, value = cursor.sized(2), cursor.sized(2)
        if key is not None and value is not None:
            said[key] = value
    return said


def consistency_of(cursor: Cursor) -> str:
    """The consistency that comes next; empty where it was not captured."""
    number = cursor.number(2)
    is_known = number is not None and 0 <= number < len(CONSISTENCIES)
    return CONSISTENCIES[number] if is_known and number is not None else ""


def page_size_of(cursor: Cursor, version: int) -> int:
    """From the parameters of a QUERY or EXECUTE, behind the consistency; 0 where there is none, or it was not captured."""
    flags = cursor.number(4 if version == 5 else 1)
    if flags is None or not flags & 0x04:
        return 0
    if flags & 0x01:
        for _ in range(_count(cursor)):
            if flags & 0x40:
                cursor.sized(2)
            cursor.sized(4)
            if cursor.is_cut:
                return 0
    return max(cursor.number(4) or 0, 0)


def batch_of(body: bytes) -> tuple[int, list[tuple[bool, bytes]], str]:
    """How many statements a BATCH has, of each that was captured whether it is prepared, and its id or text; the consistency."""
    cursor = Cursor(body)
    cursor.number(1)
    count = (cursor.number(2) or 0) & 0xFFFF
    said: list[tuple[bool, bytes]] = []
    for _ in range(min(count, MAX_STATEMENTS)):
        kind = cursor.number(1)
        what = cursor.sized(4 if kind == 0 else 2)
        if what is None or cursor.is_cut:
            return count, said, ""
        said.append((kind != 0, what))
        for _ in range(_count(cursor)):
            cursor.sized(4)
    return count, said, consistency_of(cursor) if len(said) == count else ""


# What a server sends.


def rows_of(cursor: Cursor) -> int | None:
    """How many rows a result has; None where that was not captured. Section 4.2.5.2."""
    flags, columns = cursor.number(4), cursor.number(4)
    if flags is None or columns is None or not 0 <= columns <= MAX_COLUMNS:
        return None
    if flags & 0x02:
        cursor.sized(4)
    if flags & 0x08:
        cursor.sized(2)
    if not flags & 0x04:
        if flags & 0x01:
            cursor.sized(2)
            cursor.sized(2)
        for _ in range(columns):
            for _ in range(1 if flags & 0x01 else 3):
                cursor.sized(2)
            if cursor.is_cut or not _walk_type(cursor, MAX_DEPTH):
                return None
    return cursor.number(4)


def _walk_type(cursor: Cursor, depth: int) -> bool:
    """Over a column's type; False where it was not captured, or cannot be."""
    kind = cursor.number(2)
    if kind is None or depth == 0:
        return False
    if kind == 0x00:
        cursor.sized(2)
    elif kind in (0x20, 0x22):
        return _walk_type(cursor, depth - 1)
    elif kind == 0x21:
        return _walk_type(cursor, depth - 1) and _walk_type(cursor, depth - 1)
    elif kind == 0x30:
        cursor.sized(2)
        cursor.sized(2)
        for _ in range(_count(cursor)):
            cursor.sized(2)
            if not _walk_type(cursor, depth - 1):
                return False
    elif kind == 0x31:
        return all(_walk_type(cursor, depth - 1) for _ in range(_count(cursor)))
    return not cursor.is_cut
