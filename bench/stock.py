"""The stock ways to encode spans, which ours is compared with: protobuf objects, and the OpenTelemetry SDK's encoder."""

from __future__ import annotations

from typing import TYPE_CHECKING

from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource as ResourceMessage
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans
from opentelemetry.proto.trace.v1.trace_pb2 import Span as SpanMessage
from opentelemetry.sdk.resources import Resource as SdkResource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanContext, SpanKind, TraceFlags

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agent.spans.span import Resource, Scalar, Span, Value

KINDS = {1: SpanKind.INTERNAL, 2: SpanKind.SERVER, 3: SpanKind.CLIENT}


def protobuf_objects(spans: Sequence[Span]) -> bytes:
    """A message object per span and attribute."""
    groups: dict[Resource, list[SpanMessage]] = {}
    for span in spans:
        groups.setdefault(span.resource, []).append(
            SpanMessage(
                trace_id=span.trace_id,
                span_id=span.span_id,
                parent_span_id=span.parent_id or b"",
                name=span.name,
                kind=SpanMessage.SpanKind.ValueType(span.kind),
                start_time_unix_nano=span.start_unix_ns,
                end_time_unix_nano=span.end_unix_ns,
                attributes=[
                    KeyValue(key=key, value=_any(value))
                    for block in span.attributes
                    for key, value in block.items
                ],
            )
        )
    return ExportTraceServiceRequest(
        resource_spans=[
            ResourceSpans(
                resource=ResourceMessage(
                    attributes=[KeyValue(key=k, value=_any(v)) for k, v in resource.attributes]
                ),
                scope_spans=[
                    ScopeSpans(scope=InstrumentationScope(name="zerospan"), spans=messages)
                ],
            )
            for resource, messages in groups.items()
        ]
    ).SerializeToString()


def sdk_encoder(spans: Sequence[Span]) -> bytes:
    """The SDK's ReadableSpan and its exporter's encoder."""
    return encode_spans([_readable(span) for span in spans]).SerializeToString()


def _any(value: Value) -> AnyValue:
    if isinstance(value, str):
        return AnyValue(string_value=value)
    if isinstance(value, float):
        return AnyValue(double_value=value)
    assert isinstance(value, int)
    return AnyValue(int_value=value)


def _readable(span: Span) -> ReadableSpan:
    trace_id = int.from_bytes(span.trace_id)
    parent = None
    if span.parent_id is not None:
        parent = SpanContext(trace_id, int.from_bytes(span.parent_id), span.is_parent_remote)
    attributes: dict[str, Scalar] = {
        key: value
        for block in span.attributes
        for key, value in block.items
        if not isinstance(value, tuple)
    }
    return ReadableSpan(
        name=span.name,
        context=SpanContext(
            trace_id, int.from_bytes(span.span_id), is_remote=False, trace_flags=TraceFlags(1)
        ),
        parent=parent,
        resource=_sdk_resource(span.resource),
        attributes=attributes,
        kind=KINDS[span.kind],
        start_time=span.start_unix_ns,
        end_time=span.end_unix_ns,
    )


_resources: dict[Resource, SdkResource] = {}


def _sdk_resource(resource: Resource) -> SdkResource:
    if resource not in _resources:
        _resources[resource] = SdkResource(
            {k: v for k, v in resource.attributes if not isinstance(v, tuple)}
        )
    return _resources[resource]
