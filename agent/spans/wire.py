"""Attributes as OTLP has them on the wire: KeyValue and AnyValue in protobuf's encoding, written by hand.

https://github.com/open-telemetry/opentelemetry-proto/blob/main/opentelemetry/proto/common/v1/common.proto

Blocks that many spans share are encoded once. What only one span has (times, sizes, paths) is encoded at once, from tables
per key: that takes a quarter of what a tuple of pairs takes that is encoded later.

The tables and memos are functions of their arguments alone, and bounded.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

    from agent.spans.span import Value

# Tags: field number << 3 | wire type. A span's attribute is field 9 of Span, a resource's field 1 of Resource.
SPAN_ATTRIBUTE: Final = b"\x4a"
RESOURCE_ATTRIBUTE: Final = b"\x0a"
EVENT_ATTRIBUTE: Final = b"\x1a"
LINK_ATTRIBUTE: Final = b"\x22"

INT64_MIN: Final = -(1 << 63)
INT64_MAX: Final = (1 << 63) - 1

pack_double = struct.Struct("<d").pack
_unpack_double = struct.Struct("<d").unpack_from


def read(encoded: bytes) -> tuple[tuple[str, Value], ...]:
    """Encoded Span.attributes fields that the tables below made, of strings, int and float: names and values."""
    found: list[tuple[str, Value]] = []
    at = 0
    while at < len(encoded):
        size, at = _read_varint(encoded, at + 1)
        end = at + size
        size, at = _read_varint(encoded, at + 1)
        name = encoded[at : at + size].decode()
        _, at = _read_varint(encoded, at + size + 1)
        found.append((name, _read_value(encoded, at)))
        at = end
    return tuple(found)


class Strings(dict[int, bytes]):
    """What comes before the UTF-8 of a key's string, by the bytes of it; `table[len(body)] + body` is the attribute."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self._key = _Key(SPAN_ATTRIBUTE, name)

    def __missing__(self, size: int) -> bytes:
        made = self._key.string(size)
        if size < _LONG:
            self[size] = made
        return made


class Integers(dict[int, bytes]):
    """A key's attributes by their value, any of 64 bits; those of small values are kept."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self._key = _Key(SPAN_ATTRIBUTE, name)

    def __missing__(self, value: int) -> bytes:
        body = varint(value)
        made = self._key.integers[len(body)] + body
        if 0 <= value < TABLE_SIZE:
            self[value] = made
        return made


def double(name: str) -> bytes:
    """What comes before the 8 bytes (`pack_double`) of a key's float."""
    return _Key(SPAN_ATTRIBUTE, name).double


def attributes(items: Iterable[tuple[str, Value]], tag: bytes) -> bytes:
    """The fields of a message that has `tag` for its attributes."""
    encoded = b""
    keys = _KEYS[tag]
    for name, value in items:
        key = keys.get(name) or _add_key(tag, name)
        # The exact class first: it spares the most common values the chain in _any_value, 0.3 µs each.
        kind = value.__class__
        if kind is str:
            body = value.encode("utf-8", "replace")  # type: ignore[union-attr]  # `kind` tells
            size = len(body)
            prefix = key.strings[size] if size < _LONG else None
            encoded += (prefix or key.string(size)) + body
        elif kind is int and 0 <= value < TABLE_SIZE:  # type: ignore[operator]  # `kind` tells
            body = VARINTS[value]  # type: ignore[index]  # `kind` tells
            encoded += key.integers[len(body)] + body
        elif kind is int and 0 <= value <= INT64_MAX:  # type: ignore[operator]  # `kind` tells
            body = varint(value)  # type: ignore[arg-type]  # `kind` tells
            encoded += key.integers[len(body)] + body
        elif kind is float:
            encoded += key.double + pack_double(value)
        else:
            body = _any_value(value)
            encoded += key.prefix(b"", len(body)) + body
    return encoded


class _Key:
    """A key as KeyValues begin with it, up to where the value's own bytes start."""

    __slots__ = ("double", "integers", "start", "strings", "tag")

    def __init__(self, tag: bytes, name: str) -> None:
        self.tag = tag
        self.start = field(b"\x0a", utf8(name)) + b"\x12"
        self.integers = [self.prefix(b"\x18", size) for size in range(11)]
        """By the bytes of the varint."""
        self.double = self.prefix(b"\x21", 8)
        self.strings: list[bytes | None] = [None] * _LONG
        """By their bytes; made when needed."""

    def prefix(self, value_head: bytes, size: int) -> bytes:
        """Up to a value of `size` bytes behind `value_head`."""
        key_and_value = self.start + varint(len(value_head) + size) + value_head
        return self.tag + varint(len(key_and_value) + size) + key_and_value

    def string(self, size: int) -> bytes:
        """Up to the bytes of a string."""
        made = self.prefix(b"\x0a" + varint(size), size)
        if size < _LONG:
            self.strings[size] = made
        return made


def _add_key(tag: bytes, name: str) -> _Key:
    """Keys are of the conventions, or of the operator; more than there are of both means that somebody makes them up."""
    keys = _KEYS[tag]
    if len(keys) >= _MAX_KEYS:
        keys.clear()
    made = keys[name] = _Key(tag, name)
    return made


def _any_value(value: Value) -> bytes:
    if isinstance(value, bool):
        return b"\x10\x01" if value else b"\x10\x00"
    if isinstance(value, int):
        if INT64_MIN <= value <= INT64_MAX:
            return b"\x18" + varint(value)
        return _string_value(str(value))  # the wire has no larger integer; digits lose nothing
    if isinstance(value, float):
        return b"\x21" + pack_double(value)
    if isinstance(value, str):
        return _string_value(value)
    return field(b"\x2a", b"".join(field(b"\x0a", _any_value(item)) for item in value))


def _string_value(text: str) -> bytes:
    return field(b"\x0a", utf8(text))


def utf8(text: str) -> bytes:
    """`text` as valid UTF-8: half a surrogate pair, as `surrogateescape` leaves it, becomes "?"."""
    return text.encode("utf-8", "replace")


def varint(number: int) -> bytes:
    """A base-128 varint; negative numbers as 64-bit two's complement, as int64 fields have it."""
    if 0 <= number < TABLE_SIZE:
        return VARINTS[number]
    if 0 <= number < 1 << 14:
        return bytes((number & 0x7F | 0x80, number >> 7))
    if 0 <= number < 1 << 21:  # ports and most sizes: a third of the loop's time
        return bytes((number & 0x7F | 0x80, number >> 7 & 0x7F | 0x80, number >> 14))
    return _long_varint(number & 0xFFFF_FFFF_FFFF_FFFF)


def _long_varint(number: int) -> bytes:
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


def field(tag: bytes, body: bytes) -> bytes:
    """A field with a length: tag, length, bytes."""
    return tag + varint(len(body)) + body


_LONG: Final = 256
"""Bytes of a string whose prefix is kept: two KiB for a key."""
_MAX_KEYS: Final = 512
_KEYS: Final[dict[bytes, dict[str, _Key]]] = {
    tag: {} for tag in (SPAN_ATTRIBUTE, RESOURCE_ATTRIBUTE, EVENT_ATTRIBUTE, LINK_ATTRIBUTE)
}
"""By tag and name. A look-up here takes a third of what one in an lru_cache takes."""
TABLE_SIZE: Final = 4096
"""A request has up to 4 KiB: sizes, and their lengths, are look-ups. The tables take 0.6 MiB."""
VARINTS: Final = tuple(_long_varint(number) for number in range(TABLE_SIZE))


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    """The number at a place, and where it ends."""
    number = shift = 0
    while True:
        byte = data[at]
        at += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, at
        shift += 7


def _read_value(data: bytes, at: int) -> Value:
    """The AnyValue at a place, of the kinds that the tables make."""
    tag = data[at]
    if tag == 0x21:
        value: float = _unpack_double(data, at + 1)[0]
        return value
    number, at = _read_varint(data, at + 1)
    if tag == 0x18:
        return number if number <= INT64_MAX else number - (1 << 64)
    return data[at : at + number].decode()
