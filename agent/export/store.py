"""Spans into the store on this host (agent/store/).

Everything happens in the worker's thread: what the pipeline's thread pays is a tuple.
"""

from __future__ import annotations

import logging
import sqlite3
from typing import TYPE_CHECKING, Final

from agent.errors import ConfigError, ExportError, StoreError
from agent.export.exporter import Batch, Outcome
from agent.store.retention import Limits
from agent.store.writer import Busy, Writer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agent.export.settings import Store
    from agent.spans.span import Span

logger = logging.getLogger(__name__)

SPAN_BYTES: Final = 1024
"""What a queued span is taken to occupy: the object with a block of attributes of its own."""
_FULL: Final = frozenset({sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR})
_BUSY: Final = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})


class StoreExporter:
    """Writes batches into a store."""

    def __init__(self, setting: Store) -> None:
        """ConfigError if the store cannot be used."""
        self.name = setting.name
        self.timeout_s = 10.0
        self.poll_s = 30.0
        limits = Limits(
            size_bytes=setting.size_mb * 1024 * 1024, age_ns=int(setting.hours * 3600 * 1e9)
        )
        try:
            self._writer = Writer(setting.path, limits)
        except StoreError as error:
            raise ConfigError(str(error)) from error
        if self._writer.lost_before:
            logger.warning(
                "store %s: the run before was killed; %d spans of its last batch are lost",
                setting.path,
                self._writer.lost_before,
            )

    def prepare(self, spans: Sequence[Span]) -> Batch:
        """Pass the spans on."""
        return Batch(count=len(spans), size_bytes=len(spans) * SPAN_BYTES, spans=tuple(spans))

    def send(self, batch: Batch, *, timeout_s: float) -> Outcome:  # noqa: ARG002  # a disk has no timeout
        """Store the spans, or leave the store as it was."""
        try:
            refused = self._writer.write(batch.spans)  # `poll` comes next, and evicts
        except Busy as error:
            raise ExportError(str(error), cause="store_busy", retry=True) from error
        except sqlite3.Error as error:
            raise _failure(error) from error
        return Outcome(
            exported=batch.count - refused,
            dropped=refused,
            cause="trace_full" if refused else "",
            message="a trace has more spans than the store takes" if refused else "",
        )

    def poll(self) -> Outcome:
        """Evict what has become too old."""
        try:
            self._writer.sweep()
        except sqlite3.Error as error:
            raise _failure(error) from error
        return Outcome()

    def close(self) -> Outcome:
        """Close the store."""
        try:
            self._writer.close()
        except sqlite3.Error as error:
            raise _failure(error) from error
        return Outcome()


def _failure(error: sqlite3.Error) -> ExportError:
    """Extended codes hold the primary one in their low byte (https://sqlite.org/rescode.html)."""
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
    if code in _FULL:
        return ExportError(f"writing failed: {error}", cause="disk_full", retry=True)
    if code in _BUSY:
        return ExportError(f"the store is in use: {error}", cause="store_busy", retry=True)
    return ExportError(f"writing failed: {error}", cause="write_failed", retry=False)
