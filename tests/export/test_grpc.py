"""OTLP over gRPC against a server in this process."""

from __future__ import annotations

import socket
import threading
from contextlib import closing

import grpc
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from agent import __version__
from agent.errors import ExportError
from agent.export.exporter import Outcome
from agent.export.grpc import GrpcExporter
from agent.export.otlp import encode
from agent.export.settings import Compression, Otlp, Reach, Transport
from tests.export import sample
from tests.export.servers import GrpcReceiver, running, until
from tests.export.test_response import partial_success, status_details

SPANS = [sample.span(1), sample.span(2, resource=sample.BACK)]


def exporter_to(port: int, **reach: object) -> GrpcExporter:
    return GrpcExporter(Otlp(Transport.GRPC, "127.0.0.1", port, reach=Reach(**reach)))  # type: ignore[arg-type]


def send(exporter: GrpcExporter, timeout_s: float = 5) -> Outcome:
    return exporter.send(exporter.prepare(SPANS), timeout_s=timeout_s)


def refusing(code: grpc.StatusCode, *, details: bytes = b""):
    def answer(context):
        if details:
            context.set_trailing_metadata((("grpc-status-details-bin", details),))
        context.abort(code, "not \x1b now")

    return answer


@pytest.mark.parametrize("compression", list(Compression))
def test_a_batch_is_one_call(compression):
    with running(GrpcReceiver()) as receiver:
        headers = (("authorization", "Bearer x"),)
        reach = {"headers": headers, "compression": compression}
        with closing(exporter_to(receiver.port, **reach)) as exporter:
            assert send(exporter) == Outcome(exported=2)
            assert send(exporter) == Outcome(exported=2)
        assert receiver.requests == [encode(SPANS)] * 2
        assert ExportTraceServiceRequest.FromString(receiver.requests[0]) == sample.reference(SPANS)
        assert receiver.metadata[0]["authorization"] == "Bearer x"
        assert receiver.metadata[0]["user-agent"].startswith(f"zerospan/{__version__} ")


def test_partial_success():
    answer = partial_success(1, "too old")
    with (
        running(GrpcReceiver(lambda _context: answer)) as receiver,
        closing(exporter_to(receiver.port)) as exporter,
    ):
        assert send(exporter) == Outcome(1, 1, "rejected", "too old")


DELAY = status_details(3, 0)


@pytest.mark.parametrize(
    ("code", "details", "retry", "retry_after_s"),
    [
        (grpc.StatusCode.UNAVAILABLE, b"", True, None),
        (grpc.StatusCode.UNAVAILABLE, DELAY, True, 3.0),
        (grpc.StatusCode.CANCELLED, b"", True, None),
        (grpc.StatusCode.DEADLINE_EXCEEDED, b"", True, None),
        (grpc.StatusCode.ABORTED, b"", True, None),
        (grpc.StatusCode.OUT_OF_RANGE, b"", True, None),
        (grpc.StatusCode.DATA_LOSS, b"", True, None),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, b"", False, None),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, DELAY, True, 3.0),
        (grpc.StatusCode.INVALID_ARGUMENT, b"", False, None),
        (grpc.StatusCode.UNAUTHENTICATED, b"", False, None),
        (grpc.StatusCode.INTERNAL, b"", False, None),
    ],
)
def test_refusals(code, details, retry, retry_after_s):
    with (
        running(GrpcReceiver(refusing(code, details=details))) as receiver,
        closing(exporter_to(receiver.port)) as exporter,
        pytest.raises(ExportError) as caught,
    ):
        send(exporter)
    error = caught.value
    assert (error.cause, error.retry, error.retry_after_s) == (
        f"grpc_{code.name.lower()}",
        retry,
        retry_after_s,
    )
    assert str(error) == f"the call ended with {code.name}: not \\x1b now"


def test_nobody_listens():
    with closing(socket.socket()) as bound:
        bound.bind(("127.0.0.1", 0))
        port = bound.getsockname()[1]
        with closing(exporter_to(port)) as exporter, pytest.raises(ExportError) as caught:
            send(exporter)
    assert (caught.value.cause, caught.value.retry) == ("grpc_unavailable", True)


def test_a_receiver_that_dies_and_returns():
    with running(GrpcReceiver()) as receiver, closing(exporter_to(receiver.port)) as exporter:
        assert send(exporter) == Outcome(exported=2)
        receiver.close()
        with pytest.raises(ExportError) as caught:
            send(exporter, timeout_s=1)
        assert (caught.value.cause, caught.value.retry) == ("grpc_unavailable", True)
        with running(GrpcReceiver(port=receiver.port)):

            def works() -> bool:
                try:
                    return send(exporter) == Outcome(exported=2)
                except ExportError:
                    return False

            until(works)


def test_a_slow_receiver_times_out():
    release = threading.Event()

    def stall(_context):
        release.wait(20)
        return b""

    with running(GrpcReceiver(stall)) as receiver, closing(exporter_to(receiver.port)) as exporter:
        with pytest.raises(ExportError) as caught:
            send(exporter, timeout_s=2.0)
        assert (caught.value.cause, caught.value.retry) == ("grpc_deadline_exceeded", True)
        release.set()
