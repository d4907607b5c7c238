"""What the table `traces` says of each trace, kept true while spans come in any order.

The traces that grew lately stay in memory; others are read again when a late span comes. A trace's root is what
`agent.spans.trace.Trace` takes for it: the earliest of its roots. Nearly always that is its earliest span, which one
look-up can tell; where a child began before its parent, by a skewed clock, the whole trace is looked at.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from agent.spans.span import SpanKind, Status
from agent.spans.trace import ReadSpan, Trace

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable

    from agent.store.rows import Row

MAX_IN_MEMORY: Final = 20_000
"""Traces; 400 bytes each."""
SLOW_NS: Final = 1_000_000_000
"""A trace of this duration is kept longer, as one with an error is: what people's tail sampling keeps, too."""

_FIELDS: Final = 'id, start, "end", spans, errors, root_shape, root_resource'
_INSERT: Final = (
    'INSERT INTO traces (start, "end", spans, errors, root_shape, root_resource, is_kept, trace_id, id) '
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_UPDATE: Final = (
    'UPDATE traces SET start = ?, "end" = ?, spans = ?, errors = ?, root_shape = ?, root_resource = ?, is_kept = ? '
    "WHERE id = ?"
)


@dataclass(slots=True)
class First:
    """The trace's earliest span; of those that began together, the one with the least id."""

    start: int
    span_id: bytes
    parent_id: bytes | None
    shape: int
    resource: int


@dataclass(slots=True)
class Summary:
    """A row of `traces`, and what it takes to keep it true."""

    id: int
    trace_id: bytes
    first: First | None = None
    start: int = 0
    end: int = 0
    spans: int = 0
    errors: int = 0
    root_shape: int = 0
    root_resource: int = 0
    is_written: bool = False

    @property
    def is_kept(self) -> bool:
        """Whether the trace is evicted last."""
        return self.errors > 0 or self.end - self.start >= SLOW_NS

    @property
    def kept_spans(self) -> int:
        """Its spans, if it is kept."""
        return self.spans if self.is_kept else 0

    def add(self, row: Row, *, is_error: bool) -> None:
        """Take a row of `spans` into account."""
        _, span_id, shape, resource, duration, start, parent_id, *_ = row
        end = start + duration
        first = self.first
        if first is None:
            self.start, self.end = start, end
        elif end > self.end:
            self.end = end
        if first is None or (start, span_id) < (first.start, first.span_id):
            self.start = start
            self.first = First(start, span_id, parent_id, shape, resource)
        self.spans += 1
        self.errors += is_error


class Summaries:
    """The summaries of a store, the lately used ones in memory."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._recent: OrderedDict[bytes, Summary] = OrderedDict()
        (last,) = connection.execute("SELECT max(id) FROM traces").fetchone()
        self._next_id = (last or 0) + 1

    def of(self, trace_id: bytes) -> Summary:
        """The trace's summary, a new one for a new trace."""
        summary = self._recent.get(trace_id)
        if summary is None:
            summary = self._recent[trace_id] = self._read(trace_id)
        else:
            self._recent.move_to_end(trace_id)
        return summary

    def forget(self, trace_ids: Iterable[bytes]) -> None:
        """Traces that are no longer there."""
        for trace_id in trace_ids:
            self._recent.pop(trace_id, None)

    def recount(self, summary: Summary) -> None:
        """Read from the rows what `add` would have counted: some of them were there before."""
        (summary.spans, summary.errors, summary.start, summary.end) = self._connection.execute(
            "SELECT count(*), sum(shapes.status = ?), min(start), max(start + duration) "
            "FROM spans JOIN shapes ON shapes.id = spans.shape WHERE trace = ?",
            (int(Status.ERROR), summary.id),
        ).fetchone()
        self._find_first(summary)

    def write(self, summaries: Iterable[Summary]) -> None:
        """Write them, with their roots. Their spans are written."""
        new, changed = [], []
        for summary in summaries:
            self._find_root(summary)
            fields = (
                summary.start,
                summary.end,
                summary.spans,
                summary.errors,
                summary.root_shape,
                summary.root_resource,
                summary.is_kept,
            )
            if summary.is_written:
                changed.append((*fields, summary.id))
            else:
                new.append((*fields, summary.trace_id, summary.id))
                summary.is_written = True
        self._connection.executemany(_INSERT, new)
        self._connection.executemany(_UPDATE, changed)
        while len(self._recent) > MAX_IN_MEMORY:
            self._recent.popitem(last=False)

    def _read(self, trace_id: bytes) -> Summary:
        row = self._connection.execute(
            f"SELECT {_FIELDS} FROM traces WHERE trace_id = ?",
            (trace_id,),
        ).fetchone()
        if row is None:
            self._next_id += 1
            return Summary(self._next_id - 1, trace_id)
        id_, *fields = row
        summary = Summary(id_, trace_id, None, *fields)
        summary.is_written = True
        self._find_first(summary)
        return summary

    def _find_first(self, summary: Summary) -> None:
        row = self._connection.execute(
            "SELECT start, span_id, parent_id, shape, resource FROM spans WHERE trace = ? "
            "ORDER BY start, span_id LIMIT 1",
            (summary.id,),
        ).fetchone()
        summary.first = First(*row)

    def _find_root(self, summary: Summary) -> None:
        first = summary.first
        assert first is not None
        if first.parent_id in (None, first.span_id) or not self._has(summary, first.parent_id):
            summary.root_shape, summary.root_resource = first.shape, first.resource
            return
        rows = {
            span_id.hex(): (parent_id, start, shape, resource)
            for span_id, parent_id, start, shape, resource in self._connection.execute(
                "SELECT span_id, parent_id, start, shape, resource FROM spans WHERE trace = ?",
                (summary.id,),
            )
        }
        root = Trace(
            _bare(summary.trace_id, span_id, parent_id, start)
            for span_id, (parent_id, start, _, _) in rows.items()
        ).root
        _, _, summary.root_shape, summary.root_resource = rows[root.span_id]

    def _has(self, summary: Summary, span_id: bytes | None) -> bool:
        found = self._connection.execute(
            "SELECT 1 FROM spans WHERE trace = ? AND span_id = ?", (summary.id, span_id)
        ).fetchone()
        return found is not None


def _bare(trace_id: bytes, span_id: str, parent_id: bytes | None, start: int) -> ReadSpan:
    """As much of a span as its place in the trace takes."""
    return ReadSpan(
        trace_id=trace_id.hex(),
        span_id=span_id,
        parent_id=parent_id.hex() if parent_id is not None else None,
        name="",
        kind=SpanKind.INTERNAL,
        start_unix_ns=start,
        end_unix_ns=start,
        status=Status.UNSET,
    )
