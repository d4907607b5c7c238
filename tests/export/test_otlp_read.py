"""OTLP/JSON read back: what we write comes back as it was, what others write is taken, nonsense is named."""

from __future__ import annotations

import io
import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.errors import SpanFileError
from agent.export import otlp_read
from agent.export.otlp_json import encode_line
from agent.export.otlp_read import read_line, read_request, read_spans
from agent.spans.span import Attributes, Link, Span, SpanEvent, SpanKind, Status
from agent.spans.trace import ReadEvent, ReadLink, ReadSpan
from tests.export import sample


def told(span: ReadSpan) -> dict[str, object]:
    """All that a span says, for comparison."""
    return {name: getattr(span, name) for name in ReadSpan.__slots__}


def expected(span: Span) -> dict[str, object]:
    """What reading must give of `span`."""
    return {
        "trace_id": span.trace_id.hex(),
        "span_id": span.span_id.hex(),
        "parent_id": span.parent_id.hex() if span.parent_id is not None else None,
        "name": span.name,
        "kind": span.kind,
        "start_unix_ns": span.start_unix_ns,
        "end_unix_ns": span.end_unix_ns,
        "status": span.status,
        "status_message": span.status_message,
        "attributes": {key: value for block in span.attributes for key, value in block.items},
        "resource": dict(span.resource.attributes),
        "trace_state": span.trace_state,
        "events": tuple(
            ReadEvent(event.name, event.time_unix_ns, dict(event.attributes.items))
            if event.attributes
            else ReadEvent(event.name, event.time_unix_ns)
            for event in span.events
        ),
        "links": tuple(
            ReadLink(link.trace_id.hex(), link.span_id.hex(), dict(link.attributes.items))
            if link.attributes
            else ReadLink(link.trace_id.hex(), link.span_id.hex())
            for link in span.links
        ),
    }


def test_what_we_write_comes_back():
    full = sample.span(
        1,
        parent_id=bytes(7) + b"\1",
        kind=SpanKind.CLIENT,
        status=Status.ERROR,
        status_message="timeout",
        trace_state="a=b",
        attributes=(
            Attributes([("s", "é"), ("n", -(2**63)), ("f", 0.5), ("inf", -math.inf)]),
            Attributes([("ok", False), ("list", ("x", "y")), ("none", ())]),
        ),
        events=(SpanEvent("retry", 7, Attributes([("count", 1)])), SpanEvent("again", 8)),
        links=(Link(b"\1" * 16, b"\2" * 8, Attributes([("why", "late")])), Link(b"\3" * 16, b"\4" * 8)),
    )  # fmt: skip
    spans = [full, sample.span(2, resource=sample.BACK), sample.span(3)]
    lines = encode_line(spans[:2]) + b"\n" + encode_line(spans[2:])
    read = list(read_spans(io.BytesIO(lines), "a.jsonl"))
    assert list(map(told, read)) == list(map(expected, spans))


SPAN = {"traceId": "4B" * 16, "spanId": "05" * 8}


def request(**fields: object) -> bytes:
    """A line with one span that has these fields."""
    return json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [{**SPAN, **fields}]}]}]}).encode()  # fmt: skip


def one(**fields: object) -> ReadSpan:
    (span,) = read_line(request(**fields))
    return span


def test_what_is_missing_has_its_default():
    span = one()
    assert (span.trace_id, span.span_id, span.parent_id) == ("4b" * 16, "05" * 8, None)
    assert (span.kind, span.status, span.start_unix_ns) == (SpanKind.INTERNAL, Status.UNSET, 0)
    assert span.service == "unknown_service"
    assert told(one(status=None, attributes=None, events=None, kind=None)) == told(span)
    assert told(one(kind=99, status={"code": 99}, unknown={"a": 1}, flags=7)) == told(span)


@pytest.mark.parametrize("line", [b"{}", b"null", b'{"resourceSpans": []}', b'{"resourceSpans": [{}]}', b'{"resourceMetrics": [1]}'])  # fmt: skip
def test_request_without_spans(line):
    assert read_line(line) == []


@pytest.mark.parametrize(
    ("value", "read"),
    [
        ({"intValue": 7}, 7),
        ({"intValue": "-7"}, -7),
        ({"intValue": 7.0}, 7),
        ({"doubleValue": 7}, 7.0),
        ({"doubleValue": "Infinity"}, math.inf),
        ({"doubleValue": 10**400}, math.inf),
        ({"bytesValue": "AAE="}, "AAE="),
        ({"kvlistValue": {"values": [{"key": "a", "value": {"intValue": "1"}}, {"key": "b"}]}}, '{"a": 1, "b": ""}'),
        ({"arrayValue": {"values": [{"intValue": 1}, {"boolValue": True}, {"stringValue": "a"}]}}, (1, True, "a")),
        ({"arrayValue": {"values": [{"arrayValue": {"values": [{"kvlistValue": {}}]}}]}}, ("[{}]",)),
        ({"arrayValue": {}}, ()),
        ({"arrayValue": None, "intValue": 1}, 1),
        ({"what": 1}, ""),
        ({}, ""),
        (None, ""),
    ],
)  # fmt: skip
def test_values_of_other_writers(value, read):
    found = one(attributes=[{"key": "a", "value": value}]).attributes["a"]
    assert found == read
    assert type(found) is type(read)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b"what", "it is not JSON"),
        (b"\xff", "it is not JSON"),
        (b"[" * 100_000, "it is nested too deeply"),
        (b"7", "the line is no object"),
        (b'{"resourceSpans": {}}', "resourceSpans is no list"),
        (b'{"resourceSpans": [1]}', "resourceSpans is no object"),
        (request(traceId="4b"), "traceId is not 32 hexadecimal digits"),
        (request(traceId="x" * 32), "traceId is not 32 hexadecimal digits"),
        (request(spanId=None), "spanId is not 16 hexadecimal digits"),
        (request(parentSpanId="1"), "parentSpanId is not 16 hexadecimal digits"),
        (request(name=7), "name is no text"),
        (request(status="x"), "status is no object"),
        (request(startTimeUnixNano="soon"), "startTimeUnixNano is no integer"),
        (request(startTimeUnixNano=True), "startTimeUnixNano is no integer"),
        (request(endTimeUnixNano=-1), "endTimeUnixNano is no time"),
        (request(endTimeUnixNano=1 << 64), "endTimeUnixNano is no time"),
        (request(attributes=[{"key": 1}]), "key is no text"),
        (request(attributes=[{"value": {"doubleValue": "x"}}]), "doubleValue is no number"),
        (request(attributes=[{"value": {"stringValue": 1}}]), "stringValue is no text"),
        (request(attributes=[{"value": {"boolValue": 1}}]), "boolValue is neither true nor false"),
        (request(links=[{}]), "traceId is not 32"),
    ],
)
def test_error_names_line_and_field(line, said):
    file = io.BytesIO(encode_line([sample.span()]) + b"\n" + line + b"\n")
    spans = read_spans(file, "a.jsonl")
    assert next(spans).name == "GET /orders/{id}"
    with pytest.raises(SpanFileError, match=f"a.jsonl, line 3: {said}"):
        next(spans)


def test_a_request_gives_what_is_right_and_says_what_is_wrong():
    scope = {"scope": {"name": "lib", "version": "1"}, "spans": [SPAN, {**SPAN, "spanId": "x"}]}
    spans, wrong = read_request(json.dumps({"resourceSpans": [{"scopeSpans": [scope]}]}).encode())
    assert wrong == ["spanId is not 16 hexadecimal digits"]
    assert spans[0].attributes["otel.scope.name"] == "lib"
    assert spans[0].attributes["otel.scope.version"] == "1"
    for body in (b"what", b"[" * 100_000, b'{"resourceSpans": 7}'):
        with pytest.raises(SpanFileError):
            read_request(body)


def test_line_that_is_being_written_is_passed_over():
    line = encode_line([sample.span()])
    assert len(list(read_spans(io.BytesIO(line + line[:-9]), "a"))) == 1
    # Whole but for the line's end.
    assert len(list(read_spans(io.BytesIO(line + line[:-1]), "a"))) == 2


@pytest.mark.parametrize("last", [b"what", request(traceId="4b")])
def test_last_line_that_is_not_of_ours_is_an_error(last):
    with pytest.raises(SpanFileError, match="a, line 1: "):
        list(read_spans(io.BytesIO(last), "a"))


def test_line_that_is_too_long(monkeypatch):
    monkeypatch.setattr(otlp_read, "MAX_LINE", 10)
    with pytest.raises(SpanFileError, match="a, line 1: longer than 10 bytes"):
        list(read_spans(io.BytesIO(b" " * 11), "a"))


NAMES = [
    *(
        "resourceSpans",
        "resource",
        "attributes",
        "scopeSpans",
        "spans",
        "traceId",
        "spanId",
        "kind",
    ),
    *("status", "code", "events", "links", "key", "value", "startTimeUnixNano", "values"),
    *("stringValue", "intValue", "doubleValue", "boolValue", "arrayValue", "kvlistValue"),
]
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9)
ANYTHING = st.recursive(
    SCALARS | st.sampled_from(["05" * 8, "4b" * 16]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=4)
    ),
)


def complaint(content: bytes) -> str:
    """What reading says of a file; empty if it is fine."""
    try:
        list(read_spans(io.BytesIO(content), "a"))
    except SpanFileError as error:
        return str(error)
    return ""


@settings(database=None)
@given(ANYTHING)
def test_any_json_is_read_or_refused(value):
    span = {**SPAN, **value} if isinstance(value, dict) else value
    for line in (value, {"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]}):
        said = complaint(json.dumps(line).encode())
        assert said == "" or said.startswith("a, line 1: ")
        assert "\n" not in said


@settings(database=None)
@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(content):
    said = complaint(content)
    assert said == "" or said.startswith("a, line ")
