"""Segments: their checksums, what is in them, and where each message of one begins."""

from __future__ import annotations

import lz4.block
import pytest
from cassandra import segment as theirs

from agent.errors import ProtocolError
from agent.protocols import cassandra_segments as ours
from agent.protocols.cassandra_segments import LZ4, PLAIN, Segments
from agent.stream import Stream
from tests.protocols import cassandra_bytes as cql
from tests.protocols.messages import read_all
from tests.wire import Piece, bytewise, whole


def lz4_segment(payload: bytes) -> bytes:
    return cql.lz4_segment(payload, lz4.block.compress(payload, store_size=False))


def test_checksum_is_the_drivers():
    for number in (0, 1, 0x2000A, 0x1FFFF, 0x3FFFF):
        data = number.to_bytes(3, "little")
        assert ours.crc24(data) == theirs.compute_crc24(number, 3)
    assert ours.crc24((1 << 34 | 77).to_bytes(5, "little")) == theirs.compute_crc24(1 << 34 | 77, 5)
    assert cql.crc32(b"abc") == theirs.compute_crc32(b"abc", theirs.CRC32_INITIAL).to_bytes(4, "little")  # fmt: skip


@pytest.mark.parametrize(("made", "kind"), [(cql.segment, PLAIN), (lz4_segment, LZ4)])
def test_headers_are_told_apart(made, kind):
    data = made(b"\5" * 40)
    assert ours.kind_of(data) == kind
    assert ours.beginning_of(data, kind).startswith(b"\5\5")
    for size in range(len(data)):
        assert ours.may_begin(data[:size])
    damaged = bytes([data[0] ^ 1]) + data[1:]
    assert ours.kind_of(damaged) == 0
    assert not ours.may_begin(damaged)


def lines(kind: int):
    """A reader of ten bytes at a time."""
    segments = Segments(kind)

    def ten(stream: Stream):
        yield from stream.wait()
        return (yield from stream.read(10))

    return lambda stream: segments.read(stream, ten(segments.stream))


@pytest.mark.parametrize(("made", "kind"), [(cql.segment, PLAIN), (lz4_segment, LZ4)])
def test_messages_of_one_segment_and_of_several(made, kind):
    first, second, third = (bytes([letter]) * 10 for letter in b"abc")
    data = made(first + second + third[:5]) + made(third[5:]) + made(first)
    expected = [first, second, third, first]
    assert read_all(lines(kind), whole(data)) == expected
    assert read_all(lines(kind), bytewise(data)) == expected


def test_a_payload_that_is_not_compressed():
    payload = b"0123456789"
    assert read_all(lines(LZ4), whole(cql.lz4_segment(payload, payload))) == [payload]


def test_no_segment():
    data = cql.segment(b"0123456789") + b"something else"
    assert read_all(lines(PLAIN), whole(data)) == [b"0123456789", ProtocolError]


def test_each_message_has_a_place_of_its_own():
    segments, outer = Segments(PLAIN), Stream()
    data = cql.segment(b"a" * 30)
    outer.feed(0, data, len(data), 1)
    places = []
    for _ in range(3):
        step = segments.read(outer, segments.stream.read(10))
        assert list(step) == []
        places.append(outer.begun_at)
    assert places == [0, 1, 2]
    assert outer.position == outer.end


def test_detection():
    def reader(stream: Stream):
        kind = yield from ours.detect(stream)
        yield from stream.skip(40)
        return kind

    assert read_all(reader, whole(cql.segment(b"a" * 30))) == [PLAIN]
    assert read_all(reader, bytewise(lz4_segment(bytes(2000))[:40] + bytes(30)))[:1] == [LZ4]
    assert read_all(reader, whole(cql.query("SELECT a FROM b WHERE cdefghij", version=5)))[0] == 0
    assert [each.__name__ for each in read_all(reader, [Piece(b"abc", 40)])] == ["Gap"]
