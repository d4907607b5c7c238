"""Waiting for a free connection."""

from __future__ import annotations

import heapq

import pytest

from agent.analysis.finding import Level
from agent.analysis.pool_wait import pool_wait
from agent.analysis.thresholds import Thresholds
from tests.analysis.story import MS, Story, found_in

QUERY = "SELECT a FROM b"


def told(count: int, wait_s: float) -> list[Story]:
    stories = []
    for number in range(1, count + 1):
        story = Story(number)
        attributes = {"zerospan.connection.wait_time": wait_s * number}
        story.sql(50, 60, story.server(0, 100), QUERY, attributes=attributes)
        stories.append(story)
    return stories


def test_waits_that_spans_tell_of() -> None:
    (finding,) = found_in(pool_wait, told(5, 0.02))
    assert finding.title == (
        "shop waited for a free connection to postgresql db:5432 in 5 calls, usually 60 ms, at worst 100 ms: "
        "the pool is too small or connections are held too long"
    )
    assert (finding.saving_ns, finding.confidence.level) == (60 * MS, Level.HIGH)
    assert [one.trace_id for one in finding.evidence] == [f"{n:032x}" for n in (5, 4, 3, 2, 1)]


def test_few_and_short_waits_are_fine() -> None:
    assert found_in(pool_wait, told(4, 0.02)) == []
    assert found_in(pool_wait, told(9, 0.001)) == []
    assert len(found_in(pool_wait, told(4, 0.02), Thresholds(pool_waits=4))) == 1


def pool(size: int, *, requests: int = 40, every_ms: float = 10, takes_ms: float = 50) -> list[Story]:  # fmt: skip
    """Requests at a steady pace, each with one query on the connection that is free first."""
    free = [(0.0, connection) for connection in range(size)]
    stories = []
    for number in range(1, requests + 1):
        arrived = number * every_ms
        free_ms, connection = heapq.heappop(free)
        begin = max(arrived + 1, free_ms + 0.2)
        heapq.heappush(free, (begin + takes_ms, connection))
        story = Story(number)
        root = story.server(arrived, begin + takes_ms + 1)
        attributes = {"zerospan.connection.id": connection}
        story.sql(begin, begin + takes_ms, root, QUERY, attributes=attributes)
        stories.append(story)
    return stories


def test_a_pool_that_is_too_small_is_inferred() -> None:
    (finding,) = found_in(pool_wait, pool(2))
    assert finding.confidence.level is Level.LOW
    assert finding.details["is_inferred"] is True
    # The last two of 40 requests, 10 ms apart, wait for 19 queries of 50 ms before them on their connection.
    waited_ms = 19 * 50 + 18 * 0.2 + 10 + 1 - 390
    assert finding.details["worst_ns"] == pytest.approx(waited_ms * MS, abs=2 * MS)


def test_a_pool_that_is_large_enough_is_fine() -> None:
    assert found_in(pool_wait, pool(6)) == []


def test_work_before_the_call_is_no_wait() -> None:
    stories = []
    for number in range(1, 30):
        story = Story(number, at_ms=100 * number)
        attributes = {"zerospan.connection.id": number % 2}
        story.sql(40, 60, story.server(0, 70), QUERY, attributes=attributes)
        stories.append(story)
    assert found_in(pool_wait, stories) == []


def test_a_call_right_after_the_owners_own_is_no_wait() -> None:
    story = Story()
    root = story.server(0, 2000)
    for number in range(30):
        attributes = {"zerospan.connection.id": 1}
        story.sql(50 * number, 50 * number + 49, root, QUERY, attributes=attributes)
    assert found_in(pool_wait, [story]) == []
