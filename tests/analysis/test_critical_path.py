"""What a request was waiting for at each moment."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given

from agent.analysis.critical_path import critical_path, dominant
from agent.analysis.finding import Level
from agent.analysis.timeline import self_times
from agent.spans.span import SpanKind
from agent.spans.trace import ReadSpan, Trace
from tests.analysis.forest import any_trace, make, nested_trace
from tests.analysis.story import EPOCH, MS, Story, found, ids


def path(story: Story) -> list[tuple[str, float, float]]:
    return [
        (
            segment.span.name,
            (segment.start_unix_ns - EPOCH) / MS,
            (segment.end_unix_ns - EPOCH) / MS,
        )
        for segment in critical_path(story.trace)
    ]


def test_children_one_after_another_are_all_on_the_path() -> None:
    story = Story()
    root = story.server(0, 100, name="root")
    story.span(10, 40, root, name="one")
    two = story.span(50, 90, root, name="two")
    story.span(60, 80, two, name="below")
    assert path(story) == [
        ("root", 0, 10),
        ("one", 10, 40),
        ("root", 40, 50),
        ("two", 50, 60),
        ("below", 60, 80),
        ("two", 80, 90),
        ("root", 90, 100),
    ]


def test_of_children_at_the_same_time_the_last_to_end_is_on_the_path() -> None:
    story = Story()
    root = story.server(0, 100, name="root")
    story.span(10, 50, root, name="short")
    story.span(10, 90, root, name="long")
    assert path(story) == [("root", 0, 10), ("long", 10, 90), ("root", 90, 100)]


def test_a_child_that_overlaps_the_next_counts_up_to_its_start() -> None:
    story = Story()
    root = story.server(0, 100, name="root")
    one = story.span(0, 60, root, name="one")
    story.span(50, 58, one, name="end of one")
    story.span(50, 100, root, name="two")
    assert path(story) == [("one", 0, 50), ("two", 50, 100)]


def test_work_left_for_later_is_not_on_the_path() -> None:
    story = Story()
    root = story.server(0, 100, name="root")
    story.span(10, 60, root, name="awaited")
    later = story.span(20, 500, root, name="later")
    story.span(30, 90, later, name="part of later")
    story.span(200, 300, root, name="after")
    assert path(story) == [("root", 0, 10), ("awaited", 10, 60), ("root", 60, 100)]


def test_a_small_overrun_is_none() -> None:
    story = Story()
    root = story.server(0, 100, name="root")
    story.span(10, 104, root, name="child")
    assert path(story) == [("root", 0, 10), ("child", 10, 100)]


def test_a_caller_that_gave_up_had_waited_for_the_server() -> None:
    story = Story()
    client = story.http(0, 100, None, "GET http://b/", name="call", error="timeout")
    story.server(1, 900, client, name="served", host="b", service="other")
    assert path(story) == [("call", 0, 1), ("served", 1, 100)]


def test_a_failed_span_had_waited_for_what_goes_on_after_it() -> None:
    story = Story()
    root = story.server(0, 100, name="root", error="connection_closed_by_peer")
    story.sql(5, 900, root, "SELECT ?", name="query")
    assert path(story) == [("root", 0, 5), ("query", 5, 100)]


def test_a_skewed_clock_does_not_take_a_server_off_the_path() -> None:
    story = Story()
    client = story.http(0, 100, None, "GET http://b/", name="call")
    story.server(9_000, 9_080, client, name="served", host="b", service="other")
    assert path(story) == [("call", 0, 10), ("served", 10, 90), ("call", 90, 100)]


def test_a_path_can_begin_at_any_span() -> None:
    story = Story()
    root = story.server(0, 100)
    inner = story.span(10, 50, root, name="inner")
    assert [segment.span for segment in critical_path(story.trace, inner)] == [inner]


def test_a_chain_as_deep_as_a_trace_can_be() -> None:
    trace = Trace(
        make(number, number - 1 or None, number, 100_000 - number) for number in range(1, 20_000)
    )
    assert sum(segment.duration_ns for segment in critical_path(trace)) == trace.root.duration_ns


@given(any_trace())
def test_the_path_covers_the_root_without_gap_or_overlap(trace: Trace) -> None:
    segments = critical_path(trace)
    root = trace.root
    assert sum(segment.duration_ns for segment in segments) == root.duration_ns
    assert all(segment.duration_ns > 0 for segment in segments)
    assert all(one.end_unix_ns == other.start_unix_ns for one, other in pairwise(segments))
    if segments:
        assert segments[0].start_unix_ns == root.start_unix_ns
        assert segments[-1].end_unix_ns == root.start_unix_ns + root.duration_ns
    spent: dict[ReadSpan, int] = {}
    for segment in segments:
        spent[segment.span] = spent.get(segment.span, 0) + segment.duration_ns
    assert all(time <= span.duration_ns for span, time in spent.items())


@given(nested_trace())
def test_where_spans_take_turns_the_path_is_all_self_times(trace: Trace) -> None:
    spent = dict.fromkeys(trace.by_id, 0)
    for segment in critical_path(trace):
        spent[segment.span.span_id] += segment.duration_ns
    assert spent == self_times(trace)


# The finding.


def test_the_operation_that_a_slow_request_waited_for_is_named() -> None:
    story = Story()
    root = story.server(0, 1245)
    query = story.sql(100, 1200, root, "SELECT a FROM b", name="SELECT b")
    (finding,) = found(dominant, story)
    assert (
        finding.title
        == "`GET /orders` of shop took 1.25 s, 1.1 s of it in `SELECT b` of shop at postgresql db:5432"
    )
    assert (finding.span_ids, finding.confidence.level) == (ids(query), Level.HIGH)
    assert finding.details["share"] == 0.8835


def test_attempts_count_together() -> None:
    story = Story()
    root = story.server(0, 3000)
    calls = [
        story.http(at, at + 900, root, "GET http://b/", name="GET /x") for at in (0, 1000, 2000)
    ]
    (finding,) = found(dominant, story)
    assert finding.title.endswith("2.7 s of it in `GET /x` of shop at b:80 in 3 calls")
    assert finding.span_ids == ids(*calls)


def test_a_quick_request_and_one_without_a_dominant_part_are_not_named() -> None:
    quick, even = Story(), Story()
    quick.sql(0, 990, quick.server(0, 999), "SELECT a")
    root = even.server(0, 2000)
    for at, name in ((0, "a"), (600, "b"), (1200, "c")):
        even.span(at, at + 600, root, name=name)
    assert found(dominant, quick) == found(dominant, even) == []


def test_a_request_of_which_nothing_is_seen_is_uncertain() -> None:
    alone, itself = Story(), Story()
    alone.server(0, 2000)
    itself.span(100, 200, itself.server(0, 2000), kind=SpanKind.CLIENT)
    (finding,) = found(dominant, alone)
    assert finding.title.endswith("took 2 s, and nothing that it called was seen")
    assert finding.confidence.level is Level.LOW
    (finding,) = found(dominant, itself)
    assert finding.title == "`GET /orders` of shop took 2 s, 1.9 s of it at work itself"
