"""NATS: what is sent and comes in, requests and replies, JetStream's acknowledgements, errors."""

from __future__ import annotations

import pytest

from agent.protocols import Verdict
from agent.protocols.nats import MAX_SENT, Nats
from agent.spans import semconv
from agent.spans.span import Span, SpanKind
from tests.scenario import Host, Run, facts, play
from tests.wire import Sample

TRACE = "0af7651916cd43dd8448eb211c80319c"
CONTEXT = b"traceparent: 00-" + TRACE.encode() + b"-b7ad6b7169203331-01\r\n"
INFO = b'INFO {"server_id":"NAB","version":"2.9.10","headers":true,"max_payload":1048576} \r\n'
CONNECT = b'CONNECT {"echo": true, "user": "app", "pass": "hunter2", "verbose": false}\r\nPING\r\n'
PONG = b"PONG\r\n"


def pub(subject: str, body: bytes = b"hunter2", reply: str = "") -> bytes:
    words = " ".join(filter(None, (subject, reply)))
    return f"PUB {words} {len(body)}\r\n".encode() + body + b"\r\n"


def msg(subject: str, body: bytes = b"hunter2", sid: int = 1, reply: str = "") -> bytes:
    words = " ".join(filter(None, (subject, str(sid), reply)))
    return f"MSG {words} {len(body)}\r\n".encode() + body + b"\r\n"


def headed(verb: str, words: str, headers: bytes, body: bytes = b"hunter2") -> bytes:
    head = b"NATS/1.0" + headers + b"\r\n\r\n"
    sizes = f"{len(head)} {len(head) + len(body)}"
    return f"{verb} {words} {sizes}\r\n".encode() + head + body + b"\r\n"


SAMPLES = [
    Sample(
        requests=(CONNECT + pub("orders.created"), b"PING\r\n" + pub("orders.42.paid", b""), pub("rpc", reply="in.1")),
        responses=(msg("orders.created"), PONG + msg("orders.42.paid", b"", 12, "in.2"), msg("a.b")),
    ),
    Sample(
        requests=(headed("HPUB", "orders.created", b"\r\n" + CONTEXT + b"x: y"), b"SUB orders.> 1\r\n" + pub("a")),
        responses=(headed("HMSG", "orders.created 1", b"\r\n" + CONTEXT + b"x: y"), headed("HMSG", "a 1 in.3", b"\r\nq: w")),
    ),
]  # fmt: skip


def told(span: Span) -> str:
    """`producer publish orders.{id}.paid 7 -> 503`."""
    known = facts(span)
    words = [
        span.kind.name.lower(),
        span.name,
        known.get(semconv.MESSAGING_MESSAGE_BODY_SIZE),
        known.get(semconv.MESSAGING_CONSUMER_GROUP_NAME),
    ]
    error = known.get(semconv.ERROR_TYPE)
    return " ".join(str(word) for word in words if word is not None) + (
        f" -> {error}" if error else ""
    )


def talk(*said: bytes, is_server: bool = False, **more) -> Run:
    """A conversation after the connection's beginning; what begins with `<` is the server's."""
    host = Host()
    socket = host.accept(port=4222, **more) if is_server else host.connect(**more)
    socket.answers(INFO).asks(CONNECT).answers(PONG)
    for each in said:
        (socket.answers if each[:1] == b"<" else socket.asks)(each.removeprefix(b"<"))
    socket.close()
    run = play(host)
    for span in run.spans:
        assert "hunter2" not in repr(span)
    return run


def lines(*said: bytes, **more) -> list[str]:
    return [told(span) for span in talk(*said, **more).spans]


SUB = b"SUB _INBOX.abc.*  3\r\n"
CONVERSATIONS: dict[str, tuple[tuple[bytes, ...], list[str]]] = {
    "published": (
        (pub("orders.created") + pub("orders.42.paid"), pub("a.b", b"")),
        ["producer publish orders.created 7", "producer publish orders.{id}.paid 7", "producer publish a.b 0"],
    ),
    "delivered": (
        (b"SUB orders.> workers 7\r\n", b"<" + msg("orders.created", sid=7) + msg("orders.paid", sid=8)),
        ["consumer process orders.created 7 workers", "consumer process orders.paid 7"],
    ),
    "request and reply": (
        (SUB + pub("rpc.add", reply="_INBOX.abc.1"), b"<" + msg("_INBOX.abc.1", b"ok", 3)),
        ["producer request rpc.add 7"],
    ),
    "replies in another order": (
        (SUB + pub("rpc.a", reply="_INBOX.abc.1") + pub("rpc.b", reply="_INBOX.abc.2"),
         b"<" + msg("_INBOX.abc.2", b"ok", 3) + msg("_INBOX.abc.1", b"ok", 3)),
        ["producer request rpc.b 7", "producer request rpc.a 7"],
    ),
    "a second reply is a message of its own": (
        (SUB + pub("rpc", reply="_INBOX.abc.1"), b"<" + msg("_INBOX.abc.1", b"", 3) * 2),
        ["producer request rpc 7", "consumer process _INBOX.abc.{id} 0"],
    ),
    "a reply to somebody else": (
        (pub("rpc.add", reply="elsewhere"),),
        ["producer publish rpc.add 7"],
    ),
    "no responders": (
        (SUB + pub("rpc.gone", reply="_INBOX.abc.1"), b"<" + headed("HMSG", "_INBOX.abc.1 3", b" 503", b"")),
        ["producer request rpc.gone 7 -> 503"],
    ),
    "never answered": (
        (SUB + pub("rpc.slow", reply="_INBOX.abc.1"),),
        ["producer request rpc.slow 7 -> connection_closed"],
    ),
    "served": (
        (b"SUB rpc.echo q 1\r\n", b"<" + msg("rpc.echo", reply="_INBOX.x.1"), pub("_INBOX.x.1")),
        ["consumer process rpc.echo 7 q"],
    ),
    "delivered with a reply that is never made": (
        (b"SUB rpc.echo 1\r\n", b"<" + msg("rpc.echo", reply="_INBOX.x.1")),
        ["consumer process rpc.echo 7"],
    ),
    "jetstream, pulled": (
        (SUB + pub("$JS.API.CONSUMER.MSG.NEXT.S.dur", b"1", "_INBOX.abc.1"),
         b"<" + msg("jobs.a", sid=3, reply="$JS.ACK.S.dur.1.1.1.17.1") + msg("jobs.a", sid=3, reply="$JS.ACK.S.dur.1.2.2.17.0"),
         pub("$JS.ACK.S.dur.1.2.2.17.0", b"+WPI") + pub("$JS.ACK.S.dur.1.1.1.17.1", b""),
         pub("$JS.ACK.S.dur.1.2.2.17.0", b"-NAK"),
         b"<" + headed("HMSG", "_INBOX.abc.1 3", b" 404 No Messages", b"")),
        ["consumer process jobs.a 7", "consumer process jobs.a 7 -> nak"],
    ),
    "permissions, named": (
        (pub("secret.a") + pub("b"), b"<-ERR 'Permissions Violation for Publish to \"secret.a\"'\r\n"),
        ["producer publish secret.a 7 -> permissions_violation", "producer publish b 7"],
    ),
    "too large": (
        (pub("a") + pub("b"), b"<-ERR 'Maximum Payload Violation'\r\n"),
        ["producer publish a 7", "producer publish b 7 -> maximum_payload_violation"],
    ),
    "an error that is about no message": (
        (pub("a"), b"<-ERR 'Slow Consumer'\r\n-ERR 'hunter2'\r\n"),
        ["producer publish a 7"],
    ),
}  # fmt: skip


WHOLE = {
    what: (b"<" + INFO, CONNECT, b"<" + PONG, *said) for what, (said, _) in CONVERSATIONS.items()
}
"""From their beginnings on."""


@pytest.mark.parametrize(("said", "expected"), CONVERSATIONS.values(), ids=CONVERSATIONS)
def test_conversations(said, expected):
    run = talk(*said)
    assert [told(span) for span in run.spans] == expected
    assert run.counts == {"captured": len(expected), "spans": len(expected)}


@pytest.mark.parametrize(("said", "expected"), CONVERSATIONS.values(), ids=CONVERSATIONS)
def test_conversations_byte_by_byte(said, expected):
    pieces = []
    for each in said:
        mark, data = (b"<", each[1:]) if each[:1] == b"<" else (b"", each)
        pieces += [mark + data[at : at + 1] for at in range(len(data))]
    assert lines(*pieces) == expected


def test_verbose_messages_end_with_their_ok():
    host = Host()
    socket = host.connect().answers(INFO)
    socket.asks(b'CONNECT {"verbose":true}\r\n' + pub("a") + b"SUB x 1\r\n" + pub("b") + pub("c"))
    host.wait(1_000_000)
    socket.answers(b"+OK\r\n+OK\r\n+OK\r\n-ERR 'Permissions Violation for Publish to \"b\"'\r\n")
    host.wait(1_000_000)
    run = play(socket.answers(b"+OK\r\n").close().host)
    assert [told(span) for span in run.spans] == [
        "producer publish a 7",
        "producer publish b 7 -> permissions_violation",
        "producer publish c 7",
    ]
    assert [span.end_unix_ns - span.start_unix_ns > 1_000_000 for span in run.spans] == [True] * 3


def test_the_brokers_own_side_has_other_kinds():
    said = (pub("orders.created"), b"<" + msg("orders.created"))
    assert lines(*said, is_server=True) == [
        "server publish orders.created 7",
        "client deliver orders.created 7",
    ]


def test_attributes():
    run = talk(headed("HPUB", "orders.created", b"\r\n" + CONTEXT + b"x: y"), b"<" + msg("amq.k9x"))
    sent, received = run.spans
    known = facts(sent)
    assert {key: value for key, value in known.items() if key.startswith(("messaging", "server"))} == {
        "messaging.system": "nats",
        "messaging.operation.name": "publish",
        "messaging.operation.type": "send",
        "messaging.destination.name": "orders.created",
        "messaging.message.body.size": 7,
        "server.address": "10.0.0.1",
        "server.port": 80,
    }  # fmt: skip
    assert (sent.trace_id.hex(), known[semconv.PARENT_RULE]) == (TRACE, "traceparent")
    known = facts(received)
    assert known[semconv.MESSAGING_OPERATION_TYPE] == "process"
    assert known[semconv.MESSAGING_DESTINATION_TEMPLATE] == "amq.{id}"
    assert semconv.MESSAGING_DESTINATION_NAME not in known
    assert known["server.port"] == 80


def test_a_consumer_is_the_child_of_the_producer_that_the_message_names():
    (span,) = talk(b"<" + headed("HMSG", "orders 1", b"\r\n" + CONTEXT + b"x: y")).spans
    assert span.kind is SpanKind.CONSUMER
    assert (span.trace_id.hex(), span.is_parent_remote) == (TRACE, True)
    assert span.parent_id == bytes.fromhex("b7ad6b7169203331")


def test_work_for_a_delivery_that_is_answered_is_its_child():
    host = Host()
    bus = host.connect(port=40001, server=("10.0.0.2", 4222)).answers(INFO).asks(CONNECT)
    bus.answers(PONG).asks(b"SUB rpc 1\r\n").answers(msg("rpc", reply="_INBOX.x.1"))
    cache = host.connect(port=40002, server=("10.0.0.3", 6379))
    cache.sent(b"*1\r\n$4\r\nPING\r\n").received(b"+PONG\r\n").close()
    bus.asks(pub("_INBOX.x.1")).close()
    spans = {span.name: span for span in play(host).spans}
    assert spans["PING"].parent_id == spans["process rpc"].span_id


def test_both_ends_and_the_broker_are_joined():
    """The producer's span is the parent of the broker's, and what the broker hands on that of the consumer's."""
    host = Host()
    producer = host.connect(process=20, thread=20, port=40001)
    inlet = host.accept(process=10, thread=10, client=("10.0.0.9", 40001))
    consumer = host.connect(process=30, thread=30, port=40002)
    outlet = host.accept(process=10, thread=11, client=("10.0.0.9", 40002))
    for client, server in ((producer, inlet), (consumer, outlet)):
        server.sent(INFO)
        client.received(INFO).sent(CONNECT)
        server.received(CONNECT).sent(PONG)
        client.received(PONG)
    producer.sent(pub("a"))
    inlet.received(pub("a"))
    outlet.sent(msg("a"), thread=10)
    consumer.received(msg("a"))
    run = play(host)
    assert sorted(told(span) for span in run.spans) == [
        "client deliver a 7",
        "consumer process a 7",
        "producer publish a 7",
        "server publish a 7",
    ]
    by_kind = {span.kind: span for span in run.spans}
    assert by_kind[SpanKind.SERVER].parent_id == by_kind[SpanKind.PRODUCER].span_id
    assert by_kind[SpanKind.CONSUMER].parent_id == by_kind[SpanKind.CLIENT].span_id


def test_joined_in_the_middle():
    host = Host()
    socket = host.join(peer=("10.0.0.9", 40000), port=4222)
    socket.received(b"ter2\r\n" + pub("half")).sent(PONG)
    socket.received(pub("orders.created")).sent(msg("orders.created")).close()
    assert [told(span) for span in play(host).spans] == [
        "server publish orders.created 7",
        "client deliver orders.created 7",
    ]


def test_after_a_gap_messages_are_found_again():
    host = Host()
    socket = host.connect().answers(INFO).asks(CONNECT).answers(PONG)
    socket.asks(pub("a")).asks(pub("b"), is_lost=True).asks(b"ter2\r\n" + pub("c") + pub("d"))
    run = play(socket.close().host)
    assert [told(span) for span in run.spans] == [
        "producer publish a 7",
        "producer publish c 7",
        "producer publish d 7",
    ]
    assert run.counts == {"captured": 4, "spans": 3, "unparsed": {"gap": 1}}


def test_a_payload_that_is_not_captured_is_walked_over():
    host = Host()
    socket = host.connect().answers(INFO).asks(CONNECT).answers(PONG)
    body = b"x" * 100_000
    socket.asks(pub("big", body)).answers(PONG).asks(pub("a"))
    run = play(socket.close().host)
    assert [told(span) for span in run.spans] == ["producer publish big 100000", "producer publish a 7"]  # fmt: skip
    assert {size for _, _, size in run.outside.budgets} == {0xFFFFFFFF}


def test_tls_is_muted():
    host = Host()
    socket = host.connect().answers(INFO.replace(b"} ", b',"tls_required":true} '))
    run = play(socket.asks(b"\x16\x03\x01\x02\x00").close().host)
    assert run.ledger.connections["muted_tls"] == 1
    host = Host()
    run = play(host.connect().answers(INFO).asks(b"\x16\x03\x01\x02\x00").close().host)
    assert run.ledger.connections["muted_tls"] == 1


def test_garbage_is_given_up():
    run = talk(pub("a"), *[b"HELO\r\n" + pub("b")] * 3)
    assert run.ledger.connections["muted_not_understood"] == 1
    assert run.counts["unparsed"] == {"garbage": 3}
    assert [told(span) for span in run.spans] == ["producer publish a 7"] + [
        "producer publish b 7"
    ] * 3


def test_what_is_remembered_is_bounded():
    protocol = Nats()
    run = talk(
        *(pub(f"rpc.a{n}x", reply="_INBOX.abc.1") for n in range(2 * MAX_SENT)),
        b"<" + b"".join(msg("rpc", reply=f"r.{n}") for n in range(1500)),
        budgets=(1 << 20, 1 << 20),
    )
    assert protocol.pairing.answering() is None
    assert run.ledger.limits["answers_not_awaited"] == 1500 - 1024
    assert len(run.spans) == 2 * MAX_SENT + 1500


@pytest.mark.parametrize(
    "head",
    [b"PUB quiz tonight\r\n", b"PING\r\n" * 11, b"+OK\r\n", b"CONNECT example.com:443 HTTP/1.1\r\n", b"INFO\r\n",
     b"SUB\r\n", b"pub a 1\r\n", b"MSG a b c d e f 1\r\n", b"INFO server\r\n", b"-ERR unknown command\r\n"],
)  # fmt: skip
def test_others_are_refused(head):
    assert Nats.classify(head) is Verdict.NO
