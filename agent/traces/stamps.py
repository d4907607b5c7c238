"""Trace contexts that the kernel side gave to requests, where contexts are propagated to other hosts.

By the time that a span is made, its request is long gone, and with it went a trace id and a span id (probes/propagate.c).
So they are the span's: whoever received the request names them as its parent. The kernel side knows less than we do when
it decides for what a request is made; where the two disagree, the ids that were sent stand, and what we found becomes a
link.

A context and its exchange meet by the socket and the TCP sequence number of the request's first byte.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from agent.protocols import Role
from agent.traces.context import RemoteContext

if TYPE_CHECKING:
    from agent.protocols.pairing import Exchange

RULE_TCP_OPTION: Final = "tcp-option"
"""Value of zerospan.parent.rule."""
RULE_SENT: Final = "link:sent"
MAX_STAMPS: Final = 65536
"""Those of requests that no protocol claims are never taken; beyond, the oldest goes."""

_NO_SPAN: Final = bytes(8)
_SAMPLED: Final = {1: True, 2: False}
"""By `enum decision` of events.h; anything else: left to the receiver."""


@dataclass(slots=True)
class Stamp:
    """One context_event."""

    trace_id: bytes
    span_id: bytes
    """Of the span that the request becomes."""
    parent_id: bytes
    """Zeros without one."""
    decision: int
    is_remote: bool
    """The parent is a span of another host."""

    def name(self, exchange: Exchange) -> None:
        """Give the exchange its span id; and its parent, if that is on another host and nothing nearer is known."""
        exchange.span_id = self.span_id
        is_alone = exchange.remote is None and exchange.parent is None
        if self.is_remote and self.parent_id != _NO_SPAN and is_alone:
            exchange.remote = RemoteContext(
                self.trace_id, self.parent_id, _SAMPLED.get(self.decision), format=RULE_TCP_OPTION
            )

    def enforce(self, exchange: Exchange) -> None:
        """A request that was sent in another trace than it seems to belong to is in the one that it was sent in."""
        if exchange.role is not Role.CLIENT or exchange.trace_id == self.trace_id:
            return
        if exchange.parent is not None:
            exchange.link, exchange.parent, exchange.rule = exchange.parent, None, RULE_SENT
        exchange.remote = None
        exchange.trace_id = self.trace_id


class Stamps(OrderedDict[tuple[int, int], Stamp]):
    """Those whose exchange is not settled, by socket and sequence number. A dict, since asking whether there are any must
    cost nothing where contexts are not propagated.
    """

    def add(self, key: tuple[int, int], stamp: Stamp) -> bool:
        """`key`: socket and sequence number. False if the oldest had to go for it."""
        is_full = len(self) >= MAX_STAMPS
        if is_full:
            self.popitem(last=False)
        self[key] = stamp
        return not is_full

    def of(self, exchange: Exchange) -> Stamp | None:
        """Take out what the request of an exchange was sent or received with; None if nothing is known of that."""
        join_key = exchange.join_key
        return self.pop((exchange.connection.socket, join_key[1]), None) if join_key else None
