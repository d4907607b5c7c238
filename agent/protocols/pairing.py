"""How requests meet responses: an exchange is one of each, and what became of it.

An exchange begins when a request's head is known and ends with the last byte of its response, or fails. Protocols
that answer in order pair with `InOrder`; multiplexed ones pair by an id. Pairing by time is refused: it cannot
survive pipelining.
"""

from __future__ import annotations

import enum
from collections import deque
from typing import TYPE_CHECKING, Any, ClassVar, Final

if TYPE_CHECKING:
    from collections.abc import Collection, Hashable

    from agent.protocols import Protocol, Role

MAX_GIVEN_UP: Final = 1024
"""Requests of a connection whose answers are still to be read over."""


class Failure(enum.Enum):
    """Why an exchange has no whole response; the value is its `error.type` where the protocol names none."""

    RESET = "connection_reset"
    """The peer, or the network, reset the connection."""
    TIMEOUT = "timeout"
    """The kernel gave up waiting for the peer."""
    REFUSED = "connection_refused"
    CLOSED_BY_PEER = "connection_closed_by_peer"
    """The peer ended its direction before the response was whole."""
    CLOSED_LOCALLY = "connection_closed"
    """The traced process closed the connection before the response was whole, as a client's own timeout does."""
    PROCESS_EXIT = "process_exit"
    AGENT_EXIT = "unfinished"
    """Not a failure of the traced program: zerospan stopped while the exchange was open."""


class Exchange:
    """A request and its response, and their place in a trace. Times are monotonic ns, 0 while not known.

    Defaults are class attributes: an exchange sets six of its sixteen before its end, and storing all of them at once
    takes three times as long. One is made per exchange.
    """

    response: Any = None
    """The protocol's own response message; None if none was seen."""
    first_byte_ns = 0
    """When the response's first byte passed."""
    end_ns = 0
    """When the last byte of the response passed, or the failure was seen."""
    failure: Failure | None = None
    ordinal = 0
    """Of a client's: the how-manieth on its connection, from 1; 0 where that is not known."""
    connection: Any = None
    """Where it took place; set and read by `connections` and above."""
    known: Any = None
    """The messages may come again: what is remembered of them (connections/endpoint.py)."""

    # What follows is set and read by `traces`.
    thread = 0
    """The thread that began to work for it."""
    alone_since = 0
    """Of a server: told by `traces.overlaps` whether it is the only one of its process; 0: it is not."""
    job: tuple[int, int] | None = None
    """Of a client's, until its parent is decided: the job that it is a part of, by which its parent is still to be found."""
    given: Exchange | None = None
    """With `job`: the server exchange for which its thread was woken or made."""
    join_key: Any = None
    """What the other end of the connection, if it is on this host, has in common with this one."""
    parent: Exchange | None = None
    """The exchange for which this one was made."""
    rule = ""
    """How the parent was found, or why there is none."""
    remote: Any = None
    """The trace context that came with the request."""
    decision: bool | None = None
    """Without `remote`: what the request says of sampling all the same."""
    link: Exchange | None = None
    """For which it was made, but after that was over."""
    trace_id = b""
    """Empty until the parent is settled."""
    span_id = b""

    def __init__(self, protocol: type[Protocol], role: Role, request: Any, start_ns: int) -> None:
        self.protocol = protocol
        self.role = role
        self.request = request
        """The protocol's own request message."""
        self.start_ns = start_ns
        """When the request's first byte passed: for a client, when the call that sent it began."""

    def release(self) -> None:
        """Its span is made: let go of what only that needed. Who it was is known on, for what is still made for it."""
        self.request = self.response = self.known = self.connection = None


class InOrder:
    """Responses come in the order of their requests."""

    __slots__ = ("pending",)

    is_ordered: ClassVar[bool] = True

    def __init__(self) -> None:
        self.pending: deque[Exchange] = deque()

    def begin(self, exchange: Exchange) -> None:
        """A request's head is known."""
        self.pending.append(exchange)

    def answering(self) -> Exchange | None:
        """The exchange that the next or current response belongs to; None if it answers nothing."""
        return self.pending[0] if self.pending else None

    def end(self) -> Exchange:
        """The current response is whole: its exchange leaves."""
        return self.pending.popleft()

    def end_unanswered(self) -> Exchange:
        """The request that was read last is whole, and nothing answers it: its exchange leaves."""
        return self.pending.pop()

    def clear(self) -> None:
        """Nothing is under way any more."""
        self.pending.clear()


class ById:
    """Responses say which request they answer, and come in any order: `request.id` is what both have in common.

    The reader of a response calls `choose` before it tells of it. The reader of a request refuses an id that `is_pending`.
    """

    __slots__ = ("_by_id", "_chosen", "_given_up", "_last")

    is_ordered: ClassVar[bool] = False

    def __init__(self) -> None:
        self._by_id: dict[Hashable, Exchange] = {}
        self._chosen: Hashable = None
        self._last: Hashable = None
        """Of the request that began last; None if it has left."""
        self._given_up: dict[Hashable, None] = {}

    @property
    def pending(self) -> Collection[Exchange]:
        """Exchanges under way, oldest first."""
        return self._by_id.values()

    def is_pending(self, number: Hashable) -> bool:
        """Whether a request of this id waits for its response."""
        return number in self._by_id

    def begin(self, exchange: Exchange) -> None:
        """A request's head is known."""
        number = exchange.request.id
        self._given_up.pop(number, None)
        self._last = number
        self._by_id[number] = exchange

    def choose(self, number: Hashable) -> bool:
        """The next or current response answers this request. False: one that was given up, so it is read over."""
        self._chosen = number
        if number not in self._given_up:
            return True
        del self._given_up[number]
        return False

    def answering(self) -> Exchange | None:
        """The exchange that the chosen response belongs to; None if its request was not seen."""
        return self._by_id.get(self._chosen)

    def end(self) -> Exchange:
        """The chosen response is whole: its exchange leaves."""
        if self._chosen == self._last:
            self._last = None
        return self._by_id.pop(self._chosen)

    def end_unanswered(self) -> Exchange | None:
        """The request that was read last is whole, and nothing answers it: its exchange leaves; None if it has left."""
        return self._by_id.pop(self._last, None)

    def clear(self) -> None:
        """Nothing is under way any more; answers that come all the same are nobody's."""
        self._given_up.update(dict.fromkeys(self._by_id))
        for number in list(self._given_up)[:-MAX_GIVEN_UP]:
            del self._given_up[number]
        self._by_id.clear()
        self._last = None
