"""Timeouts: who waited for whom, for how long, and what it did to the request.

A span timed out if its error says so (a word of its error.type, or one of the codes below), or, with less certainty,
if it is a call that its own program broke off without an answer after waiting long. Where a call timed out because one
below it did, only the lower one is a finding. A timed-out look-up of a name is a finding of `dns` instead.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from agent.analysis import each_trace
from agent.analysis.calls import Sort, call_of, error_type
from agent.analysis.finding import Confidence, Evidence, Finding, Level, Severity
from agent.analysis.wording import operation, plain, took
from agent.spans.span import SpanKind, Status

if TYPE_CHECKING:
    from collections.abc import Iterator

    from agent.analysis.calls import CallTree
    from agent.analysis.thresholds import Thresholds
    from agent.spans.trace import ReadSpan, Trace

_WORDS = re.compile(r"time.?out|timed.?out|deadline", re.IGNORECASE)
CODES: Final = frozenset(("408", "504", "57014", "ETIMEDOUT", "DEADLINE_EXCEEDED"))
"""Statuses of RFC 9110 §15.5.9 and §15.6.5; PostgreSQL's query_canceled, which statement_timeout gives."""
BROKEN_OFF: Final = frozenset(("connection_closed",))
"""error.type of a call whose own program closed the connection before the answer was whole."""


@each_trace("timeouts", "calls that nobody answered in time")
def timeouts(tree: CallTree, thresholds: Thresholds) -> Iterator[Finding]:
    """One finding per span that timed out and has none below it."""
    trace = tree.trace
    sure = {
        span.span_id: _is_sure(span) for span in trace.spans if _has_timed_out(span, thresholds)
    }
    has_below: set[str] = set()
    for span_id in sure:
        parent = trace.parent(trace.by_id[span_id])
        while parent is not None and parent.span_id not in has_below:
            has_below.add(parent.span_id)
            parent = trace.parent(parent)
    for span_id, is_sure in sure.items():
        span = trace.by_id[span_id]
        call = call_of(span)
        if span_id not in has_below and (call is None or call.sort is not Sort.DNS):
            yield _finding(trace, span, is_sure=is_sure)


def _is_sure(span: ReadSpan) -> bool:
    kind = error_type(span)
    return kind in CODES or _WORDS.search(kind) is not None


def _has_timed_out(span: ReadSpan, thresholds: Thresholds) -> bool:
    if span.status is not Status.ERROR:
        return False
    is_broken_off = error_type(span) in BROKEN_OFF and span.kind is SpanKind.CLIENT
    return _is_sure(span) or (is_broken_off and span.duration_ns >= thresholds.patience_ns)


def _finding(trace: Trace, span: ReadSpan, *, is_sure: bool) -> Finding:
    call = call_of(span)
    chain = failed_above(trace, span)
    # Whether the one that was asked went on after nobody waited any more.
    overtime_ns = max(
        (child.end_unix_ns - span.end_unix_ns for child in trace.children(span)), default=0
    )
    what = f"{operation(span)}" + (f" waited {took(span.duration_ns)}" if call else " ran")
    whom = f" for {plain(call.target)}" if call and call.target else ""
    after = "" if call else f" into a timeout after {took(span.duration_ns)}"
    went_on = f"; the other side worked on for {took(overtime_ns)}" if overtime_ns > 0 else ""
    return Finding(
        kind="timeouts",
        severity=Severity.CRITICAL if chain[-1] is trace.root else Severity.WARNING,
        title=f"{what}{whom}{after} and gave up ({plain(error_type(span))}){went_on}",
        subject=(span.service, span.name, call.target if call else "", error_type(span)),
        evidence=(Evidence.of(chain),),
        confidence=(
            Confidence(Level.HIGH, "the error says so")
            if is_sure
            else Confidence(Level.MEDIUM, "its own program closed the connection before the answer")
        ),
        details={
            "error_type": error_type(span),
            "target": call.target if call else "",
            "waited_ns": span.duration_ns,
            "overtime_ns": max(0, overtime_ns),
            "has_failed_root": chain[-1] is trace.root,
        },
    )


def failed_above(trace: Trace, span: ReadSpan) -> list[ReadSpan]:
    """`span` and the failed spans above it, up to the first that did not fail."""
    chain = [span]
    parent = trace.parent(span)
    while parent is not None and parent.status is Status.ERROR:
        chain.append(parent)
        parent = trace.parent(parent)
    return chain
