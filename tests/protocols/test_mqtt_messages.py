"""MQTT's control packets."""

from __future__ import annotations

from functools import partial

import pytest

from agent.errors import Gap, ProtocolError
from agent.protocols import Verdict
from agent.protocols.mqtt_messages import (
    MAX_PROPERTIES,
    Packet,
    Publish,
    Type,
    classify,
    error_of,
    find,
    properties,
    read_acknowledgement,
    read_connect,
    read_packet,
    read_publish,
    read_reason,
)
from tests.protocols.messages import read_all, three_ways
from tests.protocols.mqtt_bytes import (
    CONNACK,
    CONNACK_5,
    PINGREQ,
    PINGRESP,
    PUBACK,
    PUBREL,
    SUBACK,
    SUBSCRIBE,
    TRACEPARENT,
    acknowledgement,
    alias,
    connect,
    packet,
    publish,
    text,
    user,
    varint,
)
from tests.wire import bytewise, holed, whole


def client(stream):
    return read_packet(stream, is_server=False)


def server(stream):
    return read_packet(stream, is_server=True)


@pytest.mark.parametrize("size", [0, 127, 128, 16383, 16384, 2097152, 268435455])
def test_fixed_headers(size):
    data = b"\x3b" + varint(max(size, 2))
    expected = Packet(Type.PUBLISH, 0xB, max(size, 2))
    assert three_ways(lambda: client, data) == [expected]
    assert three_ways(lambda: server, data) == [expected]


def test_quality_of_service():
    assert [Packet(Type.PUBLISH, flags, 2).qos for flags in (0, 2, 4, 0xB)] == [0, 1, 2, 1]


@pytest.mark.parametrize(
    "data",
    [b"\x00\x00", b"\x36\x05", b"\x30\x80\x80\x80\x80\x01", b"\x40\x01", b"\x60\x02", b"\x80\x05",
     b"\xc0\x01", b"\x20\x02", b"\x90\x03", b"\xd0\x00", b"\x40\xff\xff\x7f"],
)  # fmt: skip
def test_what_no_client_sends(data):
    assert read_all(client, whole(data)) == [ProtocolError]


@pytest.mark.parametrize("data", [connect()[:2], SUBSCRIBE[:2], b"\xa2\x05", PINGREQ])
def test_what_no_server_sends(data):
    assert read_all(server, whole(data)) == [ProtocolError]


@pytest.mark.parametrize("version", [3, 4, 5])
def test_connects(version):
    data = connect(version)
    head = Packet(Type.CONNECT, 0, len(data) - 2)
    reader = partial(read_connect, packet=head)
    assert three_ways(lambda: reader, data[2:]) == [(version, b"shop-1")]
    assert read_all(reader, holed(data[2:], 25, 30)) == [(version, b"shop-1")]
    assert read_all(reader, holed(data[2:], 4, 9)) == [Gap]
    assert read_all(partial(read_connect, packet=Packet(Type.CONNECT, 0, 12)), whole(data[2:]))[0] is ProtocolError  # fmt: skip


@pytest.mark.parametrize("name", [b"\0\4MQTX\4\0", b"\0\4MQTT\6\0", b"\0\7MQTTTTT\4"])
def test_connects_of_something_else(name):
    reader = partial(read_connect, packet=Packet(Type.CONNECT, 0, 40))
    assert read_all(reader, whole(name + bytes(40))) == [ProtocolError]


def published(data: bytes, version: int):
    size, at = data[1], 2
    return partial(read_publish, packet=Packet(Type.PUBLISH, data[0] & 15, size), version=version), data[at:]  # fmt: skip


@pytest.mark.parametrize(
    ("data", "version", "expected"),
    [
        (publish(), 4, Publish(b"sensors/42/t", 0, 0, None, 14, False)),
        (publish(qos=2, number=7), 4, Publish(b"sensors/42/t", 7, 0, None, 16, False)),
        (publish(b"a", properties=b""), 5, Publish(b"a", 0, 0, None, 4, False)),
        (publish(b"", properties=alias(3)), 5, Publish(b"", 0, 3, None, 6, False)),
        (publish(b"a", properties=user(b"traceparent", TRACEPARENT)), 5,
         Publish(b"a", 0, 0, {"traceparent": TRACEPARENT.decode()}, 75, False)),
    ],
)  # fmt: skip
def test_publishes(data, version, expected):
    reader, rest = published(data, version)
    assert three_ways(lambda: reader, rest[: expected.size]) == [expected]


@pytest.mark.parametrize(
    ("data", "version"),
    [(publish(b"a/#"), 4), (publish(b"\xff\xfe"), 4), (publish(b""), 4), (publish(qos=1, number=0), 4),
     (b"\x30\x05\0\x09abc", 4), (publish(b"a", b"", properties=b"\x02\0\0"), 4), (b"\x30\x04\0\1a\x09", 5),
     (publish(b"a", properties=b"\x7f"), 5), (b"\x32\x03\0\1a\0\1", 4)],
)  # fmt: skip
def test_publishes_that_are_none(data, version):
    reader, rest = published(data, version)
    found = read_all(reader, whole(rest))
    assert found[:1] == [ProtocolError] or (data[3:5] == b"\1a" and version == 4)


def test_properties():
    all_kinds = b"\x01\1\x02\0\0\0\1\x03" + text(b"t") + b"\x08" + text(b"r") + b"\x09" + text(b"c")
    said = all_kinds + b"\x0b\x81\1" + alias(9) + user(b"Traceparent", b"00-a") + user(b"k", b"hunter2")  # fmt: skip
    assert properties(said) == (9, {"traceparent": "00-a"})
    for size in range(len(said)):
        found, carrier = properties(said[:size])
        assert found in (0, 9)
        assert carrier in (None, {"traceparent": "00-a"})
    assert properties(b"\x0b\xff\xff\xff\xff\xff") == (0, None)


def test_properties_that_are_not_captured():
    big = user(b"k", b"x" * 200)
    data = publish(b"a", properties=big)
    reader = partial(read_publish, packet=Packet(Type.PUBLISH, 0, len(data) - 3), version=5)
    assert read_all(reader, holed(data[3:], 20, 60))[0].is_truncated
    assert len(big) < MAX_PROPERTIES


def test_acknowledgements():
    for data, expected in ((PUBACK, (1, 0)), (acknowledgement(4, 513, 0x97), (513, 0x97))):
        head = Packet(Type.PUBACK, 0, data[1])
        assert read_all(partial(read_acknowledgement, packet=head), bytewise(data[2:])) == [
            expected
        ]
    head = Packet(Type.DISCONNECT, 0, 2)
    assert read_all(partial(read_reason, packet=head), bytewise(b"\x8e\0")) == [0x8E]


def test_errors():
    assert [error_of(code) for code in (0, 0x10, 0x97, 0xFE)] == ["", "", "quota_exceeded", "0xfe"]


@pytest.mark.parametrize(
    ("head", "verdict"),
    [
        (connect(3), Verdict.REQUEST),
        (connect(5)[:11], Verdict.REQUEST),
        (connect(5)[:8], Verdict.MORE),
        (CONNACK, Verdict.RESPONSE),
        (CONNACK + SUBACK, Verdict.RESPONSE),
        (CONNACK_5 + PINGRESP, Verdict.RESPONSE),
        (b"\x20\x03\x00\x87\x00", Verdict.RESPONSE),
        (PINGREQ, Verdict.REQUEST),
        (PINGRESP, Verdict.RESPONSE),
        (PINGREQ + b"\0", Verdict.NO),
        (CONNACK + b"\x03SELECT", Verdict.NO),
        (b"\x20\x09\x00\x00\x07", Verdict.NO),
        (b"\x10\x0e\0\4MQTT\x09", Verdict.NO),
        (b"\x10\x0e\0\4MQTT\4\1", Verdict.NO),
        (b"\x10\x02\0\4MQTT\4\2", Verdict.NO),
        (b"\x10\xff\xff\xff\xff\x01", Verdict.NO),
        (publish(), Verdict.NO),
    ],
)
def test_classification(head, verdict):
    assert classify(head) is verdict


def test_the_next_packet_after_a_gap():
    assert find(publish() + PUBACK, is_server=False) == 0
    assert find(publish()[:20], is_server=True) == 0
    assert find(PUBREL, is_server=False) == 0
    assert find(publish()[:9], is_server=False) == -1
    assert find(b"ter2" + publish(), is_server=False) == -1
    assert find(publish(b"a\nb"), is_server=False) == -1
    assert find(publish() + b"\0\0", is_server=False) == -1
    assert find(packet(9, 0, b"\0\1")[:1], is_server=True) == -1
    assert find(SUBSCRIBE[:-1], is_server=False) == -1
