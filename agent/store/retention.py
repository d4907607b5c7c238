"""What a store forgets: whole traces, by age and by size.

By age: every trace that ended longer ago than the limit. By size: the oldest traces, first those without an error that
were not slow, last the others. But a quarter of the spans are left to ordinary traces: a host on which everything fails
must not become one on which nothing new can be seen.

Pages that become free are used again, so the file stays as large as it once was and no larger than the limit.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from agent.store.schema import PAGE_BYTES, WAL_PAGES

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator

STEP_SPANS: Final = 20_000
"""Deleted by one transaction: 2 MB."""
MAX_STEPS: Final = 16
"""Per sweep; the next batch goes on."""
AGE_STEP_TRACES: Final = 2_000
SLACK: Final = 0.02
"""A sweep makes a bit of room, so that not every batch needs one."""
FREE_SHAPES_AFTER: Final = 50_000
"""Evicted spans, at least, after which shapes and resources are looked through for those that nobody uses: a scan."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How much is kept."""

    size_bytes: int = 512 * 1024 * 1024
    """Of the file with its log."""
    age_ns: int = 24 * 3600 * 1_000_000_000


@dataclass(slots=True)
class Evicted:
    """What a sweep took away."""

    spans: int = 0
    trace_ids: list[bytes] = field(default_factory=list)
    is_renumbered: bool = False
    """Shapes or resources were deleted: their ids mean nothing any more."""


class Retention:
    """Keeps a store within its limits. Called by the writer, between its transactions."""

    def __init__(self, connection: sqlite3.Connection, limits: Limits) -> None:
        self._connection = connection
        self._age_ns = limits.age_ns
        log_bytes = 2 * WAL_PAGES * PAGE_BYTES
        self._most_bytes = max(limits.size_bytes - log_bytes, limits.size_bytes // 2)
        (self.spans, self.kept_spans) = connection.execute(
            "SELECT ifnull(sum(spans), 0), ifnull(sum(spans * is_kept), 0) FROM traces"
        ).fetchone()
        """The spans in the store, and those of traces that are evicted last. The writer adds."""
        self._evicted_since = 0

    def used_bytes(self) -> int:
        """What the file holds, without its free pages."""
        (pages,) = self._connection.execute("PRAGMA page_count").fetchone()
        (free,) = self._connection.execute("PRAGMA freelist_count").fetchone()
        (size,) = self._connection.execute("PRAGMA page_size").fetchone()
        return int(pages - free) * int(size)

    def sweep_size(self) -> Evicted:
        """Evict until the store is within its size."""
        evicted = Evicted()
        used = self.used_bytes()
        if used <= self._most_bytes:
            return evicted
        goal = self._most_bytes * (1 - SLACK)
        for _ in range(MAX_STEPS):
            wanted = min(STEP_SPANS, 1 + int(self.spans * (used - goal) / used))
            if used <= goal or not self._evict(self._oldest(wanted), evicted):
                break
            used = self.used_bytes()
        self._free_shapes(evicted)
        return evicted

    def sweep_age(self, now_unix_ns: int) -> Evicted:
        """Evict what is too old."""
        evicted = Evicted()
        while True:
            old = self._connection.execute(
                'SELECT id, trace_id, spans, is_kept FROM traces WHERE "end" < ? LIMIT ?',
                (now_unix_ns - self._age_ns, AGE_STEP_TRACES),
            ).fetchall()
            if not self._evict(old, evicted):
                break
        self._free_shapes(evicted)
        return evicted

    def _oldest(self, wanted: int) -> list[tuple[int, bytes, int, int]]:
        ordinary = self.spans - self.kept_spans
        is_kept = self.kept_spans > 0 and ordinary <= self.spans // 4
        rows = self._connection.execute(
            "SELECT id, trace_id, spans, is_kept FROM traces "
            f"WHERE {'' if is_kept else 'NOT '}is_kept ORDER BY id"
        )
        return list(_until(rows, wanted))

    def _evict(self, traces: list[tuple[int, bytes, int, int]], evicted: Evicted) -> bool:
        if not traces:
            return False
        connection = self._connection
        connection.execute("BEGIN IMMEDIATE")
        try:
            connection.executemany(
                "DELETE FROM spans WHERE trace = ?", [(id_,) for id_, *_ in traces]
            )
            connection.executemany(
                "DELETE FROM traces WHERE id = ?", [(id_,) for id_, *_ in traces]
            )
            spans = sum(count for _, _, count, _ in traces)
            connection.execute(
                "UPDATE runs SET evicted_traces = evicted_traces + ?, evicted_spans = evicted_spans + ? "
                "WHERE id = (SELECT max(id) FROM runs)",
                (len(traces), spans),
            )
            connection.execute("COMMIT")
        except BaseException:
            roll_back(connection)
            raise
        self.spans -= spans
        self.kept_spans -= sum(count for _, _, count, is_kept in traces if is_kept)
        self._evicted_since += spans
        evicted.spans += spans
        evicted.trace_ids += [trace_id for _, trace_id, _, _ in traces]
        return True

    def _free_shapes(self, evicted: Evicted) -> None:
        if self._evicted_since < max(FREE_SHAPES_AFTER, self.spans // 2):
            return
        self._evicted_since = 0
        for table, column in (("shapes", "shape"), ("resources", "resource")):
            deleted = self._connection.execute(
                f"DELETE FROM {table} WHERE id NOT IN (SELECT {column} FROM spans)"
            ).rowcount
            evicted.is_renumbered = evicted.is_renumbered or deleted > 0


def roll_back(connection: sqlite3.Connection) -> None:
    """End a transaction that failed; SQLite may have done so already."""
    if connection.in_transaction:
        connection.execute("ROLLBACK")


def _until(
    rows: Iterator[tuple[int, bytes, int, int]], wanted: int
) -> Iterator[tuple[int, bytes, int, int]]:
    """Rows until they have `wanted` spans together."""
    for row in rows:
        yield row
        wanted -= row[2]
        if wanted <= 0:
            return
