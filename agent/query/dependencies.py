"""Who calls whom: the edges of the service map, each with rate, errors and duration.

A call is a span of kind CLIENT or PRODUCER. It goes to the service of its child of kind SERVER or CONSUMER; without such
a child, to what its attributes name: a database, or an address. A serving span that nobody's call led to has a
caller that was not seen.
"""

from __future__ import annotations

import enum
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from agent.query.plan import Planner
from agent.query.red import SERVING, Red, red_of
from agent.query.window import window
from agent.spans import semconv
from agent.spans.span import SpanKind, Status

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

    from agent.spans.span import Value
    from agent.store.reader import Reader

CALLING: Final = frozenset({SpanKind.CLIENT, SpanKind.PRODUCER})
MAX_ADDRESSES: Final = 500
"""Nodes that are named after an address; calls to others are to `OTHER`."""
OTHER: Final = "(other addresses)"


class NodeKind(enum.StrEnum):
    """What a node of the map is."""

    SERVICE = "service"
    DATABASE = "database"
    ADDRESS = "address"
    """Something whose own spans were not seen."""
    UNSEEN = "unseen"
    """Callers of which nothing is known."""


@dataclass(frozen=True, slots=True, order=True)
class Node:
    """A node of the map."""

    kind: NodeKind
    name: str


OUTSIDE: Final = Node(NodeKind.UNSEEN, "(unseen)")


@dataclass(frozen=True, slots=True)
class Edge:
    """Calls from one node to another."""

    caller: Node
    callee: Node
    red: Red


@dataclass(slots=True)
class _Calls:
    durations: list[int] = field(default_factory=list)
    errors: int = 0

    def add(self, duration: int, *, is_error: bool) -> None:
        self.durations.append(duration)
        self.errors += is_error


def dependencies(reader: Reader, *, since_unix_ns: int = 0) -> list[Edge]:
    """The edges, those with the most calls first. Of the traces of `window`."""
    calls: dict[tuple[Node, Node], _Calls] = defaultdict(_Calls)
    with reader.view():
        span = window(reader, since_unix_ns=since_unix_ns)
        address = Planner(reader.shapes, reader.resources).slot_value(semconv.SERVER_ADDRESS)
        rows = reader.connection.execute(
            f"SELECT trace, span_id, parent_id, resource, shape, duration, {address.text} FROM spans "
            "WHERE trace >= ? ORDER BY trace",
            (span.first,),
        )
        _Collector(reader, calls).take(rows)
    edges = [
        Edge(caller, callee, red_of(found.durations, found.errors, span.seconds))
        for (caller, callee), found in calls.items()
    ]
    return sorted(edges, key=lambda edge: (-edge.red.count, edge.caller, edge.callee))


class _Collector:
    """Goes through traces: 1.5 µs a span, half of it SQLite's."""

    def __init__(self, reader: Reader, calls: dict[tuple[Node, Node], _Calls]) -> None:
        self._calls = calls
        self._services = {
            id_: Node(NodeKind.SERVICE, process.service)
            for id_, process in reader.resources.items()
        }
        self._kinds = {
            id_: 1 if shape.kind in SERVING else 2 if shape.kind in CALLING else 0
            for id_, shape in reader.shapes.items()
        }
        self._failed = {id_ for id_, shape in reader.shapes.items() if shape.status == Status.ERROR}
        self._named = {id_: _named(shape.attributes) for id_, shape in reader.shapes.items()}
        self._addresses: dict[str, Node] = {}
        self._answered: dict[tuple[int, int, int], list[int]] = {}
        """By the caller's resource, the callee's, and the call's shape: durations."""

    def take(self, rows: Iterable[tuple[Any, ...]]) -> None:
        """Spans, trace by trace."""
        kinds = self._kinds
        trace = None
        clients: dict[bytes, tuple[Any, ...]] = {}
        served: list[tuple[Any, ...]] = []
        for row in rows:
            if row[0] != trace:
                self._join(clients, served)
                trace = row[0]
                clients = {}
                served = []
            kind = kinds[row[4]]
            if kind == 2:
                clients[row[1]] = row
            elif kind == 1:
                served.append(row)
        self._join(clients, served)
        for (caller, callee, shape), durations in self._answered.items():
            found = self._calls[self._services[caller], self._services[callee]]
            found.durations += durations
            found.errors += len(durations) if shape in self._failed else 0

    def _join(self, clients: dict[bytes, tuple[Any, ...]], served: list[tuple[Any, ...]]) -> None:
        """One trace. `clients` is used up."""
        services, failed, answered = self._services, self._failed, self._answered
        used = set()
        for _, _, parent_id, resource, shape, duration, _ in served:
            client = clients.pop(parent_id, None)
            if client is not None:
                used.add(parent_id)
                key = (client[3], resource, client[4])
                try:
                    answered[key].append(client[5])
                except KeyError:
                    answered[key] = [client[5]]
            elif parent_id not in used:
                self._calls[OUTSIDE, services[resource]].add(duration, is_error=shape in failed)
        for _, _, _, resource, shape, duration, address in clients.values():
            callee = self._named[shape] or self._address(address)
            self._calls[services[resource], callee].add(duration, is_error=shape in failed)

    def _address(self, address: Value | None) -> Node:
        name = OTHER if address is None else str(address)
        node = self._addresses.get(name)
        if node is None:
            if len(self._addresses) >= MAX_ADDRESSES:
                name = OTHER
            node = self._addresses[name] = Node(NodeKind.ADDRESS, name)
        return node


def _named(attributes: Mapping[str, Value]) -> Node | None:
    """What a call goes to, as far as its shape says it."""
    system = attributes.get("db.system.name", attributes.get("db.system"))
    address = attributes.get(semconv.SERVER_ADDRESS)
    if system is not None:
        return Node(
            NodeKind.DATABASE, f"{system} {address}" if address is not None else str(system)
        )
    return Node(NodeKind.ADDRESS, str(address)) if address is not None else None
