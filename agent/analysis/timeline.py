"""When each span of a trace took place, by one clock; and how much of its time is its own.

**Clocks.** Spans of one host share one clock. Where a trace goes on to another host, that host's clock may be off. A
request's server span lies within the caller's span in truth; where by the clocks it does not, the whole part of the
trace on that host is shifted so that it does: the time on the network is taken to be as long on the way there as on
the way back, as NTP assumes (RFC 5905 §8). A server span longer than the call (the caller gave up) keeps its place if it
begins within the call, and begins with it otherwise. What consumes a message is only shifted so that it does not begin
before the message was sent. Hosts are told apart by host.id or host.name; where one says neither, another service
is taken to be another host.

**Self time** of a span is the part of its interval in which none of its children lasts. In any tree the self times add
up to at least the time that its spans cover together, and to exactly that where no two siblings overlap and no span
reaches out of its parent; then that is the root's duration.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.analysis.intervals import Interval, covered_ns, interval
from agent.spans import semconv
from agent.spans.span import SpanKind

if TYPE_CHECKING:
    from agent.spans.trace import ReadSpan, Trace


def timeline(trace: Trace) -> dict[str, Interval]:
    """Span id → its interval by the clock of its tree's root, every span once."""
    found: dict[str, Interval] = {}
    shifts: dict[str, int] = {}
    for _, span in trace.walk():
        own = interval(span)
        parent = trace.parent(span)
        shift = 0
        if parent is not None:
            shift = shifts[parent.span_id]
            if _is_remote(span, parent):
                shift = _shift(span, own, found[parent.span_id])
        shifts[span.span_id] = shift
        found[span.span_id] = Interval(own.start_ns + shift, own.end_ns + shift)
    return found


def self_times(trace: Trace) -> dict[str, int]:
    """Span id → nanoseconds in which none of its children lasts, every span once."""
    times = timeline(trace)
    found: dict[str, int] = {}
    for span in trace.spans:
        own = times[span.span_id]
        inner = (times[child.span_id].clipped(own) for child in trace.children(span))
        found[span.span_id] = own.length_ns - covered_ns(inner)
    return found


def _is_remote(span: ReadSpan, parent: ReadSpan) -> bool:
    """Whether another clock may have timed `span` than its parent."""
    if span.kind not in (SpanKind.SERVER, SpanKind.CONSUMER):
        return False
    for name in (semconv.HOST_ID, semconv.HOST_NAME):
        host, other = span.resource.get(name), parent.resource.get(name)
        if host is not None and other is not None:
            return host != other
    return span.service != parent.service


def _shift(span: ReadSpan, own: Interval, outer: Interval) -> int:
    """How far the clock of `span` must be moved for it to be where it can have been."""
    if outer.start_ns <= own.start_ns and own.end_ns <= outer.end_ns:
        return 0
    late_ns = outer.start_ns - own.start_ns
    if span.kind is SpanKind.CONSUMER:
        return max(0, late_ns)
    room_ns = outer.length_ns - own.length_ns
    if room_ns >= 0:
        return late_ns + room_ns // 2
    return 0 if outer.start_ns <= own.start_ns < outer.end_ns else late_ns
