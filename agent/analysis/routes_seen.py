"""Requests by route: what a route's usual behaviour is judged by.

A request is a SERVER or CONSUMER span that ended by itself; its route is its service and its name, which are of low
cardinality by the conventions.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from agent.spans import semconv
from agent.spans.span import SpanKind

if TYPE_CHECKING:
    from collections.abc import Iterable

    from agent.spans.trace import ReadSpan, Trace

Route = tuple[str, str]
"""Service and span name."""


def route(span: ReadSpan) -> Route:
    """The span's."""
    return (span.service, span.name)


def is_request(span: ReadSpan) -> bool:
    """Whether it is something that a service was asked for, seen to its end."""
    return (
        span.kind in (SpanKind.SERVER, SpanKind.CONSUMER)
        and semconv.INCOMPLETE not in span.attributes
    )


def requests_by_route(traces: Iterable[Trace]) -> dict[Route, list[ReadSpan]]:
    """All requests, in order of their traces."""
    found: dict[Route, list[ReadSpan]] = defaultdict(list)
    for trace in traces:
        for span in trace.spans:
            if is_request(span):
                found[route(span)].append(span)
    return dict(found)


def durations(spans: Iterable[ReadSpan]) -> list[int]:
    """Nanoseconds, sorted."""
    return sorted(span.duration_ns for span in spans)
