"""A store as it is read, while its writer goes on.

One `Reader` is used by one thread at a time. What it gives is complete when it is given: no statement stays open, so a reader that is
slow to print does not hold up the writer's log. `view` makes several calls see one state of the store.
"""

from __future__ import annotations

import contextlib
import enum
import sqlite3
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from agent.errors import StoreError
from agent.spans.trace import Trace
from agent.store.rows import COLUMNS, Row, from_row
from agent.store.schema import connect_reader
from agent.store.shapes import Shape
from agent.store.values import attributes_from_json

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from agent.spans.span import Value
    from agent.spans.trace import ReadSpan

MIN_PREFIX: Final = 4
"""Hex digits of a trace id that may stand for it."""


@dataclass(frozen=True, slots=True)
class Process:
    """A row of the table `resources`."""

    service: str
    attributes: Mapping[str, Value]


class Order(enum.Enum):
    """Which traces come first in a list; the values are SQL."""

    RECENT = "start DESC, id DESC"
    SLOWEST = "duration DESC, id DESC"


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """Which traces a list shows."""

    order: Order = Order.RECENT
    only_errors: bool = False
    service: str | None = None
    """Traces with a span of this service."""
    name: str | None = None
    """Traces whose root's name contains it."""
    min_duration_ns: int = 0
    since_unix_ns: int = 0
    limit: int = 20


@dataclass(frozen=True, slots=True)
class TraceSummary:
    """What a list of traces shows of one."""

    trace_id: str
    start_unix_ns: int
    duration_ns: int
    spans: int
    errors: int
    """Spans with status error."""
    root_name: str
    root_service: str


@dataclass(frozen=True, slots=True)
class Run:
    """What one run of the writer did; times in Unix nanoseconds."""

    started_unix_ns: int
    ended_unix_ns: int | None
    """None: it is under way, or was killed and nobody has written since."""
    taken: int
    finished: int
    lost: int
    """Spans of the batch that was under way when the run was killed."""
    evicted_traces: int
    evicted_spans: int


class Reader:
    """A store, opened for reading."""

    def __init__(self, path: Path) -> None:
        """StoreError if there is no store, or it cannot be read."""
        self.path = path
        self.connection = connect_reader(path)
        self.shapes: dict[int, Shape] = {}
        """By id; complete within a `view`."""
        self.resources: dict[int, Process] = {}
        self._depth = 0

    def close(self) -> None:
        """Let go of the file."""
        self.connection.close()

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextlib.contextmanager
    def view(self) -> Iterator[None]:
        """One state of the store for all that is read within. StoreError if reading fails."""
        try:
            if not self._depth:
                self.connection.execute("BEGIN")
                self._refresh()
            self._depth += 1
            try:
                yield
            finally:
                self._depth -= 1
        except sqlite3.Error as error:
            raise StoreError(f"store {self.path}: {error}") from error
        finally:
            if not self._depth and self.connection.in_transaction:
                self.connection.execute("COMMIT")

    def find(self, prefix: str) -> list[str]:
        """Ids of at most two traces that begin with these hex digits, of which there must be MIN_PREFIX to 32."""
        low = prefix.lower().ljust(32, "0")
        high = prefix.lower().ljust(32, "f")
        try:
            bounds = bytes.fromhex(low), bytes.fromhex(high)
        except ValueError:
            return []
        if not MIN_PREFIX <= len(prefix) <= 32:
            return []
        with self.view():
            rows = self.connection.execute(
                "SELECT trace_id FROM traces WHERE trace_id BETWEEN ? AND ? LIMIT 2", bounds
            ).fetchall()
        return [trace_id.hex() for (trace_id,) in rows]

    def trace(self, trace_id: str) -> Trace | None:
        """The trace of this id (32 hex digits), None without one."""
        with self.view():
            row = self.connection.execute(
                "SELECT id FROM traces WHERE trace_id = ?", (bytes.fromhex(trace_id),)
            ).fetchone()
            return next(iter(self.traces([row[0]])), None) if row is not None else None

    def traces(self, ids: Sequence[int]) -> list[Trace]:
        """Whole traces by their numbers (`traces.id`), in that order; those that are gone are left out."""
        with self.view():
            return [trace for id_ in ids if (trace := self._trace(id_)) is not None]

    def newest(self, *, since_unix_ns: int, max_spans: int) -> tuple[list[int], int, int]:
        """Numbers of the newest traces with at most so many spans together, oldest first; those spans, and those left out."""
        ids: list[int] = []
        kept = left_out = 0
        with self.view():
            for id_, spans in self.connection.execute(
                "SELECT id, spans FROM traces WHERE start >= ? ORDER BY id DESC", (since_unix_ns,)
            ):
                if left_out or kept + spans > max_spans:
                    left_out += spans
                else:
                    kept += spans
                    ids.append(id_)
        return ids[::-1], kept, left_out

    def summaries(self, listing: Listing) -> list[TraceSummary]:
        """The traces of a list."""
        with self.view():
            rows = self.connection.execute(
                'SELECT trace_id, start, "end" - start AS duration, spans, errors, root_shape, root_resource '
                f"FROM traces WHERE {self._where(listing)} ORDER BY {listing.order.value} LIMIT :limit",
                {
                    "since": listing.since_unix_ns,
                    "duration": listing.min_duration_ns,
                    "limit": listing.limit,
                },
            ).fetchall()
            return [
                TraceSummary(
                    trace_id.hex(),
                    start,
                    duration,
                    spans,
                    errors,
                    self.shapes[shape].name,
                    self.resources[resource].service,
                )
                for trace_id, start, duration, spans, errors, shape, resource in rows
            ]

    def runs(self) -> list[Run]:
        """What the writers of this store did, the latest first."""
        with self.view():
            rows = self.connection.execute(
                "SELECT started, ended, taken, finished, lost, evicted_traces, evicted_spans "
                "FROM runs ORDER BY id DESC"
            ).fetchall()
        return [Run(*row) for row in rows]

    def first_since(self, unix_ns: int) -> int:
        """The least number of a trace that began then or later; beyond all of them if there is none."""
        with self.view():
            (found,) = self.connection.execute(
                "SELECT ifnull(min(id), 9223372036854775807) FROM traces WHERE start >= ?",
                (unix_ns,),
            ).fetchone()
        return int(found)

    def _where(self, listing: Listing) -> str:
        conditions = ["start >= :since", '"end" - start >= :duration']
        if listing.only_errors:
            conditions.append("errors > 0")
        if listing.service is not None:
            found = [id_ for id_, it in self.resources.items() if it.service == listing.service]
            conditions.append(f"id IN (SELECT trace FROM spans WHERE resource IN ({_list(found)}))")
        if listing.name is not None:
            found = [id_ for id_, shape in self.shapes.items() if listing.name in shape.name]
            conditions.append(f"root_shape IN ({_list(found)})")
        return " AND ".join(conditions)

    def _trace(self, id_: int) -> Trace | None:
        found = self.connection.execute(
            "SELECT trace_id FROM traces WHERE id = ?", (id_,)
        ).fetchone()
        if found is None:
            return None
        trace_id = found[0].hex()
        rows = self.connection.execute(
            f"SELECT {COLUMNS} FROM spans WHERE trace = ?",
            (id_,),
        ).fetchall()
        return Trace(self._spans(rows, trace_id))

    def _spans(self, rows: Iterable[Row], trace_id: str) -> Iterator[ReadSpan]:
        for row in rows:
            shape, resource = row[2], row[3]
            yield from_row(
                row,
                trace_id,
                self.shapes[shape],
                self.resources[resource].attributes,
            )

    def _refresh(self) -> None:
        """Read the shapes and resources that are new. Their numbers are never used again (AUTOINCREMENT)."""
        (count,) = self.connection.execute("SELECT count(*) FROM shapes").fetchone()
        if len(self.shapes) > 2 * count + 1000:  # most of them are gone from the store
            self.shapes.clear()
        last = max(self.shapes, default=0)
        for id_, *row in self.connection.execute(
            "SELECT id, name, kind, status, attributes, slots FROM shapes WHERE id > ?", (last,)
        ):
            self.shapes[id_] = Shape.from_row(tuple(row))
        (count,) = self.connection.execute("SELECT count(*) FROM resources").fetchone()
        if len(self.resources) > 2 * count + 1000:
            self.resources.clear()
        last = max(self.resources, default=0)
        for id_, service, attributes in self.connection.execute(
            "SELECT id, service, attributes FROM resources WHERE id > ?", (last,)
        ):
            self.resources[id_] = Process(service, attributes_from_json(attributes))


def _list(numbers: Iterable[int]) -> str:
    return ", ".join(map(str, numbers))
