"""Exchanges that wait for others: nobody knows yet in which trace they are.

A call of a pool's worker has its parent once the request is answered for which it was made (jobs.py), and until then
whatever hangs on that call waits with it. What waits too long, or finds no room, is placed as far as it is known.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections import Counter

    from agent.protocols.pairing import Exchange

HOLD_NS: Final = 10_000_000_000
"""A request that takes longer has calls without parent: they are not to be kept from whoever looks for them."""
MAX_HELD: Final = 16384
"""Exchanges, 1 to 2 KB each."""


class Held:
    """Who waits for whom."""

    def __init__(self, limits: Counter[str], *, limit: int = MAX_HELD) -> None:
        """`limits` counts those that were not held long enough."""
        self._limits = limits
        self._limit = limit
        self._waiting: OrderedDict[Exchange, tuple[int, Exchange]] = OrderedDict()
        """In the order in which they came: until when, and for whom."""
        self._behind: dict[Exchange, list[Exchange]] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def hold(self, exchange: Exchange, blocker: Exchange, now_ns: int) -> bool:
        """Let an exchange wait for another one; False if it is to be placed at once. Once released, it may wait again."""
        if exchange is blocker or len(self._waiting) >= self._limit:
            self._limits["held_full"] += 1
            return False
        self._waiting[exchange] = (now_ns + HOLD_NS, blocker)
        self._behind.setdefault(blocker, []).append(exchange)
        return True

    def release(self, blocker: Exchange) -> list[Exchange]:
        """An exchange is placed: give those that have waited for it."""
        released = self._behind.pop(blocker, [])
        for exchange in released:
            del self._waiting[exchange]
        return released

    def expire(self, now_ns: int) -> list[Exchange]:
        """Give those that have waited long enough."""
        expired = []
        while self._waiting:
            exchange, (until_ns, blocker) = next(iter(self._waiting.items()))
            if now_ns < until_ns:
                break
            self._limits["held_too_long"] += 1
            expired.append(exchange)
            del self._waiting[exchange]
            behind = self._behind[blocker]
            behind.remove(exchange)
            if not behind:
                del self._behind[blocker]
        return expired

    def empty(self) -> list[Exchange]:
        """The end: give them all."""
        held = list(self._waiting)
        self._waiting.clear()
        self._behind.clear()
        return held
