"""MQTT: what is published and delivered, and what acknowledges it."""

from __future__ import annotations

import pytest

from agent.protocols.mqtt import MAX_ALIASES
from agent.spans import semconv
from agent.spans.span import Span, SpanKind
from tests.protocols.mqtt_bytes import (
    CONNACK,
    CONNACK_5,
    DISCONNECT,
    PINGREQ,
    PINGRESP,
    PUBACK,
    PUBCOMP,
    PUBREC,
    PUBREL,
    SUBACK,
    SUBSCRIBE,
    TRACEPARENT,
    acknowledgement,
    alias,
    connect,
    packet,
    publish,
    user,
)
from tests.scenario import Host, Run, facts, play
from tests.wire import Sample

CONTEXT = user(b"traceparent", TRACEPARENT)
SAMPLES = [
    Sample(
        requests=(connect() + publish(), PINGREQ + publish(qos=1), PUBACK, publish(b"a", b"")),
        responses=(CONNACK + publish(b"a/b"), PUBACK, PINGRESP + publish(qos=2), SUBACK + PUBCOMP),
    ),
    Sample(
        requests=(connect(5) + publish(properties=CONTEXT + alias(1)), publish(b"", qos=1, properties=alias(1))),
        responses=(CONNACK_5 + publish(b"a"), acknowledgement(4, 1, 0x97)),
    ),
]  # fmt: skip

CONVERSATIONS: dict[str, tuple[tuple[bytes, ...], list[str]]] = {
    "at most once": (
        (connect(), b"<" + CONNACK, publish() + publish(b"a/b"), b"<" + publish(b"a/b")),
        ["producer publish sensors/{id}/t 7", "producer publish a/b 7", "consumer process a/b 7"],
    ),
    "at least once": (
        (connect(), b"<" + CONNACK, publish(b"a", qos=1) + publish(b"b", qos=1, number=2),
         b"<" + acknowledgement(4, 2) + PUBACK + publish(b"c", qos=1), PUBACK),
        ["producer publish b 7", "producer publish a 7", "consumer process c 7"],
    ),
    "exactly once": (
        (connect(3), b"<" + CONNACK, publish(b"a", qos=2), b"<" + PUBREC, PUBREL, b"<" + PUBCOMP + publish(b"b", qos=2), PUBREC,
         b"<" + PUBREL, PUBCOMP + DISCONNECT),
        ["producer publish a 7", "consumer process b 7"],
    ),
    "refused": (
        (connect(5), b"<" + CONNACK_5, publish(b"a", qos=1, properties=b"") + publish(b"b", qos=2, number=2, properties=b""),
         b"<" + acknowledgement(4, 1, 0x97) + acknowledgement(5, 2, 0x87)),
        ["producer publish a 7 -> quota_exceeded", "producer publish b 7 -> not_authorized"],
    ),
    "nobody listens": (
        (connect(5), b"<" + CONNACK_5, publish(b"a", qos=1, properties=b""), b"<" + acknowledgement(4, 1, 0x10)),
        ["producer publish a 7"],
    ),
    "aliases": (
        (connect(5), b"<" + CONNACK_5, publish(b"a", properties=alias(1)) + publish(b"", properties=alias(1)),
         b"<" + publish(b"b", properties=alias(1)), publish(b"", properties=alias(1)) + publish(b"", properties=alias(2))),
        ["producer publish a 7", "producer publish a 7", "consumer process b 7", "producer publish a 7", "producer publish 7"],
    ),
    "the server goes": (
        (connect(5), b"<" + CONNACK_5, publish(b"a", qos=1, properties=b""), b"<" + packet(14, 0, b"\x8b\0")),
        ["producer publish a 7 -> server_shutting_down"],
    ),
    "never acknowledged": (
        (connect(), b"<" + CONNACK, publish(b"a", qos=1), b"<" + publish(b"b", qos=1)),
        ["consumer process b 7", "producer publish a 7 -> connection_closed"],
    ),
    "subscriptions and pings": (
        (connect(), b"<" + CONNACK, SUBSCRIBE, b"<" + SUBACK, PINGREQ, b"<" + PINGRESP, packet(10, 2, b"\0\1\0\1a"), b"<" + packet(11, 0, b"\0\1")),
        [],
    ),
}  # fmt: skip
WHOLE = {what: said for what, (said, _) in CONVERSATIONS.items()}


def told(span: Span) -> str:
    """`producer publish sensors/{id}/t 7 -> quota_exceeded`."""
    known = facts(span)
    words = [span.kind.name.lower(), span.name, known.get(semconv.MESSAGING_MESSAGE_BODY_SIZE)]
    error = known.get(semconv.ERROR_TYPE)
    return " ".join(str(word) for word in words if word is not None) + (
        f" -> {error}" if error else ""
    )


def talk(*said: bytes, is_server: bool = False, **more) -> Run:
    host = Host()
    socket = host.accept(port=1883, **more) if is_server else host.connect(**more)
    for each in said:
        (socket.answers if each[:1] == b"<" else socket.asks)(each.removeprefix(b"<"))
    run = play(socket.close().host)
    for span in run.spans:
        assert "hunter2" not in repr(span)
    return run


def lines(*said: bytes, **more) -> list[str]:
    return [told(span) for span in talk(*said, **more).spans]


@pytest.mark.parametrize(("said", "expected"), CONVERSATIONS.values(), ids=CONVERSATIONS)
def test_conversations(said, expected):
    run = talk(*said)
    assert [told(span) for span in run.spans] == expected
    assert run.counts == ({"captured": len(expected), "spans": len(expected)} if expected else {})


def test_the_brokers_own_side():
    said = (connect(), b"<" + CONNACK, publish(b"a", qos=1), b"<" + PUBACK + publish(b"b"))
    assert lines(*said, is_server=True) == ["server publish a 7", "client deliver b 7"]


def test_an_acknowledged_message_lasts_until_then():
    host = Host()
    socket = host.connect().asks(connect()).answers(CONNACK).asks(publish(b"a", qos=1))
    (span,) = play(socket.host.wait(5_000_000) and socket.answers(PUBACK).close().host).spans
    assert span.end_unix_ns - span.start_unix_ns > 5_000_000


def test_attributes_and_context():
    (sent, received) = talk(
        connect(5),
        b"<" + CONNACK_5,
        publish(properties=CONTEXT + user(b"password", b"hunter2")),
        b"<" + publish(b"a/b", properties=CONTEXT),
    ).spans
    known = facts(sent)
    assert {key: value for key, value in known.items() if key.startswith(("messaging", "network.protocol"))} == {
        "messaging.system": "mqtt",
        "messaging.operation.name": "publish",
        "messaging.operation.type": "send",
        "messaging.destination.template": "sensors/{id}/t",
        "messaging.message.body.size": 7,
        "messaging.client.id": "shop-1",
        "network.protocol.name": "mqtt",
        "network.protocol.version": "5",
    }  # fmt: skip
    assert known[semconv.PARENT_RULE] == "traceparent"
    assert received.kind is SpanKind.CONSUMER
    assert received.trace_id.hex() == TRACEPARENT[3:35].decode()
    assert received.parent_id == bytes.fromhex("b7ad6b7169203331")


def test_work_for_a_message_before_its_acknowledgement_is_its_child():
    host = Host()
    bus = host.connect(port=40001).asks(connect()).answers(CONNACK).answers(publish(b"a", qos=1))
    cache = host.connect(port=40002, server=("10.0.0.3", 6379))
    cache.sent(b"*1\r\n$4\r\nPING\r\n").received(b"+PONG\r\n").close()
    bus.asks(PUBACK).close()
    spans = {span.name: span for span in play(host).spans}
    assert spans["PING"].parent_id == spans["process a"].span_id


def test_joined_in_the_middle_by_a_ping():
    host = Host()
    socket = host.join(port=1883).received(PINGREQ).sent(PINGRESP)
    socket.received(publish(b"a", qos=1)).sent(PUBACK).sent(publish(b"b")).close()
    assert [told(span) for span in play(host).spans] == ["server publish a", "client deliver b"]


def test_after_a_gap_packets_are_found_again():
    host = Host()
    socket = host.connect().asks(connect()).answers(CONNACK)
    socket.asks(publish(b"a")).asks(publish(b"b"), is_lost=True).asks(publish(b"c"))
    run = play(socket.close().host)
    assert [told(span) for span in run.spans] == ["producer publish a 7", "producer publish c 7"]
    assert run.counts == {"captured": 3, "spans": 2, "unparsed": {"gap": 1}}


def test_aliases_are_bounded():
    said = [publish(b"a%d" % n, properties=alias(n)) for n in range(1, MAX_ALIASES + 2)]
    run = talk(
        connect(5),
        b"<" + CONNACK_5,
        b"".join(said) + publish(b"", properties=alias(MAX_ALIASES + 1)),
        budgets=(1 << 20, 1 << 20),
    )
    assert run.spans[-1].name == "publish"
    assert facts(run.spans[-1])[semconv.MESSAGING_DESTINATION_TEMPORARY] is True


def test_who_receives_a_message_late_is_still_joined_with_who_sent_it():
    host = Host()
    broker = host.accept(process=10, thread=10, client=("10.0.0.9", 40001), port=1883)
    client = host.connect(process=20, thread=20, port=40001, server=("10.0.0.1", 1883))
    client.sent(connect())
    broker.received(connect()).sent(CONNACK)
    client.received(CONNACK)
    broker.sent(publish(b"a"))
    host.wait(300_000_000)
    broker.sent(PINGRESP)
    run = Run().take(host.records)
    run.pipeline.settle()
    assert [told(span) for span in run.spans] == ["client deliver a 7"]
    seen = len(host.records)
    client.received(publish(b"a") + PINGRESP)
    run.take(host.records[seen:]).finish()
    sent, received = run.spans
    assert (received.trace_id, received.parent_id) == (sent.trace_id, sent.span_id)
    assert facts(received)[semconv.PARENT_RULE] == "peer"
