"""Spans as one line of OTLP/JSON: an ExportTraceServiceRequest in protobuf's JSON form with OTLP's two exceptions.

https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding: ids are hexadecimal, not base64, and enum values
are numbers. As everywhere in protobuf's JSON form, 64-bit integers are strings and so are NaN and the infinities.
What is at its default is left out.
"""

from __future__ import annotations

import math
from json.encoder import JSONEncoder, encode_basestring
from typing import TYPE_CHECKING

from agent import __version__
from agent.export.otlp import IS_REMOTE, KNOWS_IS_REMOTE, SAMPLED, SCOPE_NAME
from agent.spans.wire import INT64_MAX, INT64_MIN, utf8

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from agent.spans.span import Attributes, Link, Resource, Span, SpanEvent, Value

Json = dict[str, object]

_dumps = JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
_quoted = encode_basestring


def encode_line(spans: Sequence[Span]) -> bytes:
    """The request, grouped by resource as `otlp.encode` does, with the line's end.

    Spans are written piece by piece: building the objects that `json.dumps` wants takes ten times as long, since most of a
    span is blocks that many share, whose text is made once.
    """
    by_resource: dict[Resource, list[str]] = {}
    for span in spans:
        by_resource.setdefault(span.resource, []).append(_span(span))
    scope = _dumps({"name": SCOPE_NAME, "version": __version__})
    groups = (
        f'{{"resource":{_dumps({"attributes": _attributes(resource.attributes)})},'
        f'"scopeSpans":[{{"scope":{scope},"spans":[{",".join(group)}]}}]}}'
        for resource, group in by_resource.items()
    )
    return utf8(f'{{"resourceSpans":[{",".join(groups)}]}}\n')


def _span(span: Span) -> str:
    flags = KNOWS_IS_REMOTE
    if span.is_sampled:
        flags |= SAMPLED
    text = f'{{"traceId":"{span.trace_id.hex()}","spanId":"{span.span_id.hex()}",'
    if span.parent_id is not None:
        if span.is_parent_remote:
            flags |= IS_REMOTE
        text += f'"parentSpanId":"{span.parent_id.hex()}",'
    if span.trace_state:
        text += f'"traceState":{_quoted(span.trace_state)},'
    text += f'"flags":{flags},'
    if span.name:
        text += f'"name":{_quoted(span.name)},'
    text += f'"kind":{int(span.kind)}'
    if span.start_unix_ns:
        text += f',"startTimeUnixNano":"{span.start_unix_ns}"'
    if span.end_unix_ns:
        text += f',"endTimeUnixNano":"{span.end_unix_ns}"'
    blocks = ",".join(filter(None, map(_block_text, span.attributes)))
    if blocks:
        text += f',"attributes":[{blocks}]'
    if span.events or span.links or span.status or span.status_message:
        rest: Json = {
            "events": [_event(event) for event in span.events],
            "links": [_link(link) for link in span.links],
            "status": _present({"code": int(span.status), "message": span.status_message}),
        }
        text += f",{_dumps(_present(rest))[1:-1]}"
    return text + "}"


def _block_text(block: Attributes) -> str:
    """The attributes of a block, without brackets; kept with those that spans share."""
    text = block.text
    if text is None:
        text = block.text = _dumps(_attributes(block.items))[1:-1]
    return text


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
