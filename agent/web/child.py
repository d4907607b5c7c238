"""The agent's side of the page: starts the server, tells it about the agent, starts it again if it ends.

The server sees the store, its settings and the board; it is not traced, and the agent never waits for it.
"""

from __future__ import annotations

import dataclasses
import logging
import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any, Final

from agent.web.board import Board

if TYPE_CHECKING:
    from agent.web.settings import WebSettings

logger = logging.getLogger(__name__)

AGAIN_S: Final = 5.0
MAX_STARTS: Final = 20
"""Then it stays down: something is wrong that does not pass."""
WRONG_SETTING: Final = 2
"""Its exit code where another start cannot help."""
STOP_S: Final = 1.0


class WebChild:
    """The page, while an agent runs."""

    def __init__(self, settings: WebSettings) -> None:
        self._board = Board()
        self._settings = dataclasses.replace(settings, board=self._board.fd)
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
            logger.warning("the page's server ended (%d)", code)
            if code == WRONG_SETTING:
                self._starts = MAX_STARTS
        if self._starts >= MAX_STARTS or time.monotonic() < self._next_start:
            return None
        self._starts += 1
        self._next_start = time.monotonic() + AGAIN_S
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "agent.web"],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            pass_fds=[self._board.fd],
            env={
                **os.environ,
                "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
                # One heap for all threads: what a large answer took is given back, and not kept once per thread.
                "MALLOC_ARENA_MAX": "1",
            },
            text=True,
        )
        assert self._process.stdin is not None
        self._process.stdin.write(self._settings.to_json() + "\n")
        self._process.stdin.flush()
        return self._process.pid

    def tell(self, facts: dict[str, Any]) -> None:
        """Put facts on the board."""
        self._board.tell(facts)

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
        self._board.close()

    def _forget(self, process: subprocess.Popen[str]) -> None:
        self._process = None
        assert process.stdin is not None
        process.stdin.close()
