"""Tempo's HTTP API over the store, as far as Grafana's Tempo data source asks it (data-source URL: …/tempo).

https://grafana.com/docs/tempo/latest/api_docs/. Times in requests are Unix seconds; 64-bit numbers in answers are
text. Metrics queries (`| rate()`) are not answered.
"""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING, Any, Final

from agent import __version__
from agent.export.otlp import encode
from agent.export.otlp_json import encode_line
from agent.query.evaluate import value_of
from agent.query.parser import parse
from agent.query.search import MAX_UNIX_NS, search
from agent.query.syntax import (
    All,
    Comparison,
    Either,
    Field,
    Filter,
    Intrinsic,
    Operator,
    Query,
    Scope,
)
from agent.show.as_json import writable
from agent.spans.span import SpanKind, Status
from agent.spans.wire import varint
from agent.store.schema import SLOTS
from agent.store.values import from_slot
from agent.web.api import service_names, wanted
from agent.web.asked import BadRequest, span_of_time, whole

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from agent.query.evaluate import Match
    from agent.query.syntax import Condition
    from agent.spans.span import Value
    from agent.web.readers import Timed

Json = dict[str, Any]
SECOND_NS: Final = 1_000_000_000
MAX_VALUES: Final = 1_000
"""Of a tag."""
_SPAN_MS: Final = 1_000_000
BUILD: Final[Json] = {
    "version": "2.6.0",
    "revision": f"zerospan {__version__}",
    "branch": "",
    "buildDate": "",
    "buildUser": "",
    "goVersion": "",
}
"""Grafana asks for the version to know what it may ask for: we answer what Tempo 2.6 does, without metrics."""


def search_traces(reader: Timed, asked: Mapping[str, str]) -> Json:
    """GET /api/search."""
    found = search(
        reader,
        parse(asked["q"]) if asked.get("q") else _by_tags(asked),
        limit=whole(asked, "limit", 20, 1_000) or 20,
        since_unix_ns=whole(asked, "start", 0, 1 << 33) * SECOND_NS,
        until_unix_ns=_until(asked),
    )
    shown = whole(asked, "spss", 3, 100) or 3
    return {
        "traces": [_found(match, shown) for match in found],
        "metrics": {"inspectedTraces": len(found), "inspectedBytes": "0", "completedJobs": 1},
    }


def trace_json(reader: Timed, id_: str) -> bytes:
    """GET /api/traces/ID, as OTLP/JSON; Tempo says `batches` where OTLP says `resourceSpans`."""
    line = encode_line(_spans(reader, id_))
    return line.replace(b'{"resourceSpans":', b'{"batches":', 1)


def trace_protobuf(reader: Timed, id_: str) -> bytes:
    """The same in protobuf: TracesData, which has the wire form of a request."""
    return encode(_spans(reader, id_))


def trace_v2_json(reader: Timed, id_: str) -> bytes:
    """GET /api/v2/traces/ID: the trace in a field of an answer."""
    return b'{"trace":' + encode_line(_spans(reader, id_)).rstrip() + b',"metrics":{}}'


def trace_v2_protobuf(reader: Timed, id_: str) -> bytes:
    """TraceByIDResponse: field 1 is the trace."""
    body = trace_protobuf(reader, id_)
    return b"\x0a" + varint(len(body)) + body


def tag_names(reader: Timed, asked: Mapping[str, str]) -> Json:
    """GET /api/search/tags."""
    names = {name for scope in _scopes(reader, asked) for name in scope["tags"]}
    return {"tagNames": sorted(names), "metrics": {}}


def tag_names_v2(reader: Timed, asked: Mapping[str, str]) -> Json:
    """GET /api/v2/search/tags: by scope."""
    return {"scopes": _scopes(reader, asked), "metrics": {}}


def tag_values(reader: Timed, tag: str, asked: Mapping[str, str]) -> Json:
    """GET /api/search/tag/TAG/values: as texts."""
    known = {one.value for one in Intrinsic}
    values = _values(reader, tag if tag in known else f".{tag}", asked)
    return {"tagValues": list(dict.fromkeys(one["value"] for one in values)), "metrics": {}}


def tag_values_v2(reader: Timed, tag: str, asked: Mapping[str, str]) -> Json:
    """GET /api/v2/search/tag/TAG/values: TAG is a field of TraceQL; each value with its type."""
    return {"tagValues": _values(reader, tag, asked), "metrics": {}}


def _spans(reader: Timed, id_: str) -> list[Any]:
    return writable(wanted(reader, id_).spans)


def _found(match: Match, shown: int) -> Json:
    trace = match.trace
    spans = {
        "spans": [
            {
                "spanID": span.span_id,
                "name": span.name,
                "startTimeUnixNano": str(span.start_unix_ns),
                "durationNanos": str(span.duration_ns),
                "attributes": [
                    {"key": "service.name", "value": {"stringValue": span.service}},
                    *(
                        {"key": field.name, "value": _any(value_of(field, span, trace))}
                        for field in match.fields
                    ),
                ],
            }
            for span in match.spans[:shown]
        ],
        "matched": len(match.spans),
    }
    return {
        "traceID": trace.trace_id,
        "rootServiceName": trace.root.service,
        "rootTraceName": trace.root.name,
        "startTimeUnixNano": str(trace.start_unix_ns),
        "durationMs": trace.duration_ns // 1_000_000,
        "spanSet": spans,
        "spanSets": [spans],
    }


def _any(value: Value | Status | SpanKind | None) -> Json:
    if isinstance(value, Status | SpanKind):
        return {"stringValue": value.name.lower()}
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        return {"intValue": str(value)}
    if isinstance(value, float):
        return {"doubleValue": value}
    return {"stringValue": "" if value is None else str(value)}


def _until(asked: Mapping[str, str]) -> int:
    end = whole(asked, "end", 0, 1 << 33)
    return (end + 1) * SECOND_NS - 1 if end else MAX_UNIX_NS


def _by_tags(asked: Mapping[str, str]) -> Query:
    """`tags` in logfmt, a substring each, and the trace's duration."""
    parts: list[Condition] = []
    try:
        pairs = shlex.split(asked.get("tags", ""))
    except ValueError as error:
        raise BadRequest(f"tags: {error}") from error
    for pair in pairs[:50]:
        key, _, value = pair.partition("=")
        parts.append(_substring(key, value))
    least, most = span_of_time(asked, "minDuration"), span_of_time(asked, "maxDuration")
    duration = Field(Scope.INTRINSIC, Intrinsic.TRACE_DURATION.value)
    if least:
        parts.append(Comparison(duration, Operator.AT_LEAST, least))
    if most:
        parts.append(Comparison(duration, Operator.AT_MOST, most))
    return Query(Filter(All(tuple(parts)) if parts else None))


def _substring(key: str, value: str) -> Condition:
    if key == Intrinsic.STATUS and value.upper() in Status.__members__:
        return Comparison(
            Field(Scope.INTRINSIC, key), Operator.EQUAL, Status.__members__[value.upper()]
        )
    is_name = key == Intrinsic.NAME
    field = Field(Scope.INTRINSIC if is_name else Scope.ANY, key)
    pattern = f"(?is).*{re.escape(value)}.*"
    text = Comparison(field, Operator.MATCHES, pattern, re.compile(pattern))
    if is_name or not (value.isascii() and value.isdigit() and len(value) < 19):
        return text
    return Either((text, Comparison(field, Operator.EQUAL, int(value))))


def _scopes(reader: Timed, asked: Mapping[str, str]) -> list[Json]:
    wants = asked.get("scope", "")
    names = {
        "resource": {key for one in reader.resources.values() for key in one.attributes},
        "span": {
            key
            for one in reader.shapes.values()
            for key in (*one.attributes, *(slot.key for slot in one.slots))
        },
        "intrinsic": {one.value for one in Intrinsic},
    }
    return [
        {"name": scope, "tags": sorted(found)}
        for scope, found in names.items()
        if wants in ("", "none", "all", scope)
    ]


def _values(reader: Timed, tag: str, asked: Mapping[str, str]) -> list[Json]:
    """Distinct, at most MAX_VALUES, in order."""
    limit = min(whole(asked, "limit", MAX_VALUES, MAX_VALUES) or MAX_VALUES, MAX_VALUES)
    scope, dot, key = tag.partition(".")
    found: set[Value] = set()
    if not dot or scope not in ("", "span", "resource"):
        return _intrinsic_values(reader, tag, limit)
    if scope != "span":
        found |= {one.attributes[key] for one in reader.resources.values() if key in one.attributes}
    if scope != "resource":
        first = reader.first_since(whole(asked, "start", 0, 1 << 33) * SECOND_NS)
        for value in _span_values(reader, key, first, limit):
            found.add(value)
            if len(found) >= limit:
                break
    texts = sorted(
        ((_type(value), _text(value)) for value in found if not isinstance(value, tuple)),
        key=lambda one: (one[0], one[1]),
    )
    return [{"type": kind, "value": text} for kind, text in texts[:limit]]


def _span_values(reader: Timed, key: str, first: int, limit: int) -> Iterator[Value]:
    for shape in reader.shapes.values():
        if key in shape.attributes:
            yield shape.attributes[key]
    groups: dict[tuple[int, Any], list[int]] = {}
    for id_, shape in reader.shapes.items():
        for place, slot in enumerate(shape.slots[:SLOTS]):
            if slot.key == key:
                groups.setdefault((place, slot.type), []).append(id_)
    for (place, kind), ids in groups.items():
        rows = reader.connection.execute(
            f"SELECT DISTINCT v{place} FROM spans WHERE trace >= ? AND shape IN ({','.join(map(str, ids))}) LIMIT ?",
            (first, limit),
        )
        for (stored,) in rows:
            yield from_slot(stored, kind)


def _intrinsic_values(reader: Timed, tag: str, limit: int) -> list[Json]:
    name = {"span:name": "name", "trace:rootName": "rootName", "trace:rootService": "rootServiceName",
            "span:status": "status", "span:kind": "kind"}.get(tag, tag)  # fmt: skip
    if name == Intrinsic.STATUS:
        return [{"type": "keyword", "value": one.name.lower()} for one in Status]
    if name == Intrinsic.KIND:
        return [{"type": "keyword", "value": one.name.lower()} for one in SpanKind]
    if name == Intrinsic.ROOT_SERVICE_NAME:
        texts = service_names(reader)
    elif name in (Intrinsic.NAME, Intrinsic.ROOT_NAME):
        texts = sorted({shape.name for shape in reader.shapes.values()})
    else:
        texts = []
    return [{"type": "string", "value": text} for text in texts[:limit]]


def _type(value: Value) -> str:
    if isinstance(value, bool):
        return "bool"
    return {int: "int", float: "float"}.get(type(value), "string")


def _text(value: Value) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
