"""What senders are answered, as bytes (https://opentelemetry.io/docs/specs/otlp/): ExportTraceServiceResponse and google.rpc.Status.

A dozen fields: written by hand, they can be read here.
"""

from __future__ import annotations

import json
from typing import Final

from agent.spans.wire import utf8, varint

INVALID_ARGUMENT: Final = 3
RESOURCE_EXHAUSTED: Final = 8
UNAVAILABLE: Final = 14
"""Of google.rpc.Code."""
RETRY_S: Final = 2
"""When a sender may come back."""


def response(rejected: int, message: str) -> bytes:
    """ExportTraceServiceResponse: `partial_success` (1) with `rejected_spans` (1) and `error_message` (2)."""
    if not rejected:
        return b""
    return _field(1, b"\x08" + varint(rejected) + _field(2, utf8(message)))


def response_json(rejected: int, message: str) -> bytes:
    """The same as JSON: a 64-bit integer is a string there."""
    if not rejected:
        return b"{}"
    partial = {"rejectedSpans": str(rejected), "errorMessage": message}
    return json.dumps({"partialSuccess": partial}).encode()


def status(code: int, message: str) -> bytes:
    """google.rpc.Status: `code` (1), `message` (2)."""
    return b"\x08" + varint(code) + _field(2, utf8(message))


def status_json(code: int, message: str) -> bytes:
    """The same as JSON."""
    return json.dumps({"code": code, "message": message}).encode()


def come_back(message: str) -> bytes:
    """A Status whose `details` (3) hold a RetryInfo: without one gRPC's RESOURCE_EXHAUSTED is not to be tried again."""
    delay = _field(1, b"\x08" + varint(RETRY_S))
    retry_info = _field(1, b"type.googleapis.com/google.rpc.RetryInfo") + _field(2, delay)
    return status(RESOURCE_EXHAUSTED, message) + _field(3, retry_info)


def _field(number: int, body: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(body)) + body
