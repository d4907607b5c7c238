"""Feeds a parser: whole, byte by byte, cut anywhere, with holes.

A test of a protocol says what was on the wire and what came of it:

    assert read(Http1(), "request", whole(data)) == Result((Request(...),))

`read` does what a connection does: one stream, one reader after the other, stepped after every piece. Properties
that every protocol owes (STYLE.md 2.10) are in tests/protocols/test_every_protocol.py; they take their bytes from
the `SAMPLES` of each protocol's own tests.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from agent.errors import ProtocolError
from agent.protocols import Protocol, Role, Wire
from agent.protocols.pairing import Exchange
from agent.stream import EndOfStream, Stream


@dataclass(frozen=True)
class Piece:
    """What one event says: `size` bytes passed, of which `data` was captured."""

    data: bytes
    size: int


@dataclass(frozen=True)
class Result:
    """What came out of one direction."""

    messages: tuple[Any, ...] = ()
    """Those that are whole."""
    open: Any = None
    """The message whose head is known and whose end has not come."""
    error: type[ProtocolError] | None = None
    """What stopped the reading. A stream that ends between two messages is no error."""


@dataclass(frozen=True)
class Sample:
    """A conversation in which no message is unusual."""

    requests: tuple[bytes, ...]
    responses: tuple[bytes, ...]
    """As many as there are requests."""


def whole(data: bytes) -> list[Piece]:
    """All at once."""
    return [Piece(data, len(data))]


def bytewise(data: bytes) -> list[Piece]:
    """Byte by byte."""
    return [Piece(data[at : at + 1], 1) for at in range(len(data))]


def cut(data: bytes, places: Iterable[int]) -> list[Piece]:
    """Cut at these places, in any order; those outside do nothing."""
    edges = sorted({0, len(data), *(place for place in places if 0 < place < len(data))})
    return [Piece(data[a:b], b - a) for a, b in pairwise(edges)]


def holed(data: bytes, start: int, stop: int) -> list[Piece]:
    """With bytes start to stop uncaptured."""
    pieces = [
        Piece(data[:start], start),
        Piece(b"", stop - start),
        Piece(data[stop:], len(data) - stop),
    ]
    return [piece for piece in pieces if piece.size]


def three_ways(data: bytes) -> Iterator[list[Piece]]:
    """Whole, byte by byte, in two halves."""
    yield whole(data)
    yield bytewise(data)
    yield cut(data, [len(data) // 2])


class Reading:
    """One direction of a connection under test."""

    def __init__(self, protocol: Protocol, kind: str, answering: Iterable[object] = ()) -> None:
        self.protocol = protocol
        self.stream = Stream()
        self.messages: list[Any] = []
        self.open: Any = None
        self.error: type[ProtocolError] | None = None
        self.steps = 0
        """How often a reader was resumed."""
        self.ends: list[int] = []
        """Where each message ended."""
        self._kind = kind
        self._reader: Wire[Any] | None = None
        self._pairing: Any = getattr(protocol, "pairing", None)
        for request in answering:
            self.expect(request)

    def expect(self, request: object) -> None:
        """A request was made: a response will belong to it."""
        self._pairing.begin(Exchange(type(self.protocol), Role.SERVER, request, 0))

    def feed(self, piece: Piece, *, time_ns: int = 1) -> None:
        """A piece passes."""
        self.stream.feed(self.stream.end, piece.data, piece.size, time_ns)
        self.step()

    def close(self) -> None:
        """The direction ends."""
        self.stream.close()
        self.step()

    def end_turn(self) -> None:
        """The other direction begins to speak."""
        self.stream.end_turn(self.stream.end, 1)
        self.step()

    def step(self) -> None:
        """Read what can be read."""
        while self.error is None and not self._is_waiting():
            pass

    def result(self) -> Result:
        """What came so far."""
        return Result(tuple(self.messages), self.open, self.error)

    def _is_waiting(self) -> bool:
        if self._reader is None:
            self._reader = getattr(self.protocol, self._kind)(self.stream)
        self.steps += 1
        try:
            message = next(self._reader)
        except StopIteration as stop:
            self._end(stop.value)
            # What follows is none of the protocol's, and whoever drives readers stops there.
            is_over = stop.value is None and getattr(self.protocol, "is_opaque", False)
            return is_over or self.stream.position == self.stream.end
        except EndOfStream:
            if self.open is not None or self.stream.position < self.stream.end:
                self.error = EndOfStream
            return True
        except ProtocolError as error:
            self.error = type(error)
            return True
        if message is not None:
            assert self.open is None, "a reader told of two heads"
            self.open = message
            return False
        return True

    def _end(self, message: object) -> None:
        if message is None:
            self._reader = None  # part of no exchange
            return
        assert message is self.open, "a reader must tell of the message that it returns"
        self.messages.append(message)
        self.ends.append(self.stream.position)
        self.open = None
        self._reader = None
        self._answered()

    def _answered(self) -> None:
        if self._kind == "response" and self._pairing is not None and self._pairing.answering():
            self._pairing.end()


def read(
    protocol: Protocol,
    kind: str,
    pieces: Iterable[Piece],
    *,
    answering: Sequence[object] = (),
    is_closed: bool = False,
) -> Result:
    """Feed all pieces of one direction; `answering` are the requests that responses will belong to."""
    reading = Reading(protocol, kind, answering)
    for piece in pieces:
        reading.feed(piece)
    if is_closed:
        reading.close()
    return reading.result()
