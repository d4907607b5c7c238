"""Cache misses and what lies behind them."""

from __future__ import annotations

from agent.analysis.cache_miss import cache_miss
from agent.analysis.finding import Level, Severity
from agent.analysis.thresholds import Thresholds
from tests.analysis.story import MS, Story, found_in, ids


def lookup(number: int, *, is_hit: bool | None, database_ms: float = 20, rows: int | None = None) -> Story:  # fmt: skip
    story = Story(number)
    root = story.server(0, 300)
    attributes = {} if rows is None else {"db.response.returned_rows": rows}
    story.redis(0, 5, root, f"GET product:{number}", hit=is_hit, attributes=attributes)
    if not is_hit:
        story.sql(6, 6 + database_ms, root, "SELECT * FROM products WHERE id = ?")
    return story


def test_a_pattern_that_misses_mostly_is_told_with_its_ratio_and_cost() -> None:
    stories = [lookup(number, is_hit=number <= 2) for number in range(1, 41)]
    (finding,) = found_in(cache_miss, stories)
    assert finding.title == (
        "shop: `GET product:?` hit the cache 2 of 40 times (5 %), and behind a miss lie 20 ms in postgresql db:5432"
    )
    assert (finding.severity, finding.confidence.level) == (Severity.WARNING, Level.MEDIUM)
    assert finding.saving_ns == 20 * MS
    assert finding.span_ids == ids(*stories[2].spans[1:])
    assert finding.details["hit_ratio"] == 0.05
    assert finding.details["misses_with_database"] == 38
    assert finding.details["statements"] == ["SELECT * FROM products WHERE id = ?"]


def test_many_look_ups_are_certain() -> None:
    stories = [lookup(number, is_hit=False) for number in range(1, 101)]
    assert [one.confidence.level for one in found_in(cache_miss, stories)] == [Level.HIGH]


def test_a_cache_that_mostly_hits_and_one_that_was_hardly_asked_are_fine() -> None:
    good = [lookup(number, is_hit=number % 2 == 0) for number in range(1, 41)]
    few = [lookup(number, is_hit=False) for number in range(1, 20)]
    assert found_in(cache_miss, good) == found_in(cache_miss, few) == []
    assert len(found_in(cache_miss, good, Thresholds(cache_hit_ratio=0.6))) == 1


def test_a_single_dear_miss_is_for_information() -> None:
    (finding,) = found_in(cache_miss, [lookup(1, is_hit=False, database_ms=190)])
    assert finding.title == (
        "shop: `GET product:?` hit the cache 0 of 1 times (0 %), and behind a miss lie 190 ms in postgresql db:5432"
    )
    assert (finding.severity, finding.confidence.level) == (Severity.INFO, Level.LOW)


def test_returned_rows_say_it_where_nothing_else_does() -> None:
    missed = [lookup(number, is_hit=None, rows=0) for number in range(1, 31)]
    found = [lookup(number, is_hit=None, rows=1) for number in range(1, 31)]
    unknown = [lookup(number, is_hit=None) for number in range(1, 31)]
    assert [one.details["hits"] for one in found_in(cache_miss, missed)] == [0]
    assert found_in(cache_miss, found) == found_in(cache_miss, unknown) == []


def test_only_what_follows_the_miss_lies_behind_it() -> None:
    story = Story()
    root = story.server(0, 900)
    story.sql(0, 200, root, "SELECT a FROM b")
    story.redis(210, 215, root, "GET x:1", hit=False)
    story.redis(216, 220, root, "GET y:1", hit=True)
    story.sql(230, 430, root, "SELECT c FROM d")
    story.redis(500, 505, root, "GET z:1", hit=False)
    story.redis(506, 509, root, "SET z:1 ?", hit=False)
    story.redis(510, 519, root, "GET w:1", hit=False, error="timeout")
    behind = story.sql(520, 720, root, "SELECT e FROM f")
    (finding,) = found_in(cache_miss, [story])
    assert finding.details["key_pattern"] == "GET z:?"
    assert finding.span_ids == ids(story.spans[5], behind)
