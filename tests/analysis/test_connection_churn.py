"""A new connection for each request."""

from __future__ import annotations

from agent.analysis.connection_churn import connection_churn
from agent.analysis.finding import Level
from agent.analysis.thresholds import Thresholds
from tests.analysis.story import MS, Story, found_in

URL = "GET http://stock/a"


def requests(count: int, *, ordinal: int | None, every_ms: float = 100, setup_s: float | None = None) -> list[Story]:  # fmt: skip
    stories = []
    for number in range(1, count + 1):
        story = Story(number, at_ms=number * every_ms)
        attributes = {
            **({} if ordinal is None else {"zerospan.connection.requests": ordinal}),
            **({} if setup_s is None else {"zerospan.connection.setup_time": setup_s}),
        }
        story.http(5, 15, story.server(0, 20), URL, attributes=attributes)
        stories.append(story)
    return stories


def test_a_connection_per_request_is_told_with_its_cost() -> None:
    stories = requests(39, ordinal=1, setup_s=0.003) + requests(1, ordinal=7)
    (finding,) = found_in(connection_churn, stories)
    assert finding.title == (
        "shop opens a new connection to stock:80 for 98 % of its calls (39 of 40, 3 ms each): "
        "a pool or keep-alive would spare them"
    )
    assert (finding.saving_ns, finding.confidence.level) == (3 * MS, Level.MEDIUM)
    assert finding.details["most_at_once"] == 2


def test_without_the_cost_there_is_no_saving() -> None:
    (finding,) = found_in(connection_churn, requests(100, ordinal=1))
    assert (finding.saving_ns, finding.confidence.level) == (None, Level.HIGH)
    assert len(finding.evidence) == 20


def test_kept_connections_few_calls_and_unknown_ones_are_fine() -> None:
    assert found_in(connection_churn, requests(100, ordinal=3)) == []
    assert found_in(connection_churn, requests(19, ordinal=1)) == []
    assert found_in(connection_churn, requests(100, ordinal=None)) == []


def test_a_pool_that_warms_up_is_fine() -> None:
    assert found_in(connection_churn, requests(50, ordinal=1, every_ms=0)) == []


def test_rare_calls_may_close_their_connections() -> None:
    rare = requests(30, ordinal=1, every_ms=11_000)
    assert found_in(connection_churn, rare) == []
    longer = Thresholds(churn_max_idle_ns=12_000 * MS)
    assert len(found_in(connection_churn, rare, longer)) == 1
