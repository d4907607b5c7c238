"""Retries that multiply the load."""

from __future__ import annotations

from agent.analysis.finding import Severity
from agent.analysis.retry_storm import retry_storm
from agent.analysis.thresholds import Thresholds
from tests.analysis.story import MS, Story, found_in

URL = "GET http://gateway/charge"


def request(number: int, tries: int) -> Story:
    story = Story(number)
    root = story.server(0, 1000)
    for attempt in range(tries):
        error = "503" if attempt < tries - 1 else None
        story.http(20 * attempt, 20 * attempt + 10, root, URL, error=error)
    return story


def test_many_calls_for_few_wanted_are_a_storm() -> None:
    stories = [request(number, 3) for number in range(1, 11)]
    (finding,) = found_in(retry_storm, stories)
    assert finding.title == (
        "shop calls `GET /charge` at gateway:80 3.0 times as often as it needs to: "
        "20 of 30 calls are retries, 20 failed"
    )
    assert finding.severity is Severity.CRITICAL
    assert [one.trace_id for one in finding.evidence] == [one.trace.trace_id for one in stories]
    assert finding.details["ratio"] == 3.0


def test_few_calls_and_few_retries_are_none() -> None:
    assert found_in(retry_storm, [request(number, 3) for number in range(1, 7)]) == []
    mixed = [request(number, 2 if number % 4 == 0 else 1) for number in range(1, 41)]
    assert found_in(retry_storm, mixed) == []
    assert len(found_in(retry_storm, mixed, Thresholds(retry_storm_ratio=1.2))) == 1


def layers(inner: int, outer: int) -> Story:
    story = Story(service="front")
    root = story.server(0, 10_000, name="GET /page")
    for number in range(outer):
        at = 1000 * number
        call = story.http(at, at + 900, root, "GET http://middle/x", error="502")
        served = story.server(at + 1, at + 890, call, service="middle", name="GET /x", error="502")
        for attempt in range(inner):
            begin = at + 10 + 200 * attempt
            story.http(begin, begin + 100, served, URL, error="503")
    return story


def test_layers_that_retry_multiply() -> None:
    (finding,) = found_in(retry_storm, [layers(3, 3)])
    assert finding.title == (
        "retries multiply: `GET /page` of front tries `GET /x` 3 times, each of which tries "
        "`GET /charge` at gateway:80 again: 9 calls"
    )
    assert len(finding.span_ids) == 9
    assert finding.saving_ns == 2 * 500 * MS


def test_one_layer_does_not_multiply() -> None:
    assert found_in(retry_storm, [layers(3, 1)]) == []
    assert found_in(retry_storm, [layers(1, 3)]) == []


def test_a_call_that_is_retried_once_in_all_attempts_does_not_multiply() -> None:
    story = layers(1, 3)
    served = story.spans[2]
    story.http(300, 400, served, URL, error="503")
    assert found_in(retry_storm, [story]) == []


def test_evidence_of_a_long_storm_is_bounded() -> None:
    (finding,) = found_in(retry_storm, [request(number, 2) for number in range(1, 31)])
    assert len(finding.evidence) == 20
    assert finding.details["retries"] == 30
