"""For which request a goroutine works, in programs where work moves between threads.

The goroutine that received a request serves it, until it receives the next one of its connection: a call that it makes
after the response is still a consequence of that request.

A goroutine that received nothing works for what its parent served when the parent made it. When that was is not known, so
the parent's request is taken only where it cannot have been another one: where it is the first that the parent ever
received. Else the goroutine may be one that was left behind by an earlier request of the same connection, as a task in the
background or a worker that stays. What it was once found to work for it keeps as long as that is under way.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from agent.protocols.pairing import Exchange

MAX_GOROUTINES: Final = 8192
"""The least recently used are forgotten: their calls have no parent. Each holds an exchange, 1 to 2 KB."""

Goroutine = tuple[int, int]
"""Process and goroutine id, which a process never uses again."""


@dataclass(frozen=True, slots=True)
class _Work:
    """What a goroutine works for."""

    exchange: Exchange
    is_received: bool
    """It received the request itself."""
    is_only: bool
    """Whatever it has made was made for that."""


class Goroutines:
    """What is known of them."""

    def __init__(self, *, limit: int = MAX_GOROUTINES) -> None:
        self._limit = limit
        self._work: OrderedDict[Goroutine, _Work] = OrderedDict()

    def serves(self, exchange: Exchange, goroutine: int) -> None:
        """A goroutine received a request."""
        connection = exchange.connection
        key = (connection.tgid, goroutine)
        is_first = key not in self._work and connection.turn <= 1
        self._keep(key, _Work(exchange, is_received=True, is_only=is_first))

    def owner(self, tgid: int, origin: Any) -> Exchange | None:
        """For which server exchange a call is made; None if nothing tells."""
        key, parent = (tgid, origin[0]), (tgid, origin[1])
        known = self._work.get(key)
        if known is not None:
            self._work.move_to_end(key)
            # What was begun for a request and goes on when that is over may serve others by now.
            return known.exchange if known.is_received or not known.exchange.end_ns else None
        made_by = self._work.get(parent)
        if not origin[0] or made_by is None or not made_by.is_only:
            return None
        self._keep(key, _Work(made_by.exchange, is_received=False, is_only=True))
        return made_by.exchange

    def _keep(self, key: Goroutine, work: _Work) -> None:
        self._work[key] = work
        self._work.move_to_end(key)
        if len(self._work) > self._limit:
            self._work.popitem(last=False)
