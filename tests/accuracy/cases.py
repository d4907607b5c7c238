"""What is asked of a service, and which edges its spans must have: pure, and nothing of it is known to the tracer.

A request is `GET /SHAPE/ID`. The service asks the backend for `/work/ID/CALL`, as often and in the way that the shape
says, and forwards the id in X-Request-Id, too. The tracer looks at neither paths nor that header to find a parent, so
the id in the path of every exported span tells to which request the span belongs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

SERVER: Final = 2
CLIENT: Final = 3

CONCURRENCIES: Final = (1, 8, 64)
REQUESTS: Final = {1: 16, 8: 48, 64: 192}
"""Requests of a cell, by concurrency: what an emulated guest can do in seconds."""


@dataclass(frozen=True, slots=True)
class Key:
    """What tells a span from all others of a run."""

    kind: int
    path: str


@dataclass(frozen=True, slots=True)
class Edge:
    """A span and the one that must be its parent."""

    child: Key
    parent: Key | None
    """None: nobody who was traced asked for it."""


@dataclass(frozen=True, slots=True)
class Edges:
    """All edges of some requests."""

    work: tuple[Edge, ...]
    """From a call to the request that it was made for, within one process: what is hard."""
    hops: tuple[Edge, ...]
    """From a request received to the call at the other end of its connection; requests from outside have no parent."""


@dataclass(frozen=True, slots=True)
class Shape:
    """How a handler works."""

    name: str
    what: str
    calls: int = 1
    """Of the backend, per request."""
    through: str = ""
    """The shape that a second service is asked for, which then asks the backend."""

    def edges(self, number: int, inside: str = "") -> Edges:
        """Give the edges of one request. `inside`: what a proxy that is a part of the service puts before paths."""
        asked = Key(SERVER, f"/{self.name}/{number}")
        work: list[Edge] = []
        hops = [Edge(asked, None)]
        if inside:
            asked = _passed_on(asked, inside, work, hops)
        if self.through:
            path = f"/{self.through}/{number}"
            work.append(Edge(Key(CLIENT, path), asked))
            asked = Key(SERVER, path)
            hops.append(Edge(asked, Key(CLIENT, path)))
            if inside:
                asked = _passed_on(asked, inside, work, hops)
        for call in range(self.calls):
            path = f"/work/{number}/{call}"
            work.append(Edge(Key(CLIENT, path), asked))
            hops.append(Edge(Key(SERVER, path), Key(CLIENT, path)))
        return Edges(tuple(work), tuple(hops))


def _passed_on(asked: Key, inside: str, work: list[Edge], hops: list[Edge]) -> Key:
    """A proxy asks what is behind it for the same, under another path: add its edges, and give who works."""
    path = inside + asked.path
    work.append(Edge(Key(CLIENT, path), asked))
    hops.append(Edge(Key(SERVER, path), Key(CLIENT, path)))
    return Key(SERVER, path)


SHAPES: Final = {
    shape.name: shape
    for shape in (
        Shape("one", "one call on a new connection"),
        Shape("kept", "one call on a connection that the thread keeps"),
        Shape("pooled", "one call on a connection from a pool that all share"),
        Shape("sequence", "three calls, one after the other", calls=3),
        Shape("fan", "three calls at once, each in a thread or task of its own", calls=3),
        Shape("sleep", "one call after 20 ms of sleep"),
        Shape("worker", "one call from a worker thread or another task"),
        Shape(
            "hops", "one call of a second service of the same kind, which calls", through="inner"
        ),
        Shape("after", "one call 10 ms after the response"),
        Shape("shared", "one call after an answer on a connection that all requests share"),
        Shape("queued", "one call on one of four connections, for which requests wait"),
    )
}
INNER: Final = "inner"
"""What the second service is asked for: as `kept`, or `pooled` where threads keep no connections."""


def edges_of(shape: Shape, numbers: list[int], inside: str = "") -> Edges:
    """Give the edges of several requests."""
    each = [shape.edges(number, inside) for number in numbers]
    return Edges(
        tuple(edge for edges in each for edge in edges.work),
        tuple(edge for edges in each for edge in edges.hops),
    )
