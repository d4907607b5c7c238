"""What zerospan sees and cannot see of each process, gathered a few processes at a time.

What stays unseen in a process is found by looking into its mappings and its executable: a millisecond or so each, which
the loop that drains the ring has once a second, and not a hundred times at once.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

from agent.processes.listing import row_of

if TYPE_CHECKING:
    from agent.processes.discovery import Discovery
    from agent.processes.process import Process

AT_ONCE: Final = 4
REST: Final = 15
"""Steps between two rounds."""
MAX_PROCESSES: Final = 500


class Coverage:
    """Rows as `zerospan ps` shows them, of the processes that are known to have sockets."""

    def __init__(self, discovery: Discovery) -> None:
        self._discovery = discovery
        self._waiting: list[Process] = []
        self._found: list[dict[str, Any]] = []
        self._rest = 0
        self.rows: list[dict[str, Any]] = []
        """Of the last full round, by pid."""

    def step(self) -> None:
        """Go on a bit. To be called about once a second."""
        if self._rest:
            self._rest -= 1
            return
        if not self._waiting and not self._found:
            known = [one for one in self._discovery if one.has_sockets]
            self._waiting = sorted(known, key=lambda one: -one.pid)[-MAX_PROCESSES:]
        for _ in range(min(AT_ONCE, len(self._waiting))):
            self._found.append(asdict(row_of(self._discovery, self._waiting.pop())))
        if not self._waiting:
            self.rows, self._found, self._rest = self._found, [], REST
