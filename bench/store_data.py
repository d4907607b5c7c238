"""Spans as a busy host makes them, for the store's bench: reproducible.

A shop of eight services, twelve processes. A trace has 4 to 20 spans, ten on average: a server span at the front, client
and server spans of the services it asks, database spans at the leaves. 120 routes; paths with ids of their own, sizes, ports
and times to the first byte that never repeat; 1 % of the spans fail, one trace in 200 is slow.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from agent.spans.span import Attributes, Resource, Span, SpanKind, Status

if TYPE_CHECKING:
    from collections.abc import Iterator

SERVICES = ["front", "checkout", "inventory", "payment", "catalog", "users", "search", "mail"]
START_NS = 1_762_171_200_000_000_000
SECOND_NS = 1_000_000_000
TRACES_PER_S = 50
ROUTES = {
    service: [
        f"/{service}/{word}/{{id}}"
        for word in ("orders", "items", "carts", "lists", "events", "notes", "tags", "files",
                     "rates", "stats", "plans", "keys", "jobs", "logs", "rows")
    ]
    for service in SERVICES
}  # fmt: skip
QUERIES = [
    (f"{verb} {table}", f"{verb} … FROM {table} WHERE id = ?", table)
    for verb in ("SELECT", "UPDATE")
    for table in ("orders", "items", "users", "payments")
]


class Shop:
    """Makes traces."""

    def __init__(self, seed: int = 1) -> None:
        self.rng = random.Random(seed)
        self.processes = [
            Resource(
                [
                    ("service.name", SERVICES[number % len(SERVICES)]),
                    ("service.instance.id", f"host-7:{1000 + number}"),
                    ("process.pid", 1000 + number),
                    ("process.executable.name", "python3.11"),
                    ("process.runtime.name", "cpython"),
                    ("host.name", "host-7"),
                    ("os.type", "linux"),
                    ("telemetry.sdk.name", "zerospan"),
                ]
            )
            for number in range(12)
        ]
        self.common: dict[object, Attributes] = {}

    def shared(self, *items: tuple[str, object]) -> Attributes:
        """A block that many spans share, as the pipeline makes it."""
        block = self.common.get(items)
        if block is None:
            block = self.common[items] = Attributes(items)  # type: ignore[arg-type]  # values
        return block

    def traces(self, spans: int) -> Iterator[list[Span]]:
        """Traces until they have this many spans together."""
        made = number = 0
        while made < spans:
            trace = self.trace(START_NS + number * SECOND_NS // TRACES_PER_S)
            number += 1
            made += len(trace)
            yield trace

    def trace(self, start: int) -> list[Span]:
        """One request and all that it causes."""
        rng = self.rng
        spans: list[Span] = []
        trace_id = rng.randbytes(16)
        slow = 40.0 if rng.random() < 0.005 else 1.0
        self._server(
            spans, trace_id, None, rng.choice(self.processes), start, slow, rng.randint(1, 5)
        )
        spans.reverse()
        return spans

    def _server(self, spans, trace_id, parent, process, start, slow, calls) -> int:
        rng = self.rng
        span_id = rng.randbytes(8)
        service = process.get("service.name")
        route = rng.choice(ROUTES[service])
        at = start + rng.randrange(50_000, 400_000)
        for _ in range(calls):
            if rng.random() < 0.5:
                at = self._database(spans, trace_id, span_id, process, at, slow)
            else:
                at = self._call(spans, trace_id, span_id, process, at, slow)
        end = at + int(rng.expovariate(1 / 3e6) * slow)
        is_error = rng.random() < 0.01
        self._http(
            spans, trace_id, span_id, parent, process, route, start, end, is_error, SpanKind.SERVER
        )
        return end

    def _call(self, spans, trace_id, parent, process, start, slow) -> int:
        span_id = self.rng.randbytes(8)
        other = self.rng.choice(self.processes)
        end = self._server(
            spans, trace_id, span_id, other, start + 100_000, slow, self.rng.randint(0, 1)
        )
        route = spans[-1].attribute("http.route")
        is_error = spans[-1].status == Status.ERROR
        self._http(
            spans,
            trace_id,
            span_id,
            parent,
            process,
            route,
            start,
            end + 80_000,
            is_error,
            SpanKind.CLIENT,
        )
        return end + 80_000

    def _http(
        self, spans, trace_id, span_id, parent, process, route, start, end, is_error, kind
    ) -> None:
        rng = self.rng
        status = 500 if is_error else rng.choice((200, 200, 200, 201, 204))
        path = route.replace("{id}", str(rng.randrange(10**7)))
        name = "http.route" if kind is SpanKind.SERVER else "url.template"
        method = "POST" if route.endswith("orders/{id}") else "GET"
        blocks = [
            self.shared(("http.request.method", method), (name, route), ("http.response.status_code", status),
                        ("network.protocol.version", "1.1")),
            Attributes([("url.path", path), ("http.response.body.size", rng.randrange(20_000))]),
            self.shared(("server.address", f"{process.get('service.name')}.shop"), ("server.port", 8080), ("url.scheme", "http")),
            self.shared(("user_agent.original", f"agent/{rng.randrange(6)}")),
            self.shared(("network.transport", "tcp"), ("network.type", "ipv4"), ("network.peer.address", "10.0.0.7"),
                        ("network.peer.port", 30_000 + rng.randrange(400))),
            self.shared(("zerospan.parent.rule", "peer" if parent else "none")),
            Attributes([("zerospan.time_to_first_byte", (end - start) * 0.9 / 1e9)]),
        ]  # fmt: skip
        if kind is SpanKind.CLIENT:
            # Both attributes: the server's name for the test above, and the route for the next hop.
            blocks.append(self.shared(("http.route", route)))
        if is_error:
            blocks.append(self.shared(("error.type", "500")))
        spans.append(
            Span(trace_id, span_id, parent, f"{method} {route}", kind, start, end,
                 Status.ERROR if is_error else Status.UNSET, "", tuple(blocks), process)
        )  # fmt: skip

    def _database(self, spans, trace_id, parent, process, start, slow) -> int:
        rng = self.rng
        name, text, table = rng.choice(QUERIES)
        end = start + int(rng.expovariate(1 / 2e6) * slow)
        blocks = (
            self.shared(("db.system.name", "postgresql"), ("db.operation.name", name.split()[0]),
                        ("db.collection.name", table), ("db.query.text", text), ("db.namespace", "shop")),
            self.shared(("server.address", "db.shop"), ("server.port", 5432)),
            self.shared(("zerospan.parent.rule", "thread")),
            Attributes([("db.response.returned_rows", rng.randrange(500)),
                        ("zerospan.time_to_first_byte", (end - start) * 0.8 / 1e9)]),
        )  # fmt: skip
        spans.append(
            Span(trace_id, rng.randbytes(8), parent, name, SpanKind.CLIENT, start, end,
                 Status.UNSET, "", blocks, process)
        )  # fmt: skip
        return end
