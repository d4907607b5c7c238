"""Protobuf to spans: what our own encoder writes comes back, what is wrong costs one span, garbage an error."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue, KeyValueList

from agent.errors import SpanFileError
from agent.export import otlp, otlp_read
from agent.export.otlp_json import encode_line
from agent.receive.protobuf import read_request
from agent.spans.span import Span
from agent.spans.wire import varint
from tests.receive.sending import SPAN_ID, TRACE_ID, add, message, one
from tests.store.made import any_spans, as_read, fields


def without_scope(span):
    found = fields(span)
    for name in ("otel.scope.name", "otel.scope.version"):
        assert found["attributes"].pop(name)
    return found


@settings(database=None)
@given(any_spans())
def test_both_forms_bring_every_field(span: Span):
    expected = fields(as_read(span))
    for read, body in (
        (read_request, otlp.encode([span])),
        (otlp_read.read_request, encode_line([span])),
    ):
        (found,), wrong = read(body)
        assert wrong == []
        assert without_scope(found) == expected


def text(value: str) -> AnyValue:
    return AnyValue(string_value=value)


@pytest.mark.parametrize(
    ("value", "read"),
    [
        (AnyValue(int_value=-7), -7),
        (AnyValue(double_value=0.5), 0.5),
        (AnyValue(bool_value=False), False),
        (AnyValue(bytes_value=b"\0\1"), "AAE="),
        (AnyValue(array_value=ArrayValue(values=[AnyValue(int_value=1), text("a")])), (1, "a")),
        (AnyValue(kvlist_value=KeyValueList(values=[KeyValue(key="a", value=AnyValue(int_value=1))])), '{"a": 1}'),
        (AnyValue(array_value=ArrayValue(values=[AnyValue(array_value=ArrayValue(values=[text("ä")]))])), ('["ä"]',)),
        (AnyValue(), ""),
    ],
)  # fmt: skip
def test_values(value, read):
    (span,), _ = read_request(one(attributes=[KeyValue(key="k", value=value)]))
    found = span.attributes["k"]
    assert (found, type(found)) == (read, type(read))


def test_scope_and_resource():
    request = message(name="work")
    request.resource_spans[0].resource.attributes.add(
        key="service.name"
    ).value.string_value = "shop"
    scope = request.resource_spans[0].scope_spans[0].scope
    scope.name, scope.version = "lib", "1.2"
    (span,), _ = read_request(request.SerializeToString())
    assert span.service == "shop"
    assert span.attributes == {"otel.scope.name": "lib", "otel.scope.version": "1.2"}


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"trace_id": b"x"}, "traceId"),
        ({"span_id": b""}, "spanId"),
        ({"parent_span_id": b"x" * 16}, "parentSpanId"),
        ({"links": [{"trace_id": TRACE_ID, "span_id": b"x"}]}, "link"),
    ],
)
def test_what_is_wrong_costs_one_span(wrong, says):
    request = message(**wrong)
    add(request, name="right")
    spans, reasons = read_request(request.SerializeToString())
    assert [span.name for span in spans] == ["right"]
    assert len(reasons) == 1
    assert says in reasons[0]


def test_numbers_that_are_not_known():
    (span,), _ = read_request(one(kind=77, status={"code": 77}))
    assert (span.kind, span.status, span.parent_id) == (1, 0, None)
    assert (span.trace_id, span.span_id) == (TRACE_ID.hex(), SPAN_ID.hex())


def nested(depth: int) -> bytes:
    value = AnyValue(int_value=1)
    for _ in range(depth):
        value = AnyValue(array_value=ArrayValue(values=[value]))
    return one(attributes=[KeyValue(key="k", value=value)])


def test_what_is_nested_too_deeply_is_refused():
    assert read_request(nested(20))[0]
    value = b"\x18\x01"  # int_value
    for _ in range(2000):
        for tag in (b"\x0a", b"\x2a"):  # ArrayValue.values, AnyValue.array_value
            value = tag + varint(len(value)) + value
    pair = b"\x0a\x01k\x12" + varint(len(value)) + value
    for tag in (
        b"\x4a",
        b"\x12",
        b"\x12",
        b"\x0a",
    ):  # attributes, spans, scope_spans, resource_spans
        pair = tag + varint(len(pair)) + pair
    with pytest.raises(SpanFileError):
        read_request(pair)


@settings(database=None)
@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_refused(body):
    with contextlib.suppress(SpanFileError):
        read_request(body)


@settings(database=None, max_examples=50)
@given(st.data())
def test_a_damaged_request_is_read_or_refused(data):
    body = bytearray(one(attributes=[KeyValue(key="k", value=text("v"))]))
    for _ in range(data.draw(st.integers(1, 4))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(SpanFileError):
        read_request(bytes(body))
