"""Calls one after another that could run at the same time, and those that only look like it."""

from __future__ import annotations

import pytest

from agent.analysis.finding import Level
from agent.analysis.sequential import sequential
from agent.analysis.thresholds import Thresholds
from agent.spans.trace import ReadSpan
from tests.analysis.story import MS, Story, found, ids

URLS = ("GET http://stock/a", "GET http://prices/b", "GET http://reviews/c")


def page(urls: tuple[str, ...] = URLS, *, gap_ms: float = 1, path: str = "/page") -> Story:
    story = Story()
    root = story.server(0, 100 * len(urls), attributes={"url.path": path})
    for number, url in enumerate(urls):
        story.http(100 * number, 100 * number + 100 - gap_ms, root, url)
    return story


def test_calls_to_different_targets_are_found_with_what_they_would_save() -> None:
    story = page()
    (finding,) = found(sequential, story)
    assert finding.title == (
        "`GET /orders` of shop makes 3 calls one after another that look independent (`GET /a` at stock:80, "
        "`GET /b` at prices:80, `GET /c` at reviews:80): at the same time they would take 99 ms instead of 299 ms"
    )
    assert (finding.saving_ns, finding.span_ids) == (200 * MS, ids(*story.spans))
    assert finding.confidence.level is Level.MEDIUM


def test_values_that_the_request_did_not_have_make_it_doubtful() -> None:
    urls = tuple(f"GET http://stock/items/{number}" for number in (17, 18, 19))
    assert [one.confidence.level for one in found(sequential, page(urls))] == [Level.LOW]
    known = page(urls, path="/compare/17/18/19")
    assert [one.confidence.level for one in found(sequential, known)] == [Level.MEDIUM]


@pytest.mark.parametrize(
    "urls",
    [
        URLS[:2],
        ("POST http://stock/a", "POST http://prices/b", "POST http://reviews/c"),
        ("GET http://stock/a", "POST http://prices/b", "GET http://reviews/c"),
        ("GET http://stock/login", "GET http://stock/items", "GET http://stock/total"),
        ("GET http://stock/items/1", "GET http://stock/items/1", "GET http://stock/items/1"),
    ],
    ids=["only two", "writes", "a write between", "steps of one service", "polling"],
)
def test_no_claim_where_they_may_depend_on_each_other(urls: tuple[str, ...]) -> None:
    assert found(sequential, page(urls)) == []


def test_no_claim_where_the_answer_was_worked_with() -> None:
    assert found(sequential, page(gap_ms=6)) == []
    assert len(found(sequential, page(gap_ms=6), Thresholds(sequential_max_gap_ns=6 * MS))) == 1


def test_no_claim_where_little_would_be_saved() -> None:
    quick = Story()
    root = quick.server(0, 1000)
    for number, url in enumerate(URLS):
        quick.http(10 * number, 10 * number + 9, root, url)
    assert found(sequential, quick) == []
    assert found(sequential, page(), Thresholds(sequential_min_saving_ns=201 * MS)) == []


def statements(story: Story, root: ReadSpan) -> None:
    for number in range(3):
        story.sql(100 * number, 100 * number + 99, root, f"SELECT {'abc'[number]} FROM t")


def lookups(story: Story, root: ReadSpan) -> None:
    for number in range(3):
        story.redis(100 * number, 100 * number + 99, root, f"GET {'abc'[number]}")


@pytest.mark.parametrize("calls", [statements, lookups])
def test_statements_to_one_database_and_cache_lookups_do_not_count(calls) -> None:
    story = Story()
    calls(story, story.server(0, 300))
    assert found(sequential, story) == []


def test_calls_at_the_same_time_are_no_run() -> None:
    story = Story()
    root = story.server(0, 300)
    for number, url in enumerate(URLS):
        story.http(number, 200 + number, root, url)
    assert found(sequential, story) == []


def test_a_failed_call_ends_a_run() -> None:
    story = Story()
    root = story.server(0, 500)
    for number, url in enumerate((*URLS[:2], "GET http://broken/", *URLS[1:])):
        error = "503" if "broken" in url else None
        story.http(100 * number, 100 * number + 99, root, url, error=error)
    assert found(sequential, story) == []


def test_looking_up_names_in_between_is_no_pause() -> None:
    story = Story()
    root = story.server(0, 400)
    for number, url in enumerate(URLS):
        story.dns(100 * number, 100 * number + 30, root, f"name{number}")
        story.http(100 * number + 31, 100 * number + 99, root, url)
    (finding,) = found(sequential, story)
    assert finding.details["count"] == 3


def test_what_is_n_plus_one_is_not_told_twice() -> None:
    urls = tuple(f"GET http://stock/items/{number}" for number in range(6))
    assert found(sequential, page(urls)) == []


def test_a_long_run_names_only_some_calls() -> None:
    urls = tuple(f"GET http://host{number}/" for number in range(9))
    (finding,) = found(sequential, page(urls))
    assert "4 more)" in finding.title
    assert finding.details["count"] == 9


def test_calls_to_nobody_knows_whom_are_no_run() -> None:
    story = Story()
    root = story.server(0, 300)
    for number, url in enumerate(URLS):
        more = {"server.address": ""}
        story.http(100 * number, 100 * number + 99, root, url, attributes=more)
    assert found(sequential, story) == []
