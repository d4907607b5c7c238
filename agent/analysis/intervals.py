"""Stretches of time, and what several of them cover together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from agent.spans.trace import ReadSpan


@dataclass(frozen=True, slots=True)
class Interval:
    """From `start_ns` to `end_ns`, which is never before it."""

    start_ns: int
    end_ns: int

    @property
    def length_ns(self) -> int:
        """Never negative."""
        return self.end_ns - self.start_ns

    def clipped(self, outer: Interval) -> Interval:
        """The part of it within `outer`; empty, at an edge of `outer`, where there is none."""
        start = min(max(self.start_ns, outer.start_ns), outer.end_ns)
        return Interval(start, max(start, min(self.end_ns, outer.end_ns)))


def interval(span: ReadSpan) -> Interval:
    """The span's, by its own clock."""
    return Interval(span.start_unix_ns, span.start_unix_ns + span.duration_ns)


def merged(intervals: Iterable[Interval]) -> list[Interval]:
    """What they cover together: disjoint, in order, none empty."""
    found: list[Interval] = []
    for one in sorted(intervals, key=lambda one: (one.start_ns, one.end_ns)):
        if not one.length_ns:
            continue
        if found and one.start_ns <= found[-1].end_ns:
            found[-1] = Interval(found[-1].start_ns, max(found[-1].end_ns, one.end_ns))
        else:
            found.append(one)
    return found


def covered_ns(intervals: Iterable[Interval]) -> int:
    """How long at least one of them lasts."""
    return sum(one.length_ns for one in merged(intervals))


def rounds(intervals: Iterable[Interval]) -> int:
    """The most of them that come strictly one after another: 1 if all overlap, 0 of none."""
    count, free_ns = 0, None
    for one in sorted(intervals, key=lambda one: (one.end_ns, one.start_ns)):
        if free_ns is None or one.start_ns >= free_ns:
            count, free_ns = count + 1, max(one.end_ns, one.start_ns + 1)
    return count


def peak(intervals: Iterable[Interval]) -> int:
    """The most of them that last at the same time."""
    edges: list[tuple[int, int]] = []
    for one in intervals:
        edges += ((one.start_ns, 1), (one.end_ns, -1))
    highest = now = 0
    for _, step in sorted(edges):  # an end goes before a start at the same time
        now += step
        highest = max(highest, now)
    return highest
