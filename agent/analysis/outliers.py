"""Slow outliers: requests that took far longer than their route usually does.

Durations of requests are skewed, so their logarithms are judged: by the median and the median absolute deviation, which
a few outliers do not move (× 1.4826 it estimates the standard deviation of a normal distribution). To count, a request
must lie far out by that measure, take several times the median, and be late by a time that a person notices.

A slow request makes all requests above it slow: one trace gives one finding, for its outermost outlier, and names the
innermost one, where the time went.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, log
from statistics import median
from typing import TYPE_CHECKING, Final

from agent.analysis import all_traces
from agent.analysis.finding import Confidence, Evidence, Finding, Level, Severity
from agent.analysis.routes_seen import durations, is_request, requests_by_route, route
from agent.analysis.wording import operation, took

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from agent.analysis.calls import CallTree
    from agent.analysis.routes_seen import Route
    from agent.analysis.thresholds import Thresholds
    from agent.spans.trace import ReadSpan, Trace

MAD_TO_DEVIATION: Final = 1.4826
MIN_DEVIATION: Final = 0.1
"""Of the logarithm: routes that always take the same time to within 10 % do not make 11 % more an outlier."""
SURE_HISTORY: Final = 200


@dataclass(frozen=True, slots=True)
class Usual:
    """How long a route usually takes."""

    requests: int
    median_ns: int
    limit_ns: int
    """Longer ones are outliers."""


def usual(history_ns: Sequence[int], thresholds: Thresholds) -> Usual | None:
    """From durations of one route; None where they are too few to tell."""
    if len(history_ns) < max(1, thresholds.outlier_history):
        return None
    logs = [log(max(1, duration)) for duration in history_ns]
    middle = median(logs)
    deviation = MAD_TO_DEVIATION * median(abs(value - middle) for value in logs)
    # Capped: beyond it no duration can be.
    far = exp(min(80.0, middle + thresholds.outlier_deviations * max(deviation, MIN_DEVIATION)))
    median_ns = int(median(history_ns))
    limit_ns = max(
        far, median_ns * thresholds.outlier_ratio, median_ns + thresholds.outlier_min_excess_ns
    )
    return Usual(len(history_ns), median_ns, int(limit_ns))


def usual_by_route(traces: Iterable[Trace], thresholds: Thresholds) -> dict[Route, Usual]:
    """Of all routes with enough requests."""
    found = {
        route: usual(durations(spans), thresholds)
        for route, spans in requests_by_route(traces).items()
    }
    return {route: known for route, known in found.items() if known is not None}


@all_traces("slow_outlier", "requests that took far longer than their route usually does")
def slow_outlier(trees: Sequence[CallTree], thresholds: Thresholds) -> Iterator[Finding]:
    """Judged by the history that the traces themselves are."""
    history = usual_by_route((tree.trace for tree in trees), thresholds)
    for tree in trees:
        yield from outlier_of(tree.trace, history)


def outlier_of(trace: Trace, history: Mapping[Route, Usual]) -> Iterator[Finding]:
    """At most one finding: of `trace`, against what is usual."""
    outermost = innermost = None
    # For each span the innermost request that it is part of. Spans come before their children.
    part_of: dict[str, ReadSpan | None] = {}
    for _, span in trace.walk():
        parent = trace.parent(span)
        above = None if parent is None else part_of[parent.span_id]
        part_of[span.span_id] = span if is_request(span) else above
        known = history.get(route(span)) if is_request(span) else None
        if known is None or span.duration_ns <= known.limit_ns:
            continue
        if outermost is None:
            outermost = innermost = span
        elif above is innermost:
            innermost = span
    if outermost is None or innermost is None:
        return
    yield _finding(outermost, innermost, history[route(outermost)])


def _finding(outermost: ReadSpan, innermost: ReadSpan, known: Usual) -> Finding:
    excess_ns = outermost.duration_ns - known.median_ns
    where = "" if innermost is outermost else f"; so did {operation(innermost)} below it"
    times = outermost.duration_ns / max(1, known.median_ns)
    spans = [outermost] if innermost is outermost else [outermost, innermost]
    return Finding(
        kind="slow_outlier",
        severity=Severity.WARNING,
        title=(
            f"{operation(outermost)} took {took(outermost.duration_ns)}, {times:.0f} times its usual "
            f"{took(known.median_ns)}{where}"
        ),
        subject=(*route(outermost), *route(innermost)),
        evidence=(Evidence.of(spans),),
        confidence=Confidence(
            Level.HIGH if known.requests >= SURE_HISTORY else Level.MEDIUM,
            f"against {known.requests} requests of the route",
        ),
        saving_ns=excess_ns,
        details={
            "service": outermost.service,
            "route": outermost.name,
            "duration_ns": outermost.duration_ns,
            "median_ns": known.median_ns,
            "limit_ns": known.limit_ns,
            "requests": known.requests,
            "innermost_span_id": innermost.span_id,
        },
    )
