"""Clocks of several hosts brought together, and self times."""

from __future__ import annotations

import pytest
from hypothesis import given

from agent.analysis.intervals import Interval, covered_ns
from agent.analysis.timeline import self_times, timeline
from agent.spans.span import SpanKind
from agent.spans.trace import Trace
from tests.analysis.forest import any_trace, nested_trace
from tests.analysis.story import EPOCH, MS, Story


def in_ms(interval: Interval) -> tuple[float, float]:
    return ((interval.start_ns - EPOCH) / MS, (interval.end_ns - EPOCH) / MS)


def call(skew_ms: float, took_ms: float = 60, *, host: str = "b") -> tuple[float, float]:
    """Where the server's side of a call from 100 to 200 is put; by its host's clock it begins at 100 + skew."""
    story = Story()
    client = story.http(100, 200, None, "GET http://b/")
    server = story.server(
        100 + skew_ms, 100 + skew_ms + took_ms, client, host=host, service="other"
    )
    return in_ms(timeline(story.trace)[server.span_id])


@pytest.mark.parametrize("skew_ms", [-5000, -1, 41, 3600_000])
def test_another_clock_is_set_so_that_the_network_takes_the_same_time_both_ways(
    skew_ms: float,
) -> None:
    assert call(skew_ms) == (120, 180)


def test_a_clock_that_can_be_right_is_left_alone() -> None:
    assert call(40) == (140, 200)


def test_the_same_host_has_one_clock() -> None:
    assert call(41, host="a") == (141, 201)


def test_a_server_that_worked_on_after_the_caller_gave_up_keeps_its_place() -> None:
    assert call(10, 5000) == (110, 5110)


def test_a_server_that_worked_on_and_has_another_clock_begins_with_the_call() -> None:
    assert call(-4000, 5000) == (100, 5100)


def test_what_is_below_a_shifted_span_is_shifted_with_it() -> None:
    story = Story()
    client = story.http(100, 200, None, "GET http://b/")
    server = story.server(5000, 5060, client, host="b", service="other")
    query = story.sql(5010, 5020, server, "SELECT 1", host="b")
    third = story.server(-1000, -995, query, host="c", service="db")
    times = timeline(story.trace)
    assert in_ms(times[query.span_id]) == (130, 140)
    assert in_ms(times[third.span_id]) == (132.5, 137.5)


def test_a_message_is_not_consumed_before_it_was_sent() -> None:
    story = Story()
    sent = story.span(100, 110, kind=SpanKind.PRODUCER)
    early = story.span(50, 90, sent, kind=SpanKind.CONSUMER, host="b", service="mail")
    late = story.span(5000, 5050, sent, kind=SpanKind.CONSUMER, host="b", service="mail")
    times = timeline(story.trace)
    assert in_ms(times[early.span_id]) == (100, 140)
    assert in_ms(times[late.span_id]) == (5000, 5050)


def test_without_hosts_another_service_has_another_clock() -> None:
    story = Story()
    client = story.http(100, 200, None, "GET http://b/", resource={"host.name": "a"})
    server = story.server(500, 560, client, service="other")
    for span in (client, server):
        del span.resource["host.name"]  # type: ignore[attr-defined]
    assert in_ms(timeline(story.trace)[server.span_id]) == (120, 180)


def test_self_time_is_what_no_child_covers() -> None:
    story = Story()
    root = story.server(0, 100)
    one = story.span(10, 40, root)
    two = story.span(30, 60, root)
    late = story.span(90, 150, root)
    assert self_times(story.trace) == {
        root.span_id: 40 * MS,
        one.span_id: 30 * MS,
        two.span_id: 30 * MS,
        late.span_id: 60 * MS,
    }


@given(nested_trace())
def test_self_times_of_spans_that_take_turns_add_up_to_the_roots_duration(trace: Trace) -> None:
    assert sum(self_times(trace).values()) == trace.root.duration_ns


@given(any_trace())
def test_self_times_add_up_to_at_least_what_is_covered(trace: Trace) -> None:
    times, own = timeline(trace), self_times(trace)
    assert times.keys() == own.keys() == trace.by_id.keys()
    assert all(0 <= own[span.span_id] <= span.duration_ns for span in trace.spans)
    assert all(times[span.span_id].length_ns == span.duration_ns for span in trace.spans)
    assert sum(own.values()) >= covered_ns(times.values())
