"""The hand-written encoder says what OTLP's generated classes say."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from agent import __version__
from agent.export.otlp import encode
from agent.spans.span import Attributes, Resource, SpanKind, Status
from agent.spans.wire import utf8, varint
from tests.export import sample


@given(st.lists(sample.spans, max_size=5))
def test_encoded_spans_equal_those_of_the_generated_classes(spans):
    expected = sample.reference(spans)
    assert ExportTraceServiceRequest.FromString(encode(spans)) == expected
    # A second time, now with every block's and resource's encoded form at hand.
    assert ExportTraceServiceRequest.FromString(encode(spans)) == expected


def test_nothing_is_encoded_as_nothing():
    assert encode([]) == b""


def test_golden_bytes_of_one_span():
    resource = Resource([("service.name", "front")])
    block = Attributes([("n", 300), ("ok", True), ("s", "é")])
    one = sample.span(
        parent_id=b"\x06" * 8,
        is_parent_remote=True,
        name="GET /",
        kind=SpanKind.CLIENT,
        start_unix_ns=1,
        end_unix_ns=2,
        status=Status.ERROR,
        attributes=(block,),
        resource=resource,
        trace_state="a=b",
    )
    attributes = bytes.fromhex(
        "4a08 0a016e 1203 18ac02"  # n = 300
        "4a08 0a026f6b 1202 1001"  # ok = true
        "4a09 0a0173 1204 0a02c3a9"  # s = "é"
    )
    span = (
        bytes.fromhex("0a10" + "4b" * 15 + "01" "1208" "0505050500000001" "2208" + "06" * 8)
        + bytes.fromhex("39" "0100000000000000" "41" "0200000000000000" "8501" "01030000")
        + bytes.fromhex("2a05") + b"GET /" + bytes.fromhex("3003")
        + attributes
        + bytes.fromhex("7a02 1802")  # status
        + bytes.fromhex("1a03") + b"a=b"
    )  # fmt: skip
    version = __version__.encode()
    scope_body = b"\x0a\x08zerospan\x12" + bytes([len(version)]) + version
    scope_spans = (
        b"\x0a" + bytes([len(scope_body)]) + scope_body + b"\x12" + varint(len(span)) + span
    )
    resource_body = b"\x0a\x19\x0a\x17\x0a\x0cservice.name\x12\x07\x0a\x05front"
    resource_spans = resource_body + b"\x12" + varint(len(scope_spans)) + scope_spans
    assert encode([one]) == b"\x0a" + varint(len(resource_spans)) + resource_spans


def test_spans_are_grouped_by_the_resource_object_in_order_of_appearance():
    twin = Resource(sample.FRONT.attributes)
    spans = [
        sample.span(1, resource=sample.BACK),
        sample.span(2),
        sample.span(3, resource=twin),
        sample.span(4, resource=sample.BACK),
    ]
    request = ExportTraceServiceRequest.FromString(encode(spans))
    groups = [
        [one.span_id[-1] for one in resource_spans.scope_spans[0].spans]
        for resource_spans in request.resource_spans
    ]
    assert groups == [[1, 4], [2], [3]]


def test_a_block_is_encoded_once():
    block = Attributes([("a", "b")])
    encode([sample.span(1, attributes=(block,))])
    wire = block.wire
    assert wire == b"\x4a\x08\x0a\x01a\x12\x03\x0a\x01b"
    encode([sample.span(2, attributes=(block,))])
    assert block.wire is wire


@pytest.mark.parametrize(
    ("number", "encoded"),
    [
        (0, "00"),
        (127, "7f"),
        (128, "8001"),
        (2047, "ff0f"),
        (2048, "8010"),
        (16383, "ff7f"),
        (16384, "808001"),
        (2**21 - 1, "ffff7f"),
        (2**21, "80808001"),
        (2**64 - 1, "ffffffffffffffffff01"),
        (-1, "ffffffffffffffffff01"),
        (-(2**63), "80808080808080808001"),
    ],
)
def test_varint(number, encoded):
    assert varint(number).hex() == encoded


def test_half_a_surrogate_pair_becomes_a_question_mark():
    assert utf8("é\udcff!") == "é?!".encode()
