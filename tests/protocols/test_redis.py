"""Redis: which reply answers which command, and what is told of both."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.protocols import Shortcut
from agent.protocols.redis import PIPELINE_CAPTURE, Redis
from agent.spans import semconv
from agent.spans.span import Resource, Span
from tests.protocols.test_redis_messages import array
from tests.scenario import Host, Run, facts, play
from tests.wire import Sample

GET = array(b"GET", b"user:1")
SET = array(b"SET", b"user:1", b"hunter2")
OK = b"+OK\r\n"
VALUE = b"$7\r\nhunter2\r\n"
NIL = b"$-1\r\n"

SAMPLES = [
    Sample(
        requests=(GET, SET, array(b"HGETALL", b"h"), array(b"MULTI"), array(b"ping")),
        responses=(VALUE, OK, b"%1\r\n+a\r\n+b\r\n", b"-ERR unknown command\r\n", b"+PONG\r\n"),
    ),
    Sample(
        requests=(array(b"INCR", b"n"), array(b"LRANGE", b"l", b"0", b"-1"), array(b"EXEC")),
        responses=(b":12\r\n", array(b"a", b"b"), b"*2\r\n+OK\r\n*1\r\n:1\r\n"),
    ),
]


def told(span: Span) -> str:
    """`client GET user:{id} -> hit`."""
    known = facts(span)
    looked = {"True": "hit", "False": "miss"}.get(str(known.get(semconv.CACHE_HIT)), "done")
    outcome = known.get(semconv.ERROR_TYPE, looked)
    assert known[semconv.DB_OPERATION_NAME] == span.name
    return f"{span.kind.name.lower()} {known[semconv.DB_QUERY_TEXT]} -> {outcome}"


def lines(host: Host) -> list[str]:
    run = play(host)
    return [told(span) for span in run.spans]


def talk(*turns: tuple[bytes, bytes], **more) -> Host:
    """Commands and replies, each pair after the other."""
    socket = Host().connect(server=("10.0.0.1", 6379), **more)
    for asked, answered in turns:
        socket.asks(asked)
        if answered:
            socket.answers(answered)
    return socket.close().host


def test_a_span():
    run = play(talk((GET, VALUE)))
    (span,) = run.spans
    assert span.name == "GET"
    known = facts(span)
    del known[semconv.TIME_TO_FIRST_BYTE]
    assert known == {
        "db.system.name": "redis",
        "db.operation.name": "GET",
        "db.query.text": "GET user:{id}",
        "zerospan.cache.hit": True,
        "server.address": "10.0.0.1",
        "server.port": 6379,
        "network.peer.address": "10.0.0.1",
        "network.peer.port": 6379,
        "zerospan.connection.id": "1",
        "zerospan.connection.requests": 1,
        "zerospan.connection.setup_time": 1e-06,
        "network.transport": "tcp",
        "network.type": "ipv4",
        "zerospan.parent.rule": "none",
    }


OUTCOMES = {
    (GET, VALUE): "GET user:{id} -> hit",
    (GET, NIL): "GET user:{id} -> miss",
    (GET, b"_\r\n"): "GET user:{id} -> miss",
    (GET, b"+QUEUED\r\n"): "GET user:{id} -> done",
    (GET, b"$2\r\nOK\r\n"): "GET user:{id} -> hit",
    (GET, b"-WRONGTYPE Operation\r\n"): "GET user:{id} -> WRONGTYPE",
    (GET, b"-MOVED 3999 127.0.0.1:6381\r\n"): "GET user:{id} -> MOVED",
    (array(b"HGETALL", b"h"), b"*0\r\n"): "HGETALL h -> miss",
    (array(b"HGETALL", b"h"), b"%1\r\n+a\r\n+b\r\n"): "HGETALL h -> hit",
    (SET, OK): "SET user:{id} ? -> done",
    (array(b"AUTH", b"joe", b"hunter2"), OK): "AUTH -> done",
    (array(b"CONFIG", b"SET", b"requirepass", b"hunter2"), OK): "CONFIG SET -> done",
    (array(b"HELLO", b"3", b"AUTH", b"joe", b"hunter2"), b"%1\r\n+proto\r\n:3\r\n"): "HELLO -> done",
    (array(b"EVAL", b"return 'hunter2'", b"1", b"k", b"hunter2"), NIL): "EVAL ? k ? -> done",
    (array(b"LRANGE", b"l", b"0", b"-1"), array(b"message", b"a", b"b")): "LRANGE l ? -> done",
    (array(b"LRANGE", b"l", b"0", b"-1"), b"*0\r\n"): "LRANGE l ? -> done",
    (array(b"hunter two", b"x"), b"-ERR unknown command\r\n"): "? -> ERR",
}  # fmt: skip


@pytest.mark.parametrize(("turn", "outcome"), OUTCOMES.items())
def test_outcomes(turn, outcome):
    first = (array(b"PING"), b"+PONG\r\n")
    assert lines(talk(first, turn)) == ["client PING -> done", f"client {outcome}"]
    assert lines(talk(first, turn, budgets=(5, 200)))[1].startswith("client ")


def test_both_ends():
    host = Host()
    client, server = (
        host.connect(server=("10.0.0.1", 6379)),
        host.accept(client=("10.0.0.9", 40000), port=6379),
    )
    client.sent(GET)
    server.received(GET)
    server.sent(NIL)
    client.received(NIL)
    run = play(host)
    assert sorted(map(told, run.spans)) == [
        "client GET user:{id} -> miss",
        "server GET user:{id} -> miss",
    ]
    assert len({span.trace_id for span in run.spans}) == 1


def test_a_pipeline_in_one_piece():
    commands = b"".join(array(b"SET", b"k%d" % n, b"v") for n in range(16))
    run = play(talk((commands, OK * 16), (commands, OK * 16)))
    assert len(run.spans) == run.ledger.captured == 32
    assert run.outside.budgets[0][2] == PIPELINE_CAPTURE


def test_a_pipeline_whose_answers_are_longer_than_what_is_captured():
    commands = GET * 16
    answers = b"".join(b"$%d\r\n%s\r\n" % (300, b"v" * 300) for _ in range(16))
    run = play(talk((commands, answers), (GET, NIL)))
    assert len(run.spans) + sum(run.ledger.unparsed.values()) == run.ledger.captured
    assert run.ledger.captured >= 16


def test_values_that_are_not_captured_are_walked_over():
    big = array(b"SET", b"k", b"v" * 100_000)
    answer = b"$200000\r\n" + b"v" * 200_000 + b"\r\n"
    run = play(talk((big, OK), (GET, answer), (GET, NIL)))
    assert [told(span) for span in run.spans] == [
        "client SET k ? -> done",
        "client GET user:{id} -> hit",
        "client GET user:{id} -> miss",
    ]


def test_transaction():
    turns = [
        (array(b"MULTI"), OK),
        (SET, b"+QUEUED\r\n"),
        (GET, b"+QUEUED\r\n"),
        (array(b"EXEC"), b"*2\r\n+OK\r\n$1\r\na\r\n"),
    ]
    assert lines(talk(*turns)) == [
        "client MULTI -> done",
        "client SET user:{id} ? -> done",
        "client GET user:{id} -> done",
        "client EXEC -> done",
    ]


def confirmation(mark: bytes, verb: bytes, channel: bytes, total: int) -> bytes:
    return mark + array(verb, channel, b"")[1:-6] + b":%d\r\n" % total


@pytest.mark.parametrize("mark", [b"*", b">"])
def test_subscriptions(mark):
    both = confirmation(mark, b"subscribe", b"a", 1) + confirmation(mark, b"subscribe", b"b", 2)
    message = mark + array(b"message", b"a", b"hunter2")[1:]
    gone = confirmation(mark, b"unsubscribe", b"b", 1) + confirmation(mark, b"unsubscribe", b"a", 0)
    first = [(array(b"PING"), b"+PONG\r\n")] if mark == b">" else []
    turns = [
        *first,
        (array(b"SUBSCRIBE", b"a", b"b"), both + message),
        (
            array(b"PSUBSCRIBE", b"news"),
            message + confirmation(mark, b"psubscribe", b"news", 3) + message,
        ),
        (array(b"PUNSUBSCRIBE"), confirmation(mark, b"punsubscribe", b"news", 2)),
        (array(b"PING"), array(b"pong", b"")),
        (array(b"UNSUBSCRIBE"), message + gone),
        (GET, NIL),
    ]
    assert lines(talk(*turns)) == ["client PING -> done"] * len(first) + [
        "client SUBSCRIBE a b -> done",
        "client PSUBSCRIBE news -> done",
        "client PUNSUBSCRIBE -> done",
        "client PING -> done",
        "client UNSUBSCRIBE -> done",
        "client GET user:{id} -> miss",
    ]


def test_pushes_between_replies_answer_nothing():
    push = b">2\r\n+invalidate\r\n*1\r\n+a\r\n"
    assert lines(talk((GET, push + VALUE), (GET, push + NIL))) == [
        "client GET user:{id} -> hit",
        "client GET user:{id} -> miss",
    ]


@pytest.mark.parametrize(
    ("command", "answer"),
    [
        (array(b"MONITOR"), OK + b'+1339518083.1 [0 127.0.0.1:60866] "keys" "*"\r\n'),
        (array(b"PSYNC", b"?", b"-1"), b"+FULLRESYNC 8 0\r\n$5\r\nREDIS"),
        (array(b"SYNC"), b"$5\r\nREDIS"),
        (array(b"CLIENT", b"REPLY", b"OFF"), b""),
        (array(b"client", b"reply", b"skip"), b""),
    ],
)
def test_after_some_commands_the_rest_is_not_followed(command, answer):
    run = play(talk((GET, NIL), (command, answer)))
    assert [span.name for span in run.spans] == ["GET", command.split(b"\r\n")[2].decode().upper()]
    assert run.outside.muted == [1]


def test_replies_to_client_reply_on():
    assert lines(talk((array(b"CLIENT", b"REPLY", b"ON"), OK), (GET, NIL)))[1:] == [
        "client GET user:{id} -> miss"
    ]


def test_empty_commands_are_read_over():
    assert lines(talk((GET, NIL), (b"*0\r\n" + GET, NIL), (b"\r\nPING\r\n", b"+PONG\r\n"))) == [
        "client GET user:{id} -> miss",
        "client GET user:{id} -> miss",
        "client PING -> done",
    ]


def test_failure():
    run = play(talk((GET, b"")))
    assert [told(span) for span in run.spans] == ["client GET user:{id} -> connection_closed"]


def test_unix_sockets_have_no_address():
    run = play(talk((GET, NIL), family=1))
    assert semconv.SERVER_ADDRESS not in facts(run.spans[0])


@contextmanager
def without_the_hot_path():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Redis, "shortcut", Shortcut)
        yield


def spans(run: Run) -> list[Span]:
    return [replace(span, resource=Resource(())) for span in run.spans]


turns = st.tuples(
    st.sampled_from(
        [GET, SET, GET + SET, array(b"MGET", b"a", b"b"), array(b"SET", b"k", b"v" * 3000)]
    ),
    st.sampled_from(
        [
            VALUE,
            NIL,
            OK,
            b":5\r\n",
            b"-ERR x\r\n",
            array(b"a", b"b"),
            b"$2000\r\n" + b"v" * 2000 + b"\r\n",
        ]
    ),
)


@given(st.lists(turns, max_size=5))
def test_hot_path_and_general_way_agree(exchanges):
    turns = [
        (GET, NIL),
        *((asked, answer * (1 + (asked == GET + SET))) for asked, answer in exchanges),
    ]
    quick = play(talk(*turns))
    with without_the_hot_path():
        slow = play(talk(*turns))
    run_spans, slow_spans = spans(quick), spans(slow)
    for one, other in zip(run_spans, slow_spans, strict=True):
        assert one == replace(other, resource=one.resource)
