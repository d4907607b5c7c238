"""Exchanges by datagrams: a query, and the answer that names it.

There is no order and no connection: a datagram that a protocol reads as a query begins an exchange, and the answer from
the same place with the same key ends it. A query that is sent again is another attempt: the one before it has failed.
What is never answered fails when its socket is closed, or after MAX_WAIT_NS.

The kernel side reports the first few datagrams of each socket. Of one on which a protocol is seen again and again, as on
a resolver's, it is asked for all.
"""

from __future__ import annotations

import typing
from collections import OrderedDict
from typing import Any, Final

from agent.connections.connection import EGRESS, INGRESS, Connection
from agent.protocols import Role
from agent.protocols.pairing import Exchange, Failure

if typing.TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from agent.connections.outcomes import Outcomes
    from agent.protocols import Protocol

MAX_WAITING: Final = 16384
"""Queries without an answer; beyond, the oldest one is given up."""
MAX_WAIT_NS: Final = 30_000_000_000
"""Longer than any resolver waits for one answer: glibc 5 s by default, 30 s at most."""
MAX_SOCKETS: Final = 16384
"""Sockets whose queries are counted; beyond, the oldest is forgotten."""
WANTED_AFTER: Final = 3
"""Datagrams of a known protocol, before all of a socket's are asked for. The kernel side stops after 8."""
DATAGRAM_BYTES: Final = 512
PATIENCE_NS: Final = 500_000_000
"""Who closes the socket of a query that is older has waited for its answer in vain."""


class Datagrams:
    """See the module's text."""

    def __init__(
        self,
        protocols: tuple[type[Protocol], ...],
        outcomes: Outcomes,
        identify: Callable[[int], Any],
    ) -> None:
        """As `table.Connections`."""
        self._protocols = tuple(p for p in protocols if p.reads_datagrams)
        self._outcomes = outcomes
        self._follower = outcomes.follower
        self._kernel = outcomes.kernel
        self._ledger = outcomes.ledger
        self._identify = identify
        self._waiting: OrderedDict[Hashable, Exchange] = OrderedDict()
        """By socket, other end and the protocol's key; in order of their start."""
        self._known: OrderedDict[int, int] = OrderedDict()
        """By socket: datagrams of a known protocol."""
        self._short: OrderedDict[int, None] = OrderedDict()
        """Sockets on which an answer said to ask again on a stream."""

    def take(self, fields: tuple[Any, ...], payload: bytes) -> None:
        """A datagram passed: `datagram_event`."""
        (time_ns, tgid, tid, _, _, socket, local_address, remote_address, local_port, remote_port,
         family, direction, _, _, _, *origin) = fields  # fmt: skip
        for protocol in self._protocols:
            read = protocol.datagram(payload)
            if read is not None:
                break
        else:
            self._ledger.records_ignored["datagram_unknown"] += 1
            return
        process = self._identify(tgid)
        if process is None:
            self._ledger.records_ignored["datagram_filtered"] += 1
            return
        key = (socket, remote_address, remote_port, read.key)
        if read.is_answer:
            if read.is_short:
                self._short[socket] = None
                if len(self._short) > MAX_SOCKETS:
                    self._short.popitem(last=False)
            self._answered(key, read.message, time_ns, direction, tid)
            return
        before = self._waiting.pop(key, None)
        if before is not None:
            self._end(before, time_ns, Failure.TIMEOUT)
        elif len(self._waiting) >= MAX_WAITING:
            oldest = self._waiting.popitem(last=False)[1]
            self._outcomes.abandon(oldest, self._ledger.lost, "queries_full")
        connection = Connection(socket, tgid, process)
        connection.transport = "udp"
        connection.family = family
        connection.local_address, connection.local_port = local_address, local_port
        connection.remote_address, connection.remote_port = remote_address, remote_port
        connection.role = Role.CLIENT if direction == EGRESS else Role.SERVER
        exchange = Exchange(protocol, connection.role, read.message, time_ns)
        exchange.connection = connection
        self._waiting[key] = exchange
        self._ledger.captured += 1
        is_client = direction == EGRESS
        client = local_port if is_client else remote_port
        # The client's address may not be known to itself: a socket that is bound to none has its port alone.
        known = tuple(origin) if is_client and (origin[0] or origin[4]) else None
        self._follower.begun(exchange, tid, ((protocol.name, client, read.key), 0), known)
        self._want(socket)

    def end(self, fields: tuple[Any, ...]) -> None:
        """A socket is gone: `datagram_end_event`."""
        time_ns, socket = fields[0], fields[5]
        self._known.pop(socket, None)
        is_short = self._short.pop(socket, self) is None
        for key in [key for key in self._waiting if key[0] == socket]:  # type: ignore[index]  # as made above
            exchange = self._waiting.pop(key)
            is_late = time_ns - exchange.start_ns >= PATIENCE_NS
            if is_short and not is_late:
                # The other one of a pair, which is asked again with it: that is no failure.
                self._end(exchange, time_ns, None)
            else:
                self._end(exchange, time_ns, Failure.TIMEOUT if is_late else Failure.CLOSED_LOCALLY)

    def expire(self, now_ns: int) -> None:
        """Fail what has waited too long."""
        while self._waiting:
            key, exchange = next(iter(self._waiting.items()))
            if now_ns - exchange.start_ns < MAX_WAIT_NS:
                return
            del self._waiting[key]
            self._end(exchange, exchange.start_ns + MAX_WAIT_NS, Failure.TIMEOUT)

    def exclude(self, tgid: int) -> None:
        """A process is not traced any more."""
        for key in [key for key, each in self._waiting.items() if each.connection.tgid == tgid]:
            exchange = self._waiting.pop(key)
            self._outcomes.abandon(exchange, self._ledger.filtered, "process_excluded")

    def finish(self, time_ns: int) -> None:
        """The agent stops: what is under way is told as far as it came."""
        for exchange in self._waiting.values():
            self._end(exchange, time_ns, Failure.AGENT_EXIT)
        self._waiting.clear()

    def _answered(
        self, key: Hashable, message: Any, time_ns: int, direction: int, tid: int
    ) -> None:
        exchange = self._waiting.pop(key, None)
        if exchange is None:
            # To a query that was answered already, or sent before the agent came: no exchange of its own.
            self._ledger.records_ignored["datagram_unasked"] += 1
            return
        exchange.response = message
        exchange.first_byte_ns = time_ns
        if direction == INGRESS:
            self._follower.resumed(exchange, tid)
        self._outcomes.ended(exchange, time_ns)

    def _want(self, socket: int) -> None:
        """Ask for all of a socket's datagrams when it goes on speaking a known protocol."""
        count = self._known.get(socket, 0) + 1
        self._known[socket] = count
        if count == WANTED_AFTER:
            for direction in (INGRESS, EGRESS):
                self._kernel.set_budget(socket, direction, DATAGRAM_BYTES)
        if len(self._known) > MAX_SOCKETS:
            self._known.popitem(last=False)

    def _end(self, exchange: Exchange, time_ns: int, why: Failure | None) -> None:
        exchange.failure = why
        self._outcomes.ended(exchange, time_ns)
