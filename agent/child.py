"""A server of ours in a process of its own: started, started again if it ends, ended with the agent.

`python -m MODULE` gets its settings as one line on standard input, which stays open as long as the agent lives: with its end
the child ends, however the agent did. The agent never waits for it.
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

logger = logging.getLogger(__name__)

AGAIN_S: Final = 5.0
MAX_STARTS: Final = 20
"""Then it stays down: something is wrong that does not pass."""
WRONG_SETTING: Final = 2
"""Its exit code where another start cannot help."""
STOP_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class Start:
    """What one start of it is given."""

    settings: str
    """The line."""
    fds: tuple[int, ...] = ()
    """File descriptors that it inherits."""


class Child:
    """One server. `name` is what the log calls it; `begin` is asked before every start."""

    def __init__(self, module: str, name: str, begin: Callable[[], Start]) -> None:
        self._module = module
        self._name = name
        self._begin = begin
        self._process: subprocess.Popen[str] | None = None
        self._starts = 0
        self._next_start = 0.0

    @property
    def pid(self) -> int | None:
        """Of the server, while it lives."""
        return None if self._process is None else self._process.pid

    def keep_up(self) -> int | None:
        """Start it if it does not run; its pid if it was started now."""
        process = self._process
        if process is not None:
            code = process.poll()
            if code is None:
                return None
            self._forget(process)
            logger.warning("%s ended (%d)", self._name, code)
            if code == WRONG_SETTING:
                self._starts = MAX_STARTS
        if self._starts >= MAX_STARTS or time.monotonic() < self._next_start:
            return None
        self._starts += 1
        self._next_start = time.monotonic() + AGAIN_S
        start = self._begin()
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", self._module],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            pass_fds=start.fds,
            env={
                **os.environ,
                "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
                # One heap for all threads: what a large answer took is given back, and not kept once per thread.
                "MALLOC_ARENA_MAX": "1",
            },
            text=True,
        )
        assert self._process.stdin is not None
        self._process.stdin.write(start.settings + "\n")
        self._process.stdin.flush()
        return self._process.pid

    def close(self) -> None:
        """End it."""
        process = self._process
        if process is not None:
            process.terminate()
            try:
                process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            self._forget(process)

    def _forget(self, process: subprocess.Popen[str]) -> None:
        self._process = None
        assert process.stdin is not None
        process.stdin.close()
