"""BSON: the fields of a document, as many as were captured, and its shape without values.

https://bsonspec.org/spec.html

    document   size (4 bytes, itself included), fields, a zero
    field      type (1 byte), name up to a zero, value

Nothing is decoded but what is asked for. Bytes that were not captured end a document early: `is_whole` says so. Bytes
that cannot be raise ProtocolError.

A private sibling of the MongoDB protocol, and no protocol itself: it registers nothing.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from agent import redaction
from agent.errors import ProtocolError

DOUBLE, STRING, DOCUMENT, ARRAY, BOOLEAN, INT32, INT64 = 0x01, 0x02, 0x03, 0x04, 0x08, 0x10, 0x12

_FIXED: Final = {
    DOUBLE: 8, 0x06: 0, 0x07: 12, BOOLEAN: 1, 0x09: 8, 0x0A: 0, INT32: 4, 0x11: 8, INT64: 8, 0x13: 16,
    0xFF: 0, 0x7F: 0,
}  # fmt: skip
"""Bytes of a value, by type: undefined, ObjectId, date, null, timestamp, decimal, the least and the greatest key."""
_SIZED: Final = {STRING: 4, DOCUMENT: 0, ARRAY: 0, 0x05: 5, 0x0C: 16, 0x0D: 4, 0x0E: 4, 0x0F: 0}
"""What comes on top of the size that a value begins with: binary, pointer, code, symbol, code with scope."""
_REGEX: Final = 0x0B
TYPES: Final = frozenset((*_FIXED, *_SIZED, _REGEX))

MIN_DOCUMENT: Final = 5
MAX_DEPTH: Final = 6
"""Levels of a document whose shape leaves; the server refuses more than 100 (BSON limits)."""
MAX_SHOWN: Final = 32
"""Fields of a document, at each level, whose shape leaves."""
_INT32 = struct.Struct("<i")
_INT64 = struct.Struct("<q")
_DOUBLE = struct.Struct("<d")


class Field(NamedTuple):
    """One field; its value is from `start` to `stop`, which may lie behind what was captured."""

    kind: int
    name: bytes
    start: int
    stop: int


@dataclass(slots=True)
class Document:
    """The fields of a document that were captured."""

    fields: list[Field] = field(default_factory=list)
    is_whole: bool = False

    def get(self, name: bytes) -> Field | None:
        """The first one of this name."""
        return next((each for each in self.fields if each.name == name), None)


def document(data: bytes, at: int = 0) -> Document:
    """The document that begins at `at`."""
    found = Document()
    if at + 4 > len(data):
        return found
    end = at + size_at(data, at)
    at += 4
    while at < len(data):
        kind = data[at]
        if kind == 0:
            if at != end - 1:
                raise ProtocolError("a document ends before its size says so")
            found.is_whole = True
            return found
        name_end = data.find(b"\0", at + 1, end - 1)
        if kind not in TYPES or (name_end < 0 and end <= len(data)):
            raise ProtocolError(f"no field of type {kind}")
        if name_end < 0:
            return found
        start = name_end + 1
        stop = _value_end(data, kind, start, end)
        if stop < 0:
            return found
        if stop >= end:
            raise ProtocolError("a field is longer than its document")
        found.fields.append(Field(kind, data[at + 1 : name_end], start, stop))
        at = stop
    return found


def size_at(data: bytes, at: int) -> int:
    """The size of the document at `at`, whose first four bytes are there."""
    size: int = _INT32.unpack_from(data, at)[0]
    if size < MIN_DOCUMENT:
        raise ProtocolError(f"a document of {size} bytes")
    return size


def _value_end(data: bytes, kind: int, start: int, end: int) -> int:
    """Where a value ends; -1 if what tells it was not captured."""
    size = _FIXED.get(kind)
    if size is not None:
        return start + size
    if kind == _REGEX:
        pattern_end = data.find(b"\0", start, end)
        options_end = data.find(b"\0", pattern_end + 1, end) if pattern_end >= 0 else -1
        return options_end + 1 if options_end >= 0 else -1
    if start + 4 > len(data):
        return -1
    inner: int = _INT32.unpack_from(data, start)[0]
    if inner < 0:
        raise ProtocolError(f"a value of {inner} bytes")
    return start + _SIZED[kind] + inner


def number(data: bytes, each: Field | None) -> float | None:
    """The value of a number or truth; None if it is none, or was not captured."""
    if each is None or each.stop > len(data):
        return None
    if each.kind == INT32:
        return int(_INT32.unpack_from(data, each.start)[0])
    if each.kind == INT64:
        return int(_INT64.unpack_from(data, each.start)[0])
    if each.kind == DOUBLE:
        return float(_DOUBLE.unpack_from(data, each.start)[0])
    return data[each.start] if each.kind == BOOLEAN else None


def string(data: bytes, each: Field | None, limit: int) -> bytes:
    """The first bytes of a string; empty if it is none, or was not captured."""
    if each is None or each.kind != STRING or each.stop > len(data):
        return b""
    return data[each.start + 4 : each.stop - 1][:limit]


def shape(data: bytes, each: Field, depth: int = MAX_DEPTH) -> str:
    """A value's shape: names of fields stay as patterns (agent/redaction), every value is `"?"`."""
    if each.kind not in (DOCUMENT, ARRAY) or depth <= 0:
        return '"?"'
    inner = document(data, each.start).fields[:MAX_SHOWN]
    if each.kind == ARRAY:
        kinds = dict.fromkeys(shape(data, item, depth - 1) for item in inner)
        return f"[{', '.join(kinds)}]"
    return shape_of(data, inner, depth - 1)


def shape_of(data: bytes, fields: list[Field], depth: int = MAX_DEPTH) -> str:
    """The shape of a document of these fields."""
    shown = (f'"{_name(each.name)}": {shape(data, each, depth)}' for each in fields)
    return f"{{{', '.join(shown)}}}"


def _name(name: bytes) -> str:
    return redaction.key(name).replace("\\", "?").replace('"', "?")
