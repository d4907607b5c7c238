"""Spans to export, as examples and as hypothesis strategies, and what OTLP's own classes make of them."""

from __future__ import annotations

from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue
from opentelemetry.proto.trace.v1 import trace_pb2

from agent import __version__
from agent.spans.span import Attributes, Link, Resource, Span, SpanEvent, SpanKind, Status

FRONT = Resource([("service.name", "front"), ("process.pid", 41)])
BACK = Resource([("service.name", "back"), ("process.pid", 42)])

SECOND_NS = 1_000_000_000
START_NS = 1_762_171_200 * SECOND_NS


def span(number: int = 1, **changes: object) -> Span:
    """A server span of FRONT that took 12.3 ms; its ids are made of `number`."""
    fields: dict[str, object] = {
        "trace_id": b"\x4b" * 15 + bytes([number % 256]),
        "span_id": b"\x05" * 4 + number.to_bytes(4, "big"),
        "parent_id": None,
        "name": "GET /orders/{id}",
        "kind": SpanKind.SERVER,
        "start_unix_ns": START_NS,
        "end_unix_ns": START_NS + 12_300_000,
        "status": Status.UNSET,
        "status_message": "",
        "attributes": (
            Attributes([("http.request.method", "GET"), ("http.response.status_code", 200)]),
            Attributes([("url.path", f"/orders/{number}")]),
        ),
        "resource": FRONT,
    }
    return Span(**{**fields, **changes})  # type: ignore[arg-type]  # a test names real fields


def reference(spans: list[Span]) -> ExportTraceServiceRequest:
    """The same request made slowly, with the generated classes."""
    request = ExportTraceServiceRequest()
    groups: dict[Resource, trace_pb2.ScopeSpans] = {}
    for one in spans:
        if one.resource not in groups:
            of_resource = request.resource_spans.add()
            of_resource.resource.attributes.extend(_pairs(one.resource.attributes))
            group = groups[one.resource] = of_resource.scope_spans.add()
            group.scope.name, group.scope.version = "zerospan", __version__
        groups[one.resource].spans.append(_reference_span(one))
    return request


def _reference_span(one: Span) -> trace_pb2.Span:
    flags = 0x100 | one.is_sampled | (0x200 if one.parent_id and one.is_parent_remote else 0)
    return trace_pb2.Span(
        trace_id=one.trace_id,
        span_id=one.span_id,
        parent_span_id=one.parent_id or b"",
        trace_state=valid(one.trace_state),
        flags=flags,
        name=valid(one.name),
        kind=int(one.kind),  # type: ignore[arg-type]  # the numbers are OTLP's
        start_time_unix_nano=one.start_unix_ns,
        end_time_unix_nano=one.end_unix_ns,
        attributes=[pair for block in one.attributes for pair in _pairs(block.items)],
        events=[
            trace_pb2.Span.Event(
                time_unix_nano=event.time_unix_ns,
                name=valid(event.name),
                attributes=_pairs(event.attributes.items if event.attributes else ()),
            )
            for event in one.events
        ],
        links=[
            trace_pb2.Span.Link(
                trace_id=link.trace_id,
                span_id=link.span_id,
                attributes=_pairs(link.attributes.items if link.attributes else ()),
            )
            for link in one.links
        ],
        status=trace_pb2.Status(code=int(one.status), message=valid(one.status_message))  # type: ignore[arg-type]
        if one.status or one.status_message
        else None,
    )


def _pairs(items) -> list[KeyValue]:
    return [KeyValue(key=valid(key), value=_any_value(value)) for key, value in items]


def _any_value(value) -> AnyValue:
    if isinstance(value, bool):
        return AnyValue(bool_value=value)
    if isinstance(value, int) and -(2**63) <= value < 2**63:
        return AnyValue(int_value=value)
    if isinstance(value, float):
        return AnyValue(double_value=value)
    if isinstance(value, tuple):
        return AnyValue(array_value=ArrayValue(values=[_any_value(one) for one in value]))
    return AnyValue(string_value=valid(str(value)))


def valid(text: str) -> str:
    """`text` as it may stand in protobuf."""
    return "".join("?" if "\ud800" <= c <= "\udfff" else c for c in text)


# Surrogates included: that is what bytes of a traced program become when they are no UTF-8.
texts = st.text(st.characters(), max_size=40) | st.sampled_from(["", "\udcff", "x" * 3000])
values = (
    texts
    | st.booleans()
    | st.integers(-(2**65), 2**65)
    | st.sampled_from([0, 127, 128, 2047, 2048, 2**14 - 1, 2**14, 2**21 - 1, 2**21, 2**63, -1])
    | st.floats(allow_nan=False)
    | st.lists(texts, max_size=3).map(tuple)
)
blocks = st.lists(st.tuples(texts, values), max_size=6).map(Attributes)
times = st.integers(0, 2**64 - 1)
ids = st.binary(min_size=8, max_size=8)
trace_ids = st.binary(min_size=16, max_size=16)
resources = st.sampled_from([FRONT, BACK, Resource([("service.name", "\udc80"), ("a", 1.5)])])
spans = st.builds(
    Span,
    trace_id=trace_ids,
    span_id=ids,
    parent_id=st.none() | ids,
    name=texts,
    kind=st.sampled_from(SpanKind),
    start_unix_ns=times,
    end_unix_ns=times,
    status=st.sampled_from(Status),
    status_message=texts,
    attributes=st.lists(blocks, max_size=3).map(tuple),
    resource=resources,
    is_parent_remote=st.booleans(),
    is_sampled=st.booleans(),
    trace_state=texts,
    events=st.lists(
        st.builds(SpanEvent, name=texts, time_unix_ns=times, attributes=st.none() | blocks),
        max_size=2,
    ).map(tuple),
    links=st.lists(
        st.builds(Link, trace_id=trace_ids, span_id=ids, attributes=st.none() | blocks), max_size=2
    ).map(tuple),
)
