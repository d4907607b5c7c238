"""What every exporter owes: each span that it was given is accounted for once, by the time it is closed."""

from __future__ import annotations

import io

import pytest

from agent.export.console import ConsoleExporter
from agent.export.exporter import Exporter, Outcome
from agent.export.file import FileExporter
from agent.export.grpc import GrpcExporter
from agent.export.http import HttpExporter
from agent.export.settings import Otlp, Transport
from tests.export import sample
from tests.export.servers import GrpcReceiver, HttpReceiver, running


@pytest.fixture
def http_exporter():
    with running(HttpReceiver()) as receiver:
        yield HttpExporter(Otlp(Transport.HTTP, "127.0.0.1", receiver.port))


@pytest.fixture
def grpc_exporter():
    with running(GrpcReceiver()) as receiver:
        yield GrpcExporter(Otlp(Transport.GRPC, "127.0.0.1", receiver.port))


@pytest.fixture
def file_exporter(tmp_path):
    return FileExporter(tmp_path / "spans")


@pytest.fixture
def console_exporter():
    return ConsoleExporter(io.StringIO())


@pytest.mark.parametrize("kind", ["http", "grpc", "file", "console"])
def test_every_span_is_accounted_for_once(kind, request):
    exporter: Exporter = request.getfixturevalue(f"{kind}_exporter")
    outcomes = []
    for size in (1, 5, 512):
        spans = [sample.span(number) for number in range(1, size + 1)]
        batch = exporter.prepare(spans)
        assert batch.count == size
        assert batch.size_bytes > 100 * size
        outcomes.append(exporter.send(batch, timeout_s=5))
    outcomes += [exporter.poll(), exporter.close()]
    total = sum(outcome.exported for outcome in outcomes)
    assert Outcome(exported=total) == Outcome(exported=518)
    assert not any(outcome.dropped for outcome in outcomes)
