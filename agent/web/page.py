"""The page as the agent has it: kept up, excluded from tracing, and told once a second what there is to tell."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from agent.processes.selection import Verdict
from agent.web.child import WebChild
from agent.web.coverage import Coverage

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent.counters import Ledger
    from agent.processes.discovery import Discovery
    from agent.web.settings import WebSettings


class Page:
    """One run's; without settings there is none. `decide` is told that the server is not to be traced."""

    def __init__(
        self,
        settings: WebSettings | None,
        discovery: Discovery,
        decide: Callable[[int, Verdict], None],
    ) -> None:
        self._child = WebChild(settings) if settings is not None else None
        self._discovery = discovery
        self._coverage = Coverage(discovery)
        self._decide = decide

    def prepare(self) -> None:
        """Look which processes have sockets, while there is time for that: the page tells of those."""
        if self._child is not None:
            self._discovery.find_sockets()

    def step(self, ledger: Ledger) -> None:
        """To be called about once a second; never waits."""
        if self._child is None:
            return
        started = self._child.keep_up()
        if started is not None:
            self._decide(started, Verdict.EXCLUDE)
        self._coverage.step()
        self._child.tell(
            {
                "unix_ns": time.time_ns(),
                "ledger": ledger.as_json(),
                "processes": self._coverage.rows,
            }
        )

    def close(self) -> None:
        """End it."""
        if self._child is not None:
            self._child.close()
