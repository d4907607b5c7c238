"""The agent's side of the page: keeps the server up, and tells it about the agent.

The server sees the store, its settings and the board; it is not traced, and the agent never waits for it.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from agent.child import Child, Start
from agent.web.board import Board

if TYPE_CHECKING:
    from agent.web.settings import WebSettings


class WebChild:
    """The page, while an agent runs."""

    def __init__(self, settings: WebSettings) -> None:
        self._board = Board()
        fd = self._board.fd
        start = Start(dataclasses.replace(settings, board=fd).to_json(), (fd,))
        self._child = Child("agent.web", "the page's server", lambda: start)

    @property
    def pid(self) -> int | None:
        """Of the server, while it lives."""
        return self._child.pid

    def keep_up(self) -> int | None:
        """Start it if it does not run; its pid if it was started now."""
        return self._child.keep_up()

    def tell(self, facts: dict[str, Any]) -> None:
        """Put facts on the board."""
        self._board.tell(facts)

    def close(self) -> None:
        """End it."""
        self._child.close()
        self._board.close()
