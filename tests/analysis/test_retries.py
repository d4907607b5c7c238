"""How often, with what pauses, at what cost."""

from __future__ import annotations

from agent.analysis.finding import Level, Severity
from agent.analysis.retries import retries
from tests.analysis.story import MS, Story, found, ids

URL = "GET http://gateway/charge"


def test_attempts_pauses_and_cost_are_told() -> None:
    story = Story(service="payment")
    root = story.server(0, 28_000, name="POST /pay")
    calls = [
        story.http(at, at + 9000, root, URL, error="timeout") for at in (0, 9100, 18_300)
    ]  # fmt: skip
    (finding,) = found(retries, story)
    assert finding.title == (
        "`POST /pay` of payment tried `GET /charge` at gateway:80 3 times with pauses of 100 ms to 200 ms, "
        "in vain (timeout): 27.3 s of 28 s lost"
    )
    assert finding.span_ids == ids(*calls)
    assert (finding.severity, finding.confidence.level) == (Severity.WARNING, Level.HIGH)
    assert finding.saving_ns == finding.details["cost_ns"] == 27_300 * MS
    assert finding.details["pauses_ns"] == [100 * MS, 200 * MS]


def test_one_quick_retry_that_succeeded_is_for_information() -> None:
    story = Story()
    root = story.server(0, 100)
    story.http(0, 10, root, URL, error="503")
    story.http(11, 20, root, URL)
    (finding,) = found(retries, story)
    assert (
        "2 times without a pause, until it succeeded (503): 11 ms of 100 ms lost" in finding.title
    )
    assert finding.severity is Severity.INFO


def test_without_values_it_is_less_certain() -> None:
    story = Story()
    root = story.server(0, 100)
    attributes = {"db.query.text": "", "db.query.summary": "UPDATE t"}
    story.sql(0, 10, root, "UPDATE", attributes=attributes, error="40001")
    story.sql(11, 20, root, "UPDATE", attributes=attributes)
    assert [one.confidence.level for one in found(retries, story)] == [Level.MEDIUM]


def counted(count: int | str) -> Story:
    story = Story()
    root = story.server(0, 100)
    story.http(0, 10, root, URL, attributes={"http.request.resend_count": count})
    return story


def test_a_count_by_an_sdk_is_believed_with_caution() -> None:
    (finding,) = found(retries, counted(3))
    assert finding.title == "`GET /orders` of shop sent `GET /charge` at gateway:80 4 times"
    assert (finding.confidence.level, finding.saving_ns) == (Level.LOW, None)
    assert found(retries, counted(1)) == found(retries, counted("3")) == []


def test_a_count_is_not_told_twice() -> None:
    story = Story()
    root = story.server(0, 100)
    for number in range(4):
        attributes = {"http.request.resend_count": number}
        error = None if number == 3 else "503"
        story.http(10 * number, 10 * number + 9, root, URL, error=error, attributes=attributes)
    assert len(found(retries, story)) == 1


def test_a_call_without_an_owner_can_have_a_count() -> None:
    story = Story()
    story.http(0, 10, None, URL, attributes={"http.request.resend_count": 2})
    assert [one.title for one in found(retries, story)] == [
        "`GET` of shop sent `GET /charge` at gateway:80 3 times"
    ]
