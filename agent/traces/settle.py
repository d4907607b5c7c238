"""In which trace a span is; and child or link: what it is to the work that it was made for, once both are known.

A call that starts after the request it was made for was answered is background work: in the same trace it would
stretch a request that nobody waits for. OpenTelemetry has links for that. What starts in time stays a child, also if
it ends after its parent: nobody else caused it.

Two spans that are one request stay parent and child at any time: a server may take up a request that its client has
given up long ago, and that is just what one wants to see.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Final

from agent.traces.rules import RULE_LATE, RULE_NONE, RULE_PEER, WORK

if TYPE_CHECKING:
    from agent.protocols.pairing import Exchange
    from agent.traces.context import Ids

TOLERANCE_NS: Final = 1_000
"""Within a host all times are of one clock, but two processors may read it up to some 100 ns apart. A microsecond is
more than that, and less than two system calls take, so nothing is done in it that comes after the answer. Both times
already lean toward "child": a response ends when the call that sent its last byte is over, a request starts when the
call that sends its first byte begins."""


class Relation(enum.Enum):
    """How a span came to its parent."""

    REMOTE = "remote"
    """The request names it (a header, a TCP option). Its times are another host's, or unknown."""
    PEER = "peer"
    """It is the other end of the same connection, on this host."""
    WORK = "work"
    """A client's call, made for a server's request on this host (thread, opener, task, hand-off)."""


class Tie(enum.Enum):
    """What the span gets."""

    PARENT = "parent"
    LINK = "link"
    """A trace of its own, and a link to what would be its parent."""


def tie(relation: Relation, *, parent_end_ns: int, child_start_ns: int) -> Tie:
    """Parent or link. Times are monotonic; `parent_end_ns` is 0 while it is under way."""
    if relation is not Relation.WORK or not parent_end_ns:
        return Tie.PARENT
    return Tie.LINK if child_start_ns > parent_end_ns + TOLERANCE_NS else Tie.PARENT


def place(exchange: Exchange, own: bytes, ids: Ids) -> None:
    """Find the trace of an exchange whose parent has one; `own` is the id of one that begins with it, empty for a new one."""
    remote, parent = exchange.remote, exchange.parent
    if parent is not None and exchange.rule in WORK:
        times = {"parent_end_ns": parent.end_ns, "child_start_ns": exchange.start_ns}
        if tie(Relation.WORK, **times) is Tie.LINK:
            exchange.link, exchange.parent, exchange.rule = parent, None, RULE_LATE
            parent = None
    if remote is None and parent is None:
        exchange.trace_id = own or ids.trace_id()
        if not exchange.rule:
            exchange.rule = RULE_NONE
    elif remote is not None:
        if (
            parent is not None
            and parent.trace_id == remote.trace_id
            and _explains(parent, exchange)
        ):
            exchange.trace_id = remote.trace_id
            return
        exchange.parent = None
        exchange.trace_id = remote.trace_id
        exchange.rule = remote.format
    elif parent is not None and parent.trace_id:
        exchange.trace_id = parent.trace_id
    else:
        exchange.parent = None
        exchange.trace_id = own or ids.trace_id()
        exchange.rule = exchange.rule if exchange.rule.startswith("refused") else RULE_NONE


def _explains(parent: Exchange, exchange: Exchange) -> bool:
    """Whether a parent found here is nearer than the header's: the header was passed on, or is the parent's own.

    A program that only forwards the header names a span outside; one that has an SDK names a span of its own, which
    lies between `parent` and `exchange`, and is the better parent.
    """
    assert exchange.remote is not None
    if exchange.rule == RULE_PEER:
        return True
    came_with = parent.remote
    return came_with is None or came_with.span_id == exchange.remote.span_id
