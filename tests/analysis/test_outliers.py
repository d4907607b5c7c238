"""Requests that took far longer than their route usually does."""

from __future__ import annotations

from agent.analysis.finding import Level
from agent.analysis.outliers import outlier_of, slow_outlier, usual, usual_by_route
from agent.analysis.thresholds import Thresholds
from tests.analysis.story import DEFAULTS, MS, Story, found_in, ids


def order(number: int, total_ms: float) -> Story:
    """A request whose time is mostly that of another service."""
    story = Story(number, service="checkout")
    root = story.server(0, total_ms, name="POST /orders")
    inner = story.span(0, total_ms, root)
    call = story.http(1, total_ms - 1, inner, "POST http://payment/pay")
    story.server(2, total_ms - 2, call, name="POST /pay", service="payment")
    story.server(0, 1, root, name="GET /stock", service="stock")
    return story


HISTORY = [order(number, 1000 + number * 10) for number in range(1, 41)]


def test_the_slow_order_is_told_with_what_is_usual_and_where_it_went() -> None:
    slow = order(99, 30_100)
    (finding,) = found_in(slow_outlier, [*HISTORY, slow])
    assert finding.title == (
        "`POST /orders` of checkout took 30.1 s, 25 times its usual 1.21 s; so did `POST /pay` of payment below it"
    )
    assert finding.span_ids == ids(slow.spans[0], slow.spans[3])
    assert finding.confidence.level is Level.MEDIUM
    assert finding.saving_ns == 28_890 * MS
    assert finding.details["requests"] == 41


def test_what_is_usual_can_come_from_elsewhere() -> None:
    history = usual_by_route([story.trace for story in HISTORY], DEFAULTS)
    assert len(list(outlier_of(order(99, 30_100).trace, history))) == 1
    assert list(outlier_of(order(99, 2000).trace, history)) == []
    assert list(outlier_of(order(99, 30_100).trace, {})) == []


def test_a_slow_part_of_a_request_that_is_not_slow_is_told_for_itself() -> None:
    story = order(99, 1200)
    late = story.server(0, 700, story.spans[0], name="GET /stock", service="stock")
    (finding,) = found_in(slow_outlier, [*HISTORY, story])
    assert finding.span_ids == ids(late)
    assert "took 700 ms, 700 times its usual 1 ms" in finding.title


def test_too_little_history_says_nothing() -> None:
    assert found_in(slow_outlier, [*HISTORY[:28], order(99, 30_100)]) == []
    few = Thresholds(outlier_history=5)
    assert len(found_in(slow_outlier, [*HISTORY[:28], order(99, 30_100)], few)) == 1


def test_limits_are_wide_for_routes_that_vary_and_never_below_what_matters() -> None:
    def limit_ns(*durations_ns: int) -> int:
        known = usual(durations_ns, DEFAULTS)
        assert known is not None
        return known.limit_ns

    assert limit_ns(*[10 * MS] * 50) == 110 * MS
    assert limit_ns(*(MS * 2 ** (number % 12) for number in range(240))) > 100_000 * MS
    assert limit_ns(*[1000 * MS] * 50) == 5000 * MS


def test_absurd_durations_do_no_harm() -> None:
    known = usual([0] * 30 + [2**63] * 29, Thresholds(outlier_deviations=1000))
    assert known is not None
    assert known.limit_ns > 2**63


def test_slow_requests_side_by_side_are_told_by_the_one_above_them() -> None:
    story = order(99, 30_100)
    story.server(0, 900, story.spans[0], name="GET /stock", service="stock")
    (finding,) = found_in(slow_outlier, [*HISTORY, story])
    assert finding.span_ids == ids(story.spans[0], story.spans[3])
