"""Memcached's text and meta commands, from doc/protocol.txt."""

from __future__ import annotations

import pytest

from agent.protocols import Verdict
from agent.protocols.memcached import MAX_CAPTURE, Memcached
from agent.spans import semconv
from agent.spans.span import Span
from tests.scenario import Host, facts, play
from tests.wire import Sample

GET, VALUE, END = b"get user:1\r\n", b"VALUE user:1 0 7\r\nhunter2\r\n", b"END\r\n"
SET, STORED = b"set user:1 0 60 7\r\nhunter2\r\n", b"STORED\r\n"

SAMPLES = [
    Sample(
        requests=(GET, SET, b"gets a b c\r\n", b"incr n 5\r\n", b"delete user:1\r\n", b"stats\r\n"),
        responses=(
            VALUE + END,
            STORED,
            b"VALUE a 0 2 77\r\n\r\n\r\nVALUE b 0 0 78\r\n\r\nEND\r\n",
            b"6\r\n",
            b"NOT_FOUND\r\n",
            b"STAT pid 1\r\nSTAT version 1.6\r\nEND\r\n",
        ),
    ),
    Sample(
        requests=(b"mg user:1 t v\r\n", b"ms user:1 7 T60\r\nhunter2\r\n", b"mg x\r\n", b"mn\r\n"),
        responses=(b"VA 7 t60\r\nhunter2\r\n", b"HD\r\n", b"EN\r\n", b"MN\r\n"),
    ),
    Sample(
        requests=(b"cas k 0 0 1 99\r\nx\r\n", b"gat 60 k\r\n", b"touch k 60\r\n"),
        responses=(b"EXISTS\r\n", END, b"TOUCHED\r\n"),
    ),
]


def told(span: Span) -> str:
    """`client get user:{id} -> VALUE hit 1`."""
    known = facts(span)
    outcome = [
        known.get(semconv.ERROR_TYPE) or known.get(semconv.DB_RESPONSE_STATUS_CODE),
        {"True": "hit", "False": "miss"}.get(str(known.get(semconv.CACHE_HIT))),
        known.get(semconv.DB_RESPONSE_RETURNED_ROWS),
    ]
    words = " ".join(str(item) for item in outcome if item is not None)
    return f"{span.name}: {known[semconv.DB_QUERY_TEXT]} -> {words}"


def talk(*turns: tuple[bytes, bytes], **more) -> Host:
    socket = Host().connect(server=("10.0.0.1", 11211), **more)
    for asked, answered in turns:
        socket.asks(asked)
        if answered:
            socket.answers(answered)
    return socket.close().host


def lines(*turns: tuple[bytes, bytes], **more) -> list[str]:
    run = play(talk(*turns, **more))
    for span in run.spans:
        assert "hunter2" not in repr(span)
    return [told(span) for span in run.spans]


OUTCOMES = {
    (GET, VALUE + END): "get: get user:{id} -> hit 1",
    (GET, END): "get: get user:{id} -> miss 0",
    (b"get a b\r\n", b"VALUE a 0 1\r\nx\r\nEND\r\n"): "get: get a b -> miss 1",
    (b"gat 60 a\r\n", b"VALUE a 0 1\r\nx\r\nEND\r\n"): "gat: gat ? a -> hit 1",
    (SET, STORED): "set: set user:{id} ? -> STORED",
    (b"add k 0 0 1\r\nx\r\n", b"NOT_STORED\r\n"): "add: add k ? -> NOT_STORED",
    (b"incr n 1\r\n", b"2\r\n"): "incr: incr n ? -> ",
    (b"mg user:1 v\r\n", b"VA 7\r\nhunter2\r\n"): "mg: mg user:{id} ? -> VA hit",
    (b"mg user:1 v\r\n", b"EN\r\n"): "mg: mg user:{id} ? -> EN miss",
    (b"get k\r\n", b"SERVER_ERROR out of memory hunter2\r\n"): "get: get k -> SERVER_ERROR 0",
    (b"stats\r\n", b"STAT a 1\r\nEND\r\n"): "stats: stats -> ",
}  # fmt: skip


@pytest.mark.parametrize(("turn", "outcome"), OUTCOMES.items())
def test_outcomes(turn, outcome):
    assert lines(turn) == [outcome]


def test_pipelines_and_what_is_not_captured():
    big = b"set big:1 0 0 100000\r\n" + b"v" * 100_000 + b"\r\n"
    answer = b"VALUE big:1 0 100000\r\n" + b"v" * 100_000 + b"\r\nEND\r\n"
    assert lines((GET + SET, VALUE + END + STORED), (big, STORED)) == [
        "get: get user:{id} -> hit 1",
        "set: set user:{id} ? -> STORED",
        "set: set big:{id} ? -> STORED",
    ]
    run = play(talk((b"get big:1\r\n", answer), (GET, END)))
    assert [told(span) for span in run.spans][1] == "get: get user:{id} -> miss 0"
    assert facts(run.spans[0])[semconv.DB_RESPONSE_RETURNED_ROWS] == 1
    assert run.outside.budgets[0][2] == MAX_CAPTURE


def test_commands_that_are_not_answered_end_with_themselves():
    quiet = b"set user:1 0 0 7 noreply\r\nhunter2\r\n"
    assert lines((GET, END), (quiet + GET, END), (b"quit\r\n", b"")) == [
        "get: get user:{id} -> miss 0",
        "set: set user:{id} ? -> ",
        "get: get user:{id} -> miss 0",
        "quit: quit -> ",
    ]


def test_quiet_meta_commands_up_to_mn():
    asked = b"mg a v q\r\nmg b v q\r\nmn\r\n"
    assert lines((GET, END), (asked, b"VA 1\r\nx\r\nMN\r\n"), (GET, END)) == [
        "get: get user:{id} -> miss 0",
        "mg: mg a ? -> ",
        "mg: mg b ? -> ",
        "mn: mn -> MN",
        "get: get user:{id} -> miss 0",
    ]


def test_whose_an_answer_is_behind_a_quiet_command_is_not_guessed():
    run = play(talk((GET, END), (b"mg a v q\r\nmg b v\r\n", b"VA 1\r\nx\r\n")))
    assert run.counts == {"captured": 3, "spans": 2, "unparsed": {"gap": 1}}


@pytest.mark.parametrize("opcode", [0x00, 0x01, 0x21])
def test_the_binary_protocol_is_muted(opcode):
    header = bytes([0x80, opcode]) + b"\0\5\0\0\0\0\0\0\0\5" + bytes(12) + b"Hello"
    assert Memcached.classify(header) is Verdict.REQUEST
    run = play(talk((header, b"\x81" + header[1:])))
    assert run.ledger.connections["muted_memcached_binary"] == 1
    assert run.counts == {}


@pytest.mark.parametrize(
    "head",
    [b"GET / HTTP/1.1\r\n", b"get", b"get \r\n", b"set a b\r\n", b"hello\r\n", b"HELO x\r\n", b"QUIT\r\n", b"END", b"220 mail\r\n",
     b"OK\r\n", b"\x80" + bytes(30), b"\x16\x03\x01\x02", b"version 1\r\n", b"me and you\r\n"],
)  # fmt: skip
def test_others_are_refused(head):
    assert Memcached.classify(head) in (Verdict.NO, Verdict.MORE if len(head) < 5 else Verdict.NO)


def test_watch_is_not_followed():
    run = play(talk((GET, END), (b"watch fetchers\r\n", b"OK\r\n"), (GET, END)))
    assert [span.name for span in run.spans] == ["get", "watch"]
    assert run.outside.muted == [1]
