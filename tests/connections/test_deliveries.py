"""Programs that deliver spans over gRPC: what their first bytes tell."""

from __future__ import annotations

import socket
import threading
from typing import Any

import grpc
import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, ResourceLogs, ScopeLogs
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric, ResourceMetrics, ScopeMetrics
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span

from agent.connections.deliveries import (
    MAX_BLOCK,
    MAX_LOOKED_AT,
    MAX_REQUESTS,
    PATHS,
    PREFACE,
    Deliveries,
    has_spans,
)
from tests.scenario import Host, play

SETTINGS = bytes.fromhex("000000040000000000")
# What Node 18's http2 sent for this path: its headers are in the Huffman code.
HUFFMAN = bytes.fromhex(
    "505249202a20485454502f322e300d0a0d0a534d0d0a0d0a0000000400000000000000480104000000018304aa60f596a49682d254d9e97a"
    "ec3a4eb90f4505224f62e9b0642afdc2befb0642ee2d9dcc42b183cd67b13f418b089d5c0b8170dc682d3cef865f8b1d75d0620d263d4c4d"
    "6564000000100000001000000001"
)
METRICS = "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export"


def frame(kind: int, payload: bytes, stream: int = 1) -> bytes:
    return len(payload).to_bytes(3) + bytes((kind, 4)) + stream.to_bytes(4) + payload


def request(path: str = PATHS[0].decode()) -> bytes:
    """A HEADERS frame: method POST, scheme http, the path as a literal that is remembered."""
    return frame(1, b"\x83\x86\x44" + bytes((len(path),)) + path.encode())


BEGINNING = PREFACE + SETTINGS
SPANS = BEGINNING + request() + frame(0, b"what was measured")
OTHER = BEGINNING + request(METRICS) + frame(0, b"what was measured")


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (SPANS, True),
        (HUFFMAN, True),
        (OTHER, None),
        (OTHER + request(), True),
        (BEGINNING + request(METRICS) * MAX_REQUESTS + request(), False),
        (BEGINNING + frame(0, PATHS[0]), None),
        (BEGINNING + frame(1, bytes(MAX_BLOCK + 1)), False),
        (BEGINNING, None),
        (PREFACE[:10], None),
        (b"", None),
        (b"PRI * HTTP/1.1\r\n\r\n", False),
        (request(), False),
    ],
)
def test_what_a_client_says(said: bytes, expected: bool | None) -> None:
    assert Deliveries().feed(said) is expected


@pytest.mark.parametrize("said", [SPANS, HUFFMAN, OTHER, OTHER + request()])
def test_however_it_is_cut(said: bytes) -> None:
    whole, reader = Deliveries().feed(said), Deliveries()
    answers = [reader.feed(said[at : at + 1]) for at in range(len(said))]
    decided = [answer for answer in answers if answer is not None]
    assert decided[:1] == ([] if whole is None else [whole])


@given(st.lists(st.binary(max_size=200), max_size=10))
def test_any_bytes(pieces: list[bytes]) -> None:
    reader = Deliveries()
    for piece in (BEGINNING, *pieces):
        if reader.feed(piece) is not None:
            break


def test_it_comes_to_an_end() -> None:
    reader, count = Deliveries(), 0
    reader.feed(BEGINNING)
    while reader.feed(frame(0, bytes(1000))) is None:
        count += 1
        assert count <= MAX_LOOKED_AT // 1000


def test_what_grpc_sends():
    """The library in which most of OpenTelemetry's exporters have their gRPC."""
    found: list[bool | None] = []

    def listen() -> None:
        connection, _ = listener.accept()
        connection.settimeout(30)
        with connection:
            connection.sendall(SETTINGS)
            reader = Deliveries()
            while not found and (data := connection.recv(65536)):
                if (answer := reader.feed(data)) is not None:
                    found.append(answer)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=listen)
        thread.start()
        with grpc.insecure_channel(f"127.0.0.1:{listener.getsockname()[1]}") as channel:
            method: Any = channel.unary_unary(PATHS[0].decode())
            call = method.future(b"spans", timeout=30)
            thread.join()
            call.cancel()
    assert found == [True]


# What opentelemetry-exporter-otlp-proto-grpc 1.45 sent for its third span: HEADERS and WINDOW_UPDATE, DATA, WINDOW_UPDATE.
THIRD = bytes.fromhex(
    "000009010400000005c5c48386c3c2c1bebf0000040800000000050000000500011300010000000500000001"
    "0e0a8b020ac2010a220a1674656c656d657472792e73646b2e6c616e677561676512080a06707974686f6e0a"
    "250a1274656c656d657472792e73646b2e6e616d65120f0a0d6f70656e74656c656d657472790a210a157465"
    "6c656d657472792e73646b2e76657273696f6e12080a06312e34352e310a3d0a13736572766963652e696e73"
    "74616e63652e696412260a2434636564323430382d333735662d343065322d396562322d3964663839643839"
    "653665380a130a0c736572766963652e6e616d6512030a017812440a030a0161123d0a10a7aa85c83a090e67"
    "34c5ce2d49301e6a12080dfab759ee5fe69e2a036a6f623001390d6d87fa0daaeb18415bb187fa0daaeb187a"
    "0085010001000000000408000000000000000005"
)


def message(request: Any) -> bytes:
    """A call whose path was said before."""
    body = request.SerializeToString()
    return frame(1, b"\xc5\xc4") + frame(0, b"\0" + len(body).to_bytes(4) + body)


def resource() -> Resource:
    value = AnyValue(string_value="shop")
    return Resource(attributes=[KeyValue(key="service.name", value=value)])


def test_a_message_in_the_middle_of_a_connection() -> None:
    ids: Any = {"trace_id": b"\x01" * 16, "span_id": b"\x02" * 8}
    spans = [ScopeSpans(spans=[Span(name="job", **ids)])]
    logs = [ScopeLogs(log_records=[LogRecord(severity_text="INFO", **ids)])]
    metrics = [ScopeMetrics(metrics=[Metric(name="memory.allocated", unit="bytes")])]
    traces = ExportTraceServiceRequest(
        resource_spans=[ResourceSpans(resource=resource(), scope_spans=spans)]
    )
    assert has_spans(THIRD)
    assert has_spans(message(traces))
    assert not has_spans(
        message(
            ExportLogsServiceRequest(
                resource_logs=[ResourceLogs(resource=resource(), scope_logs=logs)]
            )
        )
    )
    assert not has_spans(
        message(
            ExportMetricsServiceRequest(
                resource_metrics=[ResourceMetrics(resource=resource(), scope_metrics=metrics)]
            )
        )
    )
    assert not has_spans(message(ExportTraceServiceRequest()))
    assert not has_spans(traces.SerializeToString())


@given(st.binary(max_size=300), st.integers(0, len(THIRD)))
def test_any_message(data: bytes, cut: int) -> None:
    has_spans(data)
    has_spans(THIRD[cut:] + data)
    has_spans(THIRD[:cut] + data)


# In the table of connections.


def test_who_delivers_spans_traces_itself(host: Host) -> None:
    """Whoever speaks first, and whatever was said before."""
    for number, speaks_first in enumerate((False, True)):
        host.process(10 + number, f"shop-{number}")
        socket = host.connect(process=10 + number)
        if speaks_first:
            socket.received(SETTINGS).sent(BEGINNING)
        else:
            socket.sent(BEGINNING).received(SETTINGS)
        socket.sent(OTHER.removeprefix(BEGINNING)).received(SETTINGS).sent(request())
    run = play(host)
    assert run.outside.exporting == [10, 11]
    assert run.ledger.connections == {"opened": 2, "muted_delivers_spans": 2}
    assert run.counts == {}


@pytest.mark.parametrize("answered_first", [False, True])
def test_on_a_connection_that_is_older(host: Host, answered_first: bool) -> None:
    """Its beginning was not seen, nor who is the client."""
    socket = host.join(port=40000, peer=("10.0.0.9", 4317))
    if answered_first:
        socket.received(frame(1, b"\xbf"))
    socket.sent(THIRD)
    run = play(host)
    assert run.outside.exporting == [10]
    assert run.ledger.connections == {"opened": 1, "muted_delivers_spans": 1}


def test_who_receives_spans_on_a_connection_that_is_older_does_not(host: Host) -> None:
    socket = host.join(port=4317)
    socket.received(THIRD).sent(frame(1, b"\xbf"))
    run = play(host)
    assert run.outside.exporting == []


def test_who_asks_for_other_things_by_grpc_does_not(host: Host) -> None:
    socket = host.connect()
    socket.sent(BEGINNING).received(SETTINGS)
    for _ in range(MAX_REQUESTS):
        socket.sent(request("/shop.Orders/Get") + frame(0, b"7"))
    run = play(host)
    assert run.outside.exporting == []
    assert run.ledger.connections == {"opened": 1, "muted_unknown_protocol": 1}


def test_who_receives_spans_does_not(host: Host) -> None:
    socket = host.accept()
    socket.received(SPANS)
    run = play(host)
    assert run.outside.exporting == []
    assert run.ledger.connections == {"opened": 1, "muted_unknown_protocol": 1}


def test_what_was_not_captured_ends_the_search(host: Host) -> None:
    socket = host.connect()
    socket.sent(BEGINNING + frame(0, bytes(100)), size=70_000)
    run = play(host)
    assert run.ledger.connections == {"opened": 1, "muted_unknown_protocol": 1}


@given(st.binary(max_size=40), st.integers(0, 60))
def test_frames_that_are_cut_anywhere_tell_nothing(data, size):
    head = size.to_bytes(3) + bytes((0, 0)) + bytes(4)
    has_spans((head + data)[: 9 + size])
    assert not has_spans(head)
