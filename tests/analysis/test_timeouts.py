"""Calls that nobody answered in time."""

from __future__ import annotations

import pytest

from agent.analysis.finding import Level, Severity
from agent.analysis.timeouts import timeouts
from tests.analysis.story import MS, Story, found, ids

URL = "GET http://payment/pay"


def test_who_waited_for_whom_and_what_it_did_to_the_request() -> None:
    story = Story()
    root = story.server(0, 9100, error="500")
    call = story.http(50, 9050, root, URL, name="GET /pay", error="timeout")
    story.server(51, 30_000, call, service="payment")
    (finding,) = found(timeouts, story)
    assert finding.title == (
        "`GET /pay` of shop waited 9 s for payment:80 and gave up (timeout); the other side worked on for 20.9 s"
    )
    assert finding.span_ids == ids(call, root)
    assert (finding.severity, finding.confidence.level) == (Severity.CRITICAL, Level.HIGH)
    assert finding.details["overtime_ns"] == 20_950 * MS


@pytest.mark.parametrize(
    "error",
    ["timeout", "java.net.SocketTimeoutException", "context deadline exceeded", "504", "57014"],
)
def test_words_and_codes_that_say_so(error: str) -> None:
    story = Story()
    story.http(0, 100, story.server(0, 110), URL, error=error)
    assert [one.severity for one in found(timeouts, story)] == [Severity.WARNING]


@pytest.mark.parametrize("error", ["500", "connection_refused", None])
def test_other_errors_are_none(error: str | None) -> None:
    story = Story()
    story.http(0, 5000, story.server(0, 5000), URL, error=error)
    assert found(timeouts, story) == []


def broken_off(after_ms: float) -> Story:
    story = Story()
    story.http(0, after_ms, story.server(0, after_ms + 5), URL, error="connection_closed")
    return story


def test_a_call_that_was_broken_off_after_a_long_wait_was_given_up() -> None:
    (finding,) = found(timeouts, broken_off(3000))
    assert finding.confidence.level is Level.MEDIUM
    assert found(timeouts, broken_off(999)) == []


def test_only_the_lowest_is_told() -> None:
    story = Story()
    root = story.server(0, 5000, error="504")
    outer = story.http(0, 5000, root, URL, error="504")
    served = story.server(1, 4990, outer, service="payment", error="504")
    lowest = story.http(5, 4985, served, "GET http://gateway/", error="timeout")
    (finding,) = found(timeouts, story)
    assert finding.span_ids == ids(lowest, served, outer, root)


def test_a_request_that_ran_into_its_own_limit() -> None:
    story = Story()
    story.server(0, 5000, error="timeout")
    (finding,) = found(timeouts, story)
    assert (
        finding.title == "`GET /orders` of shop ran into a timeout after 5 s and gave up (timeout)"
    )


def test_look_ups_are_left_to_dns() -> None:
    story = Story()
    story.dns(0, 5000, story.server(0, 5000), "gateway", "timeout")
    assert found(timeouts, story) == []
