"""Which request is meant by a connection and its turn: how the kernel side names what a thread was handed.

The request before the last one is known, too, for what a task does after its response. Requests that share a turn
(pipelining) are not told apart.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from agent.protocols.pairing import Exchange

MAX_SERVED: Final = 4096
"""Connections; beyond, the one without requests for longest is forgotten. Two exchanges for each, 3 KB."""

Turn = tuple[int, "Exchange | None"]
"""A turn and the exchange whose request it is; None if there are several in it."""
_NEVER: Final[Turn] = (0, None)


class Served:
    """By socket: the last two requests."""

    def __init__(self) -> None:
        self._turns: dict[int, tuple[Turn, Turn]] = {}

    def add(self, exchange: Exchange) -> None:
        """A request came on its connection."""
        connection, turns = exchange.connection, self._turns
        socket, turn = connection.socket, connection.turn
        before = turns.pop(socket, None)
        if before is None:
            if len(turns) >= MAX_SERVED:
                del turns[next(iter(turns))]
            before = (_NEVER, _NEVER)
        if before[0][0] == turn:
            turns[socket] = ((turn, None), before[1])
        else:
            turns[socket] = ((turn, exchange), before[0])

    def last(self, socket: int, turn: int) -> Exchange | None:
        """The request of that turn, if it is the last one there."""
        last, _ = self._turns.get(socket, (_NEVER, _NEVER))
        return last[1] if last[0] == turn else None

    def one_of_two(self, socket: int, turn: int) -> Exchange | None:
        """The request of that turn, if it is one of the last two."""
        last, before = self._turns.get(socket, (_NEVER, _NEVER))
        if last[0] == turn:
            return last[1]
        return before[1] if before[0] == turn else None
