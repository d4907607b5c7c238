"""Before and after a change."""

from __future__ import annotations

import random

from agent.analysis.comparison import compare, release_change, split
from agent.analysis.finding import Level, Severity
from agent.analysis.thresholds import Thresholds
from agent.spans.trace import Trace
from tests.analysis.story import EPOCH, MS, Story, found_in


def day(  # a set of requests to one route
    count: int,
    *,
    seed: int,
    query_ms: float = 20,
    failing: float = 0,
    hanging: float = 0,
    version: str | None = None,
    at_ms: float = 0,
) -> list[Story]:
    chance = random.Random(seed)
    stories = []
    for number in range(count):
        story = Story(number + 1000 * seed, at_ms=at_ms + number * 1000)
        work = chance.lognormvariate(0, 0.3) * 30
        query = chance.lognormvariate(0, 0.3) * query_ms + (chance.random() < hanging) * 5000
        story_error = "500" if chance.random() < failing else None
        resource = {} if version is None else {"service.version": version}
        root = story.server(0, work + query, error=story_error, resource=resource)
        story.sql(5, 5 + query, root, "SELECT a", name="SELECT a")
        stories.append(story)
    return stories


def traces(stories: list[Story]) -> list[Trace]:
    return [story.trace for story in stories]


def change(thresholds: Thresholds | None = None, **after):
    return compare(traces(day(200, seed=1)), traces(day(200, seed=2, **after)), thresholds)


def test_a_route_that_got_slower_is_told_with_where() -> None:
    (finding,) = change(query_ms=60)
    assert finding.title.startswith("`GET /orders` of shop got slower: median ")
    assert ", mostly in `SELECT a` of shop (+" in finding.title
    assert finding.title.endswith("(before: 200 requests, after: 200)")
    assert (finding.severity, finding.confidence.level) == (Severity.WARNING, Level.HIGH)
    assert finding.saving_ns is not None
    assert 30 * MS < finding.saving_ns < 50 * MS
    assert finding.details["cause"] == "`SELECT a` of shop"
    assert finding.details["superiority"] > 0.9
    assert finding.kind == "change"
    # The slowest first.
    assert len(finding.evidence) == 20


def test_a_route_that_got_faster_is_for_information() -> None:
    (finding,) = compare(
        traces(day(100, seed=1, query_ms=60)), traces(day(100, seed=2)), Thresholds()
    )
    assert "got faster: median" in finding.title
    assert (finding.severity, finding.saving_ns) == (Severity.INFO, None)


def test_a_tail_that_got_worse_is_told_where_the_median_stays() -> None:
    (finding,) = change(hanging=0.08)
    assert "got slower: 99th percentile" in finding.title
    assert finding.details["aspect"] == "tail"


def test_failures_are_told_and_shown_first() -> None:
    (finding,) = change(failing=0.1)
    assert "fails more often: 0 % of requests, now" in finding.title
    assert finding.severity is Severity.CRITICAL
    (finding,) = compare(traces(day(200, seed=1, failing=0.2)), traces(day(200, seed=2)))
    assert "fails less often" in finding.title
    assert finding.severity is Severity.INFO


def test_nothing_changed() -> None:
    assert change() == []


def test_what_is_sure_but_small_does_not_matter() -> None:
    assert change(query_ms=60, thresholds=Thresholds(change_ratio=3)) == []
    assert change(query_ms=60, thresholds=Thresholds(change_min_ns=100 * MS)) == []
    assert change(failing=0.1, thresholds=Thresholds(change_failures=0.5)) == []


def test_few_requests_say_nothing() -> None:
    assert compare(traces(day(19, seed=1)), traces(day(200, seed=2, query_ms=200))) == []
    assert compare([], traces(day(50, seed=2))) == []


def test_of_many_routes_that_are_the_same_none_is_told() -> None:
    chance = random.Random(7)

    def requests(seed: int) -> list[Trace]:
        story = Story(seed)
        for number in range(60 * 50):
            story.server(
                0, 40 * chance.lognormvariate(0, 0.5), name=f"GET /{number % 60}", error=None
            )
        return [story.trace]

    assert compare(requests(1), requests(2)) == []


def test_split_is_by_the_start() -> None:
    stories = day(10, seed=1)
    before, after = split(traces(stories), EPOCH + 4000 * MS)
    assert [len(before), len(after)] == [4, 6]


def test_releases_are_compared_in_the_order_of_their_coming() -> None:
    first = day(100, seed=1, version="1.9", at_ms=0)
    second = day(100, seed=2, version="1.10", at_ms=200_000, query_ms=60)
    third = day(100, seed=3, version="1.11", at_ms=400_000, query_ms=60)
    (finding,) = found_in(release_change, [*third, *second, *first])
    assert finding.title.endswith("(1.9: 100 requests, 1.10: 100)")
    assert finding.kind == "release_change"
    assert found_in(release_change, first) == found_in(release_change, day(50, seed=4)) == []
