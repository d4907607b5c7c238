"""The general way from bytes to exchanges: two streams, a reader for each, and the pairing between them.

The hot path (`table.py`) recognises the common shape by itself. Everything else comes here: heads in pieces, bodies
with holes, chunks, pipelining, upgrades. A session begins at any message boundary, with the exchanges that are under
way, and is over when it is at a boundary again with nothing under way.

Where responses name their requests, a hole in which a message begins does not stop it: that direction is astray until
a turn of it begins with something that is surely a message. Requests that were missed show by their responses; of
responses that were missed nobody knows to whom they were, so all that is under way is given up.

A session reads only what it can be sure of. At the first trouble it stops, and says in `trouble` what it was: the
table gives it up, and goes on with a new one where the next request is sure to begin.
"""

from __future__ import annotations

import enum
import typing
from typing import Any

from agent.errors import Gap, ProtocolError
from agent.protocols import MAX_CLASSIFY, Verdict
from agent.protocols.pairing import Exchange
from agent.stream import EndOfStream, Stream

if typing.TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from agent.protocols import Protocol, Role


class Listener(typing.Protocol):
    """Who wants to know about exchanges."""

    def begun(self, exchange: Exchange, position: int) -> None:
        """A request's head is known; the request began at `position` of its direction."""

    def ended(self, exchange: Exchange) -> None:
        """The response is whole."""


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
        "_found_at",
        "_is_astray",
        "_is_begun",
        "_listener",
        "_newest",
        "_protocol",
        "_readers",
        "_role",
        "answered",
        "failure",
        "given_up",
        "is_ending",
        "is_uncounted",
        "open_ended",
        "requests",
        "responses",
        "trouble",
        "unasked",
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
        self.trouble: Trouble | None = None
        """Why it stopped; None while all is well."""
        self.is_uncounted = False
        """The trouble is with an exchange of which the listener has not been told."""
        self.is_ending = False
        """The responses have ended: what lies beyond the last one known is of turns that are counted at the close."""
        self.unasked = 0
        """Responses, paired by id, whose request was not seen; whoever counts them sets it to 0."""
        self.answered: list[Exchange] = []
        """Exchanges whose response, or the next part of it, was read in the last step, where they are paired by id."""
        self.given_up: list[Exchange] = []
        """Exchanges whose response may have been in a hole; whoever counts them clears it."""
        self._is_astray = [False, False]
        """Where in this direction a message begins is not known."""
        self._found_at = [-1, -1]
        """Where one was last found again: what cannot be read there is not tried twice."""
        self._is_begun = False
        """The head of the request that is being read is known."""
        self._newest: Exchange | None = None
        """The exchange of the request that was read last, until the next step: what comes with it may join it."""
        self.open_ended = 0
        """Exchanges of which it is not known how many requests joined them; whoever counts them sets it to 0."""
        self.failure: Exception | None = None
        """The parser's unexpected exception, with Trouble.BUG: for the pipeline to log."""

    @property
    def name(self) -> str:
        """The protocol's."""
        return self._protocol.name

    @property
    def dropped(self) -> int:
        """Captured bytes that waited unread beyond the streams' bounds."""
        return self.requests.dropped + self.responses.dropped

    @property
    def is_idle(self) -> bool:
        """At a message boundary in both directions, with nothing under way."""
        requests, responses = self.requests, self.responses
        return (
            self._readers == [None, None]
            and self._is_astray == [False, False]
            and requests.position == requests.end
            and responses.position == responses.end
            and not self._protocol.pairing.pending
        )

    @property
    def is_within_request(self) -> bool:
        """Whether more of a request must come."""
        return self._readers[0] is not None

    @property
    def is_within_head(self) -> bool:
        """Whether a request has begun whose head is not known yet."""
        return self._readers[0] is not None and not self._is_begun

    def step(self) -> None:
        """Read what has come in, until there is trouble."""
        self.answered.clear()
        self._step_requests()
        if self.trouble is None:
            self._step_responses()

    def _step_requests(self) -> None:
        self._newest = None

        def begun(message: Any) -> None:
            stream = self.requests
            self._is_begun = True
            if self._joins(message):
                return
            exchange = Exchange(type(self._protocol), self._role, message, stream.begun_ns)
            self._protocol.pairing.begin(exchange)
            self._newest = exchange
            self._listener.begun(exchange, stream.begun_at)

        def ended(message: Any) -> None:
            self._is_begun = False
            if not self._protocol.is_answered(message):
                exchange = self._protocol.pairing.end_unanswered()
                if exchange is None:
                    return
                self._newest = None
                exchange.end_ns = self.requests.now_ns
                self._listener.ended(exchange)

        self._read(0, self.requests, begun, ended)
        if self.trouble is not None:
            self.is_uncounted = not self._is_begun

    def _joins(self, message: Any) -> bool:
        """Whether a request is a part of the newest exchange."""
        if not self._protocol.has_batches:
            return False
        newest, is_together = self._newest, True
        if newest is None:
            pending, is_together = self._protocol.pairing.pending, False
            if not pending:
                return False
            newest = pending[-1]  # type: ignore[index]  # those in order are a deque
        return newest.response is None and self._protocol.joins(
            newest, message, is_together=is_together
        )

    def _is_within_batch(self, direction: int) -> bool:
        """Whether the next message may join another, or answer it with others: then its reader takes the rest of the turn."""
        if not self._protocol.has_batches:
            return False
        if direction:
            exchange = self._protocol.pairing.answering()
            return exchange is not None and exchange.response is not None
        pending = self._protocol.pairing.pending
        return bool(pending) and pending[-1].response is None  # type: ignore[index]  # as below

    def _step_responses(self) -> None:
        pairing = self._protocol.pairing

        def begun(message: Any) -> None:
            exchange = pairing.answering()
            if exchange is not None:
                if exchange.response is None:
                    exchange.first_byte_ns = self.responses.begun_ns
                exchange.response = message
                if not pairing.is_ordered:
                    self.answered.append(exchange)

        def ended(message: Any) -> None:
            exchange = pairing.answering()
            if exchange is None:
                self._unasked()
                return
            is_sure = self._protocol.is_end_sure(message)
            if not self._protocol.completes(exchange, message) and is_sure:
                return
            self._end()
            is_guessed = not is_sure or (
                pairing.is_ordered and self.responses.turn_end >= self.responses.position
            )
            if is_guessed and pairing.pending:
                # Where it ended is known only from the end of what passed: further responses may have been skipped.
                self.trouble = Trouble.GAP

        self._read(1, self.responses, begun, ended)
        self._end_open()
        if self.trouble is not None:
            is_new = not self.is_ending or self.is_within_head
            self.is_uncounted = is_new and not self._protocol.pairing.pending

    def _unasked(self) -> None:
        """A response answers nothing we know."""
        if self._protocol.pairing.is_ordered:
            self.trouble = Trouble.NO_REQUEST
        else:
            self.unasked += 1

    def _end(self) -> None:
        """All that answers the exchange whose turn it is has been read."""
        protocol = self._protocol
        exchange = protocol.pairing.end()
        assert exchange is not None
        exchange.end_ns = self.responses.now_ns
        self._listener.ended(exchange)
        self.open_ended += protocol.is_open(exchange.request) and not protocol.is_end_sure(
            exchange.response
        )

    def _end_open(self) -> None:
        """The end of a turn is the end of an exchange of which only that tells how many responses it has."""
        pairing, responses = self._protocol.pairing, self.responses
        exchange = pairing.answering() if self._protocol.has_batches else None
        if (
            exchange is not None
            and exchange.response is not None
            and self._readers[1] is None
            and responses.position == responses.end
            and (responses.is_closed or responses.turn_end == responses.end)
            and self._protocol.is_open(exchange.request)
        ):
            self._end()
            if pairing.pending and self.trouble is None:
                self.trouble = Trouble.GAP

    def _read(  # noqa: C901, PLR0912  (each way in which a reader may stop)
        self,
        direction: int,
        stream: Stream,
        begun: Callable[[Any], None],
        ended: Callable[[Any], None],
    ) -> None:
        """Step one direction's reader until it needs more bytes, or there is trouble."""
        read = (self._protocol.request, self._protocol.response)[direction]
        while self.trouble is None:
            if self._is_astray[direction] and not self._find(direction, stream):
                return
            reader = self._readers[direction]
            if reader is None:
                if stream.position == stream.end:
                    return
                if stream.is_at_gap and not self._is_within_batch(direction):
                    self._miss(direction)
                    continue
                reader = self._readers[direction] = read(stream)
            try:
                message = next(reader)
            except StopIteration as stop:
                self._readers[direction] = None
                if stop.value is not None:
                    ended(stop.value)
            except EndOfStream:
                self._readers[direction] = None
                return
            except Gap:
                self._miss(direction)
            except ProtocolError:
                self.trouble = Trouble.GARBAGE
            except Exception as error:  # noqa: BLE001  (the wall: a bug in a parser must not stop the agent)
                self.trouble = Trouble.BUG
                self.failure = error
            else:
                if message is None:
                    return
                begun(message)

    def _miss(self, direction: int) -> None:
        """A message begins, or goes on, in a hole."""
        pairing = self._protocol.pairing
        if pairing.is_ordered:
            self.trouble = Trouble.GAP
            return
        self._readers[direction] = None
        self._is_begun &= bool(direction)
        self._is_astray[direction] = True
        self._protocol.missed(is_server=bool(direction))
        if direction:
            self.given_up += pairing.pending
            pairing.clear()

    def _find(self, direction: int, stream: Stream) -> bool:
        """Whether a turn begins with a message; what comes before is left."""
        wanted = (Verdict.REQUEST, Verdict.RESPONSE)[direction]
        if stream.position < stream.turn_end:
            _leave(stream, stream.turn_end)
        if stream.position == stream.turn_end < stream.end:
            head = stream.peek(MAX_CLASSIFY)
            verdict = self._protocol.classify(head)
            if verdict is wanted and stream.position != self._found_at[direction]:
                self._found_at[direction] = stream.position
                self._is_astray[direction] = False
                return True
            if verdict is Verdict.MORE and stream.position + len(head) == stream.end:
                return False
        _leave(stream, stream.end)
        return False


def _leave(stream: Stream, target: int) -> None:
    """Walk to a place that has passed."""
    for _ in stream.skip(target - stream.position):
        raise AssertionError("it has not passed")
