"""Names that do not resolve, or slowly."""

from __future__ import annotations

import pytest

from agent.analysis.dns import dns
from agent.analysis.finding import Finding, Level, Severity
from tests.analysis.story import MS, Story, found_in, ids


def look(
    *steps: tuple[str, str | None], each_ms: float = 5, error: str | None = None
) -> list[Finding]:
    story = Story()
    root = story.server(0, 40_000 if each_ms >= 1000 else 500, error=error)
    for number, (name, outcome) in enumerate(steps):
        story.dns(number * each_ms, (number + 1) * each_ms, root, name, outcome)
    return found_in(dns, [story])


def test_the_name_the_resolver_and_the_code_behind_a_slow_order() -> None:
    story = Story(service="payment")
    root = story.server(0, 28_000, name="POST /pay")
    asked = [
        story.dns(at, at + 4500, root, "gateway.example.com", "timeout", resolver=resolver)
        for at in (0, 9500, 19_000)
        for resolver in ("10.0.0.2", "10.0.0.3")
    ]
    asked += [story.dns(5000, 9500, root, "gateway.example.com", "SERVFAIL")]
    (finding,) = found_in(dns, [story])
    assert finding.title == (
        "`POST /pay` of payment needed the name gateway.example.com, which did not resolve (EAI_AGAIN): resolver "
        "10.0.0.2:53, 10.0.0.3:53 gave timeout, SERVFAIL to 7 look-ups, 18 s of 28 s lost"
    )
    assert sorted(finding.span_ids) == sorted(ids(*asked))
    assert (finding.severity, finding.confidence.level) == (Severity.CRITICAL, Level.HIGH)
    assert finding.saving_ns == 18_000 * MS
    assert finding.details["name"] == "gateway.example.com"
    assert finding.details["resolvers"] == ["10.0.0.2:53", "10.0.0.3:53"]
    assert finding.details["codes"] == ["timeout", "SERVFAIL"]


def test_a_name_that_does_not_exist_behind_a_failed_request() -> None:
    (finding,) = look(("gatewey.example.com", "NXDOMAIN"), error="500")
    assert (
        "needed the name gatewey.example.com, which did not resolve (EAI_NONAME)" in finding.title
    )
    assert finding.severity is Severity.CRITICAL


def test_a_name_that_does_not_exist_and_that_nobody_missed_is_for_information() -> None:
    (finding,) = look(("_spf.example.com", "NXDOMAIN"))
    assert (finding.severity, finding.confidence.level) == (Severity.INFO, Level.MEDIUM)


@pytest.mark.parametrize(
    "steps",
    [
        (("db.shop.svc.cluster.local", "NXDOMAIN"), ("db.svc.cluster.local", "NXDOMAIN"), ("db", None)),
        (("db.example.com", "NXDOMAIN"), ("db.example.com.corp", None)),
        (("db", None), ("db", "NXDOMAIN")),
        (("db", None), ("cache.example.com", None)),
    ],
    ids=["search list", "as it is first", "one kind of addresses", "fine"],
)  # fmt: skip
def test_no_trouble(steps: tuple[tuple[str, str | None], ...]) -> None:
    assert look(*steps) == []


def test_a_whole_search_in_vain_is_one_finding_about_the_name_that_was_searched_for() -> None:
    (finding,) = look(
        ("db.shop.svc.cluster.local", "NXDOMAIN"), ("db.corp", "NXDOMAIN"), ("db", "NXDOMAIN")
    )
    assert finding.details["name"] == "db"
    assert finding.details["names"] == ["db", "db.corp", "db.shop.svc.cluster.local"]


def test_different_names_are_different_findings() -> None:
    findings = look(("a.example", "SERVFAIL"), ("b.example", "SERVFAIL"), ("c.example", None))
    assert [one.details["name"] for one in findings] == ["a.example", "b.example"]
    assert {one.severity for one in findings} == {Severity.WARNING}


def test_a_resolver_that_answered_in_the_end_still_cost_time() -> None:
    (finding,) = look(("db", "timeout"), ("db", None), each_ms=5000)
    assert "which resolved only in the end" in finding.title
    assert finding.saving_ns == 5000 * MS
    assert finding.severity is Severity.CRITICAL


def test_slow_answers_are_told() -> None:
    (finding,) = look(("db", None), each_ms=120)
    assert finding.title == (
        "`GET /orders` of shop waited 120 ms for resolver 10.0.0.2:53 to resolve db"
    )
    assert (finding.severity, finding.saving_ns) == (Severity.WARNING, 120 * MS)
    assert look(("db", None), each_ms=99) == []


def lone(number: int, name: str, outcome: str | None) -> Story:
    story = Story(number)
    story.dns(0, 5, None, name, outcome)
    return story


def test_look_ups_without_an_owner_are_held_against_each_other() -> None:
    searched = [lone(1, "db.shop.local", "NXDOMAIN"), lone(2, "db", None)]
    assert found_in(dns, searched) == []
    (finding,) = found_in(dns, [*searched, lone(3, "x", "SERVFAIL"), lone(4, "x", "SERVFAIL")])
    assert finding.title == (
        "shop needed the name x, which did not resolve (EAI_AGAIN): resolver 10.0.0.2:53 gave SERVFAIL "
        "to 2 look-ups, 5 ms lost"
    )
    assert [one.trace_id for one in finding.evidence] == [f"{3:032x}", f"{4:032x}"]
    assert finding.confidence.level is Level.MEDIUM


def test_a_slow_look_up_without_an_owner_or_resolver() -> None:
    story = Story()
    story.dns(0, 1500, None, "db", resolver="")
    (finding,) = found_in(dns, [story])
    assert finding.title == "shop waited 1.5 s for resolver of unknown address to resolve db"
    assert finding.severity is Severity.CRITICAL
