"""A finding: what is wrong, where it can be seen, what it costs, and how sure that is."""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

    from agent.spans.trace import ReadSpan

Json = None | bool | int | float | str | Sequence["Json"] | Mapping[str, "Json"]

MAX_SPAN_IDS: Final = 100
"""Span ids of one trace that a finding keeps; `details` has the true number."""
MAX_EVIDENCE: Final = 20
"""Traces that a finding over many of them keeps."""


class Severity(enum.IntEnum):
    """How soon a person should look."""

    INFO = 1
    """Worth knowing when the code is next touched."""
    WARNING = 2
    """Users wait for it, or soon will."""
    CRITICAL = 3
    """Requests fail, or hang for seconds."""


class Level(enum.IntEnum):
    """How sure an analysis is."""

    LOW = 1
    MEDIUM = 2
    HIGH = 3


@dataclass(frozen=True, slots=True)
class Confidence:
    """How sure, and why not more or less."""

    level: Level
    reason: str


@dataclass(frozen=True, slots=True)
class Evidence:
    """Where to look."""

    trace_id: str
    span_ids: tuple[str, ...]
    """The first MAX_SPAN_IDS of them."""

    @classmethod
    def of(cls, spans: Iterable[ReadSpan]) -> Evidence:
        """`spans`: at least one, all of one trace."""
        shown = list(islice(spans, MAX_SPAN_IDS))
        return cls(shown[0].trace_id, tuple(span.span_id for span in shown))


@dataclass(frozen=True, slots=True)
class Finding:
    """One trouble in one trace, or in many of them."""

    kind: str
    """The analysis' name."""
    severity: Severity
    title: str
    """One sentence for a person on call; one line, printable whatever the traced programs sent."""
    subject: tuple[str, ...]
    """What it is about, the same for the same trouble in another trace: reports group by kind and subject."""
    evidence: tuple[Evidence, ...]
    """At least one; the worst first."""
    confidence: Confidence
    saving_ns: int | None = None
    """Time that one affected request would save if this were mended; None where nobody can tell."""
    details: Mapping[str, Json] = field(default_factory=dict)

    @property
    def trace_id(self) -> str:
        """The trace that shows it best."""
        return self.evidence[0].trace_id

    @property
    def span_ids(self) -> tuple[str, ...]:
        """The spans of that trace that show it."""
        return self.evidence[0].span_ids

    @property
    def rank(self) -> tuple[object, ...]:
        """For sorting: the gravest, surest, dearest first; then always in the same order."""
        sureness, saving = self.confidence.level, self.saving_ns or 0
        return (-self.severity, -sureness, -saving, self.kind, self.subject, self.trace_id)

    def as_json(self) -> dict[str, Json]:
        """Of JSON's types only; docs/analysis.md documents the keys."""
        return {
            "kind": self.kind,
            "severity": self.severity.name.lower(),
            "title": self.title,
            "subject": list(self.subject),
            "evidence": [
                {"trace_id": one.trace_id, "span_ids": list(one.span_ids)} for one in self.evidence
            ],
            "saving_ns": self.saving_ns,
            "confidence": {
                "level": self.confidence.level.name.lower(),
                "reason": self.confidence.reason,
            },
            "details": dict(self.details),
        }
