"""Who calls whom."""

from __future__ import annotations

import pytest

from agent.query import dependencies as module
from agent.query.dependencies import OTHER, OUTSIDE, Edge, Node, NodeKind, dependencies
from agent.query.red import Red
from agent.spans.span import SpanKind, Status
from agent.store.reader import Reader
from agent.store.writer import Writer
from tests.store.made import BACK, MS, NOW_NS, span

FRONT_NODE = Node(NodeKind.SERVICE, "front")
BACK_NODE = Node(NodeKind.SERVICE, "back")


@pytest.fixture
def store(tmp_path):
    writer = Writer(tmp_path / "t.db", clock=lambda: NOW_NS)
    yield writer
    writer.close()


def edges(store: Writer) -> list[Edge]:
    with Reader(store._path) as reader:
        return dependencies(reader)


def test_calls_by_what_they_lead_to(store):
    client = {"kind": SpanKind.CLIENT, "start_unix_ns": NOW_NS}
    database = {"db.system.name": "postgresql", "server.address": "db"}
    store.write(
        [
            span(1, 1, start_unix_ns=NOW_NS, duration_ns=50 * MS),
            span(1, 2, 1, **client, duration_ns=20 * MS, status=Status.ERROR),
            span(1, 3, 2, resource=BACK, start_unix_ns=NOW_NS, duration_ns=15 * MS),
            span(1, 4, 3, **client, resource=BACK, duration_ns=2 * MS, attributes=database),
            span(1, 5, 3, **client, resource=BACK, duration_ns=4 * MS, attributes=database),
            span(
                1, 6, 1, **client, duration_ns=7 * MS, attributes={"server.address": "api.example"}
            ),
            span(1, 7, 1, **client, duration_ns=8 * MS, attributes={}),
            span(1, 8, 1, **client, duration_ns=9 * MS, attributes={"db.system": "redis"}),
        ]
    )
    # All within a second, so the rate is the count.
    assert edges(store) == [
        Edge(BACK_NODE, Node(NodeKind.DATABASE, "postgresql db"), Red(2, 0, 2.0, 2 * MS, 4 * MS, 4 * MS)),
        Edge(FRONT_NODE, Node(NodeKind.ADDRESS, OTHER), Red(1, 0, 1.0, 8 * MS, 8 * MS, 8 * MS)),
        Edge(FRONT_NODE, Node(NodeKind.ADDRESS, "api.example"), Red(1, 0, 1.0, 7 * MS, 7 * MS, 7 * MS)),
        Edge(FRONT_NODE, Node(NodeKind.DATABASE, "redis"), Red(1, 0, 1.0, 9 * MS, 9 * MS, 9 * MS)),
        Edge(FRONT_NODE, BACK_NODE, Red(1, 1, 1.0, 20 * MS, 20 * MS, 20 * MS)),
        Edge(OUTSIDE, FRONT_NODE, Red(1, 0, 1.0, 50 * MS, 50 * MS, 50 * MS)),
    ]  # fmt: skip


def test_a_call_that_two_servers_answered_counts_once(store):
    store.write([span(1, 1, kind=SpanKind.CLIENT), span(1, 2, 1, resource=BACK), span(1, 3, 1, resource=BACK)])  # fmt: skip
    (edge,) = edges(store)
    assert (edge.caller, edge.callee, edge.red.count) == (FRONT_NODE, BACK_NODE, 1)


def test_addresses_without_end(store, monkeypatch):
    monkeypatch.setattr(module, "MAX_ADDRESSES", 10)
    store.write(
        [
            span(n, 1, kind=SpanKind.CLIENT, attributes={"server.address": f"h{n}"})
            for n in range(1, 101)
        ]
    )
    found = edges(store)
    names = {edge.callee.name for edge in found}
    assert OTHER in names
    assert len(names) <= 10 + 9 + 1  # and those that were in a shape before they varied
    assert sum(edge.red.count for edge in found) == 100
