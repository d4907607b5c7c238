"""ExportTraceServiceRequest in protobuf's binary form → spans. The only module that knows the generated classes.

What is wrong with one span costs that span; a message that cannot be parsed is an error. Parsing is protobuf's, which bounds
how deep messages are nested (100).
"""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Final

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from agent.errors import SpanFileError
from agent.export.otlp_read import scope_attributes
from agent.spans.span import SpanKind, Status
from agent.spans.trace import ReadEvent, ReadLink, ReadSpan

if TYPE_CHECKING:
    from collections.abc import Iterable

    from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
    from opentelemetry.proto.trace.v1.trace_pb2 import Span

    from agent.spans.span import Scalar, Value

_KINDS: Final = {int(kind): kind for kind in SpanKind}
_STATUSES: Final = {int(status): status for status in Status}


def read_request(body: bytes) -> tuple[list[ReadSpan], list[str]]:
    """The spans with their scopes, and what is wrong with each that is left out. SpanFileError if nothing can be read."""
    try:
        request = ExportTraceServiceRequest.FromString(body)
    except DecodeError as error:
        raise SpanFileError("it is no ExportTraceServiceRequest") from error
    spans: list[ReadSpan] = []
    wrong: list[str] = []
    for group in request.resource_spans:
        resource = _attributes(group.resource.attributes)
        for scope_spans in group.scope_spans:
            scope = scope_attributes(scope_spans.scope.name, scope_spans.scope.version)
            for span in scope_spans.spans:
                reason = _wrong(span)
                if reason:
                    wrong.append(reason)
                else:
                    spans.append(_span(span, resource, scope))
    return spans, wrong


def _wrong(span: Span) -> str:
    if len(span.trace_id) != 16:
        return "traceId is not 16 bytes"
    if len(span.span_id) != 8:
        return "spanId is not 8 bytes"
    if len(span.parent_span_id) not in (0, 8):
        return "parentSpanId is not 8 bytes"
    if any(len(link.trace_id) != 16 or len(link.span_id) != 8 for link in span.links):
        return "a link's ids are not 16 and 8 bytes"
    return ""


def _span(span: Span, resource: dict[str, Value], scope: dict[str, Value]) -> ReadSpan:
    return ReadSpan(
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        parent_id=span.parent_span_id.hex() or None,
        name=span.name,
        # Numbers that are not known are SPAN_KIND_UNSPECIFIED, which is to be taken as internal.
        kind=_KINDS.get(span.kind, SpanKind.INTERNAL),
        start_unix_ns=span.start_time_unix_nano,
        end_unix_ns=span.end_time_unix_nano,
        status=_STATUSES.get(span.status.code, Status.UNSET),
        status_message=span.status.message,
        attributes={**scope, **_attributes(span.attributes)},
        resource=resource,
        trace_state=span.trace_state,
        events=tuple(
            ReadEvent(event.name, event.time_unix_nano, _attributes(event.attributes))
            for event in span.events
        ),
        links=tuple(
            ReadLink(link.trace_id.hex(), link.span_id.hex(), _attributes(link.attributes))
            for link in span.links
        ),
    )


def _attributes(pairs: Iterable[KeyValue]) -> dict[str, Value]:
    return {pair.key: _value(pair.value) for pair in pairs}


def _value(value: AnyValue) -> Value:
    """A list's items keep their types; maps, and what lies deeper, become JSON, and bytes base64, as in otlp_read."""
    if value.WhichOneof("value") == "array_value":
        return tuple(map(_scalar, value.array_value.values))
    return _scalar(value)


def _scalar(value: AnyValue) -> Scalar:
    plain = _plain(value)
    return json.dumps(plain, ensure_ascii=False) if isinstance(plain, list | dict) else plain


def _plain(value: AnyValue) -> Scalar | list[object] | dict[str, object]:
    match value.WhichOneof("value"):
        case "array_value":
            return [_plain(item) for item in value.array_value.values]
        case "kvlist_value":
            return {pair.key: _plain(pair.value) for pair in value.kvlist_value.values}
        case "bytes_value":
            return base64.b64encode(value.bytes_value).decode()
        case None:
            return ""
        case name:
            scalar: Scalar = getattr(value, name)
            return scalar
