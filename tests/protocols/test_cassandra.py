"""Cassandra: which response answers which request, and what is told of both."""

from __future__ import annotations

from itertools import permutations

import lz4.block
import pytest
import snappy

from agent.protocols.cassandra import MAX_ASIDE, MAX_STATEMENTS, Cassandra
from agent.spans.span import Span
from tests.protocols import cassandra_bytes as cql
from tests.scenario import Host, Run, Socket, facts, play
from tests.wire import Reading, Sample, bytewise, holed, whole

SELECT = "SELECT name FROM users WHERE id = 'hunter2zebra'"


def framed(data: bytes) -> bytes:
    return cql.segment(data)


def packed(data: bytes) -> bytes:
    return cql.lz4_segment(data, lz4.block.compress(data, store_size=False))


SAMPLES = [
    Sample(
        requests=(
            cql.query(SELECT, 1, page_size=50),
            cql.prepare("SELECT name FROM users WHERE id = ?", 2),
            cql.execute(stream=3, values=(b"hunter2zebra",), consistency=6),
            cql.batch("INSERT INTO a (x) VALUES (1)", cql.IDENTITY, stream=4, values=(b"x",)),
            cql.query("USE shop", 5),
            cql.query(SELECT, 6),
        ),
        responses=(
            cql.rows(b"a", b"b", stream=1),
            cql.prepared(stream=2),
            cql.rows(b"a", stream=3, is_bare=True, state=b"more"),
            cql.void(4),
            cql.keyspace("shop", 5),
            cql.error(stream=6),
        ),
    ),
    Sample((framed(cql.query(SELECT, 1, 5)),), (framed(cql.rows(b"a", stream=1, version=5)),)),
    Sample(
        (packed(cql.query(SELECT, 1, 5)), cql.lz4_segment(b := cql.query("SELECT 1", 2, 5), b)),
        (packed(cql.rows(b"a", stream=1, version=5)), packed(cql.error(stream=2, version=5))),
    ),
    Sample((cql.prepare(SELECT, 1, 3),), (cql.prepared(stream=1, version=3),)),
    Sample((cql.batch("INSERT INTO a (x) VALUES (1)", stream=9),), (cql.void(9),)),
    Sample((cql.execute(stream=9),), (cql.rows(b"a", stream=9),)),
]


def told(span: Span) -> tuple[object, ...]:
    said = facts(span)
    return span.name, said.get("error.type", said.get("db.response.returned_rows"))


def client(host: Host, **more) -> Socket:
    return host.connect(server=("10.0.0.1", 9042), **more)


def greeted(host: Host, version: int = 4, compression: str = "", **more) -> Socket:
    socket = client(host, **more)
    socket.asks(cql.frame(cql.OPTIONS, version=version)).answers(
        cql.answer(cql.SUPPORTED, b"\0\1" + cql.short("CQL_VERSION") + b"\0\1" + cql.short("3.4.6"), version=version)
    )  # fmt: skip
    socket.asks(cql.startup(version, compression))
    return socket.answers(cql.answer(cql.READY, version=version))


def test_a_span():
    socket = greeted(Host()).asks(cql.query("USE shop")).answers(cql.keyspace("shop"))
    socket.asks(cql.query(SELECT, page_size=50, consistency=6)).answers(cql.rows(b"a", b"b"))
    span = play(socket.close().host).spans[1]
    assert span.name == "SELECT users"
    known = {key: value for key, value in facts(span).items() if key.startswith(("db.", "cass", "server.", "err"))}  # fmt: skip
    assert known == {
        "db.system.name": "cassandra",
        "db.namespace": "shop",
        "db.operation.name": "SELECT",
        "db.collection.name": "users",
        "db.query.summary": "SELECT users",
        "db.query.text": "SELECT name FROM users WHERE id = ?",
        "db.response.returned_rows": 2,
        "cassandra.consistency.level": "local_quorum",
        "cassandra.page.size": 50,
        "server.address": "10.0.0.1",
        "server.port": 9042,
    }


@pytest.mark.parametrize("version", [3, 4, 5])
def test_handshake_and_authentication_are_part_of_no_exchange(version):
    socket = client(Host()).asks(cql.startup(version))
    socket.answers(cql.answer(3, cql.short("org.apache.cassandra.auth.PasswordAuthenticator"), version=version))  # fmt: skip
    wrap = framed if version == 5 else bytes
    socket.asks(
        wrap(cql.frame(15, cql.long(b"\0joe\0hunter2zebra"), stream=1, version=version))
    ).answers(wrap(cql.answer(16, cql.long(b"hunter2zebra"), stream=1, version=version)))
    socket.asks(wrap(cql.frame(11, b"\0\1" + cql.short("STATUS_CHANGE"), stream=2, version=version)))  # fmt: skip
    socket.answers(wrap(cql.answer(cql.READY, stream=2, version=version)))
    socket.answers(wrap(cql.answer(cql.EVENT, cql.short("STATUS_CHANGE") + cql.short("UP"), stream=-1, version=version)))  # fmt: skip
    socket.asks(wrap(cql.query(SELECT, 3, version))).answers(
        wrap(cql.rows(b"a", stream=3, version=version))
    )
    run = play(socket.close().host)
    assert [told(span) for span in run.spans] == [("SELECT users", 1)]
    assert run.counts == {"captured": 1, "spans": 1}


@pytest.mark.parametrize("order", list(permutations((1, 2, 3))))
@pytest.mark.parametrize("wrap", [bytes, framed, packed])
def test_responses_in_any_order(order, wrap):
    version = 4 if wrap is bytes else 5
    socket = greeted(Host(), version, "lz4" if wrap is packed else "")
    socket.asks(wrap(b"".join(cql.query(f"SELECT a FROM t{n}", n, version) for n in (1, 2, 3))))
    for number in order[:2]:
        socket.answers(wrap(cql.rows(*[b"a"] * number, stream=number, version=version)))
    socket.answers(wrap(cql.error(0x1200, order[2], version)))
    run = play(socket.close().host)
    expected: list[object] = [(f"SELECT t{number}", number) for number in order[:2]]
    assert [told(span) for span in run.spans] == [*expected, (f"SELECT t{order[2]}", "4608")]
    assert run.counts == {"captured": 3, "spans": 3}


@pytest.mark.parametrize("cut", [1, 5, 100])
def test_many_frames_in_a_segment_and_a_frame_in_many(cut):
    socket = greeted(Host(), 5)
    long_one = cql.query("SELECT a FROM t WHERE b = '" + "x" * 3000 + "'", 1, 5)
    parts = [long_one[at : at + 1000] for at in range(0, len(long_one), 1000)]
    sent = b"".join(cql.segment(part, is_whole=False) for part in parts)
    sent += framed(cql.query("SELECT a FROM u", 2, 5) + cql.query("SELECT a FROM v", 3, 5))
    back = framed(b"".join(cql.void(number, 5) for number in (3, 1, 2)))
    for at in range(0, len(sent), cut):
        socket.asks(sent[at : at + cut])
    for at in range(0, len(back), cut):
        socket.answers(back[at : at + cut])
    run = play(socket.close().host)
    assert [span.name for span in run.spans] == ["SELECT v", "SELECT t", "SELECT u"]


def test_both_ends_of_requests_in_one_segment_are_joined():
    host = Host()
    there = greeted(host, 5, process=20)
    here = host.accept(process=10, client=("10.0.0.9", 40000), port=9042)
    for asked, answered in (
        (cql.frame(cql.OPTIONS, version=5), cql.answer(cql.SUPPORTED, b"\0\1" + cql.short("CQL_VERSION") + b"\0\1" + cql.short("3.4.6"), version=5)),
        (cql.startup(5), cql.answer(cql.READY, version=5)),
    ):  # fmt: skip
        here.asks(asked).answers(answered)
    sent = framed(cql.query("SELECT a FROM u", 2, 5) + cql.query("SELECT a FROM v", 3, 5))
    for end in (there, here):
        end.asks(sent)
    back = framed(cql.void(3, 5) + cql.void(2, 5))
    for end in (here, there):
        end.answers(back)
    spans = play(host).spans
    calls = {span.span_id: span.name for span in spans if span.kind.name == "CLIENT"}
    served = {span.name: calls[span.parent_id or b""] for span in spans if span.kind.name == "SERVER"}  # fmt: skip
    assert served == {"SELECT u": "SELECT u", "SELECT v": "SELECT v"}


@pytest.mark.parametrize("way", ["lz4", "snappy"])
def test_compressed_frames(way):
    def pack(data: bytes) -> bytes:
        body = data[9:]
        if way == "lz4":
            squeezed = cql.integer(len(body)) + lz4.block.compress(body, store_size=False)
        else:
            squeezed = snappy.compress(body)
        return data[:1] + b"\1" + data[2:5] + cql.integer(len(squeezed)) + squeezed

    socket = greeted(Host(), 4, way)
    for _ in range(2):
        socket.asks(pack(cql.query(SELECT, 1))).answers(pack(cql.rows(b"a" * 90, b"b", stream=1)))
    socket.asks(pack(cql.query(SELECT, 1))).answers(pack(cql.error(stream=1)))
    run = play(socket.close().host)
    assert [told(span) for span in run.spans] == [("SELECT users", 2)] * 2 + [
        ("SELECT users", "8704")
    ]
    joined = Host().join(port=9042).received(pack(cql.query(SELECT * 3, 1)))
    joined.sent(pack(cql.rows(b"a", stream=1)))
    assert len(play(joined.host).spans) == 1


def test_prepared_statements_are_known_on_all_connections():
    host = Host()
    first = greeted(host, port=40000)
    first.asks(cql.prepare("SELECT name FROM users WHERE id = ?", 1)).answers(cql.prepared(stream=1))  # fmt: skip
    second = greeted(host, port=40001)
    second.asks(cql.execute(stream=1, values=(b"hunter2zebra",))).answers(cql.rows(b"a", stream=1))
    second.asks(cql.execute(b"x" * 16, stream=1)).answers(cql.error(0x2500, 1))
    stranger = greeted(host, process=21, port=40002)
    stranger.asks(cql.execute(stream=1)).answers(cql.rows(b"a", stream=1))
    spans = play(host).spans
    assert [told(span) for span in spans] == [
        ("PREPARE SELECT users", None),
        ("SELECT users", 1),
        ("10.0.0.1:9042", "9472"),
        ("10.0.0.1:9042", 1),
    ]
    assert spans[2].status_message == "unprepared"
    assert facts(spans[2])["zerospan.db.query.missing"] == "prepared_before_attach"


BATCHES = [
    (cql.batch("INSERT INTO a (x) VALUES ('hunter2zebra')", "INSERT INTO a (x) VALUES (2)"), "INSERT a", 2),
    (cql.batch("UPDATE a SET x = 1"), "UPDATE a", None),
    (cql.batch(b"unknown id......", "UPDATE a SET x = 1"), "BATCH", 2),
]  # fmt: skip


@pytest.mark.parametrize(("asked", "name", "count"), BATCHES, ids=range(len(BATCHES)))
def test_batches(asked, name, count):
    socket = greeted(Host()).asks(asked).answers(cql.void())
    (span,) = play(socket.close().host).spans
    assert (span.name, facts(span).get("db.operation.batch.size")) == (name, count)
    assert facts(span)["cassandra.consistency.level"] == "local_quorum"


def test_joined_in_the_middle():
    for wrap in (framed, packed):
        socket = Host().join(port=9042)
        socket.received(wrap(cql.query(SELECT, 8, 5))).sent(wrap(cql.void(7, 5)))
        socket.sent(wrap(cql.rows(b"a", stream=8, version=5)))
        run = play(socket.close().host)
        assert [told(span) for span in run.spans] == [("SELECT users", 1)]
        assert run.counts == {"captured": 2, "spans": 1, "unparsed": {"request_not_seen": 1}}


def test_a_stream_that_is_in_use_is_refused():
    socket = greeted(Host()).asks(cql.query(SELECT, 1) + cql.query(SELECT, 1))
    assert play(socket.close().host).counts == {"captured": 2, "unparsed": {"garbage": 2}}


def test_a_stream_of_a_handshake_that_was_not_answered_is_used_again():
    socket = client(Host()).asks(cql.frame(cql.OPTIONS, stream=1)).asks(cql.query(SELECT, 1))
    socket.answers(cql.rows(b"a", stream=1))
    assert [told(span) for span in play(socket.close().host).spans] == [("SELECT users", 1)]


def test_a_cut_statement_says_what_is_missing():
    socket = greeted(Host(), budgets=(4096, 60)).asks(cql.batch("UPDATE a SET x = 1" * 9)).answers(cql.void())  # fmt: skip
    socket.asks(cql.query(SELECT, 1)).answers(cql.rows(b"a", stream=1))
    first, second = play(socket.close().host).spans
    assert (first.name, facts(first)["zerospan.db.query.missing"]) == ("BATCH", "not_captured")
    assert facts(second)["db.query.text"] == "SELECT name FROM users WHERE id = ?"


def test_a_long_result_is_walked_over():
    for version, wrap in ((4, bytes), (5, framed)):
        socket = greeted(Host(), version)
        for number in range(3):
            socket.asks(wrap(cql.query(SELECT, number, version)))
            socket.answers(wrap(cql.rows(*[b"x" * 1000] * 60, stream=number, version=version)))
        run = play(socket.close().host)
        assert [told(span) for span in run.spans] == [("SELECT users", 60)] * 3


def test_a_hole_in_a_segment_hides_the_frames_behind_it():
    protocol = Cassandra()
    data = framed(cql.query(SELECT, 1, 5) + cql.query(SELECT, 2, 5))
    reading = Reading(protocol, "request")
    for piece in holed(data, 30, len(data) - 6):
        reading.feed(piece)
    assert (len(reading.messages), reading.error.__name__) == (1, "Gap")  # type: ignore[union-attr]  # there is one
    protocol.forget()
    again = Reading(protocol, "request")
    again.feed(whole(data)[0])
    assert len(again.messages) == 2


def test_bounds():
    protocol = Cassandra()
    reading = Reading(protocol, "request")
    for number in range(3 * MAX_ASIDE):
        reading.feed(whole(cql.frame(cql.OPTIONS, stream=number))[0])
    assert len(protocol._aside) == MAX_ASIDE
    for number in range(MAX_STATEMENTS + 10):
        protocol._keep(b"%d" % number, b"SELECT 1")
    assert len(protocol.shared) == MAX_STATEMENTS
    assert b"9" not in protocol.shared


def test_a_servers_own_side_can_be_left_out():
    socket = Host().accept(port=9042).received(cql.query(SELECT, 1)).sent(cql.void(1))
    run = Run(reports_database_servers=False).take(socket.host.records).finish()
    assert (run.spans, run.outside.muted) == ([], [socket.number])


def test_bytes_one_by_one():
    reading = Reading(Cassandra(), "request")
    for piece in bytewise(cql.startup(5) + framed(cql.query(SELECT, 1, 5))):
        reading.feed(piece)
    assert len(reading.messages) == 1
