"""Spans back out of OTLP/JSON: what `file:PATH` writes, and what other OTLP/JSON writers do (one request a line).

https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding: ids are hexadecimal in either case, 64-bit integers
strings or numbers, and "receivers MUST ignore message fields with unknown names". What is missing has its default; what
has the wrong type is an error that names the line. The bytes are a stranger's: nothing else is raised.
"""

from __future__ import annotations

import json
import math
import re
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from agent.errors import SpanFileError
from agent.export.file import LINE_START
from agent.spans.span import SpanKind, Status
from agent.spans.trace import ReadEvent, ReadLink, ReadSpan

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from typing import BinaryIO

    from agent.spans.span import Scalar, Value

MAX_LINE: Final = 64 * 1024 * 1024
"""Bytes. The longest batch of ours has 16 MiB (docs/architecture.md, Bounds)."""

_ID: Final = re.compile(r"[0-9a-f]+")
_DIGITS: Final = re.compile(r"-?[0-9]{1,20}")
_MAX_TIME: Final = (1 << 64) - 1
_KINDS: Final = {int(kind): kind for kind in SpanKind}
_STATUSES: Final = {int(status): status for status in Status}

Table = dict[str, Any]
"""A JSON object."""


def read_spans(file: BinaryIO, name: str) -> Iterator[ReadSpan]:
    """Every span of a file, which errors call `name`. A last line that is still being written is passed over."""
    number = 0
    while True:
        try:
            line = file.readline(MAX_LINE + 1)
        except OSError as error:
            raise SpanFileError(f"cannot read {name}: {error.strerror}") from error
        if not line:
            return
        number += 1
        if len(line) > MAX_LINE:
            raise SpanFileError(f"{name}, line {number}: longer than {MAX_LINE} bytes")
        if line.isspace():
            continue
        try:
            spans = read_line(line)
        except SpanFileError as error:
            if not line.endswith(b"\n") and line.startswith(LINE_START) and not _is_json(line):
                return
            raise SpanFileError(f"{name}, line {number}: {error}") from error
        yield from spans


def read_line(line: bytes) -> list[ReadSpan]:
    """The spans of one ExportTraceServiceRequest; the first one that is wrong is an error."""
    try:
        return [_span(span, resource) for resource, _, span in _tables_of(_json(line), "the line")]
    except RecursionError as error:
        raise SpanFileError("it is nested too deeply") from error


def read_request(body: bytes) -> tuple[list[ReadSpan], list[str]]:
    """The spans of one ExportTraceServiceRequest with their scopes, and what is wrong with each that is left out."""
    spans: list[ReadSpan] = []
    wrong: list[str] = []
    try:
        for resource, scope, span in _tables_of(_json(body), "the request"):
            try:
                spans.append(_span(span, resource, scope))
            except SpanFileError as error:
                wrong.append(str(error))
    except RecursionError as error:
        raise SpanFileError("it is nested too deeply") from error
    return spans, wrong


def scope_attributes(name: str, version: str) -> dict[str, Value]:
    """An instrumentation scope, for what has no place of its own for it.

    https://opentelemetry.io/docs/specs/otel/common/mapping-to-non-otlp/#instrumentationscope
    """
    found: dict[str, Value] = {}
    if name:
        found["otel.scope.name"] = name
    if version:
        found["otel.scope.version"] = version
    return found


def _json(line: bytes) -> Any:
    try:
        return json.loads(line)
    except RecursionError as error:
        raise SpanFileError("it is nested too deeply") from error
    except ValueError as error:
        raise SpanFileError("it is not JSON") from error


def _tables_of(
    request: Any, name: str
) -> Iterator[tuple[dict[str, Value], dict[str, Value], Table]]:
    """Every span with its resource's and its scope's attributes."""
    for group in _tables(_table(request, name), "resourceSpans"):
        resource = _attributes(_table(group.get("resource"), "resource"))
        for scope_spans in _tables(group, "scopeSpans"):
            scope = _table(scope_spans.get("scope"), "scope")
            block = scope_attributes(_text(scope, "name"), _text(scope, "version"))
            for span in _tables(scope_spans, "spans"):
                yield resource, block, span


def _is_json(line: bytes) -> bool:
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return False
    return True


def _span(
    span: Table, resource: dict[str, Value], scope: Mapping[str, Value] = MappingProxyType({})
) -> ReadSpan:
    status = _table(span.get("status"), "status")
    code = status.get("code")
    kind = span.get("kind")
    return ReadSpan(
        trace_id=_id(span, "traceId", 32),
        span_id=_id(span, "spanId", 16),
        parent_id=_id(span, "parentSpanId", 16) if span.get("parentSpanId") else None,
        name=_text(span, "name"),
        # Numbers that are not known are SPAN_KIND_UNSPECIFIED, which is to be taken as internal.
        kind=_KINDS.get(kind, SpanKind.INTERNAL) if isinstance(kind, int) else SpanKind.INTERNAL,
        start_unix_ns=_time(span, "startTimeUnixNano"),
        end_unix_ns=_time(span, "endTimeUnixNano"),
        status=_STATUSES.get(code, Status.UNSET) if isinstance(code, int) else Status.UNSET,
        status_message=_text(status, "message"),
        attributes={**scope, **_attributes(span)},
        resource=resource,
        trace_state=_text(span, "traceState"),
        events=tuple(
            ReadEvent(_text(event, "name"), _time(event, "timeUnixNano"), _attributes(event))
            for event in _tables(span, "events")
        ),
        links=tuple(
            ReadLink(_id(link, "traceId", 32), _id(link, "spanId", 16), _attributes(link))
            for link in _tables(span, "links")
        ),
    )


def _attributes(owner: Table) -> dict[str, Value]:
    return {
        _text(pair, "key"): _value(_table(pair.get("value"), "value"))
        for pair in _tables(owner, "attributes")
    }


def _value(value: Table) -> Value:
    """An AnyValue: of its fields one is set."""
    for kind, content in value.items():
        read = _VALUES.get(kind)
        if read is not None and content is not None:
            return read(content, kind)
    return ""


def _item(value: Table) -> Scalar:
    """An array's item; one that is an array itself becomes JSON, as maps do."""
    item = _value(value)
    return json.dumps(_plain(value), ensure_ascii=False) if isinstance(item, tuple) else item


def _plain(value: Table) -> object:
    """An AnyValue as JSON itself would write it."""
    if value.get("arrayValue") is not None:
        return [
            _plain(item) for item in _tables(_table(value["arrayValue"], "arrayValue"), "values")
        ]
    if value.get("kvlistValue") is not None:
        return _pairs(value["kvlistValue"], "kvlistValue")
    return _value(value)


def _pairs(content: object, name: str) -> dict[str, object]:
    return {
        _text(pair, "key"): _plain(_table(pair.get("value"), "value"))
        for pair in _tables(_table(content, name), "values")
    }


def _string(content: object, name: str) -> str:
    if not isinstance(content, str):
        raise SpanFileError(f"{name} is no text")
    return content


def _boolean(content: object, name: str) -> bool:
    if not isinstance(content, bool):
        raise SpanFileError(f"{name} is neither true nor false")
    return content


def _integer(content: object, name: str) -> int:
    if isinstance(content, str) and _DIGITS.fullmatch(content):
        return int(content)
    if isinstance(content, int) and not isinstance(content, bool):
        return content
    if isinstance(content, float) and content.is_integer():
        return int(content)
    raise SpanFileError(f"{name} is no integer")


def _double(content: object, name: str) -> float:
    if content in ("NaN", "Infinity", "-Infinity"):
        return float(str(content))
    if not isinstance(content, int | float):
        raise SpanFileError(f"{name} is no number")
    try:
        return float(content)
    except OverflowError:
        return math.inf if content > 0 else -math.inf


def _array(content: object, name: str) -> tuple[Scalar, ...]:
    return tuple(map(_item, _tables(_table(content, name), "values")))


def _map(content: object, name: str) -> str:
    return json.dumps(_pairs(content, name), ensure_ascii=False)


_VALUES: Final[dict[str, Callable[[object, str], Value]]] = {
    "stringValue": _string,
    "boolValue": _boolean,
    "intValue": _integer,
    "doubleValue": _double,
    "arrayValue": _array,
    "kvlistValue": _map,
    "bytesValue": _string,
}
"""Fields of AnyValue. Bytes stay base64, maps JSON: our attributes have neither."""


def _time(owner: Table, name: str) -> int:
    content = owner.get(name)
    time = _integer(content, name) if content is not None else 0
    if not 0 <= time <= _MAX_TIME:
        raise SpanFileError(f"{name} is no time")
    return time


def _id(owner: Table, name: str, digits: int) -> str:
    text = _text(owner, name).lower()
    if len(text) != digits or _ID.fullmatch(text) is None:
        raise SpanFileError(f"{name} is not {digits} hexadecimal digits")
    return text


def _text(owner: Table, name: str) -> str:
    content = owner.get(name)
    return _string(content, name) if content is not None else ""


def _table(content: object, name: str) -> Table:
    """A message; the default one for null, as protobuf's JSON form has it."""
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise SpanFileError(f"{name} is no object")
    return content


def _tables(owner: Table, name: str) -> list[Table]:
    content = owner.get(name)
    if content is None:
        return []
    if not isinstance(content, list):
        raise SpanFileError(f"{name} is no list")
    return [_table(item, name) for item in content]
