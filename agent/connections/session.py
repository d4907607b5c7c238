"""The general way from bytes to exchanges: two streams, a reader for each, and the pairing between them.

The hot path (`connection.py`) recognises the common shape by itself. Everything else comes here: heads in pieces,
bodies with holes, chunks, pipelining, upgrades, losses. A session begins at any message boundary, with the exchanges
that are under way, and is over when it is at a boundary again with nothing under way.
"""

from __future__ import annotations

import enum
import typing
from collections.abc import Callable, Generator
from typing import Any

from agent.errors import Gap, ProtocolError
from agent.protocols import Protocol, Role
from agent.protocols.pairing import Exchange
from agent.stream import EndOfStream, Stream


class Listener(typing.Protocol):
    """Who wants to know about exchanges."""

    def begun(self, exchange: Exchange, position: int) -> None:
        """A request's head is known; the request began at `position` of its direction."""

    def ended(self, exchange: Exchange) -> None:
        """The response is whole."""

    def unanswerable(self, why: Trouble) -> None:
        """Something of an exchange was seen that no span can be made of."""


class Trouble(enum.Enum):
    """Why no span can be made of something that was seen."""

    NO_REQUEST = "request_not_seen"
    """A response that answers nothing we know: the connection was joined in the middle."""
    GAP = "gap"
    """Bytes that are needed were not captured."""
    GARBAGE = "garbage"
    """Bytes that the protocol does not allow."""
    BUG = "bug"
    """The parser raised something that is no ProtocolError."""


class Session:
    """One connection's two directions. `requests` and `responses` are its streams."""

    __slots__ = (
        "_is_lost",
        "_listener",
        "_protocol",
        "_readers",
        "_role",
        "failures",
        "requests",
        "responses",
    )

    def __init__(
        self,
        protocol: Protocol,
        role: Role,
        listener: Listener,
        *,
        positions: tuple[int, int],
    ) -> None:
        """`positions`: where requests and responses stand."""
        self._protocol = protocol
        self._role = role
        self._listener = listener
        self.requests, self.responses = Stream(), Stream()
        for stream, position in zip((self.requests, self.responses), positions, strict=True):
            stream.position = stream.end = stream.turn_end = position
        self._readers: list[Generator[object, None, object] | None] = [None, None]
        self._is_lost = [False, False]
        self.failures: list[Exception] = []
        """Unexpected exceptions of the parser: bugs, for the pipeline to log."""

    @property
    def is_idle(self) -> bool:
        """At a message boundary in both directions, with nothing under way."""
        requests, responses = self.requests, self.responses
        return (
            self._readers[0] is None
            and self._readers[1] is None
            and requests.position == requests.end
            and responses.position == responses.end
            and not self._protocol.pairing.pending
            and not any(self._is_lost)
        )

    def step(self) -> None:
        """Read what has come in."""
        self._step_requests()
        self._step_responses()

    def _step_requests(self) -> None:
        def begun(message: Any) -> None:
            stream = self.requests
            exchange = Exchange(self._protocol, self._role, message, stream.begun_ns)
            self._protocol.pairing.begin(exchange)
            self._listener.begun(exchange, stream.begun_at)

        self._read(0, self.requests, begun, lambda message: None)

    def _step_responses(self) -> None:
        def begun(message: Any) -> None:
            exchange = self._protocol.pairing.answering()
            if exchange is not None:
                exchange.response = message
                exchange.first_byte_ns = self.responses.begun_ns

        def ended(message: Any) -> None:
            del message
            if self._protocol.pairing.answering() is None:
                self._listener.unanswerable(Trouble.NO_REQUEST)
                return
            exchange = self._protocol.pairing.end()
            exchange.end_ns = self.responses.now_ns
            self._listener.ended(exchange)

        self._read(1, self.responses, begun, ended)

    def _read(
        self,
        direction: int,
        stream: Stream,
        begun: Callable[[Any], None],
        ended: Callable[[Any], None],
    ) -> None:
        """Step one direction's reader until it needs more bytes."""
        read = (self._protocol.request, self._protocol.response)[direction]
        while True:
            if self._is_lost[direction]:
                if not stream.recover(self._protocol.resync):
                    return
                self._is_lost[direction] = False
            reader = self._readers[direction]
            if reader is None:
                if stream.position == stream.end:
                    return
                reader = self._readers[direction] = read(stream)
            try:
                message = next(reader)
            except StopIteration as stop:
                self._readers[direction] = None
                ended(stop.value)
            except EndOfStream:
                self._readers[direction] = None
                return
            except Gap:
                self._give_up(direction, Trouble.GAP)
            except ProtocolError:
                self._give_up(direction, Trouble.GARBAGE)
            except Exception as error:  # noqa: BLE001  (the wall: a bug in a parser must not stop the agent)
                self.failures.append(error)
                self._give_up(direction, Trouble.BUG)
            else:
                if message is None:
                    return
                begun(message)

    def _give_up(self, direction: int, why: Trouble) -> None:
        self._readers[direction] = None
        self._is_lost[direction] = True
        self._listener.unanswerable(why)
