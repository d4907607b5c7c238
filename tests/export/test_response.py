"""Answers of receivers, sound and broken."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTracePartialSuccess,
    ExportTraceServiceResponse,
)

from agent.export import response
from agent.export.exporter import Outcome
from agent.spans.wire import varint


def partial_success(rejected: int, message: str) -> bytes:
    partial = ExportTracePartialSuccess(rejected_spans=rejected, error_message=message)
    return ExportTraceServiceResponse(partial_success=partial).SerializeToString()


@pytest.mark.parametrize(
    ("body", "outcome"),
    [
        (b"", Outcome(exported=10)),
        (partial_success(0, ""), Outcome(exported=10)),
        (partial_success(3, "bad \x1b id"), Outcome(7, 3, "rejected", "bad \\x1b id")),
        (partial_success(0, "deprecated"), Outcome(exported=10, message="deprecated")),
        (partial_success(10, ""), Outcome(0, 10, "rejected")),
        (partial_success(11, "more than sent"), Outcome(exported=10, message="more than sent")),
        (partial_success(-1, ""), Outcome(exported=10)),
        (b"\x0a\x05\x08", Outcome(exported=10)),
        (b"<html>busy</html>", Outcome(exported=10)),
        (b"\x08" + b"\xff" * 11, Outcome(exported=10)),
        (
            b"\x11" + bytes(8) + b"\x1d" + bytes(4) + partial_success(1, ""),
            Outcome(9, 1, "rejected"),
        ),
    ],
)
def test_partial_success(body, outcome):
    assert response.outcome(body, 10) == outcome


def varint_field(number: int, value: int) -> bytes:
    return bytes([number << 3]) + varint(value)


def bytes_field(number: int, body: bytes) -> bytes:
    return bytes([number << 3 | 2, len(body)]) + body


def status_details(seconds: int, nanos: int, type_name: str = "google.rpc.RetryInfo") -> bytes:
    duration = varint_field(1, seconds) + varint_field(2, nanos)
    detail = bytes_field(1, f"type.googleapis.com/{type_name}".encode())
    detail += bytes_field(2, bytes_field(1, duration))
    return varint_field(1, 8) + bytes_field(2, b"slow down") + bytes_field(3, detail)


@pytest.mark.parametrize(
    ("details", "delay_s"),
    [
        (status_details(2, 500_000_000), 2.5),
        (status_details(0, 0), 0.0),
        (status_details(-5, 0), 0.0),
        (status_details(2, 0, "google.rpc.QuotaFailure"), None),
        (status_details(2, 0)[:-3], None),
        (b"", None),
    ],
)
def test_retry_delay(details, delay_s):
    assert response.retry_delay_s(details) == delay_s


@given(st.binary(max_size=200))
def test_any_answer_is_read_without_an_exception(answer):
    outcome = response.outcome(answer, 5)
    assert outcome.exported + outcome.dropped == 5
    assert outcome.message.isprintable()
    assert (response.retry_delay_s(answer) or 0) >= 0
