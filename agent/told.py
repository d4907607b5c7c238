"""Findings on the spans that leave: where it is asked for, what analyses find in a trace goes along as events of its spans.

A finding is about a whole trace, and spans leave as they end. So the spans of a trace wait here until it seems to be
complete: its root has ended, and nothing came for QUIET_S; or nothing came for PATIENCE_S. Then each finding becomes an event of the span
that shows it first: the request that asks too often, the call that failed. Analyses that need many traces say nothing here.

Bounded: beyond MAX_SPANS the trace that has waited longest leaves as it is, and that is counted.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from agent.analysis import analyze
from agent.spans import semconv
from agent.spans.span import Attributes, SpanEvent
from agent.spans.trace import ReadSpan, Trace

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable

    from agent.analysis.finding import Finding
    from agent.analysis.thresholds import Thresholds
    from agent.spans.span import Span

logger = logging.getLogger(__name__)

MAX_SPANS: Final = 10_000
QUIET_S: Final = 2.0
PATIENCE_S: Final = 60.0
EVENT: Final = "zerospan.finding"


@dataclass(slots=True)
class _Waiting:
    """A trace."""

    spans: list[Span] = field(default_factory=list)
    changed: float = 0.0
    has_root: bool = False


class Teller:
    """Between the pipeline and the exporters; for the main loop's thread."""

    def __init__(
        self,
        emit: Callable[[Span], None],
        *,
        thresholds: Thresholds,
        counts: Counter[str],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._emit = emit
        self._thresholds = thresholds
        self._counts = counts
        self._clock = clock
        self._waiting: dict[bytes, _Waiting] = {}
        """By trace id, the one that changed last at the end."""
        self._spans = 0

    def take(self, span: Span) -> None:
        """A finished span."""
        trace = self._waiting.pop(span.trace_id, None) or _Waiting()
        self._waiting[span.trace_id] = trace
        trace.spans.append(span)
        trace.changed = self._clock()
        trace.has_root = trace.has_root or span.parent_id is None or span.is_parent_remote
        self._spans += 1
        while self._spans > MAX_SPANS:
            oldest = self._waiting[next(iter(self._waiting))]
            self._counts["findings_skipped"] += 1
            self._release(oldest)

    def step(self) -> None:
        """Let go of what is complete; to be called about once a second."""
        now = self._clock()
        for trace in list(self._waiting.values()):
            quiet_s = now - trace.changed
            if quiet_s < QUIET_S:
                return
            if trace.has_root or quiet_s >= PATIENCE_S:
                self._tell(trace)
                self._release(trace)

    def close(self) -> None:
        """Let go of everything."""
        for trace in list(self._waiting.values()):
            self._tell(trace)
            self._release(trace)

    def _release(self, trace: _Waiting) -> None:
        del self._waiting[trace.spans[0].trace_id]
        self._spans -= len(trace.spans)
        for span in trace.spans:
            self._emit(span)

    def _tell(self, trace: _Waiting) -> None:
        try:
            found = analyze([Trace(map(ReadSpan.of, trace.spans))], self._thresholds)
        except Exception:  # a wall: a bug in an analysis must not cost spans
            logger.exception("a bug in an analysis, please report it")
            self._counts["findings_skipped"] += 1
            return
        by_id = {span.span_id.hex(): span for span in reversed(trace.spans)}
        for finding in found:
            span = by_id[finding.span_ids[0]]
            span.events = (*span.events, _event(finding, span))


def _event(finding: Finding, span: Span) -> SpanEvent:
    items: list[tuple[str, str | float]] = [
        (semconv.FINDING_KIND, finding.kind),
        (semconv.FINDING_SEVERITY, finding.severity.name.lower()),
        (semconv.FINDING_TITLE, finding.title),
        (semconv.FINDING_CONFIDENCE, finding.confidence.level.name.lower()),
    ]
    if finding.saving_ns is not None:
        items.append((semconv.FINDING_SAVING, finding.saving_ns / 1e9))
    return SpanEvent(EVENT, span.end_unix_ns, Attributes(items))
