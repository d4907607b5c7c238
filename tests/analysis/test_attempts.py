"""Which calls are attempts at the same thing."""

from __future__ import annotations

import pytest

from agent.analysis.attempts import Sequence, same, sequences
from agent.analysis.calls import call_of
from tests.analysis.story import MS, Story

URL = "GET http://gateway/charge/17"


def tries(*errors: str | None, pause_ms: float = 100, url: str = URL) -> list[Sequence]:
    story = Story()
    root = story.server(0, 10_000)
    for number, error in enumerate(errors):
        at = number * (900 + pause_ms)
        story.http(at, at + 900, root, url, error=error)
    return list(sequences(story.tree))


def test_failed_attempts_and_the_one_that_succeeded_are_one_sequence() -> None:
    (sequence,) = tries("503", "timeout", None)
    assert len(sequence.attempts) == 3
    assert sequence.has_succeeded
    assert sequence.failures == ["503", "timeout"]
    assert sequence.pauses_ns == [100 * MS, 100 * MS]
    assert sequence.cost_ns == 2000 * MS


def test_in_vain_all_of_it_is_lost() -> None:
    (sequence,) = tries("503", "503", "503")
    assert not sequence.has_succeeded
    assert sequence.cost_ns == 2900 * MS


@pytest.mark.parametrize(
    "errors",
    [(None, None), ("503",), (None, "503"), ("404", "404"), ("401", None)],
    ids=["fine", "once", "failed last", "not there", "logged in"],
)
def test_no_attempts(errors: tuple[str | None, ...]) -> None:
    assert tries(*errors) == []


@pytest.mark.parametrize("error", ["429", "408", "500", "connection_refused", "timeout"])
def test_failures_that_trying_again_may_mend(error: str) -> None:
    assert len(tries(error, None)) == 1


@pytest.mark.parametrize(
    ("error", "count"), [("ERR", 0), ("WRONGTYPE", 0), ("LOADING", 1), ("timeout", 1)]
)
def test_a_cache_that_refuses_is_not_asked_in_the_hope_of_another_answer(
    error: str, count: int
) -> None:
    story = Story()
    root = story.server(0, 100)
    for number in range(2):
        story.redis(10 * number, 10 * number + 9, root, "CLIENT SETINFO ?", error=error)
    assert len(list(sequences(story.tree))) == count


def test_after_success_a_new_sequence_begins() -> None:
    assert [len(one.attempts) for one in tries("503", None, "503", "503", None)] == [2, 3]


def test_another_item_is_no_attempt() -> None:
    story = Story()
    root = story.server(0, 100)
    for number in range(3):
        story.http(
            10 * number, 10 * number + 9, root, f"GET http://stock/items/{number}", error="503"
        )
    assert list(sequences(story.tree)) == []


@pytest.mark.parametrize(("error", "count"), [("40001", 1), ("23505", 0), ("timeout", 1)])
def test_statements_are_tried_again_after_a_deadlock_not_after_a_duplicate(
    error: str, count: int
) -> None:
    story = Story()
    root = story.server(0, 100)
    story.sql(0, 10, root, "UPDATE t SET a = ?", error=error)
    story.sql(20, 30, root, "UPDATE t SET a = ?")
    assert len(list(sequences(story.tree))) == count


def test_calls_at_the_same_time_are_one_attempt() -> None:
    story = Story()
    root = story.server(0, 20_000)
    for at, resolver in ((0, "10.0.0.2"), (5000, "10.0.0.3")):
        story.dns(at, at + 5000, root, "gateway", "timeout", resolver=resolver)
        story.dns(at, at + 4999, root, "gateway", "timeout", resolver=resolver)
    (sequence,) = sequences(story.tree)
    assert [len(one.calls) for one in sequence.attempts] == [2, 2]


def test_an_attempt_of_which_a_part_succeeded_did_not_fail() -> None:
    story = Story()
    root = story.server(0, 100)
    for at in (0, 50):
        story.dns(at, at + 5, root, "gateway", "SERVFAIL")
        story.dns(at, at + 6, root, "gateway")
    assert list(sequences(story.tree)) == []


def test_resolvers_are_interchangeable_and_servers_are_not() -> None:
    story = Story()
    calls = [
        call_of(story.dns(0, 1, None, "a", resolver="10.0.0.2")),
        call_of(story.dns(0, 1, None, "a", resolver="10.0.0.3")),
        call_of(story.sql(0, 1, None, "SELECT a")),
        call_of(story.sql(0, 1, None, "SELECT a", attributes={"server.address": "other"})),
    ]
    assert all(calls)
    keys = [same(call) for call in calls if call]
    assert keys[0] == keys[1]
    assert keys[2] != keys[3]


def test_statements_that_are_not_known_are_no_attempts_at_the_same() -> None:
    story = Story()
    root = story.server(0, 100)
    missing = {"db.query.text": "", "zerospan.db.query.missing": "forgotten"}
    story.sql(0, 10, root, "postgresql", error="40001", attributes=missing)
    story.sql(20, 30, root, "postgresql", attributes=missing)
    assert list(sequences(story.tree)) == []
