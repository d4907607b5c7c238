"""Findings as events of the spans that leave; every span leaves, once, whatever happens."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from agent import told as told_module
from agent.analysis.thresholds import Thresholds
from agent.spans.span import SpanEvent, SpanKind, Status
from agent.spans.trace import ReadSpan
from agent.told import EVENT, PATIENCE_S, QUIET_S, Teller
from tests.store.made import MS, NOW_NS, any_spans, as_read, fields, span


class Run:
    def __init__(self) -> None:
        self.now = 100.0
        self.out: list = []
        self.counts: Counter[str] = Counter()
        self.teller = Teller(
            self.out.append, thresholds=Thresholds(), counts=self.counts, clock=lambda: self.now
        )

    def after(self, seconds: float) -> list:
        self.now += seconds
        self.teller.step()
        return self.out


def statement(number: int):
    return span(1, 10 + number, 1, kind=SpanKind.CLIENT, start_unix_ns=NOW_NS + number * 10 * MS, duration_ns=9 * MS,
                attributes={"db.system.name": "postgresql", "db.query.text": "SELECT a FROM b WHERE c = ?",
                            "server.address": "db"})  # fmt: skip


def test_a_finding_is_an_event_of_the_request():
    run = Run()
    for number in range(12):
        run.teller.take(statement(number))
    assert run.after(QUIET_S) == []  # its root has not ended
    root = span(1, 1, start_unix_ns=NOW_NS, duration_ns=200 * MS)
    run.teller.take(root)
    assert run.after(QUIET_S / 2) == []
    assert run.after(QUIET_S / 2) == [*(statement(number) for number in range(12)), root]
    (event,) = root.events
    assert (event.name, event.time_unix_ns) == (EVENT, root.end_unix_ns)
    assert event.attributes is not None
    found = dict(event.attributes.items)
    assert found["zerospan.finding.kind"] == "n_plus_one"
    assert "12 times" in str(found["zerospan.finding.title"])
    assert 0 < float(str(found["zerospan.finding.saving"])) < 0.2
    assert {found["zerospan.finding.severity"], found["zerospan.finding.confidence"]} == {"warning", "high"}  # fmt: skip
    assert all(not one.events for one in run.out[:-1])


def test_events_that_were_there_stay():
    run = Run()
    before = SpanEvent("retry", NOW_NS)
    run.teller.take(span(1, 1, status=Status.ERROR, attributes={"error.type": "500"}, events=(before,)))  # fmt: skip
    (found,) = run.after(QUIET_S)
    assert [event.name for event in found.events] == ["retry", EVENT]


def test_a_trace_whose_root_is_never_seen_leaves_in_the_end():
    run = Run()
    run.teller.take(span(1, 2, 1))
    run.teller.take(span(2, 1, 9, is_parent_remote=True))
    assert [one.trace_id[-1] for one in run.after(QUIET_S)] == [2]
    assert [one.trace_id[-1] for one in run.after(PATIENCE_S)] == [2, 1]


def test_bound(monkeypatch):
    monkeypatch.setattr(told_module, "MAX_SPANS", 3)
    run = Run()
    for trace, number in ((1, 1), (2, 1), (1, 2), (3, 1)):
        run.teller.take(span(trace, number))
    assert [one.trace_id[-1] for one in run.out] == [2]
    assert run.counts == {"findings_skipped": 1}
    run.teller.close()
    assert sorted(one.trace_id[-1] for one in run.out) == [1, 1, 2, 3]


def test_a_bug_in_an_analysis_costs_no_span(monkeypatch, caplog):
    def broken(*_):
        raise KeyError

    monkeypatch.setattr(told_module, "analyze", broken)
    run = Run()
    run.teller.take(span(1, 1))
    assert len(run.after(QUIET_S)) == 1
    assert run.counts == {"findings_skipped": 1}
    assert "please report it" in caplog.text


@given(st.lists(any_spans(), max_size=8), st.integers(1, 5))
def test_every_span_leaves_once(spans, bound):
    run = Run()
    before = told_module.MAX_SPANS
    told_module.MAX_SPANS = bound  # type: ignore[misc]  # for this example
    try:
        for one in spans:
            run.teller.take(one)
            run.after(1.0)
        run.teller.close()
    finally:
        told_module.MAX_SPANS = before  # type: ignore[misc]  # as it was
    assert sorted(map(id, run.out)) == sorted(map(id, spans))


@given(any_spans())
def test_what_is_looked_at_is_what_would_be_read(one):
    assert fields(ReadSpan.of(one)).keys() == fields(as_read(one)).keys()
    found, read = ReadSpan.of(one), as_read(one)
    assert (found.trace_id, found.span_id, found.parent_id) == (read.trace_id, read.span_id, read.parent_id)  # fmt: skip
    assert (found.kind, found.status, found.start_unix_ns, found.end_unix_ns) == (
        read.kind,
        read.status,
        read.start_unix_ns,
        read.end_unix_ns,
    )
    assert len(found.events) == len(read.events)
    assert [link.span_id for link in found.links] == [link.span_id for link in read.links]
