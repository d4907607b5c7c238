"""Spans joined into a forest, whatever their parents say."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from agent.spans.span import SpanKind, Status
from agent.spans.trace import ReadSpan, Trace


def make(number: int, parent: int | None, start: int = 0, end: int | None = None) -> ReadSpan:
    return ReadSpan(
        trace_id="1" * 32,
        span_id=f"{number:016x}",
        parent_id=None if parent is None else f"{parent:016x}",
        name=f"span {number}",
        kind=SpanKind.SERVER,
        start_unix_ns=start,
        end_unix_ns=start + 10 if end is None else end,
        status=Status.UNSET,
    )


def test_children_come_in_order_of_their_start() -> None:
    trace = Trace([make(3, 1, 7), make(2, 1, 5), make(1, None, 1, 40)])
    assert [span.name for span in trace.children(trace.root)] == ["span 2", "span 3"]
    assert [(depth, span.name) for depth, span in trace.walk()] == [
        (0, "span 1"),
        (1, "span 2"),
        (1, "span 3"),
    ]
    assert trace.duration_ns == 39
    assert trace.parent(trace.by_id[f"{2:016x}"]) is trace.root
    assert trace.parent(trace.root) is None


def test_a_span_whose_parent_is_elsewhere_is_a_root() -> None:
    trace = Trace([make(1, None, 5), make(2, 99, 3)])
    assert [span.name for span in trace.roots] == ["span 2", "span 1"]


def test_a_second_span_with_the_same_id_does_not_count() -> None:
    trace = Trace([make(1, None, 5), make(1, 1, 3)])
    assert len(trace.spans) == 1
    assert trace.root.start_unix_ns == 5


def test_service_and_duration_have_their_defaults() -> None:
    span = make(1, None, 5, 2)
    assert (span.service, span.duration_ns) == ("unknown_service", 0)


@given(st.lists(st.tuples(st.integers(0, 9), st.none() | st.integers(0, 12)), min_size=1))
def test_every_span_is_reached_once_whatever_the_parents_say(
    links: list[tuple[int, int | None]],
) -> None:
    trace = Trace([make(number, parent, number) for number, parent in links])
    walked = [span.span_id for _, span in trace.walk()]
    assert sorted(walked) == sorted(trace.by_id)
    for _, span in trace.walk():
        parent = trace.parent(span)
        assert (parent is None) == (span in trace.roots)
        assert parent is None or span in trace.children(parent)
