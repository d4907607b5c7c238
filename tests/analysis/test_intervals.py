"""Stretches of time, and what several of them cover together."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from agent.analysis.intervals import Interval, covered_ns, interval, merged, peak, rounds
from tests.analysis.forest import make

INTERVALS = st.lists(
    st.tuples(st.integers(0, 30), st.integers(0, 30)).map(
        lambda pair: Interval(min(pair), max(pair))
    ),
    max_size=8,
)


def test_a_span_that_ends_before_it_starts_is_empty() -> None:
    assert interval(make(1, None, 7, 3)) == Interval(7, 7)


def test_clipping_keeps_what_lies_within() -> None:
    outer = Interval(10, 20)
    assert Interval(5, 12).clipped(outer) == Interval(10, 12)
    assert Interval(12, 25).clipped(outer) == Interval(12, 20)
    assert Interval(1, 5).clipped(outer) == Interval(10, 10)
    assert Interval(30, 50).clipped(outer) == Interval(20, 20)


def test_what_touches_is_merged() -> None:
    assert merged([Interval(5, 7), Interval(1, 3), Interval(3, 4), Interval(6, 9)]) == [
        Interval(1, 4),
        Interval(5, 9),
    ]


def test_rounds_counts_what_comes_one_after_another() -> None:
    assert rounds([Interval(0, 1), Interval(1, 2), Interval(2, 3)]) == 3
    assert rounds([Interval(0, 3), Interval(0, 3), Interval(1, 4)]) == 1
    assert rounds([]) == 0
    # Four workers share eight calls.
    assert rounds([Interval(at, at + 1) for at in (0, 1) for _ in range(4)]) == 2


def test_peak_does_not_count_what_only_touches() -> None:
    assert peak([Interval(0, 2), Interval(2, 4)]) == 1
    assert peak([Interval(0, 3), Interval(2, 4), Interval(1, 2)]) == 2


@given(INTERVALS)
def test_they_agree_with_counting_each_moment(intervals: list[Interval]) -> None:
    moments = [
        sum(one.start_ns <= moment < one.end_ns for one in intervals) for moment in range(31)
    ]
    assert covered_ns(intervals) == sum(count > 0 for count in moments)
    assert peak([one for one in intervals if one.length_ns]) == max(moments)
    parts = merged(intervals)
    assert all(one.end_ns < other.start_ns for one, other in pairwise(parts))


@given(INTERVALS)
def test_there_are_no_more_rounds_than_intervals(intervals: list[Interval]) -> None:
    lasting = [one for one in intervals if one.length_ns]
    assert bool(lasting) <= rounds(lasting) <= len(lasting)
    assert sum(one.length_ns for one in lasting) >= covered_ns(lasting)
