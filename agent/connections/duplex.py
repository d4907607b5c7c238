"""Connections of which both sides begin exchanges: their events go to a `Dialogue`, its exchanges to the next stage."""

from __future__ import annotations

import typing
from typing import Any

from agent.connections.connection import AF_UNIX, EGRESS, INGRESS, Connection
from agent.connections.dialogue import Dialogue
from agent.connections.losses import MAX_TROUBLE
from agent.connections.session import Trouble

if typing.TYPE_CHECKING:
    from agent.connections.outcomes import Outcomes
    from agent.protocols.pairing import Exchange


class Duplex:
    """See the module's text."""

    def __init__(self, outcomes: Outcomes) -> None:
        self._outcomes = outcomes

    def feed(self, connection: Connection, fields: tuple[Any, ...], payload: bytes) -> None:
        """Bytes of a connection of which both sides begin exchanges."""
        time_ns, start_ns, position, size = fields[0], fields[6], fields[7], fields[10]
        sequence, direction = fields[12], fields[14]
        dialogue = connection.dialogue or self._begin(connection)
        dialogue.sequences[direction] = sequence - position
        dialogue.feed(direction, position, payload, size, time_ns, start_ns)
        self.judge(connection, dialogue)

    def _begin(self, connection: Connection) -> Dialogue:
        """Both sides begin exchanges, from where the connection is now."""
        assert connection.protocol is not None
        listener = _Listener(self._outcomes, connection)
        dialogue = Dialogue(connection.protocol, connection.role, listener)
        connection.dialogue = dialogue
        for direction, position in enumerate(connection.expected):
            if position:
                dialogue.join(direction, position)
        return dialogue

    def judge(self, connection: Connection, dialogue: Dialogue) -> None:
        """Whether the connection is still followed."""
        protocol = connection.protocol
        assert protocol is not None
        if dialogue.failure is not None:
            self._outcomes.on_bug(protocol.name, dialogue.failure)
            dialogue.failure = None
        if protocol.is_opaque or dialogue.garbage >= MAX_TROUBLE:
            for exchange in connection.pending():
                self._outcomes.abandon(
                    exchange, self._outcomes.ledger.unparsed, Trouble.GARBAGE.value
                )
            self._outcomes.mute(
                connection, protocol.opaque_cause if protocol.is_opaque else "not_understood"
            )

    def end(self, dialogue: Dialogue, positions: tuple[int, int], last_ns: tuple[int, int]) -> None:
        """The connection is over: read what is left."""
        for direction in (INGRESS, EGRESS):
            dialogue.close(direction, positions[direction], last_ns[direction])
        if dialogue.dropped:
            self._outcomes.ledger.limits["stream_bytes"] += dialogue.dropped


class _Listener:
    """Connects one dialogue with what becomes of its exchanges."""

    __slots__ = ("_connection", "_outcomes")

    def __init__(self, outcomes: Outcomes, connection: Connection) -> None:
        self._outcomes = outcomes
        self._connection = connection

    def begun(self, exchange: Exchange, direction: int, position: int) -> None:
        """A message's head is known."""
        connection, outcomes = self._connection, self._outcomes
        exchange.connection = connection
        outcomes.ledger.captured += 1
        place = position
        if connection.family != AF_UNIX:
            place = (connection.dialogue.sequences[direction] + position) & 0xFFFFFFFF
        if direction != connection.request_direction:
            # Both directions have their own numbers: what the server begins must not be taken for a request.
            place |= 1 << 32
        outcomes.follower.begun(
            exchange, connection.tid, (connection.join_address, place), connection.origin
        )

    def ended(self, exchange: Exchange, time_ns: int) -> None:
        """It is over."""
        self._outcomes.ended(exchange, time_ns)

    def troubled(self, why: Trouble, exchange: Exchange | None) -> None:
        """A message was not understood."""
        unparsed = self._outcomes.ledger.unparsed
        if exchange is None:
            self._outcomes.count(unparsed, why.value, 1)
        else:
            self._outcomes.abandon(exchange, unparsed, why.value)

    def unawaited(self) -> None:
        """Too many messages wait for their answers."""
        self._outcomes.ledger.limits["answers_not_awaited"] += 1
