"""Findings as lines and as JSON."""

from __future__ import annotations

import json
from dataclasses import replace

from agent.analysis.finding import Confidence, Evidence, Finding, Level, Severity
from agent.analysis.report import as_json, grouped, lines


def finding(trace: int, *, subject: str = "a", saving_ns: int | None = None) -> Finding:
    return Finding(
        kind="n_plus_one",
        severity=Severity.WARNING,
        title=f"trouble with {subject}",
        subject=(subject,),
        evidence=(Evidence(f"{trace:032x}", tuple(f"{span:016x}" for span in range(1, 8))),),
        confidence=Confidence(Level.HIGH, "seen"),
        saving_ns=saving_ns,
    )


def test_the_same_trouble_is_told_once_with_the_worst_case() -> None:
    groups = grouped(
        [finding(1, saving_ns=5), finding(2, saving_ns=9), finding(3, subject="b")]
    )  # fmt: skip
    assert [group.worst.trace_id[-1] for group in groups] == ["2", "3"]
    assert groups[0].trace_ids == [f"{2:032x}", f"{1:032x}"]
    assert [group.total_saving_ns for group in groups] == [14, None]


def test_lines_for_a_terminal() -> None:
    found = [finding(1, saving_ns=5_000_000), finding(2, saving_ns=9_000_000)]
    assert list(lines(found, traces=2, spans=30)) == [
        "WARNING n_plus_one: trouble with a.",
        "  high confidence: seen",
        "  could save 9 ms of a request",
        "  2 times, 14 ms in all; the worst is shown",
        f"  trace {2:032x} spans {1:016x} {2:016x} {3:016x} {4:016x} {5:016x} and 2 more",
        f"  also in {1:032x}",
        "",
        "1 finding in 2 traces, 30 spans.",
    ]


def test_a_single_finding_without_a_saving_is_short() -> None:
    few = replace(finding(1), evidence=(Evidence("1" * 32, ("2" * 16,)),))
    assert list(lines([few], traces=1, spans=1)) == [
        "WARNING n_plus_one: trouble with a.",
        "  high confidence: seen",
        f"  trace {'1' * 32} spans {'2' * 16}",
        "",
        "1 finding in 1 trace, 1 span.",
    ]
    assert "  2 times; the worst is shown" in list(lines([few, finding(2)], traces=2, spans=2))


def test_nothing_found_is_said() -> None:
    assert list(lines([], traces=7, spans=90)) == ["No findings in 7 traces, 90 spans."]


def test_hostile_ids_and_reasons_do_not_reach_a_terminal() -> None:
    hostile = replace(
        finding(1),
        evidence=(Evidence("\x1b[2J", ("\n\x07",)), Evidence("\x9b", ("1",))),
        confidence=Confidence(Level.LOW, "\u202e"),
    )
    assert all(line.isprintable() for line in lines([hostile], traces=1, spans=1))


def test_json_is_one_object_with_groups() -> None:
    found = [finding(number, saving_ns=number) for number in range(1, 9)]
    report = json.loads(as_json(found, traces=8, spans=56))
    assert (report["format"], report["traces"], report["spans"]) == (1, 8, 56)
    (group,) = report["findings"]
    assert group["title"] == "trouble with a"
    assert (group["count"], group["total_saving_ns"]) == (8, 36)
    assert group["trace_ids"] == [f"{number:032x}" for number in (8, 7, 6, 5, 4)]
