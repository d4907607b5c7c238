"""Spans as one line of OTLP/JSON: an ExportTraceServiceRequest in protobuf's JSON form with OTLP's two exceptions.

https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding: ids are hexadecimal, not base64, and enum values
are numbers. As everywhere in protobuf's JSON form, 64-bit integers are strings and so are NaN and the infinities.
What is at its default is left out.
"""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING

from agent import __version__
from agent.export.otlp import IS_REMOTE, KNOWS_IS_REMOTE, SAMPLED, SCOPE_NAME
from agent.spans.wire import INT64_MAX, INT64_MIN, utf8

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from agent.spans.span import Attributes, Link, Resource, Span, SpanEvent, Value

Json = dict[str, object]


def encode_line(spans: Sequence[Span]) -> bytes:
    """The request, grouped by resource as `otlp.encode` does, with the line's end."""
    by_resource: dict[Resource, list[Json]] = {}
    for span in spans:
        by_resource.setdefault(span.resource, []).append(_span(span))
    scope = {"name": SCOPE_NAME, "version": __version__}
    request = {
        "resourceSpans": [
            {
                "resource": {"attributes": _attributes(resource.attributes)},
                "scopeSpans": [{"scope": scope, "spans": group}],
            }
            for resource, group in by_resource.items()
        ]
    }
    return utf8(json.dumps(request, ensure_ascii=False, separators=(",", ":"))) + b"\n"


def _span(span: Span) -> Json:
    flags = KNOWS_IS_REMOTE
    if span.is_sampled:
        flags |= SAMPLED
    if span.parent_id is not None and span.is_parent_remote:
        flags |= IS_REMOTE
    fields: Json = {
        "traceId": span.trace_id.hex(),
        "spanId": span.span_id.hex(),
        "parentSpanId": span.parent_id.hex() if span.parent_id is not None else "",
        "traceState": span.trace_state,
        "flags": flags,
        "name": span.name,
        "kind": int(span.kind),
        "startTimeUnixNano": str(span.start_unix_ns),
        "endTimeUnixNano": str(span.end_unix_ns),
        "attributes": [one for block in span.attributes for one in _attributes(block.items)],
        "events": [_event(event) for event in span.events],
        "links": [_link(link) for link in span.links],
        "status": _present({"code": int(span.status), "message": span.status_message}),
    }
    return _present(fields)


def _event(event: SpanEvent) -> Json:
    time, name = str(event.time_unix_ns), event.name
    return _present({"timeUnixNano": time, "name": name, "attributes": _block(event.attributes)})


def _link(link: Link) -> Json:
    ids = {"traceId": link.trace_id.hex(), "spanId": link.span_id.hex()}
    return _present({**ids, "attributes": _block(link.attributes)})


def _present(fields: Json) -> Json:
    return {name: value for name, value in fields.items() if value}


def _block(block: Attributes | None) -> list[Json]:
    return [] if block is None else _attributes(block.items)


def _attributes(items: Iterable[tuple[str, Value]]) -> list[Json]:
    return [{"key": key, "value": _any_value(value)} for key, value in items]


def _any_value(value: Value) -> Json:
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        name = "intValue" if INT64_MIN <= value <= INT64_MAX else "stringValue"
        return {name: str(value)}
    if isinstance(value, float):
        return {"doubleValue": value if math.isfinite(value) else _NOT_FINITE[str(value)]}
    if isinstance(value, str):
        return {"stringValue": value}
    return {"arrayValue": {"values": [_any_value(item) for item in value]}}


_NOT_FINITE = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}
