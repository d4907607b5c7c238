"""How requests meet responses: an exchange is one of each, and what became of it.

An exchange begins when a request's head is known and ends with the last byte of its response, or fails. Protocols
that answer in order pair with `InOrder`; multiplexed ones pair by an id. Pairing by time is refused: it cannot
survive pipelining.
"""

from __future__ import annotations

import enum
from collections import deque
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from agent.protocols import Protocol, Role


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
