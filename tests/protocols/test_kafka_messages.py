"""Kafka's requests and responses: what is read of one, wherever it is cut."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import Gap, ProtocolError
from agent.protocols import kafka_messages as ours
from agent.protocols.kafka_messages import APIS, Batches, Request
from agent.stream import Stream
from tests.protocols import kafka_bytes as kafka
from tests.protocols.messages import three_ways
from tests.wire import holed


def request(data: bytes) -> Request:
    return ours.request_of(data[4:], {})


@pytest.mark.parametrize("name", sorted(name[:-7] for name in kafka.MESSAGES if name.endswith("Request")))  # fmt: skip
def test_names_and_flexible_versions_are_those_of_the_schemas(name):
    if not name.startswith("Api") or name == "ApiVersions":
        kind = kafka.MESSAGES[f"{name}Request"]
        flexible = kind._flexible_versions
        assert APIS[kind.API_KEY] == (name, flexible[0] if flexible[0] >= 0 else ours.NEVER)


def test_a_request():
    batch = kafka.records(b"a")
    assert request(kafka.produce_(9, number=-7, topics={"orders": [batch]})) == Request(
        -7, ours.PRODUCE, 9, b"shop-1", Batches((b"orders",), 1, 3, 1)
    )
    assert request(kafka.produce_(7, client=None)).client == b""


def test_no_acknowledgement():
    assert request(kafka.produce_(acks=1)).is_answered
    assert not request(kafka.produce_(acks=0)).is_answered


@pytest.mark.parametrize("version", [7, 9])
def test_a_request_that_was_cut_makes_nothing_up(version):
    data = kafka.produce_(version, topics={"orders": [kafka.records(b"a")], "carts": [kafka.records(b"b")]})  # fmt: skip
    whole = request(data)
    for size in range(14, len(data)):
        found = request(data[:size])
        assert found.batches.topics == whole.batches.topics[: len(found.batches.topics)]
        assert found.batches.records is None or found.batches.records <= 2
        assert found.client in (b"", b"shop-1")


@pytest.mark.parametrize("version", [4, 11, 12])
def test_a_response_that_was_cut_makes_nothing_up(version):
    asked = request(kafka.fetch_(version))
    data = kafka.fetched(version)[4:]
    whole = ours.response_of(data, asked, {})
    assert (whole.batches.records, whole.is_truncated) == (1, False)
    for size in range(4, len(data)):
        found = ours.response_of(data[:size], asked, {})
        assert found.batches.records in (None, 1)
        assert found.error == 0


@pytest.mark.parametrize("version", range(14))
def test_metadata_tells_ids(version):
    asked = request(kafka.request("Metadata", version, topics=[]))
    names: dict[bytes, bytes] = {}
    response = ours.response_of(kafka.metadata_(version)[4:], asked, names)
    assert names == ({kafka.TOPIC_ID: b"orders"} if version >= 10 else {})
    assert not response.is_truncated


BAD = [
    b"\0\x01\0\x63" + bytes(10),  # a version
    b"\0\x58\0\0" + bytes(10),  # an API
    b"\0\0\0\x07\0\0\0\1\xff\xfe" + bytes(10),  # a size
    b"\0\0\0\x07\0\0\0\1\x7f\xff" + b"a" * 0x7FFF,  # a client's name
]


@pytest.mark.parametrize("data", BAD, ids=range(len(BAD)))
def test_what_cannot_be(data):
    with pytest.raises(ProtocolError):
        ours.request_of(data, {})


def test_a_beginning_that_is_missing():
    with pytest.raises(Gap):
        ours.request_of(b"\0\0", {})


def read(stream: Stream):
    size, data = yield from ours.read_message(stream, 4)
    yield from stream.skip(size - len(data))
    return size, data


def test_messages_are_framed():
    assert three_ways(lambda: read, b"\0\0\0\5abcde\0\0\0\4wxyz") == [(5, b"abcde"), (4, b"wxyz")]
    assert three_ways(lambda: read, b"\0\0\0\3abc")[-1] is ProtocolError
    assert three_ways(lambda: read, b"\x7f\0\0\0abc")[-1] is ProtocolError
    stream = Stream()
    for piece in holed(b"\0\0\0\5abcde", 6, 9):
        stream.feed(stream.end, piece.data, piece.size, 1)
    step = read(stream)
    with pytest.raises(StopIteration) as stop:
        next(step)
    assert stop.value.value == (5, b"ab")


@given(st.data())
def test_damage_raises_protocol_errors_only(data):
    version = data.draw(st.sampled_from([7, 9, 13]))
    raw = bytearray(kafka.produce_(version)[4:])
    for _ in range(data.draw(st.integers(1, 6))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    try:
        asked = ours.request_of(bytes(raw), {})
        ours.response_of(bytes(raw), asked, {})
    except ProtocolError:
        pass
