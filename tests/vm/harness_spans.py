"""What `--export file:PATH` wrote, read back: OTLP/JSON, one ExportTraceServiceRequest a line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class ExportedSpan:
    """A span as it stands in an OTLP/JSON file, with its resource."""

    trace_id: str
    span_id: str
    parent_span_id: str
    name: str
    kind: int
    """As in OTLP: 2 SERVER, 3 CLIENT."""
    start_ns: int
    end_ns: int
    attributes: dict[str, Any]
    resource: dict[str, Any]
    status: int
    """As in OTLP: 0 unset, 1 ok, 2 error."""
    links: tuple[str, ...]
    """Span ids."""

    @property
    def service(self) -> str:
        return str(self.resource.get("service.name", ""))


def _value(wrapped: dict[str, Any]) -> Any:
    if "intValue" in wrapped:
        return int(wrapped["intValue"])
    if "arrayValue" in wrapped:
        return [_value(item) for item in wrapped["arrayValue"].get("values", [])]
    return next(iter(wrapped.values()), None)


def _attributes(pairs: list[dict[str, Any]]) -> dict[str, Any]:
    return {pair["key"]: _value(pair["value"]) for pair in pairs}


def load_spans(path: Path) -> list[ExportedSpan]:
    """Read what `--export file:PATH` wrote, in the order of their starts. The last line may be half written yet."""
    text = path.read_text() if path.exists() else ""
    lines = text[: text.rfind("\n") + 1].splitlines()
    return sorted(spans_of(lines), key=lambda span: span.start_ns)


def spans_of(lines: list[str]) -> Iterator[ExportedSpan]:
    """Read the spans of such lines."""
    for line in lines:
        for group in json.loads(line)["resourceSpans"]:
            resource = _attributes(group.get("resource", {}).get("attributes", []))
            for scope in group["scopeSpans"]:
                for span in scope["spans"]:
                    yield ExportedSpan(
                        trace_id=span["traceId"],
                        span_id=span["spanId"],
                        parent_span_id=span.get("parentSpanId", ""),
                        name=span["name"],
                        kind=int(span.get("kind", 0)),
                        start_ns=int(span["startTimeUnixNano"]),
                        end_ns=int(span["endTimeUnixNano"]),
                        attributes=_attributes(span.get("attributes", [])),
                        resource=resource,
                        status=int(span.get("status", {}).get("code", 0)),
                        links=tuple(link["spanId"] for link in span.get("links", [])),
                    )
