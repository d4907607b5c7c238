"""Settings become exporters, and nothing is imported that is not asked for."""

from __future__ import annotations

import subprocess
import sys
import threading

import pytest

from agent.export.console import ConsoleExporter
from agent.export.endpoint import open_exporters
from agent.export.file import FileExporter
from agent.export.grpc import GrpcExporter
from agent.export.http import HttpExporter
from agent.export.settings import settings_from
from agent.export.store import StoreExporter
from tests.export.servers import Answer, GrpcReceiver, HttpReceiver, running


def test_every_kind_of_destination_is_opened_under_its_name(tmp_path):
    urls = [
        "otlp+grpc://h:1",
        "otlp+http://h:2/x",
        f"file:{tmp_path}/spans",
        f"store:{tmp_path}/t.db",
        "console",
    ]
    exporters = open_exporters(settings_from({}, urls))
    assert [type(exporter) for exporter in exporters] == [
        GrpcExporter,
        HttpExporter,
        FileExporter,
        StoreExporter,
        ConsoleExporter,
    ]
    assert [exporter.name for exporter in exporters] == urls
    for exporter in exporters:
        exporter.close()


def test_an_exporter_costs_memory_only_where_it_is_used():
    program = (
        "import sys\n"
        "from agent.export import batch, endpoint, settings\n"
        "endpoint.open_exporters(settings.settings_from({}, ['console']))\n"
        "print({'grpc', 'http.client', 'rich', 'google.protobuf', 'sqlite3'} & set(sys.modules))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout == "set()\n"


STUCK = """
import sys, time
from agent.export import batch, endpoint, settings
from tests.export import sample

deliveries = {}
exporters = endpoint.open_exporters(settings.settings_from({}, [sys.argv[1]]))
exports = batch.Exports(exporters, deliveries=deliveries)
for number in range(5000):
    exports.emit(sample.span(number))
exports.flush()
time.sleep(0.5)  # by now the worker is stuck, on this side or the other
exports.close(0.2)
(delivery,) = deliveries.values()
print(delivery.emitted, delivery.pending, delivery.dropped["shutdown"] > 0, file=sys.stderr)
"""


@pytest.mark.parametrize("kind", ["console", "http", "grpc"])
def test_the_agent_ends_though_an_exporter_is_stuck(kind):
    release = threading.Event()

    def stall(_context):
        release.wait(20)
        return b""

    with (
        running(HttpReceiver(Answer(waits_for=release))) as http,
        running(GrpcReceiver(stall)) as grpc,
    ):
        ports = {"http": http.port, "grpc": grpc.port}
        url = "console" if kind == "console" else f"otlp+{kind}://127.0.0.1:{ports[kind]}"
        command = [sys.executable, "-c", STUCK, url]
        child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        try:
            assert child.stdout is not None
            assert child.stderr is not None
            # Nobody reads its standard output meanwhile, and the receivers stall for longer than this.
            assert child.wait(15) == 0
            assert child.stderr.read() == "5000 0 True\n"
        finally:
            release.set()
            child.kill()
            child.communicate()
