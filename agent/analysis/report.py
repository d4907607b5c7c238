"""Findings for people and for programs: plain lines, and JSON.

The same trouble in many traces is told once, with the worst case and how often it was seen. Lines are plain text that a
terminal may show as it is: what traced programs sent was made printable where titles were made, and is so here for
reasons and ids.
"""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from agent.analysis.wording import plain, took

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from agent.analysis.finding import Finding, Json

FORMAT: Final = 1
"""Of the JSON; a key that changes its meaning counts it up."""
SHOWN_SPANS: Final = 5
SHOWN_TRACES: Final = 5


@dataclass(frozen=True, slots=True)
class Group:
    """The same trouble, wherever it was seen."""

    findings: tuple[Finding, ...]
    """At least one; the worst first."""

    @property
    def worst(self) -> Finding:
        """The one to show."""
        return self.findings[0]

    @property
    def trace_ids(self) -> list[str]:
        """Of all findings, each once, the worst first."""
        return list(
            dict.fromkeys(one.trace_id for finding in self.findings for one in finding.evidence)
        )

    @property
    def total_saving_ns(self) -> int | None:
        """Of all findings together; None where none has one."""
        savings = [one.saving_ns for one in self.findings if one.saving_ns is not None]
        return sum(savings) if savings else None


def grouped(findings: Iterable[Finding]) -> list[Group]:
    """By kind and subject, the gravest first."""
    found: dict[tuple[object, ...], list[Finding]] = defaultdict(list)
    for finding in sorted(findings, key=lambda finding: finding.rank):
        found[finding.kind, finding.subject].append(finding)
    return [Group(tuple(group)) for group in found.values()]


def as_json(findings: Iterable[Finding], *, traces: int, spans: int) -> str:
    """One JSON object; docs/analysis.md documents its keys. `traces`, `spans`: what was looked at."""
    groups: list[Json] = [
        {
            **group.worst.as_json(),
            "count": len(group.findings),
            "trace_ids": group.trace_ids[:SHOWN_TRACES],
            "total_saving_ns": group.total_saving_ns,
        }
        for group in grouped(findings)
    ]
    report = {"format": FORMAT, "traces": traces, "spans": spans, "findings": groups}
    return json.dumps(report, ensure_ascii=True, indent=2)


def lines(findings: Iterable[Finding], *, traces: int, spans: int) -> Iterator[str]:
    """For a terminal, without line ends."""
    groups = grouped(findings)
    for group in groups:
        yield from _lines(group)
        yield ""
    seen = f"{_count(traces, 'trace')}, {_count(spans, 'span')}"
    yield f"{_count(len(groups), 'finding') if groups else 'No findings'} in {seen}."


def finding_lines(findings: Iterable[Finding]) -> Iterator[str]:
    """The findings alone, each after an empty line; nothing where there are none."""
    for group in grouped(findings):
        yield ""
        yield from _lines(group)


def _lines(group: Group) -> Iterator[str]:
    worst = group.worst
    yield f"{worst.severity.name} {worst.kind}: {worst.title}."
    confidence = worst.confidence
    yield f"  {confidence.level.name.lower()} confidence: {plain(confidence.reason, 300)}"
    if worst.saving_ns is not None:
        yield f"  could save {took(worst.saving_ns)} of a request"
    if len(group.findings) > 1:
        total_ns = group.total_saving_ns
        cost = "" if total_ns is None else f", {took(total_ns)} in all"
        yield f"  {len(group.findings)} times{cost}; the worst is shown"
    ids = [plain(span_id) for span_id in worst.span_ids[:SHOWN_SPANS]]
    more = len(worst.span_ids) - len(ids)
    yield f"  trace {plain(worst.trace_id)} spans {' '.join(ids)}{f' and {more} more' if more else ''}"
    others = [plain(one) for one in group.trace_ids if one != worst.trace_id][: SHOWN_TRACES - 1]
    if others:
        yield f"  also in {' '.join(others)}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
