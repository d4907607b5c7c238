"""Jaeger's query API over the store, as far as Grafana's Jaeger data source and Jaeger's own page ask it.

https://www.jaegertracing.io/docs/latest/architecture/apis/ and, for the JSON, Jaeger's model/json. Times and durations
are in microseconds, but for the end and length of the time of dependencies, which are in milliseconds.

Grafana's data source puts `/api/traces` in place of its URL's path when it searches (pkg/tsdb/jaeger/client.go,
12.x), so these paths are answered at the root as well as under /jaeger.
"""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any, Final

from agent.query.dependencies import NodeKind, dependencies
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
from agent.spans.span import SpanKind, Status
from agent.web.api import operations, service_names, wanted
from agent.web.asked import BadRequest, NotFound, span_of_time, whole

if TYPE_CHECKING:
    from collections.abc import Mapping

    from agent.query.syntax import Condition
    from agent.spans.span import Value
    from agent.spans.trace import ReadSpan, Trace
    from agent.web.readers import Timed

Json = dict[str, Any]
US_NS: Final = 1_000
MS_NS: Final = 1_000_000
DEFAULT_LOOKBACK: Final = "1h"
MAX_US: Final = MAX_UNIX_NS // US_NS
_TYPES: Final = {bool: "bool", int: "int64", float: "float64"}


def answer(data: list[Any]) -> Json:
    """The form of every answer."""
    return {"data": data, "total": len(data), "limit": 0, "offset": 0, "errors": None}


def services(reader: Timed) -> Json:
    """GET /api/services."""
    return answer(service_names(reader))


def operation_names(reader: Timed, service: str) -> Json:
    """GET /api/services/SERVICE/operations."""
    return answer(sorted(operations(reader).get(service, ())))


def operations_with_kind(reader: Timed, asked: Mapping[str, str]) -> Json:
    """GET /api/operations?service=…&spanKind=…"""
    service, kind = asked.get("service", ""), asked.get("spanKind", "")
    found = set()
    for resource, shape in reader.connection.execute("SELECT DISTINCT resource, shape FROM spans"):
        one = reader.shapes[shape]
        name = SpanKind(one.kind).name.lower()
        if reader.resources[resource].service == service and kind in ("", name):
            found.add((one.name, name))
    return answer([{"name": name, "spanKind": kind} for name, kind in sorted(found)])


def traces(reader: Timed, asked: Mapping[str, str], tags: list[str]) -> Json:
    """GET /api/traces: by service, operation, tags, duration, time; or several `traceID`s."""
    if not asked.get("service"):
        raise BadRequest("parameter 'service' is required")
    start = whole(asked, "start", 0, MAX_US)
    if not start:
        lookback = asked.get("lookback", "")
        ago = span_of_time(
            {"lookback": DEFAULT_LOOKBACK if lookback in ("", "custom") else _hours(lookback)},
            "lookback",
        )
        start = (time.time_ns() - ago) // US_NS
    found = search(
        reader,
        Query(Filter(All(tuple(_conditions(asked, tags))))),
        limit=whole(asked, "limit", 20, 1_000) or 20,
        since_unix_ns=start * US_NS,
        until_unix_ns=(whole(asked, "end", 0, MAX_US) or MAX_US) * US_NS,
    )
    return answer([_trace(match.trace) for match in found])


def trace(reader: Timed, id_: str) -> Json:
    """GET /api/traces/ID."""
    try:
        return answer([_trace(wanted(reader, id_))])
    except NotFound:
        raise NotFound("trace not found") from None


def graph(reader: Timed, asked: Mapping[str, str]) -> Json:
    """GET /api/dependencies?endTs=…&lookback=…: calls between services."""
    end = whole(asked, "endTs", time.time_ns() // MS_NS, MAX_UNIX_NS // MS_NS)
    lookback = whole(asked, "lookback", 24 * 3600 * 1000, MAX_UNIX_NS // MS_NS)
    return answer(
        [
            {"parent": one.caller.name, "child": one.callee.name, "callCount": one.red.count}
            for one in dependencies(reader, since_unix_ns=max(0, end - lookback) * MS_NS)
            if one.caller.kind is NodeKind.SERVICE and one.callee.kind is not NodeKind.UNSEEN
        ]
    )


def _hours(lookback: str) -> str:
    """Jaeger's page also says `2d`."""
    days = lookback.removesuffix("d")
    return (
        f"{int(days) * 24}h" if days != lookback and days.isdigit() and len(days) < 5 else lookback
    )


def _conditions(asked: Mapping[str, str], tags: list[str]) -> list[Condition]:
    """What one span must satisfy."""
    found: list[Condition] = [
        Comparison(Field(Scope.RESOURCE, "service.name"), Operator.EQUAL, asked["service"])
    ]
    if asked.get("operation") and asked["operation"] != "all":
        found.append(
            Comparison(_intrinsic(Intrinsic.NAME), Operator.EQUAL, asked["operation"])
        )  # fmt: skip
    for name, operator in (("minDuration", Operator.AT_LEAST), ("maxDuration", Operator.AT_MOST)):
        duration = span_of_time(asked, name)
        if duration:
            found.append(Comparison(_intrinsic(Intrinsic.DURATION), operator, duration))
    pairs = dict(one.partition(":")[::2] for one in tags)
    if asked.get("tags"):
        try:
            given = json.loads(asked["tags"])
        except (ValueError, RecursionError):
            given = None
        if not isinstance(given, dict):
            raise BadRequest("tags: no JSON object of texts")
        pairs |= {str(key): str(value) for key, value in given.items()}
    found += [_tag(key, value) for key, value in list(pairs.items())[:50]]
    return found


def _tag(key: str, value: str) -> Condition:
    """Jaeger compares as text."""
    if key == "error" and value in ("true", "false"):
        how = Operator.EQUAL if value == "true" else Operator.NOT_EQUAL
        return Comparison(_intrinsic(Intrinsic.STATUS), how, Status.ERROR)
    if key == "span.kind" and value.upper() in SpanKind.__members__:
        return Comparison(
            _intrinsic(Intrinsic.KIND), Operator.EQUAL, SpanKind.__members__[value.upper()]
        )
    field = Field(Scope.ANY, key)
    either: list[Condition] = [Comparison(field, Operator.EQUAL, value)]
    if value.lstrip("-").isascii() and value.lstrip("-").isdigit() and len(value) < 19:
        either.append(Comparison(field, Operator.EQUAL, int(value)))
    if value in ("true", "false"):
        either.append(Comparison(field, Operator.EQUAL, value == "true"))
    return Either(tuple(either))


def _intrinsic(one: Intrinsic) -> Field:
    return Field(Scope.INTRINSIC, one.value)


def _trace(found: Trace) -> Json:
    processes: dict[int, tuple[str, Json]] = {}
    spans = []
    for span in found.spans:
        known = processes.get(id(span.resource))
        if known is None:
            tags = [_pair(key, value) for key, value in span.resource.items() if key != "service.name"]  # fmt: skip
            known = f"p{len(processes) + 1}", {"serviceName": span.service, "tags": tags}
            processes[id(span.resource)] = known
        spans.append(_span(span, known[0]))
    return {
        "traceID": found.trace_id,
        "spans": spans,
        "processes": dict(processes.values()),
        "warnings": None,
    }


def _span(span: ReadSpan, process: str) -> Json:
    references = [] if span.parent_id is None else [("CHILD_OF", span.trace_id, span.parent_id)]
    references += [("FOLLOWS_FROM", one.trace_id, one.span_id) for one in span.links]
    tags = [_pair(key, value) for key, value in span.attributes.items()]
    tags.append(_pair("span.kind", span.kind.name.lower()))
    if span.status != Status.UNSET:
        tags.append(_pair("otel.status_code", span.status.name))
    if span.status == Status.ERROR:
        tags.append(_pair("error", True))  # noqa: FBT003  (a value)
    if span.status_message:
        tags.append(_pair("otel.status_description", span.status_message))
    return {
        "traceID": span.trace_id,
        "spanID": span.span_id,
        "flags": 1,
        "operationName": span.name,
        "references": [
            {"refType": kind, "traceID": trace_id, "spanID": span_id}
            for kind, trace_id, span_id in references
        ],
        "startTime": span.start_unix_ns // US_NS,
        "duration": span.duration_ns // US_NS,
        "tags": tags,
        "logs": [
            {
                "timestamp": event.time_unix_ns // US_NS,
                "fields": [
                    _pair("event", event.name),
                    *(_pair(key, value) for key, value in event.attributes.items()),
                ],
            }
            for event in span.events
        ],
        "processID": process,
        "warnings": None,
    }


def _pair(key: str, value: Value) -> Json:
    if isinstance(value, tuple):
        return {"key": key, "type": "string", "value": json.dumps(value)}
    return {"key": key, "type": _TYPES.get(type(value), "string"), "value": value}
