"""Child or link: what a span is to the work that it was made for, once both are known.

A call that starts after the request it was made for was answered is background work: in the same trace it would
stretch a request that nobody waits for. OpenTelemetry has links for that. What starts in time stays a child, also if
it ends after its parent: nobody else caused it.

Two spans that are one request stay parent and child at any time: a server may take up a request that its client has
given up long ago, and that is just what one wants to see.
"""

from __future__ import annotations

import enum
from typing import Final

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
