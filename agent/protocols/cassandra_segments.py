"""Cassandra's outer frames, native protocol 5: frames travel in segments behind the handshake.

https://github.com/apache/cassandra/blob/trunk/doc/native_protocol_v5.spec, section 2

    segment      header, CRC24 of it, payload, CRC32 of that; numbers are little-endian here
    header       3 bytes: 17 bits size of the payload, 1 bit whether it has whole frames
                 compressed, 5 bytes: 17 bits size, 17 bits size without compression (0: it is not compressed), 1 bit

A payload has one or more frames, or a part of one. `Segments` is an inner stream that is fed from the outer one: the
CRC24 says surely where a segment begins, also in the middle of a connection.

A private sibling of the Cassandra protocol, and no protocol itself: it registers nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from agent.errors import Gap, ProtocolError
from agent.protocols.captured import read_beginning
from agent.protocols.compressed import from_lz4
from agent.stream import Stream

if TYPE_CHECKING:
    from collections.abc import Generator

    from agent.stream import Read

PLAIN: Final = 3
LZ4: Final = 5
"""Bytes of a header in front of its CRC24."""
CRC24: Final = 3
CRC32: Final = 4
MAX_PAYLOAD: Final = 128 * 1024 - 1
MAX_LOOK: Final = 16 * 1024
"""Bytes of a compressed payload that are looked at."""


def crc24(data: bytes) -> int:
    """org.apache.cassandra.net.Crc.crc24 of the bytes as they come."""
    crc = 0x875060
    for byte in data:
        crc ^= byte << 16
        for _ in range(8):
            crc <<= 1
            if crc & 0x1000000:
                crc ^= 0x1974F0B
    return crc


def is_header(head: bytes, size: int) -> bool:
    """Whether `head` begins with a header of `size` bytes and its CRC24."""
    return len(head) >= size + CRC24 and crc24(head[:size]) == int.from_bytes(
        head[size : size + CRC24], "little"
    )


def kind_of(head: bytes) -> int:
    """The size of the header that eight bytes begin with; 0 if it is none."""
    if is_header(head, PLAIN):
        return PLAIN
    return LZ4 if is_header(head, LZ4) else 0


def may_begin(head: bytes) -> bool:
    """Whether a segment that has whole frames may begin so, or does."""
    may_be_plain = head[2:3] in (b"", b"\2", b"\3")
    may_be_lz4 = head[4:5] in (b"", b"\4", b"\5", b"\6", b"\7")
    if may_be_plain and len(head) >= PLAIN + CRC24:
        may_be_plain = is_header(head, PLAIN)
    if may_be_lz4 and len(head) >= LZ4 + CRC24:
        may_be_lz4 = is_header(head, LZ4)
    return may_be_plain or may_be_lz4


def beginning_of(head: bytes, kind: int) -> bytes:
    """What the frame in a segment begins with."""
    bits = int.from_bytes(head[:kind], "little")
    data = head[kind + CRC24 : kind + CRC24 + (bits & MAX_PAYLOAD)]
    if kind == LZ4 and bits >> 17 & MAX_PAYLOAD:
        return from_lz4(data, len(head))
    return data


class Segments:
    """One direction: the frames in its segments are `stream`."""

    def __init__(self, kind: int) -> None:
        """`kind`: the size of the headers."""
        self.stream = Stream()
        self._kind = kind
        self._owes = 0
        """Bytes behind the payload that were not walked over: what tells the outer stream that there is more to read."""
        self._begun_at = 0
        self._frames = 0
        """Of the latest segment, so far."""

    def read(self, outer: Stream, reader: Generator[Any, None, Any]) -> Generator[Any, None, Any]:
        """Read one message with `reader`, which reads from the inner stream."""
        yield from outer.wait()
        outer.begin()
        if self._owes:
            # Each message of a segment has a place of its own, and the same one at both ends.
            self._frames += 1
            outer.begun_at = self._begun_at + self._frames
        while True:
            try:
                message = next(reader)
            except StopIteration as stop:
                if self.stream.position == self.stream.end:
                    yield from self._finish(outer)
                return stop.value
            if message is None:
                yield from self._pull(outer)
            else:
                yield message

    def _pull(self, outer: Stream) -> Read[None]:
        """The next segment."""
        yield from self._finish(outer)
        yield from outer.wait()
        self._begun_at, self._frames = outer.position, 0
        head = yield from outer.read(self._kind + CRC24)
        if not is_header(head, self._kind):
            raise ProtocolError("no segment begins here")
        bits = int.from_bytes(head[: self._kind], "little")
        size = bits & MAX_PAYLOAD
        whole = bits >> 17 & MAX_PAYLOAD if self._kind == LZ4 else 0
        data = yield from read_beginning(outer, size, size)
        yield from outer.skip(size - len(data))
        if whole:
            data, size = from_lz4(data, min(whole, MAX_LOOK)), whole
        self.stream.feed(self.stream.end, data, size, outer.now_ns)
        self._owes = CRC32

    def _finish(self, outer: Stream) -> Read[None]:
        """The end of the segment."""
        if self._owes:
            yield from outer.skip(self._owes)
            self._owes = 0


def detect(outer: Stream) -> Read[int]:
    """The size of the header of the segment that comes next; 0 if it is none."""
    while len(head := outer.peek(LZ4 + CRC24)) < LZ4 + CRC24:
        if outer.position + len(head) < outer.end:
            raise Gap("a message's beginning was not captured")
        if outer.is_closed:
            return 0
        yield None
    return kind_of(head)
