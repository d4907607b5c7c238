"""OTLP/JSON says what the protobuf form says."""

from __future__ import annotations

import base64
import json

from google.protobuf import json_format
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from agent import __version__
from agent.export.otlp_json import encode_line
from agent.spans.span import Attributes, Link, SpanEvent, SpanKind, Status
from tests.export import sample


def test_golden_line():
    one = sample.span(
        parent_id=bytes.fromhex("00f067aa0ba902b7"),
        is_parent_remote=True,
        kind=SpanKind.CLIENT,
        status=Status.ERROR,
        status_message="timeout",
        trace_state="a=b",
        attributes=(
            Attributes([("s", "é"), ("n", 2**63 - 1), ("big", 2**63), ("f", float("nan"))]),
            Attributes([("ok", False), ("list", ("x", "y")), ("half", 0.5)]),
        ),
        events=(SpanEvent("retry", 7, Attributes([("count", 1)])),),
        links=(Link(b"\x01" * 16, b"\x02" * 8),),
    )
    attributes = [
        {"key": "s", "value": {"stringValue": "é"}},
        {"key": "n", "value": {"intValue": "9223372036854775807"}},
        {"key": "big", "value": {"stringValue": "9223372036854775808"}},
        {"key": "f", "value": {"doubleValue": "NaN"}},
        {"key": "ok", "value": {"boolValue": False}},
        {
            "key": "list",
            "value": {"arrayValue": {"values": [{"stringValue": "x"}, {"stringValue": "y"}]}},
        },
        {"key": "half", "value": {"doubleValue": 0.5}},
    ]
    span = {
        "traceId": "4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b01",
        "spanId": "0505050500000001",
        "parentSpanId": "00f067aa0ba902b7",
        "traceState": "a=b",
        "flags": 0x301,
        "name": "GET /orders/{id}",
        "kind": 3,
        "startTimeUnixNano": "1762171200000000000",
        "endTimeUnixNano": "1762171200012300000",
        "attributes": attributes,
        "events": [
            {
                "timeUnixNano": "7",
                "name": "retry",
                "attributes": [{"key": "count", "value": {"intValue": "1"}}],
            }
        ],
        "links": [{"traceId": "01" * 16, "spanId": "02" * 8}],
        "status": {"code": 2, "message": "timeout"},
    }
    resource = [
        {"key": "service.name", "value": {"stringValue": "front"}},
        {"key": "process.pid", "value": {"intValue": "41"}},
    ]
    scope = {"name": "zerospan", "version": __version__}
    line = encode_line([one])
    assert line.endswith(b"}\n")
    assert json.loads(line) == {
        "resourceSpans": [
            {
                "resource": {"attributes": resource},
                "scopeSpans": [{"scope": scope, "spans": [span]}],
            }
        ]
    }


@given(st.lists(sample.spans, max_size=4))
def test_a_line_says_what_the_protobuf_form_says(spans):
    line = encode_line(spans)
    assert line.count(b"\n") == 1
    request = json.loads(line.decode("utf-8"))
    _ids_to_base64(request)
    parsed = json_format.ParseDict(request, ExportTraceServiceRequest())
    assert parsed == sample.reference(spans)


def _ids_to_base64(node) -> None:
    """protobuf's JSON form has bytes in base64, OTLP's has ids in hexadecimal."""
    if isinstance(node, list):
        for item in node:
            _ids_to_base64(item)
    if isinstance(node, dict):
        for key, value in node.items():
            if key in ("traceId", "spanId", "parentSpanId"):
                node[key] = base64.b64encode(bytes.fromhex(value)).decode()
            else:
                _ids_to_base64(value)
