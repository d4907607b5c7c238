"""The store for the server's threads: one reader, in turns, and a time limit on what is asked of it.

SQLite asks every so many steps whether to go on (sqlite3_progress_handler); beyond the request's time it does not.
Between statements, `traces` looks at the same clock.
"""

from __future__ import annotations

import ctypes
import gc
import os
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from agent.errors import AgentError, StoreError
from agent.store.reader import Reader

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from agent.spans.trace import Trace

LIMIT_S: Final = 10.0
STEPS: Final = 20_000
"""Of SQLite's machine, a millisecond or so."""
LONG_S: Final = 0.1
"""A request that took as long probably took memory, too."""


class TooLong(AgentError):  # noqa: N818  # what it is
    """A question took more time than it may."""


class Timed(Reader):
    """A reader that stops when its request has had its time."""

    deadline = 0.0

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        found = os.stat(path)
        self.file = found.st_dev, found.st_ino
        self.connection.set_progress_handler(lambda: time.monotonic() > self.deadline, STEPS)

    def traces(self, ids: Sequence[int]) -> list[Trace]:
        """As a reader; every search comes here again and again."""
        self.check()
        return super().traces(ids)

    def check(self) -> None:
        """TooLong, if the time is over."""
        if time.monotonic() > self.deadline:
            raise TooLong("this takes too long: ask for less, or for a shorter time")


class Readers:
    """A store for many threads, which take turns: a reader each would remember all shapes as often."""

    def __init__(self, path: Path, limit_s: float = LIMIT_S) -> None:
        self._path = path
        self._limit_s = limit_s
        self._lock = threading.Lock()
        self._reader: Timed | None = None

    @contextmanager
    def reader(self) -> Iterator[Timed]:
        """The reader, for one request. StoreError without a store, TooLong beyond the time."""
        if not self._lock.acquire(timeout=self._limit_s):
            raise TooLong("others have asked for much: try again")
        try:
            yield from self._view()
        finally:
            self._lock.release()

    def _view(self) -> Iterator[Timed]:
        began = time.monotonic()
        found = self._reader
        if found is None or not _is_same_file(found):
            self._forget()
            found = self._reader = Timed(self._path)
        found.deadline = began + self._limit_s
        try:
            with found.view():
                yield found
        except StoreError:
            self._forget()
            found.check()
            raise
        finally:
            if time.monotonic() - began > LONG_S:
                _give_back()

    def _forget(self) -> None:
        if self._reader is not None:
            self._reader.close()
        self._reader = None


def _is_same_file(reader: Timed) -> bool:
    """Whether the path still names the file that was opened."""
    try:
        found = os.stat(reader.path)
    except OSError:
        return False
    return (found.st_dev, found.st_ino) == reader.file


def _give_back() -> None:
    """What a large answer took goes back to the system, which free(3) alone does not do."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
