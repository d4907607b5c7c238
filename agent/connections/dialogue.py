"""From bytes to exchanges where both sides begin them, as between the clients of a message broker and the broker.

Each direction is a stream and a reader of its own; turns mean nothing, so records of the two may come in any order.

    a message without a key     nothing answers it: its exchange ends with its last byte
    a message with a key        its exchange ends with the `Answer` of the other side that names the key
    an Answer                   ends what it names; one that names nothing that is known is no exchange

Whoever sends a message is the client of its exchange, so a program that a message comes in to works for that exchange, as
for a request.

What is not answered when the connection ends has failed if it was sent from here. If it came in it has not: nobody
owes a broker an answer, and the exchange ends with the message's last byte. So does the oldest one where too many wait.

Where bytes are missing or not understood, that direction is astray: one trouble is counted, what follows is looked
through for something that is surely the beginning of a message, and there reading goes on.
"""

from __future__ import annotations

import typing
from typing import Any, Final

from agent.connections.connection import EGRESS, INGRESS
from agent.connections.session import Trouble
from agent.errors import Gap, ProtocolError
from agent.protocols import Role
from agent.protocols.answers import Answer, ByKey, Waiting
from agent.protocols.pairing import Exchange
from agent.stream import EndOfStream, Stream

if typing.TYPE_CHECKING:
    from collections.abc import Generator

    from agent.protocols import Protocol

LOOK: Final = 16 * 1024
"""Bytes at a time that are looked through for the beginning of a message."""


class Listener(typing.Protocol):
    """Who wants to know about exchanges."""

    def begun(self, exchange: Exchange, direction: int, position: int) -> None:
        """A message's head is known; it began at `position` of its direction."""

    def ended(self, exchange: Exchange, time_ns: int) -> None:
        """It is over."""

    def troubled(self, why: Trouble, exchange: Exchange | None) -> None:
        """Something was not understood: the message of `exchange`, or one that nobody was told of."""

    def unawaited(self) -> None:
        """Too many messages wait for their answers."""


class Dialogue:
    """One connection's two directions."""

    __slots__ = (
        "_answered",
        "_is_astray",
        "_listener",
        "_open",
        "_protocol",
        "_readers",
        "_resumed_at",
        "_server_direction",
        "failure",
        "garbage",
        "sequences",
        "streams",
    )

    def __init__(self, protocol: Protocol, role: Role, listener: Listener) -> None:
        """`role`: of this end."""
        self._protocol = protocol
        self._listener = listener
        self._server_direction = EGRESS if role is Role.SERVER else INGRESS
        """In which the server speaks."""
        self.streams = (Stream(), Stream())
        """By direction, as all pairs here."""
        self.sequences = [0, 0]
        """TCP sequence number of position 0."""
        self._readers: list[Generator[object, None, object] | None] = [None, None]
        self._resumed_at = [0, 0]
        """Where the reader began."""
        self._open: list[Exchange | None] = [None, None]
        """The exchange whose message is being read."""
        self._answered = (ByKey(), ByKey())
        """What waits for an answer, by the direction of the message."""
        self._is_astray = [False, False]
        self.garbage = 0
        """How often bytes were not understood."""
        self.failure: Exception | None = None
        """The parser's last unexpected exception, for the pipeline to log."""

    @property
    def dropped(self) -> int:
        """Captured bytes that waited unread beyond the streams' bounds."""
        return sum(stream.dropped for stream in self.streams)

    def join(self, direction: int, position: int) -> None:
        """Nothing before `position` is known of a direction, and whether a message begins there is not either."""
        stream = self.streams[direction]
        stream.position = stream.end = position
        self._is_astray[direction] = True

    def feed(
        self, direction: int, position: int, data: bytes, size: int, time_ns: int, start_ns: int
    ) -> None:
        """Bytes passed."""
        self.streams[direction].feed(position, data, size, time_ns, start_ns=start_ns)
        self._step(direction)

    def close(self, direction: int, position: int, time_ns: int) -> None:
        """A direction ended when `position` bytes had passed."""
        stream = self.streams[direction]
        stream.advance(position, time_ns)
        stream.close()
        self._step(direction)

    def pending(self) -> list[Exchange]:
        """Exchanges under way: in the order of their messages for each direction, what waits before what is read."""
        return [
            exchange
            for direction in (INGRESS, EGRESS)
            for exchange in (
                *(waiting.exchange for waiting in self._answered[direction]),
                self._open[direction],
            )
            if exchange is not None
        ]

    def release_received(self) -> None:
        """The connection is over: what came in and was not answered has ended when it had come."""
        for waiting in self._answered[INGRESS]:
            self._listener.ended(waiting.exchange, waiting.whole_ns)
        self._answered[INGRESS].clear()

    def forget(self) -> None:
        """Nothing is under way any more."""
        self._open = [None, None]
        for waiting in self._answered:
            waiting.clear()

    def _step(self, direction: int) -> None:  # noqa: C901, PLR0912  (each way in which a reader may stop)
        """Read what has come in."""
        stream, readers = self.streams[direction], self._readers
        is_server = direction == self._server_direction
        read = self._protocol.response if is_server else self._protocol.request
        while not self._protocol.is_opaque:
            if self._is_astray[direction] and not self._find(direction):
                return
            reader = readers[direction]
            if reader is None:
                if stream.position == stream.end:
                    return
                if stream.is_at_gap:
                    self._stray(direction, Trouble.GAP)
                    continue
                reader = readers[direction] = read(stream)
                self._resumed_at[direction] = stream.position
            try:
                message = next(reader)
            except StopIteration as stop:
                readers[direction] = None
                if stop.value is not None:
                    self._ended(direction, stop.value)
            except EndOfStream:
                readers[direction] = None
                return
            except Gap:
                self._stray(direction, Trouble.GAP)
            except ProtocolError:
                self._stray(direction, Trouble.GARBAGE)
            except Exception as error:  # noqa: BLE001  (the wall: a bug in a parser must not stop the agent)
                self.failure = error
                self._stray(direction, Trouble.BUG)
            else:
                if message is None:
                    return
                self._begun(direction, message)

    def _begun(self, direction: int, message: Any) -> None:
        if isinstance(message, Answer):
            return
        stream = self.streams[direction]
        role = Role.CLIENT if direction == EGRESS else Role.SERVER
        exchange = Exchange(type(self._protocol), role, message, stream.begun_ns)
        self._open[direction] = exchange
        self._listener.begun(exchange, direction, stream.begun_at)

    def _ended(self, direction: int, message: Any) -> None:
        stream = self.streams[direction]
        if isinstance(message, Answer):
            for waiting in self._answered[1 - direction].answered(message, stream.now_ns):
                waiting.exchange.first_byte_ns = stream.begun_ns
                self._answer(waiting.exchange, message, stream.now_ns)
            return
        exchange, self._open[direction] = self._open[direction], None
        assert exchange is not None, "a reader must tell of the message that it returns"
        if message.key is None:
            self._listener.ended(exchange, stream.now_ns)
            return
        gone, early = self._answered[direction].begin(message.key, Waiting(exchange, stream.now_ns))
        if gone is not None:
            self._listener.unawaited()
            self._listener.ended(gone.exchange, gone.whole_ns)
        if early is not None:
            self._answer(exchange, *early)

    def _answer(self, exchange: Exchange, answer: Answer, time_ns: int) -> None:
        exchange.response = answer
        self._listener.ended(exchange, time_ns)

    def _stray(self, direction: int, why: Trouble) -> None:
        """What comes next cannot be read."""
        stream = self.streams[direction]
        self._readers[direction] = None
        self._is_astray[direction] = True
        self.garbage += why is not Trouble.GAP
        self._protocol.missed(is_server=direction == self._server_direction)
        exchange, self._open[direction] = self._open[direction], None
        self._listener.troubled(why, exchange)
        if stream.position == self._resumed_at[direction]:
            # Or the same message would be found again.
            stream.leave(1)

    def _find(self, direction: int) -> bool:
        """Go to the next beginning of a message; False if none has come."""
        stream = self.streams[direction]
        is_server = direction == self._server_direction
        while stream.position < stream.end:
            data = stream.peek(LOOK)
            at = self._protocol.find(data, is_server=is_server) if data else -1
            if at >= 0:
                stream.leave(at)
                self._is_astray[direction] = False
                return True
            stream.leave(len(data))
        return False
