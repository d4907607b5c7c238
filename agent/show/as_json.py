"""The same as JSON: objects with plain names, times in Unix nanoseconds; or spans as OTLP/JSON.

json.dumps escapes control characters, so this is fit for a terminal, too; bidi characters are kept from it by
`ensure_ascii`.
"""

from __future__ import annotations

import dataclasses
import json
import math
from typing import TYPE_CHECKING, Any

from agent.export.otlp_json import encode_line
from agent.query.evaluate import value_of
from agent.spans.span import Attributes, Link, Resource, Span, SpanEvent, SpanKind, Status

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from agent.query.evaluate import Match
    from agent.spans.span import Value
    from agent.spans.trace import ReadSpan, Trace


def dumps(value: object) -> str:
    """JSON as RFC 8259 has it: NaN and the infinities become null."""
    return json.dumps(_finite(value), indent=1)


def compact(value: object) -> bytes:
    """The same on one line, for a wire."""
    return json.dumps(_finite(value), separators=(",", ":")).encode()


def rows(values: Iterable[Any]) -> list[dict[str, Any]]:
    """Dataclasses as objects."""
    return [dataclasses.asdict(value) for value in values]


def matches(found: Iterable[Match]) -> list[dict[str, Any]]:
    """What a query found."""
    return [
        {
            "trace_id": match.trace.trace_id,
            "start_unix_ns": match.trace.start_unix_ns,
            "duration_ns": match.trace.duration_ns,
            "root_service": match.trace.root.service,
            "root_name": match.trace.root.name,
            "spans_total": len(match.trace.spans),
            "numbers": dict(match.numbers),
            "spans": [
                span(one)
                | {
                    "selected": {
                        str(f): _plain(value_of(f, one, match.trace)) for f in match.fields
                    }
                }
                for one in match.spans
            ],
        }
        for match in found
    ]


def trace(one: Trace) -> dict[str, Any]:
    """A whole trace."""
    return {"trace_id": one.trace_id, "spans": [span(found) for found in one.spans]}


def span(one: ReadSpan) -> dict[str, Any]:
    """A span."""
    return {
        "span_id": one.span_id,
        "parent_id": one.parent_id,
        "name": one.name,
        "service": one.service,
        "kind": one.kind.name.lower(),
        "start_unix_ns": one.start_unix_ns,
        "duration_ns": one.duration_ns,
        "status": one.status.name.lower(),
        "status_message": one.status_message,
        "attributes": dict(one.attributes),
        "resource": dict(one.resource),
        "events": [
            {
                "name": event.name,
                "time_unix_ns": event.time_unix_ns,
                "attributes": dict(event.attributes),
            }
            for event in one.events
        ],
        "links": [
            {
                "trace_id": link.trace_id,
                "span_id": link.span_id,
                "attributes": dict(link.attributes),
            }
            for link in one.links
        ],
    }


def otlp(spans: Iterable[ReadSpan]) -> str:
    """Spans as an ExportTraceServiceRequest on one line."""
    return encode_line(writable(spans)).decode()


def writable(spans: Iterable[ReadSpan]) -> list[Span]:
    """Spans as the exporters take them."""
    resources: dict[str, Resource] = {}
    return [_writable(one, resources) for one in spans]


def _writable(one: ReadSpan, resources: dict[str, Resource]) -> Span:
    """The span as the exporters take it."""
    key = repr(sorted(one.resource.items(), key=lambda item: item[0]))
    resource = resources.setdefault(key, Resource(one.resource.items()))
    return Span(
        trace_id=bytes.fromhex(one.trace_id),
        span_id=bytes.fromhex(one.span_id),
        parent_id=bytes.fromhex(one.parent_id) if one.parent_id is not None else None,
        name=one.name,
        kind=one.kind,
        start_unix_ns=one.start_unix_ns,
        end_unix_ns=one.end_unix_ns,
        status=one.status,
        status_message=one.status_message,
        attributes=(Attributes(one.attributes.items()),),
        resource=resource,
        trace_state=one.trace_state,
        events=tuple(
            SpanEvent(event.name, event.time_unix_ns, _block(event.attributes))
            for event in one.events
        ),
        links=tuple(
            Link(bytes.fromhex(link.trace_id), bytes.fromhex(link.span_id), _block(link.attributes))
            for link in one.links
        ),
    )


def _block(attributes: Mapping[str, Value]) -> Attributes | None:
    return Attributes(attributes.items()) if attributes else None


def _plain(value: object) -> object:
    return value.name.lower() if isinstance(value, Status | SpanKind) else value


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    return value
