"""Traces for people: spans are gathered until their trace is finished, then drawn as a tree.

Nothing says that a trace is complete. It is taken to be when its root has ended (a span ends after its children, but
they come from several processes and in any order) and no span of it came for QUIET_S; or when it has been waiting for
MAX_AGE_S. Above the bounds on memory the oldest trace is drawn early. Spans that come later are drawn as a trace of
their own, under the same id: nothing is left out.

Sans-IO: times are passed in. Text of traced programs is escaped here (`printable`) and nowhere later.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from agent.export.text import printable
from agent.spans import semconv
from agent.spans.span import Span, SpanKind, Status

if TYPE_CHECKING:
    from collections.abc import Iterator

QUIET_S: Final = 1.0
MAX_AGE_S: Final = 10.0
MAX_TRACE_SPANS: Final = 1_000
"""Drawn in parts of this size: one endless trace must not hold up the others."""
MAX_SPANS: Final = 10_000
"""In all traces together; a row takes some 400 bytes."""
MAX_DEPTH: Final = 32
"""Deeper spans are not indented further."""


@dataclass(frozen=True, slots=True)
class Row:
    """What is shown of a span."""

    span_id: bytes
    parent_id: bytes | None
    is_root: bool
    """It has no parent, or one that is made elsewhere."""
    start_unix_ns: int
    end_unix_ns: int
    name: str
    kind: str
    service: str
    result: str
    """Status code, error, what is missing; may be empty."""
    is_error: bool


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a drawn trace, in the parts that a terminal colors."""

    lead: str
    """The tree's branches, or the heading."""
    name: str = ""
    detail: str = ""
    result: str = ""
    is_error: bool = False

    def __str__(self) -> str:
        return self.lead + "  ".join(part for part in (self.name, self.detail, self.result) if part)


@dataclass(slots=True)
class Trace:
    """The spans of one trace that have come so far."""

    trace_id: bytes
    first_s: float
    last_s: float
    rows: list[Row] = field(default_factory=list)
    has_root: bool = False

    def is_due(self, now_s: float) -> bool:
        """Whether it is taken to be complete."""
        is_quiet = self.has_root and now_s - self.last_s >= QUIET_S
        return is_quiet or now_s - self.first_s >= MAX_AGE_S or len(self.rows) >= MAX_TRACE_SPANS


class Traces:
    """The traces that are still growing, oldest first."""

    def __init__(self) -> None:
        self._traces: dict[bytes, Trace] = {}
        self.spans = 0

    def add(self, span: Span, *, now_s: float) -> None:
        """Put a span into its trace."""
        trace = self._traces.get(span.trace_id)
        if trace is None:
            trace = self._traces[span.trace_id] = Trace(span.trace_id, now_s, now_s)
        row = row_of(span)
        trace.rows.append(row)
        trace.has_root = trace.has_root or row.is_root
        trace.last_s = now_s
        self.spans += 1

    def take_due(self, now_s: float) -> list[Trace]:
        """Remove and give the traces that are complete, and the oldest ones over the bound."""
        due = [trace for trace in self._traces.values() if trace.is_due(now_s)]
        self._remove(due)
        while self.spans > MAX_SPANS:
            oldest = next(iter(self._traces.values()))
            self._remove([oldest])
            due.append(oldest)
        return due

    def take_all(self) -> list[Trace]:
        """Remove and give every trace."""
        traces = list(self._traces.values())
        self._remove(traces)
        return traces

    def _remove(self, traces: list[Trace]) -> None:
        for trace in traces:
            del self._traces[trace.trace_id]
            self.spans -= len(trace.rows)


_KINDS: Final = {kind: kind.name.lower() for kind in SpanKind}


def row_of(span: Span) -> Row:
    """What is shown of `span`, fit for a terminal."""
    parts = [
        span.attribute(semconv.HTTP_RESPONSE_STATUS_CODE),
        span.attribute(semconv.ERROR_TYPE),
        span.attribute(semconv.INCOMPLETE),
        span.status_message,
    ]
    texts = dict.fromkeys(printable(str(part)) for part in parts if part)  # each once, in order
    is_error = span.status == Status.ERROR
    return Row(
        span_id=span.span_id,
        parent_id=span.parent_id,
        is_root=span.parent_id is None or span.is_parent_remote,
        start_unix_ns=span.start_unix_ns,
        end_unix_ns=span.end_unix_ns,
        name=printable(span.name),
        kind=_KINDS[span.kind],
        service=printable(str(span.resource.get(semconv.SERVICE_NAME) or "unknown")),
        result=" ".join(texts) or ("error" if is_error else ""),
        is_error=is_error,
    )


def draw(trace: Trace) -> Iterator[Line]:
    """The trace's heading, then its spans as a tree, children in order of their start."""
    rows = sorted(trace.rows, key=lambda row: (row.start_unix_ns, row.span_id))
    start_ns = rows[0].start_unix_ns
    end_ns = max(row.end_unix_ns for row in rows)
    count = "1 span" if len(rows) == 1 else f"{len(rows)} spans"
    yield Line(f"trace {trace.trace_id.hex()}  {count}  {duration(end_ns - start_ns)}")

    known = {row.span_id for row in rows}
    children: dict[bytes, list[Row]] = {}
    for row in rows:
        if row.parent_id is not None:
            children.setdefault(row.parent_id, []).append(row)
    roots = [row for row in rows if row.parent_id is None or row.parent_id not in known]
    # What no root leads to is in a circle of parents, which only nonsense from outside can make: shown all the same,
    # from its earliest span on.
    drawn: set[int] = set()
    for root in (*roots, *rows):
        yield from _draw_below(root, children, drawn)


def _draw_below(root: Row, children: dict[bytes, list[Row]], drawn: set[int]) -> Iterator[Line]:
    # A stack, not recursion: a chain may be as long as a trace has spans.
    stack = [(root, "", "")]
    while stack:
        row, indent, branch = stack.pop()
        if id(row) in drawn:
            continue
        drawn.add(id(row))
        yield _line(row, indent + branch)
        if branch and len(indent) < 3 * MAX_DEPTH:
            indent += "   " if branch.startswith("└") else "│  "
        below = [child for child in children.get(row.span_id, ()) if id(child) not in drawn]
        stack.extend(
            (child, indent, "└─ " if child is below[-1] else "├─ ") for child in reversed(below)
        )


def _line(row: Row, lead: str) -> Line:
    took = duration(row.end_unix_ns - row.start_unix_ns)
    return Line(
        lead=lead,
        name=row.name,
        detail=f"{row.kind}  {row.service} → {took}",
        result=row.result,
        is_error=row.is_error,
    )


def duration(span_ns: int) -> str:
    """A time span for people: three digits are enough."""
    if span_ns < 1_000_000:
        return f"{max(span_ns, 0) / 1e3:.0f} µs"
    if span_ns < 1_000_000_000:
        return f"{span_ns / 1e6:.1f} ms"
    if span_ns < 60_000_000_000:
        return f"{span_ns / 1e9:.2f} s"
    minutes, seconds = divmod(span_ns // 1_000_000_000, 60)
    return f"{minutes} min {seconds:02d} s"
