"""The whole way, with the OpenTelemetry SDK as the sender: into the store, and beside our own spans in one trace."""

from __future__ import annotations

import os
import signal
import socket
import time
from pathlib import Path

import grpc
import msgspec
import pytest
from click.testing import CliRunner
from opentelemetry import trace as otel
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcSender
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpSender
from opentelemetry.sdk.resources import Resource as SdkResource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from agent import child
from agent.cli import commands
from agent.counters import Ledger, Received
from agent.export.batch import Exports
from agent.export.settings import Store
from agent.export.store import StoreExporter
from agent.processes.selection import Verdict
from agent.receive.carry import CarriedSpan, Parcel, Unpacker
from agent.receive.receiver import Receiver
from agent.receive.settings import Place, ReceiveSettings
from agent.spans.span import SpanKind, Status
from agent.store.reader import Reader
from tests.receive.sending import one, partial, post
from tests.store.made import span

DEADLINE_S = 60.0
GRPC_COMPRESSIONS = {"plain": grpc.Compression.NoCompression, "gzip": grpc.Compression.Gzip}
HTTP_COMPRESSIONS = {"plain": Compression.NoCompression, "gzip": Compression.Gzip}
OURS = 0x7C1F03 << 104 | 1


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def until(holds):
    deadline = time.monotonic() + DEADLINE_S
    while not (found := holds()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return found


def listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
    except OSError:
        return False
    return True


class Run:
    """What a run of the agent has of all this."""

    def __init__(self, path: Path) -> None:
        self.received = Received()
        self.ledger = Ledger(received=self.received)
        setting = Store(path)
        self.exports = Exports([StoreExporter(setting)], deliveries=self.ledger.exporters)
        self.decided: dict[int, Verdict] = {}
        self.settings = ReceiveSettings(
            grpc=Place("127.0.0.1", free_port()), http=Place("127.0.0.1", free_port())
        )
        self.receiver = Receiver(
            self.settings,
            lambda spans, size: self.exports.offer(setting.name, spans, size),
            counts=self.received,
            decide=self.decided.__setitem__,
        )

    def start(self) -> None:
        self.receiver.step()
        for port in self.settings.ports:
            until(lambda port=port: listens(port))

    def close(self) -> None:
        self.receiver.close()
        self.exports.close(30)


@pytest.fixture
def run(tmp_path):
    made = Run(tmp_path / "traces.db")
    made.start()
    yield made
    made.close()


def sdk_spans(parent: otel.SpanContext | None = None):
    """A trace of two, or one span below `parent`, as an instrumented program makes them."""
    resource = SdkResource({"service.name": "instrumented", "service.instance.id": "7"})
    tracer = TracerProvider(resource=resource).get_tracer("lib", "1.2")
    context = (
        otel.set_span_in_context(otel.NonRecordingSpan(parent)) if parent is not None else None
    )
    root = tracer.start_span(
        "GET /sdk",
        context=context,
        kind=otel.SpanKind.SERVER,
        attributes={
            "http.route": "/sdk", "n": 7, "ratio": 0.5, "is_ok": True,
            "texts": ["a", "b"], "numbers": [1, 2], "truths": [True, False], "ratios": [0.5, 1.5],
        },
        links=[otel.Link(otel.SpanContext(1 << 120, 1 << 60, is_remote=True), {"why": "batch"})],
    )  # fmt: skip
    inner = tracer.start_span("work", context=otel.set_span_in_context(root))
    inner.add_event("cache.miss", {"key": "a", "tries": [1, 2]})
    inner.set_status(otel.StatusCode.ERROR, "it broke")
    inner.end()
    root.end()
    return [root, inner]


@pytest.mark.parametrize("compression", ["plain", "gzip"])
@pytest.mark.parametrize("transport", ["grpc", "http"])
def test_sdk_spans_are_kept_whole(run, tmp_path, transport, compression):
    sender: SpanExporter
    if transport == "grpc":
        sender = GrpcSender(
            endpoint=run.settings.grpc.authority,
            insecure=True,
            compression=GRPC_COMPRESSIONS[compression],
        )
    else:
        url = f"http://{run.settings.http.authority}/v1/traces"
        sender = HttpSender(endpoint=url, compression=HTTP_COMPRESSIONS[compression])
    root, inner = sdk_spans()
    assert sender.export([root, inner]) is SpanExportResult.SUCCESS
    sender.shutdown()
    run.close()
    with Reader(tmp_path / "traces.db") as reader:
        found = reader.trace(f"{root.context.trace_id:032x}")
    assert found is not None
    server, below = found.spans
    assert server.span_id == f"{root.context.span_id:016x}"
    assert (server.parent_id, below.parent_id) == (None, server.span_id)
    assert (server.name, server.kind, server.service) == (
        "GET /sdk",
        SpanKind.SERVER,
        "instrumented",
    )
    assert (server.start_unix_ns, server.end_unix_ns) == (root.start_time, root.end_time)
    assert server.attributes == {
        "http.route": "/sdk", "n": 7, "ratio": 0.5, "is_ok": True, "texts": ("a", "b"), "numbers": (1, 2),
        "truths": (True, False), "ratios": (0.5, 1.5), "otel.scope.name": "lib", "otel.scope.version": "1.2",
    }  # fmt: skip
    (link,) = server.links
    assert (link.trace_id, link.attributes) == (f"{1 << 120:032x}", {"why": "batch"})
    assert (below.status, below.status_message) == (Status.ERROR, "it broke")
    (event,) = below.events
    assert (event.name, event.attributes) == ("cache.miss", {"key": "a", "tries": (1, 2)})
    assert run.received.accepted == 2
    assert run.ledger.is_balanced()


def test_spans_of_both_are_one_trace(run, tmp_path):
    """Ours calls an instrumented service, whose SDK went on with the traceparent that was sent."""
    ours = span(OURS, 5, name="GET /front", start_unix_ns=time.time_ns())
    run.exports.emit(ours)
    context = otel.SpanContext(OURS, 5, is_remote=True, trace_flags=otel.TraceFlags(1))
    sender = GrpcSender(endpoint=run.settings.grpc.authority, insecure=True)
    assert sender.export(sdk_spans(context)) is SpanExportResult.SUCCESS
    sender.shutdown()
    run.close()
    store = str(tmp_path / "traces.db")
    shown = CliRunner().invoke(commands, ["trace", f"{OURS:032x}", "--store", store])
    assert shown.exit_code == 0, shown.output
    lines = [line for line in shown.output.splitlines() if "GET /" in line or "work" in line]
    assert ["GET /front" in lines[0], "GET /sdk" in lines[1], "work" in lines[2]] == [True] * 3
    with Reader(tmp_path / "traces.db") as reader:
        trace = reader.trace(f"{OURS:032x}")
    assert trace is not None
    assert [depth for depth, _ in trace.walk()] == [0, 1, 2]
    assert [one.service for _, one in trace.walk()] == ["front", "instrumented", "instrumented"]


def test_it_is_not_traced_and_comes_back(run, monkeypatch):
    monkeypatch.setattr(child, "AGAIN_S", 0.0)
    first = run.receiver.pid
    assert run.decided == {first: Verdict.EXCLUDE}
    os.kill(first, signal.SIGKILL)

    def is_back() -> bool:
        run.receiver.step()
        return run.receiver.pid not in (None, first)

    # The first try may be held back by the pause that was set when it was started.
    monkeypatch.setattr(run.receiver._child, "_next_start", 0.0)
    until(is_back)
    assert run.decided[run.receiver.pid] is Verdict.EXCLUDE
    port = run.settings.http.port
    until(lambda: listens(port))
    assert post(port, one())[0] == 200
    assert run.received.accepted == 1


def test_hostile_requests_are_counted(run):
    port = run.settings.http.port
    assert post(port, b"what")[0] == 400
    assert post(port, b"[" * 1_000_000, "application/json")[0] == 400
    status, _, body = post(port, one(trace_id=b"\0" * 16))
    assert (status, partial(body).rejected_spans) == (200, 1)
    received = run.received
    assert (received.accepted, received.rejected, received.refused) == (0, 1, {"not_otlp": 2})


def test_a_full_queue_pushes_back(run, monkeypatch):
    monkeypatch.setattr(run.exports, "offer", lambda *_: False)
    port = run.settings.http.port
    status, headers, _ = post(port, one())
    assert (status, headers["Retry-After"]) == (429, "2")
    assert run.received.refused == {"queue_full": 1}
    assert run.received.accepted == 0


def test_what_cannot_be_read_is_told(run, caplog):
    receiver = run.receiver
    unknown = CarriedSpan(7, b"t", b"s", None, "", 1, 0, 0, 0, "", "", {}, [], [])
    for data in (b"\xc1", msgspec.msgpack.encode(Parcel([], [unknown]))):
        assert receiver._take(data, Unpacker())
    assert run.received.refused == {"internal": 2}
    assert "please report it" in caplog.text


def test_without_settings_there_is_none():
    receiver = Receiver(None, lambda *_: True, counts=Received(), decide=lambda *_: None)
    receiver.step()
    assert receiver.pid is None
    receiver.close()
