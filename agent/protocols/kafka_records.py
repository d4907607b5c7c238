"""Kafka's types as they are on the wire, and what is read of the batches of records.

https://kafka.apache.org/protocol.html, https://kafka.apache.org/documentation/#recordbatch

Versions of an API are flexible from some number on: sizes of strings and arrays are then variable-length integers, one
more than they say, and each structure ends with tagged fields, which are walked over.

Of a batch (magic 2) the number of records is read, and of records that are not compressed the `traceparent` in their
headers. Keys, values and other headers are walked over.

A private sibling of the Kafka protocol, and no protocol itself: it registers nothing.
"""

from __future__ import annotations

import re
import struct
from typing import Final

from agent.errors import Gap, ProtocolError

MAX_ARRAY: Final = 1 << 24
MAX_BYTES: Final = 1 << 30
MAX_LINKS: Final = 32
"""Trace contexts of one request or response that are kept: the SDKs keep 128 links, which nobody reads."""
MAX_RECORDS: Final = 256
"""Of a batch, whose headers are looked at."""
BATCH: Final = 61
"""Bytes of a batch before its records."""

_INTEGERS: Final = {1: ">b", 2: ">h", 4: ">i", 8: ">q"}
_BATCH = struct.Struct(">qiib4xh34xi")
"""Base offset, size of what follows, epoch of the leader, magic; attributes; number of records."""
_COMPRESSION: Final = 0x07
_TRACEPARENT: Final = b"traceparent"
_CONTEXT = re.compile(rb"00-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}")

Link = tuple[bytes, bytes]
"""A trace's id and a span's."""


class Fields:
    """Reads one field after the other. Gap: it was not captured."""

    def __init__(self, data: bytes, *, is_flexible: bool) -> None:
        self.data = data
        self.at = 0
        self.is_flexible = is_flexible

    def integer(self, width: int) -> int:
        """A signed integer."""
        at, self.at = self.at, self.at + width
        if self.at > len(self.data):
            raise Gap("a field was not captured")
        value: int = struct.unpack_from(_INTEGERS[width], self.data, at)[0]
        return value

    def unsigned(self) -> int:
        """A variable-length integer."""
        value = 0
        for shift in range(0, 35, 7):
            byte = self.integer(1)
            value |= (byte & 0x7F) << shift
            if byte >= 0:
                return value
        raise ProtocolError("a variable-length integer that does not end")

    def skip(self, size: int) -> None:
        """Walk over bytes, captured or not."""
        self.at += size

    def string(self) -> bytes:
        """A string; empty for null."""
        size = self._size(2, 0x7FFF)
        start = self.at
        self.skip(size)
        if self.at > len(self.data):
            raise Gap("a string was not captured")
        return self.data[start : self.at]

    def array(self) -> int:
        """How many elements follow."""
        return self._size(4, MAX_ARRAY)

    def bytes_(self) -> tuple[int, bytes]:
        """The size of bytes, and those that were captured."""
        size = self._size(4, MAX_BYTES)
        start = self.at
        self.skip(size)
        return size, self.data[start : self.at]

    def tags(self) -> None:
        """Walk over the tagged fields."""
        if self.is_flexible:
            for _ in range(self.unsigned()):
                self.unsigned()
                self.skip(self.unsigned())

    def _size(self, width: int, limit: int) -> int:
        size = self.unsigned() - 1 if self.is_flexible else self.integer(width)
        if not -1 <= size <= limit:
            raise ProtocolError(f"a size of {size}")
        return max(size, 0)


def records_of(size: int, data: bytes) -> tuple[int | None, list[Link]]:
    """How many records the batches in `size` bytes have that begin with `data`, None if not known; their contexts."""
    count: int | None = 0
    links: list[Link] = []
    at = 0
    while at + BATCH <= size:  # a broker may cut the last one
        if at + BATCH > len(data):
            return None, links
        _, length, _, magic, attributes, records = _BATCH.unpack_from(data, at)
        if magic != 2:
            return None, links
        if length < BATCH - 12 or records < 0:
            raise ProtocolError("no batch of records")
        if at + 12 + length > size:
            break
        count = None if count is None else count + records
        end = at + 12 + length
        if not attributes & _COMPRESSION and data.find(_TRACEPARENT, at, end) >= 0:
            _read_links(data[:end], at + BATCH, records, links)
        at = end
    return count, links


def _read_links(data: bytes, at: int, records: int, links: list[Link]) -> None:
    """The contexts in the headers of records, as far as those were captured."""
    try:
        for _ in range(min(records, MAX_RECORDS)):
            size, at = varint(data, at)
            end = at + size
            at += 1  # attributes
            for _ in range(2):  # differences of time and offset
                _, at = varint(data, at)
            for _ in range(2):  # key and value
                size, at = varint(data, at)
                at += max(size, 0)
            count, at = varint(data, at)
            for _ in range(min(count, MAX_RECORDS)):
                size, at = varint(data, at)
                name, at = data[at : at + max(size, 0)], at + max(size, 0)
                size, at = varint(data, at)
                value, at = data[at : at + max(size, 0)], at + max(size, 0)
                found = _CONTEXT.fullmatch(value) if name == _TRACEPARENT else None
                if found is not None and len(links) < MAX_LINKS:
                    link = (bytes.fromhex(found[1].decode()), bytes.fromhex(found[2].decode()))
                    if link not in links:
                        links.append(link)
            at = end
    except Gap:
        pass  # what was read so far holds


def varint(data: bytes, at: int) -> tuple[int, int]:
    """A signed variable-length integer (zigzag), and where it ends."""
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(data):
            raise Gap("a record was not captured")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            break
    return (value >> 1) ^ -(value & 1), at
