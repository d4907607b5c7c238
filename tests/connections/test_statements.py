"""Statements of an embedded database, from records to spans."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.connections import statements
from agent.spans.span import Span
from agent.store.schema import names
from tests.scenario import EVENTS, KINDS, Host, Run, facts, play, request, response

BEGUN, ENDED, DONE = statements.BEGUN, statements.ENDED, statements.DONE


def told(run: Run) -> list[tuple[str, object, object]]:
    """Name, rows and error of each span of a statement."""
    return [
        (
            span.name,
            span.attribute("db.response.returned_rows"),
            span.attribute("error.type"),
        )
        for span in run.spans
        if span.attribute("db.system.name") == "sqlite"
    ]


def test_a_statement_that_is_done_at_once():
    host = Host().opens(b"/var/lib/app.db")
    began = host.now_ns
    host.wait(4_000_000).statement(b"INSERT INTO users VALUES ('hunter2')", start_ns=began)
    run = play(host)
    (span,) = run.spans
    assert (span.name, span.kind.name) == ("INSERT users", "CLIENT")
    assert span.end_unix_ns - span.start_unix_ns == 4_001_000
    assert facts(span) == {
        "db.system.name": "sqlite",
        "db.namespace": "/var/lib/app.db",
        "db.operation.name": "INSERT",
        "db.collection.name": "users",
        "db.query.summary": "INSERT users",
        "db.query.text": "INSERT INTO users VALUES (?)",
        "db.response.returned_rows": 0,
        "zerospan.parent.rule": "none",
    }
    assert run.counts == {"captured": 1, "spans": 1}


def test_a_statement_that_gives_rows_is_told_twice():
    host = Host()
    began = host.now_ns
    host.statement(b"SELECT a FROM t", stage=BEGUN, rows=1, result=100)
    host.wait(7_000_000).statement(b"", stage=ENDED, rows=23, start_ns=began)
    run = play(host)
    assert told(run) == [("SELECT t", 23, None)]
    (span,) = run.spans
    assert span.end_unix_ns - span.start_unix_ns == 7_002_000
    assert span.attribute("zerospan.time_to_first_byte") == pytest.approx(1e-6)
    assert run.counts == {"captured": 1, "spans": 1}


def test_statements_run_side_by_side():
    host = Host()
    starts = {}
    for number in (1, 2):
        starts[number] = host.now_ns
        text = f"SELECT a FROM t{number}".encode()
        host.statement(text, stage=BEGUN, statement=number, rows=1, result=100)
    host.statement(b"UPDATE t3 SET a = 1", statement=3)
    for number in (2, 1):
        start = starts[number]
        host.statement(b"", stage=ENDED, statement=number, rows=number, start_ns=start)
    assert told(play(host)) == [
        ("UPDATE t3", 0, None),
        ("SELECT t2", 2, None),
        ("SELECT t1", 1, None),
    ]


def test_processes_have_addresses_of_their_own():
    host = Host().opens(b"one.db", process=10).opens(b"two.db", process=20)
    for process in (10, 20):
        host.statement(b"COMMIT", process=process, thread=process)
    names = [span.attribute("db.namespace") for span in play(host).spans]
    assert names == ["one.db", "two.db"]


def test_it_belongs_to_the_request_that_its_thread_works_for():
    host = Host()
    server = host.accept().received(request("/pay"))
    began = host.now_ns
    host.statement(b"SELECT a FROM t", stage=BEGUN, rows=1, result=100)
    host.statement(b"COMMIT", statement=2)
    server.sent(response())
    # The cursor is let go of after the answer.
    host.statement(b"", stage=ENDED, rows=1, start_ns=began)
    server.close()
    by_name: dict[str, Span] = {span.name: span for span in play(host).spans}
    for name in ("SELECT t", "COMMIT"):
        assert by_name[name].parent_id == by_name["GET /pay"].span_id
        assert by_name[name].attribute("zerospan.parent.rule") == "thread"


def test_it_belongs_to_the_request_of_its_task():
    host = Host()
    first = host.accept().received(request("/a"))
    second = host.accept(client=("10.0.0.9", 40001)).received(request("/b"))
    host.statement(b"COMMIT", origin=first.handed(5))
    first.sent(response())
    second.sent(response())
    by_name = {span.name: span for span in play(host).spans}
    assert by_name["COMMIT"].parent_id == by_name["GET /a"].span_id
    assert by_name["COMMIT"].attribute("zerospan.parent.rule") == "task"


def test_two_requests_in_one_thread_are_not_told_apart_by_it():
    host = Host()
    host.accept().received(request("/a"))
    host.accept(client=("10.0.0.9", 40001)).received(request("/b"))
    host.statement(b"COMMIT")
    (span,) = [span for span in play(host).spans if span.name == "COMMIT"]
    assert span.parent_id is None
    assert span.attribute("zerospan.parent.rule") == "refused:concurrent"


def test_the_context_in_a_comment():
    trace = "0af7651916cd43dd8448eb211c80319c"
    text = f"SELECT a FROM t /*traceparent='00-{trace}-b7ad6b7169203331-01'*/".encode()
    (span,) = play(Host().statement(text)).spans
    assert span.trace_id.hex() == trace
    assert span.attribute("db.query.text") == "SELECT a FROM t"


def test_what_could_not_be_prepared():
    host = Host().statement(b"SELEC 1", statement=0, result=1)
    host.statement(b"SELEC 2", statement=0, result=1)
    assert [error for _, _, error in told(play(host))] == ["SQLITE_ERROR", "SQLITE_ERROR"]


def test_an_end_without_a_beginning_is_counted():
    run = play(Host().statement(b"", stage=ENDED))
    assert run.spans == []
    assert run.ledger.records_ignored == {"statement_unbegun": 1}


@pytest.mark.parametrize("stage", [BEGUN, DONE])
def test_an_end_that_was_lost(stage: int):
    """Its address is another statement's by now."""
    host = Host().statement(b"SELECT a FROM t", stage=BEGUN, rows=1, result=100)
    began = host.now_ns
    host.statement(b"SELECT b FROM u", stage=stage, rows=1)
    if stage == BEGUN:
        host.statement(b"", stage=ENDED, rows=2, start_ns=began)
    run = play(host)
    assert told(run) == [("SELECT u", 2 if stage == BEGUN else 1, None)]
    assert run.counts == {"captured": 2, "spans": 1, "lost": {"statement_end": 1}}


def test_an_end_of_another_execution_ends_nothing():
    """The end of one was lost, and the beginning of the next."""
    host = Host().statement(b"SELECT a FROM t", stage=BEGUN, rows=1, result=100)
    host.wait(1000).statement(b"", stage=ENDED, rows=9)
    run = play(host)
    assert told(run) == []
    assert run.counts == {"captured": 1, "lost": {"statement_end": 1}}
    assert run.ledger.records_ignored == {"statement_unbegun": 1}


def test_a_process_that_ends_takes_its_statements_with_it():
    host = Host().opens(b"one.db").statement(b"SELECT a FROM t", stage=BEGUN, rows=1, result=100)
    host.statement(b"SELECT a FROM t", stage=BEGUN, process=20, rows=1, result=100).exit(10)
    host.statement(b"COMMIT")
    run = play(host)
    errors = [(span.attribute("error.type"), span.attribute("zerospan.incomplete")) for span in run.spans]  # fmt: skip
    assert errors == [("process_exit", None), (None, None), (None, "agent_exit")]
    assert run.outside.forgotten == [(10, 0x500)]
    assert run.spans[1].attribute("db.namespace") is None


def test_another_program_has_none_of_them():
    host = Host().statement(b"SELECT a FROM t", stage=BEGUN, rows=1, result=100)
    host.write("exec", process=10, thread=10, comm=b"other")
    assert told(play(host)) == [("SELECT t", None, "process_exit")]


def test_a_process_that_is_not_traced_any_more():
    host = Host().statement(b"SELECT a FROM t", stage=BEGUN, rows=1, result=100)
    run = Run().take(host.records)
    run.pipeline.exclude(10)
    run.finish()
    assert run.spans == []
    assert run.counts == {"captured": 1, "filtered": {"process_excluded": 1}}


def test_a_process_that_is_not_traced(monkeypatch: pytest.MonkeyPatch):
    run = Run()
    monkeypatch.setattr(run.outside, "identify", lambda tgid: None)
    run.take(Host().statement(b"COMMIT").records).finish()
    assert run.ledger.records_ignored == {"statement_filtered": 1}


def test_bounds(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(statements, "MAX_RUNNING", 2)
    monkeypatch.setattr(statements, "MAX_DATABASES", 1)
    host = Host().opens(b"one.db", database=1).opens(b"two.db", database=2)
    for number in range(3):
        host.statement(
            b"SELECT a FROM t", stage=BEGUN, statement=number, database=1, rows=1, result=100
        )
    run = play(host)
    assert run.counts == {"captured": 3, "spans": 2, "lost": {"statements_full": 1}}
    assert {span.attribute("db.namespace") for span in run.spans} == {None}


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        ("statement", {"stage": 0}),
        ("statement", {"stage": 7}),
        ("statement", {"stage": 3, "captured": 9}),
        ("database", {"captured": 9}),
    ],
)
def test_records_that_cannot_be(kind: str, fields: dict[str, int]):
    host = Host()
    host.write(kind, process=10, thread=10, payload=b"12345678", **fields)
    run = play(host)
    assert run.ledger.records_ignored == {"malformed": 1}
    cut = EVENTS[f"{kind}_event"].pack(kind=KINDS[f"EVENT_{kind.upper()}"])[:-1]
    assert Run().take([cut]).finish().ledger.records_ignored == {"malformed": 1}


SMALL = st.integers(0, 3)
RECORD = st.one_of(
    st.tuples(st.just("statement"), st.binary(max_size=40), SMALL, st.integers(1, 3), SMALL, SMALL),
    st.tuples(st.just("database"), st.binary(max_size=40), SMALL, SMALL, SMALL, SMALL),
    st.tuples(st.just("exit"), st.binary(max_size=1), SMALL, SMALL, SMALL, SMALL),
)


@given(st.lists(RECORD, max_size=30))
def test_whatever_is_told_the_ledger_balances(records):
    host = Host()
    for kind, text, process, stage, number, result in records:
        if kind == "statement":
            host.statement(
                text, stage=stage, process=process, statement=number, result=result, start_ns=number
            )
        elif kind == "database":
            host.opens(text, process=process, database=number)
        else:
            host.exit(process)
    run = play(host)
    assert run.ledger.captured == len(run.spans) + run.ledger.lost.total()


@pytest.mark.parametrize("name", [b"/var/own.db", b"file:/var/own.db?mode=ro"])
def test_an_own_store_is_not_told_of(name):
    host = Host().opens(name)
    began = host.now_ns
    host.statement(b"SELECT 1", stage=BEGUN, start_ns=began)
    host.statement(b"", stage=ENDED, start_ns=began)
    host.statement(b"PRAGMA user_version").opens(b"/var/other.db").statement(b"SELECT 2")
    run = Run(own_stores=frozenset(names(Path("/var/own.db")))).take(host.records).finish()
    assert [span.attribute("db.namespace") for span in run.spans] == ["/var/other.db"]
    assert run.ledger.filtered == {"own_store": 2}
