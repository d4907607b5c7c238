"""The critical path: at each moment of a request, the one span that the request was waiting for.

Found from the end backwards. A span's end waits for the child that ended last; before that child began, for the one
that ended last by then, and so on; where no child lasts, the span itself is at work. Children that overlap the next
one on the path count up to where that one began.

A child that goes on after its parent has ended was not waited for (work left for later): it is not on the path, nor is
anything below it. Not so where the parent may have given up waiting: a failed span, or a client span whose child is the
server's side of the same call. An overrun of OVERRUN_NS, or of one twentieth of the parent, is none: the last bytes of
an answer are often received before the call that sent them returns.

Properties: the segments are disjoint, in order, without gaps, and cover exactly the root's interval. So their lengths
add up to the root's duration, and a span's self time on the path is the sum of its segments.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from agent.analysis import each_trace
from agent.analysis.calls import asked
from agent.analysis.finding import Confidence, Evidence, Finding, Level, Severity
from agent.analysis.intervals import Interval
from agent.analysis.timeline import timeline
from agent.analysis.wording import operation, percent, took
from agent.spans.span import SpanKind, Status

if TYPE_CHECKING:
    from collections.abc import Iterator

    from agent.analysis.calls import CallTree
    from agent.analysis.thresholds import Thresholds
    from agent.spans.trace import ReadSpan, Trace

OVERRUN_NS: Final = 1_000_000
OVERRUN_PART: Final = 20
"""A child may end this part of its parent's duration later."""


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of the path: the span that was at work, or that was waited for and whose inside is not seen."""

    span: ReadSpan
    start_unix_ns: int
    """By the clock of the root's host (see agent.analysis.timeline)."""
    end_unix_ns: int

    @property
    def duration_ns(self) -> int:
        """More than 0."""
        return self.end_unix_ns - self.start_unix_ns


@dataclass(frozen=True, slots=True)
class _Stretch:
    """Work of the search: a window of time in which `span` was waited for, or (`is_own`) was at work itself."""

    span: ReadSpan
    window: Interval
    is_own: bool = False


def critical_path(trace: Trace, root: ReadSpan | None = None) -> list[Segment]:
    """The path of the tree below `root` (default: the trace's first root), in order; empty if it took no time."""
    times = timeline(trace)
    root = trace.root if root is None else root
    found: list[Segment] = []
    # A stack, not recursion: a chain may be as long as a trace has spans.
    waiting = [_Stretch(root, times[root.span_id])]
    while waiting:
        stretch = waiting.pop()
        if not stretch.is_own:
            waiting.extend(reversed(_split(trace, stretch, times)))
        elif stretch.window.length_ns:
            found.append(Segment(stretch.span, stretch.window.start_ns, stretch.window.end_ns))
    found.reverse()
    return found


def _split(trace: Trace, whole: _Stretch, times: dict[str, Interval]) -> list[_Stretch]:
    """What was waited for within a window of a span, latest first."""
    span, window = whole.span, whole.window
    parts: list[_Stretch] = []
    cursor_ns = window.end_ns
    awaited = [child for child in trace.children(span) if _is_awaited(child, span, times)]
    awaited.sort(key=lambda child: (-times[child.span_id].end_ns, times[child.span_id].start_ns))
    for child in awaited:
        part = times[child.span_id].clipped(Interval(window.start_ns, cursor_ns))
        if not part.length_ns:
            continue
        parts.append(_Stretch(span, Interval(part.end_ns, cursor_ns), is_own=True))
        parts.append(_Stretch(child, part))
        cursor_ns = part.start_ns
    parts.append(_Stretch(span, Interval(window.start_ns, cursor_ns), is_own=True))
    return parts


def _is_awaited(child: ReadSpan, parent: ReadSpan, times: dict[str, Interval]) -> bool:
    outer = times[parent.span_id]
    overrun_ns = times[child.span_id].end_ns - outer.end_ns
    if overrun_ns <= max(OVERRUN_NS, outer.length_ns // OVERRUN_PART):
        return True
    is_same_call = parent.kind is SpanKind.CLIENT and child.kind is SpanKind.SERVER
    return is_same_call or parent.status is Status.ERROR


@each_trace("critical_path", "the operation that a slow request mostly waited for")
def dominant(tree: CallTree, thresholds: Thresholds) -> Iterator[Finding]:
    """Of slow traces: the operation with most self time on the path, attempts and repetitions together."""
    trace, root = tree.trace, tree.trace.root
    if root.duration_ns < max(1, thresholds.slow_trace_ns):
        return
    segments: dict[tuple[str, str], list[Segment]] = defaultdict(list)
    for segment in critical_path(trace):
        segments[segment.span.service, segment.span.name].append(segment)
    spent = {what: sum(one.duration_ns for one in own) for what, own in segments.items()}
    what, spent_ns = max(spent.items(), key=lambda item: item[1])
    share = spent_ns / root.duration_ns
    if share < thresholds.dominant_share:
        return
    spans = list({segment.span.span_id: segment.span for segment in segments[what]}.values())
    is_leaf = not any(trace.children(span) for span in spans)
    places = {asked(span) for span in spans}
    where = places.pop() if len(places) == 1 else operation(spans[0])
    if spans[0] is root and is_leaf:
        title = f"{where} took {took(spent_ns)}, and nothing that it called was seen"
        confidence = Confidence(Level.LOW, "calls that zerospan cannot see would look the same")
    elif spans[0] is root:
        title = f"{where} took {took(root.duration_ns)}, {took(spent_ns)} of it at work itself"
        confidence = Confidence(Level.MEDIUM, "calls that zerospan cannot see would look the same")
    else:
        times = f" in {len(spans)} calls" if len(spans) > 1 else ""
        title = f"{operation(root)} took {took(root.duration_ns)}, {took(spent_ns)} of it in {where}{times}"
        confidence = Confidence(Level.HIGH, f"{percent(share)} of the critical path")
    yield Finding(
        kind="critical_path",
        severity=Severity.WARNING,
        title=title,
        subject=(root.service, root.name, *what),
        evidence=(Evidence.of(spans),),
        confidence=confidence,
        details={
            "root_duration_ns": root.duration_ns,
            "self_ns": spent_ns,
            "share": round(share, 4),
            "service": what[0],
            "name": what[1],
            "spans": len(spans),
        },
    )
