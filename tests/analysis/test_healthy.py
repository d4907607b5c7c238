"""Traffic that is well gives no finding; the same traffic with one fault in it gives that finding.

The second half keeps the first honest: an analysis that never says anything would pass it.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.analysis import analyze, load_all
from agent.analysis.comparison import compare
from agent.spans.trace import Trace
from tests.analysis.shop import Shop
from tests.analysis.story import Story


# Derandomized: comparisons may be wrong once in a hundred by design, and a test may not.
@settings(derandomize=True, deadline=None, max_examples=25)
@given(st.integers(0, 2**32), st.integers(1, 250))
def test_a_shop_that_is_well_gives_no_finding(seed: int, count: int) -> None:
    assert [finding.title for finding in analyze(Shop(seed).requests(count))] == []


@pytest.mark.parametrize("seed", range(5))
def test_two_days_that_are_alike_do_not_differ(seed: int) -> None:
    assert compare(Shop(seed).requests(400), Shop(seed + 100).requests(400)) == []


def n_plus_one(story: Story) -> None:
    root = story.server(0, 300, name="GET /orders")
    for number in range(20):
        story.sql(10 * number, 10 * number + 8, root, f"SELECT a FROM b WHERE c = {number}")


def sequential_calls(story: Story) -> None:
    root = story.server(0, 100, name="GET /slow")
    for number in range(3):
        story.http(30 * number, 30 * number + 29, root, f"GET http://part{number}/")


def dns(story: Story) -> None:
    root = story.server(0, 900, name="POST /pay")
    story.dns(0, 800, root, "gateway.example.com", "SERVFAIL")


def error_origin(story: Story) -> None:
    root = story.server(0, 20, name="GET /x", error="500")
    story.sql(5, 10, root, "SELECT x", error="42P01")


def timeouts(story: Story) -> None:
    story.http(0, 900, story.server(0, 910, name="GET /y"), "GET http://z/", error="timeout")


def retries(story: Story) -> None:
    root = story.server(0, 90, name="GET /w")
    story.http(0, 10, root, "GET http://z/", error="503")
    story.http(20, 40, root, "GET http://z/")


def critical_path(story: Story) -> None:
    story.sql(0, 1100, story.server(0, 1245, name="GET /v"), "SELECT w")


def slow_outlier(story: Story) -> None:
    story.server(0, 900, name="GET /overview")


def connection_churn(story: Story) -> None:
    root = story.server(0, 900, name="GET /u")
    for number in range(20):
        attributes = {"zerospan.connection.requests": 1}
        story.http(number, number + 0.9, root, "POST http://t/", attributes=attributes)


def cache_miss(story: Story) -> None:
    root = story.server(0, 250, name="GET /s")
    story.redis(0, 5, root, "GET s:1", hit=False)
    story.sql(6, 200, root, "SELECT s")


def pool_wait(story: Story) -> None:
    for number in range(5):
        root = story.server(number, 250, name="GET /r")
        attributes = {"zerospan.connection.wait_time": 0.2}
        story.sql(200 + number, 250, root, "SELECT r", attributes=attributes)


def retry_storm(story: Story) -> None:
    root = story.server(0, 500, name="GET /q")
    for number in range(20):
        error = None if number == 19 else "503"
        story.http(20 * number, 20 * number + 9, root, "GET http://p/", error=error)


def release_change(story: Story) -> None:
    for number in range(60):
        story.server(
            100 * number,
            100 * number + (10 if number < 30 else 40) + number % 7,
            name="GET /o",
            resource={"service.version": "1" if number < 30 else "2"},
        )


FAULTS = (
    *(cache_miss, connection_churn, critical_path, dns, error_origin, n_plus_one, pool_wait),
    *(release_change, retries, retry_storm, sequential_calls, slow_outlier, timeouts),
)


def with_fault(fault: Callable[[Story], None]) -> list[Trace]:
    story = Story(10**6, service="checkout")
    fault(story)
    return [*Shop(3).requests(250), story.trace]


@pytest.mark.parametrize("fault", FAULTS)
def test_one_fault_among_healthy_requests_is_found(fault: Callable[[Story], None]) -> None:
    findings = analyze(with_fault(fault))
    assert fault.__name__ in {finding.kind for finding in findings}
    assert {finding.trace_id for finding in findings} == {f"{10**6:032x}"}


def test_every_analysis_has_its_fault() -> None:
    assert {fault.__name__ for fault in FAULTS} == load_all().keys()


def test_the_order_that_takes_thirty_seconds() -> None:
    """The payment service asks a resolver that does not answer, three times, and lives without the answer."""
    story = Story(10**6, service="checkout")
    root = story.server(0, 28_400, name="POST /orders")
    story.sql(5, 25, root, "INSERT INTO orders VALUES (?)")
    call = story.http(30, 28_390, root, "POST http://payment/pay", name="POST /pay")
    pay = story.server(31, 28_389, call, name="POST /pay", service="payment")
    for at in (40, 9_140, 18_240):
        for resolver, later in (("10.0.0.2", 0), ("10.0.0.3", 4_500)):
            for _ in ("A", "AAAA"):
                begin = at + later
                story.dns(
                    begin, begin + 4_500, pay, "gateway.example", "timeout", resolver=resolver
                )
    usual = [quick_order(number) for number in range(1, 41)]
    findings = {one.kind: one for one in analyze([*usual, story.trace])}
    assert {kind: one.title for kind, one in findings.items()} == {
        "dns": "`POST /pay` of payment needed the name gateway.example, which did not resolve (EAI_AGAIN): "
        "resolver 10.0.0.2:53, 10.0.0.3:53 gave timeout to 12 look-ups, 27 s of 28.4 s lost",
        "critical_path": "`POST /orders` of checkout took 28.4 s, 27 s of it in `DNS` of payment in 6 calls",
        "retries": "`POST /pay` of payment tried to resolve gateway.example 6 times with pauses of 0 ns to 100 ms, "
        "in vain (timeout): 27.2 s of 28.4 s lost",
        "slow_outlier": "`POST /orders` of checkout took 28.4 s, 24 times its usual 1.2 s; so did `POST /pay` of payment below it",
    }


def quick_order(number: int) -> Trace:
    story = Story(number, service="checkout")
    root = story.server(0, 1200, name="POST /orders")
    call = story.http(30, 1190, root, "POST http://payment/pay", name="POST /pay")
    pay = story.server(31, 1189, call, name="POST /pay", service="payment")
    story.dns(40, 45, pay, "gateway.example")
    story.http(50, 600, pay, "POST http://gateway.example/charge", name="POST /charge")
    story.sql(610, 1180, pay, "INSERT INTO charges VALUES (?)")
    return story.trace
