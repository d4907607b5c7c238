"""Receivers that we did not write take our spans, over both transports, compressed or not, and understand them.

rotel (a collector) is asked to forward what it received to a recorder here; ddapm-test-agent (Datadog's test agent)
keeps what it received and gives it as JSON. Both come from PyPI into an environment of their own, `.venv-receivers`
or $ZEROSPAN_RECEIVERS_VENV. Without them these tests fail: a skipped test would prove nothing.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import urllib.request
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from google.protobuf import json_format
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from agent.export.batch import Exports
from agent.export.endpoint import open_exporters
from agent.export.settings import settings_from
from agent.spans.span import Attributes, Link, Span, SpanEvent, SpanKind, Status
from tests.export import sample
from tests.export.servers import HttpReceiver, running, spans_of, until

pytestmark = pytest.mark.receiver

REPOSITORY = Path(__file__).parents[2]
START_WITHIN_S = 20.0


@dataclass
class Ports:
    grpc: int
    http: int

    def url(self, transport: str) -> str:
        return f"otlp+{transport}://127.0.0.1:{getattr(self, transport)}"


def environment() -> Path:
    folder = os.environ.get("ZEROSPAN_RECEIVERS_VENV") or REPOSITORY / ".venv-receivers"
    path = Path(folder)
    assert path.is_dir(), (
        f"{path} is missing: python3 -m venv it, pip install rotel ddapm-test-agent"
    )
    return path


def free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


@contextmanager
def process(command: list[str], ports: list[int], log: Path):
    """Run a receiver until the block ends; entered when it listens on all its ports."""
    with log.open("wb") as output:
        running_process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
    try:

        def is_listening() -> bool:
            assert running_process.poll() is None, f"{command[0]} ended: {log.read_text()}"
            for port in ports:
                with closing(socket.socket()) as probe:
                    if probe.connect_ex(("127.0.0.1", port)) != 0:
                        return False
            return True

        until(is_listening, deadline_s=START_WITHIN_S)
        yield
    finally:
        running_process.terminate()
        try:
            running_process.wait(10)
        except subprocess.TimeoutExpired:
            running_process.kill()
            running_process.wait()


class Rotel:
    """The collector, with the recorder that it forwards to."""

    def __init__(self, ports: Ports, recorder: HttpReceiver) -> None:
        self.ports = ports
        self._recorder = recorder

    def received(self) -> list[ExportTraceServiceRequest]:
        return [request.message for request in self._recorder.requests]


class TestAgent:
    """Datadog's test agent."""

    __test__ = False

    def __init__(self, ports: Ports) -> None:
        self.ports = ports

    def received(self) -> list[ExportTraceServiceRequest]:
        with urllib.request.urlopen(
            f"http://127.0.0.1:{self.ports.http}/test/session/traces", timeout=5
        ) as answer:
            requests = json.load(answer)
        return [json_format.ParseDict(request, ExportTraceServiceRequest()) for request in requests]


@pytest.fixture(scope="module")
def rotel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rotel")
    (program,) = environment().glob("lib/python3*/site-packages/rotel/rotel-agent")
    grpc_port, http_port = free_ports(2)
    with running(HttpReceiver()) as recorder:
        command = [str(program), "start", "--exporter", "otlp", "--disable-batching"]
        command += ["--otlp-exporter-endpoint", f"http://127.0.0.1:{recorder.port}"]
        command += ["--otlp-exporter-protocol", "http", "--pid-file", str(folder / "pid")]
        command += ["--otlp-grpc-endpoint", f"127.0.0.1:{grpc_port}"]
        command += ["--otlp-http-endpoint", f"127.0.0.1:{http_port}"]
        with process(command, [grpc_port, http_port], folder / "log"):
            yield Rotel(Ports(grpc_port, http_port), recorder)


@pytest.fixture(scope="module")
def test_agent(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ddapm")
    grpc_port, http_port, port = free_ports(3)
    command = [str(environment() / "bin" / "ddapm-test-agent"), "--port", str(port)]
    command += ["--otlp-http-port", str(http_port), "--otlp-grpc-port", str(grpc_port)]
    with process(command, [grpc_port, http_port, port], folder / "log"):
        yield TestAgent(Ports(grpc_port, http_port))


def every_kind_of_span(trace_id: bytes) -> list[Span]:
    """Spans that between them use everything that we send."""
    root = sample.span(1, trace_id=trace_id, trace_state="vendor=1", is_parent_remote=True)
    root.parent_id = b"\x07" * 8
    values = Attributes(
        [
            ("text", "é \udcff →"),
            ("empty", ""),
            ("number", -5),
            ("large", 2**63 - 1),
            ("too.large", 2**64),
            ("ratio", 0.25),
            ("is.on", True),
            ("is.off", False),
            ("list", ("a", "b")),
        ]
    )
    child = sample.span(
        2,
        trace_id=trace_id,
        parent_id=root.span_id,
        kind=SpanKind.CLIENT,
        status=Status.ERROR,
        status_message="timeout",
        attributes=(values, Attributes([("error.type", "timeout")])),
        resource=sample.BACK,
        events=(SpanEvent("retry", sample.START_NS + 5, Attributes([("count", 1)])),),
        links=(Link(b"\x09" * 16, b"\x0a" * 8, Attributes([("late", True)])),),
    )
    return [root, child, *(sample.span(number, trace_id=trace_id) for number in range(3, 600))]


def export(url: str, spans: list[Span], compression: str) -> None:
    env = {
        "OTEL_EXPORTER_OTLP_COMPRESSION": compression,
        "OTEL_EXPORTER_OTLP_HEADERS": "x-token=abc",
    }
    deliveries: dict = {}
    exports = Exports(open_exporters(settings_from(env, [url])), deliveries=deliveries)
    for span in spans:
        exports.emit(span)
    exports.close(10)
    (delivery,) = deliveries.values()
    assert (delivery.exported, dict(delivery.dropped)) == (len(spans), {})


def by_id(requests: list[ExportTraceServiceRequest], trace_id: bytes):
    """The spans of a trace with their resource's attributes, by span id."""
    found = {}
    for request in requests:
        for resource_spans in request.resource_spans:
            for span in spans_of(ExportTraceServiceRequest(resource_spans=[resource_spans])):
                if span.trace_id == trace_id:
                    found[span.span_id] = (span, list(resource_spans.resource.attributes))
    return found


@pytest.mark.parametrize("compression", ["none", "gzip"])
@pytest.mark.parametrize("transport", ["grpc", "http"])
@pytest.mark.parametrize("receiver_name", ["rotel", "test_agent"])
def test_a_receiver_understands_every_span(receiver_name, transport, compression, request):
    receiver = request.getfixturevalue(receiver_name)
    trace_id = os.urandom(16)
    spans = every_kind_of_span(trace_id)
    export(receiver.ports.url(transport), spans, compression)
    until(lambda: len(by_id(receiver.received(), trace_id)) == len(spans), deadline_s=15)
    assert by_id(receiver.received(), trace_id) == by_id([sample.reference(spans)], trace_id)
