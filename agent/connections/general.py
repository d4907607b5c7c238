"""The general way: everything unusual about a connection whose requests come from one side.

Heads in several events, pipelining, bodies that must be read, losses within them: a `Session` reads all that, from
where the hot path (table.py) came to, until nothing is under way.
"""

from __future__ import annotations

import typing
from typing import Any, Final

from agent.connections.connection import AF_UNIX, INGRESS, Connection
from agent.connections.losses import MAX_TROUBLE, Losses
from agent.connections.session import Session, Trouble

if typing.TYPE_CHECKING:
    from agent.connections.outcomes import Outcomes
    from agent.protocols.pairing import Exchange

MAX_PENDING: Final = 1024
"""Pipelined requests without an answer on one connection; beyond, it is no conversation that we can follow."""


class General:
    """See the module's text."""

    def __init__(self, outcomes: Outcomes, losses: Losses) -> None:
        self._outcomes = outcomes
        self._losses = losses

    def feed(self, connection: Connection, fields: tuple[Any, ...], payload: bytes) -> bool:
        """Take an event. False: it is to be taken anew, since the connection may have left the general way."""
        (time_ns, _, _, _, _, _, start_ns, position, other_position, other_last_ns, size, _,
         sequence, turn, direction, *_) = fields  # fmt: skip
        if connection.skip_turn:
            return not self._losses.resume(connection, fields)
        session = connection.session or self.begin(connection)
        if direction == connection.request_direction:
            connection.sequence_base = sequence - position
            stream, other = session.requests, session.responses
        else:
            stream, other = session.responses, session.requests
        if other.turn_end < other_position:
            # What was left of the turn before comes first: it may have been cut by a loss, or be the end of all.
            other.end_turn(other_position, other_last_ns)
            self.step(connection, session, turn - 1)
            if connection.session is not session:
                return connection.socket not in self._outcomes.live
        stream.feed(position, payload, size, time_ns, start_ns=start_ns)
        pending = connection.pending() if direction == INGRESS else []
        assert connection.protocol is not None
        is_ordered = connection.protocol.pairing.is_ordered
        if pending and (is_ordered or connection.is_server or len(pending) == 1):
            # Responses come for the oldest request, more of a request for the newest.
            pending_one = pending[-connection.is_server]
            self._outcomes.follower.resumed(pending_one, connection.tid, connection.origin)
            pending = []
        self.step(connection, session, turn)
        if pending:
            # Whose response it was shows only now.
            self._outcomes.follower.resumed_any(session.answered, connection.tid)
        return True

    def begin(self, connection: Connection) -> Session:
        """Go on in the general way, from where the hot path came to."""
        protocol, exchange = connection.protocol, connection.quick
        if protocol is None:
            assert connection.speaks is not None
            protocol = connection.protocol = connection.speaks()
        requests = connection.request_direction
        positions = (connection.expected[requests], connection.expected[1 - requests])
        session = Session(
            protocol, connection.role, _Listener(self._outcomes, connection), positions=positions
        )
        connection.session = session
        if exchange is not None:
            connection.quick = None
            if connection.remaining > 0:
                # Its head has been read; what is left of the body is walked over.
                session.responses.end = session.responses.position + connection.remaining
                session.responses.position = session.responses.end
                self._outcomes.ended(exchange, connection.last_used_ns)
            else:
                protocol.pairing.begin(exchange)
            connection.remaining = 0
        return session

    def step(self, connection: Connection, session: Session, turn: int) -> None:
        """Read what came in `turn`, and see whether the general way is still needed."""
        self.read(connection, session, turn)
        self._judge(connection, session)

    def read(self, connection: Connection, session: Session, turn: int) -> None:
        """Read what came in `turn`."""
        session.step()
        self._outcomes.count_unasked(session)
        if session.trouble is not None:
            self._losses.give_up(connection, session, turn)

    def _judge(self, connection: Connection, session: Session) -> None:
        """Whether the connection is still followed, and whether it still needs the general way."""
        protocol = connection.protocol
        assert protocol is not None
        self._outcomes.want(connection, protocol.wants_capture)
        if protocol.is_opaque and not protocol.pairing.pending:
            self._outcomes.mute(connection, protocol.opaque_cause)
        elif connection.trouble >= MAX_TROUBLE or len(protocol.pairing.pending) > MAX_PENDING:
            for exchange in connection.pending():
                self._outcomes.abandon(
                    exchange, self._outcomes.ledger.unparsed, Trouble.GARBAGE.value
                )
            self._outcomes.mute(connection, "not_understood")
        elif session.trouble is not None:
            if connection.is_pipelined:
                self._outcomes.mute(connection, "pipelined_loss")
        elif session.is_idle:
            requests = connection.request_direction
            connection.expected[requests] = session.requests.position
            connection.expected[1 - requests] = session.responses.position
            self._outcomes.release(connection)


class _Listener:
    """Connects one session with what becomes of its exchanges."""

    __slots__ = ("_connection", "_outcomes")

    def __init__(self, outcomes: Outcomes, connection: Connection) -> None:
        self._outcomes = outcomes
        self._connection = connection

    def begun(self, exchange: Exchange, position: int) -> None:
        """A request's head is known."""
        connection = self._connection
        exchange.connection = connection
        connection.requests += 1
        if connection.is_counted:
            exchange.ordinal = connection.requests
        connection.is_pipelined = connection.is_pipelined or len(connection.pending()) > 1
        self._outcomes.ledger.captured += 1
        place = position
        if connection.family != AF_UNIX:
            place = (connection.sequence_base + position) & 0xFFFFFFFF
        self._outcomes.follower.begun(
            exchange, connection.tid, (connection.join_address, place), connection.origin
        )

    def ended(self, exchange: Exchange) -> None:
        """The response is whole."""
        self._outcomes.ended(exchange, exchange.end_ns)
