"""Which request is meant by a connection and its turn: how the kernel side names what a thread was handed.

Requests before the last one are known, too, for what tasks and threads do after their response: the next ones may have come
by then. Requests that share a turn (pipelining) are not told apart.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from agent.protocols.pairing import Exchange

MAX_SERVED: Final = 4096
"""Connections; beyond, the one without requests for longest is forgotten."""
KEPT: Final = 8
"""Requests of a connection: what is over takes half a kilobyte, so all of them 16 MB at most."""

Turn = tuple[int, "Exchange | None"]
"""A turn and the exchange whose request it is; None if there are several in it."""


class Served:
    """By socket: the last requests, the newest first."""

    def __init__(self) -> None:
        self._turns: dict[int, tuple[Turn, ...]] = {}

    def add(self, exchange: Exchange) -> None:
        """A request came on its connection."""
        connection, turns = exchange.connection, self._turns
        socket, turn = connection.socket, connection.turn
        known = turns.pop(socket, None)
        if known is None:
            if len(turns) >= MAX_SERVED:
                del turns[next(iter(turns))]
            turns[socket] = ((turn, exchange),)
        elif known[0][0] == turn:
            turns[socket] = ((turn, None), *known[1:])
        else:
            turns[socket] = ((turn, exchange), *known[: KEPT - 1])

    def last(self, socket: int, turn: int) -> Exchange | None:
        """The request of that turn, if it is the last one there."""
        known = self._turns.get(socket)
        return known[0][1] if known and known[0][0] == turn else None

    def recent(self, socket: int, turn: int) -> Exchange | None:
        """The request of that turn, if it is one of the last ones there."""
        for number, exchange in self._turns.get(socket, ()):
            if number <= turn:
                return exchange if number == turn else None
        return None
