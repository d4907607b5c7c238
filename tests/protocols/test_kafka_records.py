"""Kafka's fields and batches, wherever they are cut."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import Gap, ProtocolError
from agent.protocols.kafka_records import MAX_LINKS, Fields, records_of, varint
from tests.protocols import kafka_bytes as kafka


def test_fields():
    fields = Fields(b"\xff\x01\x02\0\3abc\0\0\0\2\0\0\0\1x\xff\xff", is_flexible=False)
    assert (fields.integer(1), fields.integer(2), fields.string()) == (-1, 258, b"abc")
    assert (fields.array(), fields.bytes_(), fields.string()) == (2, (1, b"x"), b"")
    fields.tags()
    with pytest.raises(Gap):
        fields.integer(1)


def test_flexible_fields():
    fields = Fields(b"\4abc\3\0\x02x\x02\x05\2zz\x81\x01\1y" + b"q", is_flexible=True)
    assert (fields.string(), fields.array(), fields.string(), fields.bytes_()) == (b"abc", 2, b"", (1, b"x"))  # fmt: skip
    fields.tags()
    assert fields.integer(1) == ord("q")


def test_what_is_cut():
    assert Fields(b"\0\0\0\5ab", is_flexible=False).bytes_() == (5, b"ab")
    with pytest.raises(Gap):
        Fields(b"\0\5ab", is_flexible=False).string()
    with pytest.raises(Gap):
        Fields(b"\x80", is_flexible=True).unsigned()


@pytest.mark.parametrize(
    ("data", "is_flexible"),
    [(b"\xff\xfe", False), (b"\x80\0", False), (b"\xff\xff\xff\xff\x7f", True)],
)
def test_sizes_that_cannot_be(data, is_flexible):
    with pytest.raises(ProtocolError):
        Fields(data, is_flexible=is_flexible).string()
    with pytest.raises(ProtocolError):
        Fields(b"\xff" * 6, is_flexible=True).unsigned()


@pytest.mark.parametrize("value", [0, 1, -1, 63, 64, -65, 300, 1 << 40, -(1 << 62)])
def test_signed_integers_of_variable_length(value):
    raw, data = (value << 1) ^ (value >> 63), b""
    while raw > 0x7F:
        data += bytes([raw & 0x7F | 0x80])
        raw >>= 7
    assert varint(data + bytes([raw]) + b"x", 0) == (value, len(data) + 1)


BATCH = kafka.records(b"a", b"b", headers=(("other", b"x"), kafka.CONTEXT))


def test_batches():
    assert records_of(len(BATCH), BATCH) == (2, [kafka.LINK])
    twice = BATCH + kafka.records(b"c")
    assert records_of(len(twice), twice) == (3, [kafka.LINK])
    assert records_of(0, b"") == (0, [])


def test_of_a_batch_that_was_cut_the_count_is_known():
    for size in range(61, len(BATCH)):
        count, links = records_of(len(BATCH), BATCH[:size])
        assert (count, links in ([], [kafka.LINK])) == (2, True)
    for size in range(61):
        assert records_of(len(BATCH), BATCH[:size]) == (None, [])


def test_a_batch_that_the_broker_cut_does_not_count():
    for size in range(len(BATCH), 2 * len(BATCH)):
        assert records_of(size, (BATCH + BATCH)[:size]) == (2, [kafka.LINK])


def test_compressed_records_are_counted():
    packed = kafka.records(*[b"a" * 200] * 5, headers=(kafka.CONTEXT,), compression=1)
    assert records_of(len(packed), packed) == (5, [])


def test_old_batches_are_not_counted():
    old = BATCH[:16] + b"\1" + BATCH[17:]
    assert records_of(len(old), old) == (None, [])


def test_links_are_bounded():
    batches = b"".join(
        kafka.records(b"a", headers=(("traceparent", b"00-%032x-%016x-00" % (number, number)),))
        for number in range(1, 2 * MAX_LINKS)
    )
    assert len(records_of(len(batches), batches)[1]) == MAX_LINKS


@given(st.data())
def test_damage_raises_protocol_errors_only(data):
    raw = bytearray(BATCH)
    for _ in range(data.draw(st.integers(1, 6))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    with suppress(ProtocolError):
        records_of(len(raw), bytes(raw))
