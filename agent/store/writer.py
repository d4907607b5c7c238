"""The one writer of a store: batches of spans in, old traces out.

A batch is one transaction: it is there whole, or not at all. Before it, in a transaction of its own, the run's row says
how many spans have been taken on; with it, how many are finished. So after kill -9 the next run finds the difference,
which is at most the batch that was under way, and writes it down as lost.

Not thread-safe; one thread at a time. A lock file keeps a second writer out: shapes and trace numbers live in memory.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
import time
from typing import TYPE_CHECKING, Final

from agent.errors import StoreError
from agent.spans.span import Status
from agent.store.retention import Evicted, Limits, Retention, roll_back
from agent.store.rows import INSERT, Owner, Row, to_row
from agent.store.schema import connect_writer
from agent.store.shapes import Known, Shape, Shaper
from agent.store.summary import Summaries, Summary
from agent.store.values import clean, clean_text, to_json

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from agent.spans.span import Resource, Span

MAX_RESOURCES: Final = 4096
"""Processes that are remembered."""
REMEMBERED: Final = 4096
"""Shapes of earlier runs that are read when the store is opened."""
MAX_TRACE_SPANS: Final = 50_000
"""Of one trace: whoever reads it needs it whole in memory. Spans beyond it are dropped, and the caller is told."""
MAX_LOG_BYTES: Final = 64 * 1024 * 1024
"""A reader that does not go on keeps the log from being brought into the file. Beyond this size nothing is written."""
MAX_RUNS: Final = 100
AGE_SWEEP_S: Final = 60.0


class Busy(StoreError):  # noqa: N818  # what it is
    """A reader has held its view of the store for so long that the log is full."""


class Writer:
    """A store, opened for writing."""

    def __init__(
        self,
        path: Path,
        limits: Limits | None = None,
        *,
        clock: Callable[[], int] = time.time_ns,
    ) -> None:
        """Open or make the store. StoreError if it cannot be used, or if somebody else writes it."""
        self._path = path
        self._clock = clock
        self._connection = connect_writer(path)
        self._lock = -1
        try:
            self._lock = _lock(path)
            self._retention = Retention(self._connection, limits or Limits())
            self._next_age_sweep_ns = 0
            self._begin()
            self._load()
        except BaseException as error:
            self._connection.close()
            if self._lock >= 0:
                os.close(self._lock)
            if isinstance(error, sqlite3.Error):
                raise StoreError(f"store {path}: {error}") from error
            raise

    def write(self, spans: Sequence[Span]) -> int:
        """Store a batch. How many of its spans were not taken: their traces are full.

        sqlite3.Error (a full disk, say) or Busy leave the store as it was; the batch may be tried again.
        """
        if self._log_bytes() > MAX_LOG_BYTES:
            # A commit does that by itself, but there may be none for this very reason.
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            if self._log_bytes() > MAX_LOG_BYTES:
                raise Busy(f"store {self._path}: a reader holds up the log")
        connection = self._connection
        connection.execute(
            "UPDATE runs SET taken = finished + ? WHERE id = ?", (len(spans), self._run)
        )
        before = self._retention.spans, self._retention.kept_spans
        connection.execute("BEGIN IMMEDIATE")
        try:
            refused = self._insert(spans)
            connection.execute(
                "UPDATE runs SET finished = finished + ? WHERE id = ?", (len(spans), self._run)
            )
            connection.execute("COMMIT")
        except BaseException:
            roll_back(connection)
            self._retention.spans, self._retention.kept_spans = before
            self._load()
            raise
        return refused

    def sweep(self) -> None:
        """Evict what is too much or, once a minute, too old. To be called after every batch; may raise sqlite3.Error."""
        self._forget(self._retention.sweep_size())
        now = self._clock()
        if now >= self._next_age_sweep_ns:
            self._next_age_sweep_ns = now + int(AGE_SWEEP_S * 1e9)
            self._forget(self._retention.sweep_age(now))

    def close(self) -> None:
        """Say that the run ended in order, and let go of the file."""
        try:
            self._connection.execute(
                "UPDATE runs SET taken = finished, ended = ? WHERE id = ?",
                (self._clock(), self._run),
            )
        finally:
            self._connection.close()
            os.close(self._lock)

    def _log_bytes(self) -> int:
        """The size of the write-ahead log."""
        try:
            return os.stat(f"{self._path}-wal").st_size
        except FileNotFoundError:
            return 0

    def _begin(self) -> None:
        """Account for the run before, which may have been killed, and begin one."""
        connection = self._connection
        connection.execute("BEGIN IMMEDIATE")
        found = connection.execute(
            "SELECT ifnull(sum(taken - finished), 0) FROM runs WHERE ended IS NULL"
        )
        (self.lost_before,) = found.fetchone()
        """Spans of a batch that a killed run had under way."""
        now = self._clock()
        connection.execute(
            "UPDATE runs SET ended = ?, lost = taken - finished WHERE ended IS NULL", (now,)
        )
        self._run = connection.execute("INSERT INTO runs (started) VALUES (?)", (now,)).lastrowid
        connection.execute("DELETE FROM runs WHERE id <= ?", ((self._run or 0) - MAX_RUNS,))
        connection.execute("COMMIT")

    def _load(self) -> None:
        """Learn from the file what is kept in memory; forget what was there."""
        self._shaper = Shaper()
        self._resources: dict[Resource, int] = {}
        self._resource_ids: dict[str, int] = {}
        self._summaries = Summaries(self._connection)
        for id_, *row in self._connection.execute(
            "SELECT id, name, kind, status, attributes, slots FROM shapes ORDER BY id DESC LIMIT ?",
            (REMEMBERED,),
        ):
            self._shaper.remember(Shape.from_row(tuple(row)), id_)
        for id_, text in self._connection.execute(
            "SELECT id, attributes FROM resources ORDER BY id DESC LIMIT ?", (MAX_RESOURCES,)
        ):
            self._resource_ids[text] = id_

    def _insert(self, spans: Sequence[Span]) -> int:
        rows: list[Row] = []
        touched: dict[int, Summary] = {}
        counted: dict[int, tuple[int, int]] = {}
        refused = 0
        for span in spans:
            summary = self._summaries.of(span.trace_id)
            if summary.spans >= MAX_TRACE_SPANS:
                refused += 1
                continue
            if summary.id not in touched:
                touched[summary.id] = summary
                counted[summary.id] = (summary.spans, summary.kept_spans)
            known, values = self._shaper.split(span)
            owner = Owner(
                summary.id, known.id or self._write_shape(known), self._resource(span.resource)
            )
            row = to_row(span, owner, values)
            rows.append(row)
            summary.add(row, is_error=span.status == Status.ERROR)
        written = self._connection.executemany(INSERT, rows).rowcount if rows else 0
        if written != len(rows):
            for summary in touched.values():
                self._summaries.recount(summary)
        self._summaries.write(touched.values())
        for id_, (count, kept) in counted.items():
            self._retention.spans += touched[id_].spans - count
            self._retention.kept_spans += touched[id_].kept_spans - kept
        return refused

    def _write_shape(self, known: Known) -> int:
        id_ = self._connection.execute(
            "INSERT INTO shapes (name, kind, status, attributes, slots) VALUES (?, ?, ?, ?, ?)",
            known.shape.row(),
        ).lastrowid
        assert id_ is not None
        known.id = id_
        return id_

    def _resource(self, resource: Resource) -> int:
        """The resource's id; it is written if it is new."""
        id_ = self._resources.get(resource)
        if id_ is not None:
            return id_
        attributes = {clean_text(key): clean(value) for key, value in resource.attributes}
        text = to_json(attributes)
        id_ = self._resource_ids.get(text)
        if id_ is None:
            service = str(attributes.get("service.name", "unknown_service"))
            id_ = self._connection.execute(
                "INSERT INTO resources (service, attributes) VALUES (?, ?)", (service, text)
            ).lastrowid
            assert id_ is not None
        if len(self._resources) >= MAX_RESOURCES:
            self._resources.clear()
            self._resource_ids.clear()
        self._resources[resource] = self._resource_ids[text] = id_
        return id_

    def _forget(self, evicted: Evicted) -> None:
        self._summaries.forget(evicted.trace_ids)
        if evicted.is_renumbered:
            self._load()


def _lock(path: Path) -> int:
    """A lock that ends with the process. Not on the file itself: closing it would end SQLite's own locks, too."""
    descriptor = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise StoreError(f"store {path}: another zerospan is writing it") from error
    return descriptor
