"""A trace to show, hostile in every field, and a harmless one."""

from __future__ import annotations

from agent.query.dependencies import Edge, Node, NodeKind
from agent.query.red import Red
from agent.spans.span import Link, Resource, SpanEvent, SpanKind, Status
from agent.spans.trace import Trace
from tests.store.made import BACK, MS, NOW_NS, as_read, span

EVIL = '\x1b[31m<script>"];x\u202e\n\\`#|'
"""Color, markup, quotes, a bidi override, a line's end, a backslash."""

RED = Red(10, 1, 0.5, 2 * MS, 90 * MS, 2000 * MS)

TRACE = Trace(
    as_read(one)
    for one in [
        span(1, 1, start_unix_ns=NOW_NS, duration_ns=100 * MS, name="GET /"),
        span(1, 2, 1, start_unix_ns=NOW_NS + 10 * MS, duration_ns=50 * MS, name="call", kind=SpanKind.CLIENT),
        span(1, 3, 2, start_unix_ns=NOW_NS + 20 * MS, duration_ns=30 * MS, name="work", resource=BACK,
             status=Status.ERROR, attributes={"http.response.status_code": 503}),
        span(1, 4, 1, start_unix_ns=NOW_NS + 99 * MS, duration_ns=0, name="end"),
    ]
)  # fmt: skip

EVIL_TRACE = Trace(
    [
        as_read(
            span(
                1, 1, name=EVIL, status=Status.ERROR, status_message=EVIL, trace_state=EVIL,
                attributes={"error.type": EVIL, EVIL: EVIL, "nan": float("nan")},
                resource=Resource([("service.name", EVIL), (EVIL, EVIL)]),
                events=(SpanEvent(EVIL, NOW_NS),),
                links=(Link(b"1" * 16, b"2" * 8),),
            )
        )
    ]
)  # fmt: skip

EVIL_EDGE = Edge(Node(NodeKind.SERVICE, EVIL), Node(NodeKind.DATABASE, EVIL + "2"), RED)
