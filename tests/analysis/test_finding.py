"""Findings in order, bounded, and as JSON."""

from __future__ import annotations

import json

from agent.analysis.finding import MAX_SPAN_IDS, Confidence, Evidence, Finding, Level, Severity
from tests.analysis.story import Story, ids


def finding(
    severity: Severity = Severity.INFO, level: Level = Level.LOW, saving_ns: int | None = None
) -> Finding:
    return Finding(
        kind="dns",
        severity=severity,
        title="t",
        subject=("shop", "db"),
        evidence=(Evidence("1" * 32, ("2" * 16, "3" * 16)),),
        confidence=Confidence(level, "r"),
        saving_ns=saving_ns,
        details={"count": 3, "names": ["a"]},
    )


def test_grave_then_sure_then_dear_findings_come_first() -> None:
    order = [
        finding(Severity.CRITICAL),
        finding(Severity.WARNING, Level.HIGH),
        finding(Severity.WARNING, Level.LOW, 5),
        finding(Severity.WARNING, Level.LOW, 3),
        finding(),
    ]
    assert sorted(reversed(order), key=lambda one: one.rank) == order


def test_evidence_keeps_a_bounded_number_of_spans() -> None:
    story = Story()
    spans = [story.server(0, 1) for _ in range(MAX_SPAN_IDS + 5)]
    assert Evidence.of(spans) == Evidence(story.trace.trace_id, ids(*spans[:MAX_SPAN_IDS]))


def test_a_finding_as_json() -> None:
    one = finding(Severity.CRITICAL, Level.HIGH, 7)
    assert json.loads(json.dumps(one.as_json())) == {
        "kind": "dns",
        "severity": "critical",
        "title": "t",
        "subject": ["shop", "db"],
        "evidence": [{"trace_id": "1" * 32, "span_ids": ["2" * 16, "3" * 16]}],
        "saving_ns": 7,
        "confidence": {"level": "high", "reason": "r"},
        "details": {"count": 3, "names": ["a"]},
    }
    assert (one.trace_id, one.span_ids) == ("1" * 32, ("2" * 16, "3" * 16))
