"""Redis: which reply answers which command, and what is told of both."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.protocols import Shortcut
from agent.protocols.redis import LONG_CAPTURE, Redis
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


def batches(run: Run) -> list[str]:
    """`PIPELINE GET x16 GET user:{id} -> done`."""
    lines = []
    for span in run.spans:
        known = facts(span)
        size = known.get(semconv.DB_OPERATION_BATCH_SIZE, "")
        failures = known.get(semconv.DB_BATCH_FAILURES, 0)
        outcome = known.get(semconv.ERROR_TYPE, "done")
        assert known[semconv.DB_OPERATION_NAME] == span.name
        assert known.get(semconv.DB_RESPONSE_STATUS_CODE) == (outcome if failures else None)
        lines.append(
            f"{span.name}{size and f' x{size}'}: {known[semconv.DB_QUERY_TEXT]} -> {outcome}"
            + (f" ({failures})" if failures else "")
        )
    return lines


SETS = b"".join(array(b"SET", b"k:%d" % n, b"v") for n in range(16))


def test_a_pipeline_is_one_span():
    run = play(talk(*[(SETS, OK * 16)] * 4, (GET, NIL)))
    assert batches(run) == ["PIPELINE SET x16: SET k:{id} ? -> done"] * 4 + [
        "GET: GET user:{id} -> done"
    ]
    assert run.counts == {"captured": 5, "spans": 5}
    assert facts(run.spans[0])[semconv.CONNECTION_REQUESTS] == 1


def test_errors_in_a_pipeline():
    wrong, unknown = b"-WRONGTYPE Operation\r\n", b"-ERR unknown command\r\n"
    run = play(talk((GET * 3 + SET, NIL + wrong + unknown + OK), (GET * 2, unknown * 2)))
    assert batches(run) == [
        "PIPELINE x4: GET user:{id}; SET user:{id} ? -> WRONGTYPE (2)",
        "PIPELINE GET x2: GET user:{id} -> ERR (2)",
    ]


def test_a_transaction_in_a_pipeline():
    multi, execute = array(b"MULTI"), array(b"EXEC")
    queued = b"+QUEUED\r\n"
    run = play(
        talk(
            (multi + SET + SET + execute, OK + queued * 2 + b"*2\r\n+OK\r\n+OK\r\n"),
            (multi + SET + GET + execute, OK + queued * 2 + b"*2\r\n+OK\r\n$-1\r\n"),
        )
    )
    assert batches(run) == [
        "MULTI SET x4: MULTI; SET user:{id} ?; EXEC -> done",
        "MULTI x4: MULTI; SET user:{id} ?; GET user:{id}; EXEC -> done",
    ]


def test_commands_that_change_what_comes_next_are_in_no_batch():
    hello = array(b"HELLO", b"2", b"AUTH", b"joe", b"hunter2")
    answer = array(b"server", b"redis")
    run = play(talk((hello + GET * 2 + hello + GET, answer + NIL * 2 + answer + NIL)))
    assert batches(run) == [
        "HELLO: HELLO -> done",
        "PIPELINE GET x2: GET user:{id} -> done",
        "HELLO: HELLO -> done",
        "GET: GET user:{id} -> done",
    ]
    assert "hunter2" not in repr(run.spans)


def test_a_command_in_two_pieces_is_of_the_later_batch():
    socket = Host().connect(server=("10.0.0.1", 6379)).asks(GET).answers(NIL)
    socket.asks(SETS + GET[:5]).answers(OK * 16)
    socket.asks(GET[5:] + GET).answers(NIL).answers(VALUE).close()
    assert batches(play(socket.host))[1:] == [
        "PIPELINE SET x16: SET k:{id} ? -> done",
        "PIPELINE GET x2: GET user:{id} -> done",
    ]


def test_commands_that_were_not_sent_together_are_not_one():
    socket = Host().connect(server=("10.0.0.1", 6379)).asks(GET).asks(GET)
    run = play(socket.answers(NIL + NIL).close().host)
    assert batches(run) == ["GET: GET user:{id} -> done"] * 2


def test_a_pipeline_lasts_from_its_first_byte_to_the_last_of_its_answers():
    socket = Host(step_ns=1000).connect(server=("10.0.0.1", 6379)).asks(SETS, took_ns=5000)
    socket.answers(OK * 10).answers(OK * 6).close()
    (span,) = play(socket.host).spans
    assert span.end_unix_ns - span.start_unix_ns == 7000
    assert facts(span)[semconv.TIME_TO_FIRST_BYTE] == 6e-06


def test_a_pipeline_of_which_the_connection_closes():
    run = play(talk((SETS, OK * 10)))
    assert batches(run) == ["PIPELINE SET x16: SET k:{id} ? -> connection_closed"]


def test_a_pipeline_whose_answers_are_longer_than_what_is_captured():
    answers = b"".join(b"$%d\r\n%s\r\n" % (300, b"v" * 300) for _ in range(16))
    run = play(talk((GET * 16, answers), (GET, NIL)))
    assert batches(run) == [
        "PIPELINE GET x16: GET user:{id} -> done",
        "GET: GET user:{id} -> done",
    ]
    assert run.outside.budgets[-1][2] == LONG_CAPTURE


@pytest.mark.parametrize("captured", range(1024, 1024 + len(GET)))
def test_of_a_pipeline_that_is_not_captured_whole_the_answers_tell_the_size(captured):
    run = play(talk((GET, NIL), (GET * 200, NIL * 200), (GET, NIL), budgets=(4096, captured)))
    assert batches(run) == [
        "GET: GET user:{id} -> done",
        "PIPELINE x200: GET user:{id} -> done",
        "GET: GET user:{id} -> done",
    ]
    assert run.ledger.limits == {}


def test_a_size_that_nothing_tells_is_counted():
    run = play(talk((GET * 2000, NIL * 2000), (GET, NIL)))
    assert batches(run)[:1] == ["PIPELINE: GET user:{id} -> done"]
    assert run.ledger.limits == {"batch_size_unknown": 1}
    assert run.counts == {"captured": 2, "spans": 2}


def test_one_long_command_is_no_pipeline():
    words = [b"%s%d" % (b"k" * 200, n) for n in range(40)]
    run = play(talk((array(b"MSET", *words), OK), (GET, NIL)))
    assert [span.name for span in run.spans] == ["MSET", "GET"]


def test_a_pipeline_that_was_lost_is_one_loss_and_the_next_one_is_read():
    socket = Host().connect(server=("10.0.0.1", 6379))
    socket.asks(SETS).answers(OK * 16).asks(SETS, is_lost=True).answers(OK * 16)
    for _ in range(3):
        socket.asks(SETS).answers(OK * 16)
    run = play(socket.close().host)
    assert batches(run) == ["PIPELINE SET x16: SET k:{id} ? -> done"] * 4
    assert run.counts == {"captured": 5, "spans": 4, "lost": {"ring_full": 1}}


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
        [GET, SET, GET + SET, array(b"MGET", b"a", b"b"), array(b"SET", b"k", b"v" * 3000), GET * 2]
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
        *((asked, answer * (1 + (asked in (GET + SET, GET * 2)))) for asked, answer in exchanges),
    ]
    quick = play(talk(*turns))
    with without_the_hot_path():
        slow = play(talk(*turns))
    run_spans, slow_spans = spans(quick), spans(slow)
    for one, other in zip(run_spans, slow_spans, strict=True):
        assert one == replace(other, resource=one.resource)
