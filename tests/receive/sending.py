"""Senders of OTLP, and an agent's end that they reach."""

from __future__ import annotations

import http.client
from collections.abc import Callable

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTracePartialSuccess,
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from agent.receive.carry import Parcel, Unpacker
from agent.receive.intake import Intake
from agent.redaction import Policy
from agent.spans.span import Span

TRACE_ID = bytes.fromhex("4bf92f3577b34da6a3ce929d0e0e4736")
SPAN_ID = bytes.fromhex("00f067aa0ba902b7")


class Agent:
    """Keeps what is handed over; `has_room` says whether it is taken."""

    def __init__(self, has_room: Callable[[], bool] = lambda: True) -> None:
        self.parcels: list[Parcel] = []
        self.spans: list[Span] = []
        self._has_room = has_room
        self._unpacker = Unpacker()
        self.intake = Intake(self.take, Policy())

    def take(self, data: bytes) -> bool:
        parcel = self._unpacker.parcel(data)
        if parcel.spans and not self._has_room():
            return False
        self.parcels.append(parcel)
        self.spans += self._unpacker.spans(parcel)
        return True

    @property
    def rejected(self) -> int:
        return sum(parcel.rejected for parcel in self.parcels)

    @property
    def refused(self) -> list[str]:
        return [parcel.refused for parcel in self.parcels if parcel.refused]


def message(**span: object) -> ExportTraceServiceRequest:
    """A request with one span."""
    request = ExportTraceServiceRequest()
    add(request, **span)
    return request


def add(request: ExportTraceServiceRequest, **span: object) -> None:
    scope_spans = request.resource_spans.add().scope_spans.add()
    scope_spans.spans.add(**{"trace_id": TRACE_ID, "span_id": SPAN_ID, "name": "work", **span})


def one(**span: object) -> bytes:
    return message(**span).SerializeToString()


def partial(body: bytes) -> ExportTracePartialSuccess:
    return ExportTraceServiceResponse.FromString(body).partial_success


def post(
    port: int, body: bytes, kind: str = "application/x-protobuf", *, path: str = "/v1/traces",
    method: str = "POST", **headers: str,
) -> tuple[int, dict[str, str], bytes]:  # fmt: skip
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, body, {"Content-Type": kind, **given})
        answer = connection.getresponse()
        return answer.status, dict(answer.headers), answer.read()
    finally:
        connection.close()
