"""Spans by the dozen, for tests of the store and of what reads it."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from agent.spans.span import Attributes, Link, Resource, Span, SpanEvent, SpanKind, Status
from agent.spans.trace import ReadEvent, ReadLink, ReadSpan
from agent.store.values import clean, clean_text

NOW_NS = 1_762_171_200_000_000_000
MS = 1_000_000

FRONT = Resource([("service.name", "front"), ("process.pid", 41)])
BACK = Resource([("service.name", "back"), ("process.pid", 42), ("zone", "a")])


def span(trace: int, number: int, parent: int | None = None, **changes: Any) -> Span:
    """A server span of FRONT that begins `number` ms after NOW_NS and takes 10 ms."""
    attributes = changes.pop("attributes", {"http.route": "/orders/{id}"})
    start = changes.pop("start_unix_ns", NOW_NS + number * MS)
    fields: dict[str, Any] = {
        "trace_id": trace.to_bytes(16, "big"),
        "span_id": number.to_bytes(8, "big"),
        "parent_id": None if parent is None else parent.to_bytes(8, "big"),
        "name": "GET /orders/{id}",
        "kind": SpanKind.SERVER,
        "start_unix_ns": start,
        "end_unix_ns": start + changes.pop("duration_ns", 10 * MS),
        "status": Status.UNSET,
        "status_message": "",
        "attributes": (Attributes(attributes.items()),),
        "resource": FRONT,
    }
    return Span(**{**fields, **changes})


def as_read(one: Span) -> ReadSpan:
    """What a reader should get of it."""
    return ReadSpan(
        trace_id=one.trace_id.hex(),
        span_id=one.span_id.hex(),
        parent_id=one.parent_id.hex() if one.parent_id is not None else None,
        name=clean_text(one.name),
        kind=one.kind,
        start_unix_ns=one.start_unix_ns,
        end_unix_ns=one.end_unix_ns,
        status=one.status,
        status_message=clean_text(one.status_message),
        attributes={
            clean_text(key): clean(value) for block in one.attributes for key, value in block.items
        },
        resource={clean_text(key): clean(value) for key, value in one.resource.attributes},
        trace_state=clean_text(one.trace_state),
        events=tuple(
            ReadEvent(clean_text(event.name), event.time_unix_ns, _block(event.attributes))
            for event in one.events
        ),
        links=tuple(
            ReadLink(link.trace_id.hex(), link.span_id.hex(), _block(link.attributes))
            for link in one.links
        ),
    )


def fields(one: ReadSpan) -> dict[str, Any]:
    """All of a span, to be compared; each value with its type, for True equals 1."""
    found = {name: getattr(one, name) for name in ReadSpan.__slots__}
    found["attributes"] = {
        key: (type(value), value, list(map(type, value)) if isinstance(value, tuple) else None)
        for key, value in one.attributes.items()
    }
    return found


def _block(block: Attributes | None) -> dict[str, Any]:
    return {} if block is None else {clean_text(k): clean(v) for k, v in block.items}


texts = st.text(max_size=20) | st.sampled_from(["", "\udcff", "a", "ä", "x" * 3000, 'q"', "\0"])
values = (
    texts
    | st.booleans()
    | st.integers(-(2**65), 2**65)
    | st.integers(0, 3)
    | st.floats(allow_nan=False)
    | st.lists(
        texts | st.booleans() | st.integers(0, 3) | st.floats(allow_nan=False), max_size=3
    ).map(tuple)
)
keys = st.sampled_from([f"key.{letter}" for letter in "abcdefghijkl"])
tables = st.dictionaries(keys, values, max_size=12)
blocks = tables.map(lambda table: Attributes(table.items()))
times = st.integers(0, 2**62)
ids = st.binary(min_size=8, max_size=8)
trace_ids = st.binary(min_size=16, max_size=16)
resources = st.sampled_from([FRONT, BACK, Resource([("service.name", "\udc80"), ("a", 1.5)])])


@st.composite
def any_spans(draw: st.DrawFn) -> Span:
    """A span of anything."""
    start = draw(times)
    return Span(
        trace_id=draw(trace_ids),
        span_id=draw(ids),
        parent_id=draw(st.none() | ids),
        name=draw(st.sampled_from(["a", "b", "\udcff", ""])),
        kind=draw(st.sampled_from(SpanKind)),
        start_unix_ns=start,
        end_unix_ns=start + draw(st.integers(0, 2**61)),
        status=draw(st.sampled_from(Status)),
        status_message=draw(texts),
        attributes=(draw(blocks),),
        resource=draw(resources),
        trace_state=draw(texts),
        events=tuple(
            draw(st.lists(st.builds(SpanEvent, texts, times, st.none() | blocks), max_size=2))
        ),
        links=tuple(
            draw(st.lists(st.builds(Link, trace_ids, ids, st.none() | blocks), max_size=2))
        ),
    )
