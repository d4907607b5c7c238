"""What is over: exchanges that have ended or failed, and connections of which nothing more is wanted.

Each exchange comes to one of two ends here, once: `ended`, of which a span is made, or `abandon`, with the counter
that says why there is none.
"""

from __future__ import annotations

import typing
from collections import Counter, deque
from typing import Final

from agent.connections.connection import Connection, failure_of, learn_names
from agent.connections.session import Session, Trouble
from agent.protocols import Role
from agent.protocols.pairing import Exchange, Failure

if typing.TYPE_CHECKING:
    from collections.abc import Callable

    from agent.connections.interfaces import Follower, Kernel
    from agent.counters import Ledger

_CLIENT: Final = Role.CLIENT


class Outcomes:
    """See the module's text. Shared by all that makes exchanges."""

    def __init__(self, follower: Follower, kernel: Kernel, ledger: Ledger) -> None:
        self.follower = follower
        self.kernel = kernel
        self.ledger = ledger
        self.live: dict[int, Connection] = {}
        """By socket, in the order in which they were opened."""
        self.finished: deque[Exchange] = deque()
        """Exchanges that are over, in that order."""
        self.on_bug: Callable[[str, Exception], None] = _nobody
        """Called with a parser's unexpected exception."""
        self.on_delivery: Callable[[int], None] = _nothing
        """Called with the tgid of who delivers spans by a protocol that is not read."""

    def ended_quickly(self, connection: Connection, exchange: Exchange, time_ns: int) -> None:
        connection.quick = None
        connection.remaining = 0
        self.ended(exchange, time_ns)

    def ended(self, exchange: Exchange, time_ns: int) -> None:
        exchange.end_ns = time_ns
        if exchange.role is _CLIENT:
            learn_names(exchange, self.ledger)
        self.follower.ended(exchange)
        self.finished.append(exchange)

    def fail_pending(self, connection: Connection, time_ns: int, why: Failure) -> None:
        """What is under way will not be answered."""
        if connection.dialogue is not None and why is not Failure.AGENT_EXIT:
            connection.dialogue.release_received()
        for exchange in connection.pending():
            exchange.failure = (
                why if why is Failure.AGENT_EXIT else failure_of(connection.error, why)
            )
            self.ended(exchange, time_ns)
        self.forget_pending(connection)

    def abandon(self, exchange: Exchange, counter: Counter[str], why: str) -> None:
        """No span will be made of an exchange that was counted as captured."""
        counter[why] += 1
        exchange.end_ns = exchange.start_ns
        self.follower.ended(exchange)

    def release(self, connection: Connection) -> None:
        """The general way is not needed any more."""
        session = connection.session
        if session is not None:
            connection.session = None
            self.count_unasked(session)
            if session.dropped:
                self.ledger.limits["stream_bytes"] += session.dropped

    def count_unasked(self, session: Session) -> None:
        """Answers to requests that were not seen, and what may have been answered in a hole, since this was asked last."""
        why = Trouble.NO_REQUEST.value
        self.count(self.ledger.unparsed, why, session.unasked)
        session.unasked = 0
        if session.open_ended:
            self.ledger.limits["batch_size_unknown"] += session.open_ended
            session.open_ended = 0
        for exchange in session.given_up:
            self.abandon(exchange, self.ledger.unparsed, Trouble.GAP.value)
        session.given_up.clear()

    def forget_pending(self, connection: Connection) -> None:
        connection.quick = None
        connection.remaining = 0
        if connection.dialogue is not None:
            connection.dialogue.forget()
        if connection.protocol is not None:
            connection.protocol.forget()

    def want(self, connection: Connection, size: int) -> None:
        """Capture so much of each turn from now on."""
        if size > connection.budget:
            connection.budget = size
            for direction in (0, 1):
                self.kernel.set_budget(connection.socket, direction, size)

    def mute(self, connection: Connection, why: str) -> None:
        """Nothing more is wanted of a connection."""
        self.forget_pending(connection)
        self.release(connection)
        self.ledger.connections[f"muted_{why}"] += 1
        self.live.pop(connection.socket, None)
        self.kernel.mute(connection.socket)

    def evict(self) -> None:
        """Make room: the connection that was opened first goes, with what was under way on it."""
        oldest = next(iter(self.live.values()))
        for exchange in oldest.pending():
            self.abandon(exchange, self.ledger.lost, "connections_full")
        self.mute(oldest, "connections_full")

    def count(self, counter: Counter[str], why: str, exchanges: int) -> None:
        """Exchanges of which no span is made, and of which nobody has been told."""
        if exchanges:
            self.ledger.captured += exchanges
            counter[why] += exchanges


def _nobody(protocol: str, error: Exception) -> None:
    """Until somebody wants to know of bugs."""
    del protocol, error


def _nothing(tgid: int) -> None:
    """Until somebody wants to know of deliveries."""
    del tgid
