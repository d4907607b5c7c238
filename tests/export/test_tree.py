"""Traces gathered, bounded and drawn."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.export import tree
from agent.export.tree import Traces, draw, duration
from agent.spans.span import Attributes, SpanKind, Status
from tests.export import sample

MS = 1_000_000
TRACE = sample.span(1).trace_id


def span(number: int, parent: int | None, start_ms: int, end_ms: int, **changes):
    fields = {
        "trace_id": TRACE,
        "parent_id": None if parent is None else sample.span(parent).span_id,
        "start_unix_ns": sample.START_NS + start_ms * MS,
        "end_unix_ns": sample.START_NS + end_ms * MS,
    }
    return sample.span(number, **{**fields, **changes})


def lines_of(spans) -> list[str]:
    traces = Traces()
    for one in spans:
        traces.add(one, now_s=0)
    return [str(line) for trace in traces.take_all() for line in draw(trace)]


def test_a_trace_is_drawn_as_a_tree():
    failed = {
        "kind": SpanKind.CLIENT,
        "status": Status.ERROR,
        "attributes": (Attributes([("error.type", "timeout")]),),
    }
    spans = [
        span(5, 4, 6, 9, resource=sample.BACK),
        span(2, 1, 1, 4, kind=SpanKind.CLIENT),
        span(4, 1, 5, 10, **failed),
        span(3, 2, 2, 3, resource=sample.BACK),
        span(1, None, 0, 12),
    ]
    assert lines_of(spans) == [
        f"trace {TRACE.hex()}  5 spans  12.0 ms",
        "GET /orders/{id}  server  front → 12.0 ms  200",
        "├─ GET /orders/{id}  client  front → 3.0 ms  200",
        "│  └─ GET /orders/{id}  server  back → 1.0 ms  200",
        "└─ GET /orders/{id}  client  front → 5.0 ms  timeout",
        "   └─ GET /orders/{id}  server  back → 3.0 ms  200",
    ]


def test_spans_without_their_parent_are_roots_in_order_of_start():
    remote = {"is_parent_remote": True}
    assert lines_of([span(3, 99, 5, 6), span(2, 98, 1, 2, **remote)]) == [
        f"trace {TRACE.hex()}  2 spans  5.0 ms",
        "GET /orders/{id}  server  front → 1.0 ms  200",
        "GET /orders/{id}  server  front → 1.0 ms  200",
    ]


def test_parents_in_a_circle_are_drawn_from_the_earliest():
    spans = [span(2, 1, 3, 4, name="b"), span(1, 2, 1, 2, name="a"), span(3, 3, 5, 6, name="own")]
    assert [line.split("  ")[0] for line in lines_of(spans)[1:]] == ["a", "└─ b", "own"]


def test_names_and_results_of_hostile_programs_are_escaped():
    resource = sample.FRONT.__class__([("service.name", "a\x1b]0;title\x07")])
    attributes = (Attributes([("error.type", "\x9b2J"), ("http.response.status_code", 500)]),)
    hostile = span(
        1,
        None,
        0,
        1,
        name="GET /\x1b[2J\n\u202e",
        resource=resource,
        attributes=attributes,
        status=Status.ERROR,
        status_message="\r\x08",
    )
    assert lines_of([hostile])[1] == (
        "GET /\\x1b[2J\\n\\u202e  server  a\\x1b]0;title\\x07 → 1.0 ms  500 \\x9b2J \\r\\x08"
    )


def test_a_trace_is_due_when_its_root_is_there_and_it_is_quiet():
    traces = Traces()
    traces.add(span(2, 1, 0, 1), now_s=100)
    assert traces.take_due(100 + tree.QUIET_S) == []
    traces.add(span(1, None, 0, 1), now_s=102)
    assert traces.take_due(102.9) == []
    (trace,) = traces.take_due(103)
    assert (len(trace.rows), traces.spans, traces.take_all()) == (2, 0, [])


def test_a_trace_without_a_root_is_due_in_the_end():
    traces = Traces()
    for second in range(10):
        traces.add(span(second + 2, 1, 0, 1), now_s=second)
        assert traces.take_due(second) == []
    (trace,) = traces.take_due(tree.MAX_AGE_S)
    assert len(trace.rows) == 10


def test_memory_is_bounded_by_drawing_early(monkeypatch):
    monkeypatch.setattr(tree, "MAX_SPANS", 10)
    monkeypatch.setattr(tree, "MAX_TRACE_SPANS", 4)
    traces = Traces()
    for number in range(4):
        traces.add(span(number + 1, 99, 0, 1), now_s=0)
    (trace,) = traces.take_due(0)
    assert len(trace.rows) == 4
    for number in range(12):
        traces.add(span(number, 999, 0, 1, trace_id=bytes([number]) * 16), now_s=0)
    early = traces.take_due(0)
    assert [trace.trace_id[0] for trace in early] == [0, 1]
    assert traces.spans == 10


@given(st.lists(st.tuples(st.integers(0, 9), st.none() | st.integers(0, 9)), max_size=30))
def test_every_span_is_drawn_once_whatever_the_parents(edges):
    spans = [span(number, parent, 0, 1) for number, parent in edges]
    lines = lines_of(spans)
    assert len(lines) == (len(spans) + 1 if spans else 0)


def test_a_long_chain_is_drawn_without_recursion_or_endless_indent():
    lines = lines_of([span(1, None, 0, 1), *(span(n, n - 1, 0, 1) for n in range(2, 2000))])
    assert len(lines) == 2000
    assert max(map(len, lines)) < 3 * tree.MAX_DEPTH + 60


@pytest.mark.parametrize(
    ("span_ns", "text"),
    [
        (-5, "0 µs"),
        (850, "1 µs"),
        (853_000, "853 µs"),
        (12_345_678, "12.3 ms"),
        (3_210_000_000, "3.21 s"),
        (125_900_000_000, "2 min 05 s"),
    ],
)
def test_durations(span_ns, text):
    assert duration(span_ns) == text
