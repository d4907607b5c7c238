"""AMQP 0-9-1: what is published, delivered and fetched, and what confirms, acknowledges or fails it."""

from __future__ import annotations

import pytest

from agent.protocols.amqp import MAX_CHANNELS, MAX_CONSUMERS, MAX_MANDATORY
from agent.spans import semconv
from agent.spans.span import Span, SpanKind
from tests.protocols.amqp_bytes import (
    CONFIRM,
    CONFIRMED,
    GET_EMPTY,
    HEARTBEAT,
    OPEN,
    OPEN_OK,
    PREFACE,
    START,
    START_OK,
    TRACEPARENT,
    ack,
    close,
    consume,
    consume_ok,
    content,
    deliver,
    frame,
    get,
    get_ok,
    method,
    nack,
    publish,
    reject,
    returned,
    table,
    text,
)
from tests.scenario import Host, Run, facts, play
from tests.wire import Sample

CONTEXT = table(traceparent=TRACEPARENT, password=b"hunter2")
SAMPLES = [
    Sample(
        requests=(PREFACE + START_OK + OPEN + publish(), CONFIRM + publish(headers=CONTEXT), ack(3, multiple=True), get()),
        responses=(deliver(), START + OPEN_OK + deliver(2, headers=CONTEXT), HEARTBEAT + ack(1), GET_EMPTY),
    ),
    Sample(
        requests=(publish(split=3), HEARTBEAT + reject(2), nack(1)),
        responses=(deliver(split=2), get_ok(), close(404)),
    ),
]  # fmt: skip
HELLO = (PREFACE, b"<" + START, START_OK, OPEN, b"<" + OPEN_OK)
ORDERS = "shop:orders.created"

CONVERSATIONS: dict[str, tuple[tuple[bytes, ...], list[str]]] = {
    "published": (
        (publish() + publish(b"", b"jobs") + publish(b"logs", b""), publish(b"", b"")),
        [f"producer publish {ORDERS} 7", "producer publish jobs 7", "producer publish logs 7", "producer publish amq.default 7"],
    ),
    "confirmed": (
        (CONFIRM, b"<" + CONFIRMED, publish() + publish(b"b", b"k") + publish(b"c", b"k") + publish(b"d", b"k"),
         b"<" + ack(2, multiple=True) + nack(4) + ack(3)),
        [f"producer publish {ORDERS} 7", "producer publish b:k 7", "producer publish d:k 7 -> nack", "producer publish c:k 7"],
    ),
    "channels alternate": (
        (method(60, 40, b"\0\0" + text(b"a") + text(b"k") + b"\0") + publish(b"b", b"k", channel=2) + content(),),
        ["producer publish b:k 7", "producer publish a:k 7"],
    ),
    "delivered": (
        (consume(), b"<" + consume_ok() + deliver(1) + deliver(2) + deliver(3), ack(1) + nack(2), reject(3)),
        [f"consumer process {ORDERS}:jobs 7", f"consumer process {ORDERS}:jobs 7 -> nack", f"consumer process {ORDERS}:jobs 7 -> reject"],
    ),
    "delivered, acknowledged together": (
        (consume(), b"<" + consume_ok() + deliver(1) + deliver(2), method(60, 80, bytes(8) + b"\1")),
        [f"consumer process {ORDERS}:jobs 7"] * 2,
    ),
    "delivered without acknowledgement": (
        (consume(no_ack=True), b"<" + consume_ok() + deliver(1), method(60, 30, text(b"c1") + b"\0"), b"<" + method(60, 31, text(b"c1"))),
        [f"consumer process {ORDERS}:jobs 7"],
    ),
    "a consumer that the server names": (
        (consume(b"amq.gen-JzTY20BRgKO-HjmUJj0wLg", b""), b"<" + consume_ok(b"ctag") + deliver(1, consumer=b"ctag"), ack(1)),
        ["consumer process shop:orders.created:amq.gen-{id} 7"],
    ),
    "never acknowledged": (
        (consume(), b"<" + consume_ok() + deliver(1)),
        [f"consumer process {ORDERS}:jobs 7"],
    ),
    "never confirmed": (
        (CONFIRM, b"<" + CONFIRMED, publish()),
        [f"producer publish {ORDERS} 7 -> connection_closed"],
    ),
    "fetched": (
        (get(), b"<" + get_ok(), get() + get(), b"<" + GET_EMPTY + get_ok(2)),
        ["client receive jobs 7 of 1", "client receive jobs of 0", "client receive jobs 7 of 1"],
    ),
    "returned": (
        (CONFIRM, b"<" + CONFIRMED, publish(b"shop", b"nowhere", is_mandatory=True), b"<" + returned() + ack(1)),
        ["producer publish shop:nowhere 7 -> 312"],
    ),
    "no such exchange": (
        (publish(b"gone", b"k") + publish(b"other", b"k", channel=2), b"<" + close(404), method(20, 41)),
        ["producer publish gone:k 7 -> 404", "producer publish other:k 7"],
    ),
    "no such exchange, confirmed": (
        (CONFIRM, b"<" + CONFIRMED, publish(b"gone", b"k") + publish(b"b", b"k"), b"<" + close(404), method(20, 41)),
        ["producer publish gone:k 7 -> 404", "producer publish b:k 7 -> 404"],
    ),
    "a channel that fails for something else": (
        (publish(), b"<" + close(406, (60, 80)), method(20, 41)),
        [f"producer publish {ORDERS} 7"],
    ),
    "the broker goes": (
        (CONFIRM, b"<" + CONFIRMED, publish(), b"<" + close(320, (0, 0), channel=0)),
        [f"producer publish {ORDERS} 7 -> 320"],
    ),
    "closed in peace": (
        (publish(), method(20, 40, b"\0\xc8\0\0\0\0\0"), b"<" + method(20, 41), close(200, (0, 0), channel=0)),
        [f"producer publish {ORDERS} 7"],
    ),
}  # fmt: skip
WHOLE = {what: (*HELLO, *said) for what, (said, _) in CONVERSATIONS.items()}


def told(span: Span) -> str:
    """`producer publish shop:orders.created 7 -> 404`."""
    known = facts(span)
    words = [span.kind.name.lower(), span.name, known.get(semconv.MESSAGING_MESSAGE_BODY_SIZE)]
    count = known.get(semconv.MESSAGING_BATCH_MESSAGE_COUNT)
    error = known.get(semconv.ERROR_TYPE)
    return (
        " ".join(str(word) for word in words if word is not None)
        + (f" of {count}" if count is not None else "")
        + (f" -> {error}" if error else "")
    )


def talk(*said: bytes, is_server: bool = False, **more) -> Run:
    host = Host()
    socket = host.accept(port=5672, **more) if is_server else host.connect(**more)
    for each in (*HELLO, *said):
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
    assert run.counts == {"captured": len(expected), "spans": len(expected)}


def test_the_brokers_own_side():
    said = (publish(), consume(), b"<" + consume_ok() + deliver(1), get(), b"<" + GET_EMPTY)
    assert lines(*said, is_server=True) == [
        f"server publish {ORDERS} 7",
        "server receive jobs of 0",
        f"client deliver {ORDERS}:jobs 7 -> connection_closed",
    ]


def test_attributes_and_context():
    sent, received = talk(
        publish(b"shop", b"orders.4711", headers=CONTEXT),
        consume(),
        b"<" + consume_ok() + deliver(headers=CONTEXT),
        ack(),
    ).spans
    known = facts(sent)
    assert {key: value for key, value in known.items() if key.startswith(("messaging", "network.protocol"))} == {
        "messaging.system": "rabbitmq",
        "messaging.operation.name": "publish",
        "messaging.operation.type": "send",
        "messaging.destination.template": "shop:orders.{id}",
        "messaging.rabbitmq.destination.routing_key": "orders.{id}",
        "messaging.message.body.size": 7,
        "network.protocol.name": "amqp",
        "network.protocol.version": "0-9-1",
    }  # fmt: skip
    assert facts(received)[semconv.MESSAGING_DESTINATION_NAME] == f"{ORDERS}:jobs"
    assert received.kind is SpanKind.CONSUMER
    assert received.trace_id.hex() == TRACEPARENT[3:35].decode()
    assert received.parent_id == bytes.fromhex("b7ad6b7169203331")


def test_a_message_lasts_from_its_first_frame_to_its_acknowledgement():
    host = Host()
    socket = host.connect()
    for each in (*HELLO, consume(), b"<" + consume_ok()):
        (socket.answers if each[:1] == b"<" else socket.asks)(each.removeprefix(b"<"))
    data = deliver(split=3)
    socket.answers(data[:60])
    host.wait(3_000_000)
    socket.answers(data[60:])
    host.wait(5_000_000)
    (span,) = play(socket.asks(ack()).close().host).spans
    assert span.end_unix_ns - span.start_unix_ns > 8_000_000


def test_joined_in_the_middle():
    host = Host()
    socket = host.join(port=5672).sent(HEARTBEAT).received(publish(b"a", b"k")).sent(deliver(9))
    assert [told(span) for span in play(socket.received(ack(9)).close().host).spans] == [
        "server publish a:k 7",
        f"client deliver {ORDERS} 7",
    ]


def test_after_a_gap_frames_are_found_again_and_confirmations_are_not_guessed():
    host = Host()
    socket = host.connect()
    for each in (*HELLO, CONFIRM, b"<" + CONFIRMED):
        (socket.answers if each[:1] == b"<" else socket.asks)(each.removeprefix(b"<"))
    socket.asks(publish(b"a", b"k")).asks(publish(b"b", b"k"), is_lost=True)
    socket.asks(publish(b"c", b"k")).answers(ack(3, multiple=True))
    run = play(socket.close().host)
    assert [told(span) for span in run.spans] == ["producer publish c:k 7", "producer publish a:k 7"]  # fmt: skip
    assert run.counts == {"captured": 3, "spans": 2, "unparsed": {"gap": 1}}


def test_a_body_that_is_not_captured_is_walked_over():
    host = Host()
    socket = host.connect()
    for each in (*HELLO, publish(body=b"x" * 100_000), b"<" + HEARTBEAT, publish()):
        (socket.answers if each[:1] == b"<" else socket.asks)(each.removeprefix(b"<"))
    assert [told(span) for span in play(socket.close().host).spans] == [
        f"producer publish {ORDERS} 100000",
        f"producer publish {ORDERS} 7",
    ]


@pytest.mark.parametrize(
    "data",
    [content(b"x")[:-9] + frame(3, 1, b"xx"), publish()[:-9] + frame(3, 1, b"x" * 99), b"\7" * 9],
)  # fmt: skip
def test_garbage_is_given_up(data):
    said = method(60, 40, b"\0\0\0\0\0") + data
    run = talk(*[said] * 4)
    assert set(run.ledger.unparsed) == {"garbage"}
    assert run.ledger.connections["muted_not_understood"] == 1


def test_what_is_remembered_is_bounded():
    run = talk(
        b"".join(consume(consumer=b"c%d" % n) for n in range(MAX_CONSUMERS + 1)),
        consume(consumer=b""),
        b"".join(publish(b"a", b"k", is_mandatory=True) for n in range(2 * MAX_MANDATORY)),
        b"".join(publish(b"a", b"k", channel=n + 2) for n in range(MAX_CHANNELS)),
        b"<" + deliver(1, consumer=b"c%d" % MAX_CONSUMERS),
        budgets=(1 << 20, 1 << 20),
    )
    assert run.spans[-1].name == f"process {ORDERS}"
    assert len(run.spans) <= 2 * MAX_MANDATORY + MAX_CHANNELS + 1
