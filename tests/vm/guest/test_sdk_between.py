"""A service with OpenTelemetry's SDK between two without: which spans there are, and in which traces."""

from __future__ import annotations

import itertools
import json
import os
import sys
import urllib.error
import urllib.request
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.vm.harness import IN_GUEST
from tests.vm.harness_agent import Agents
from tests.vm.harness_guest import SERVERS, Server, Servers, answers, curl, free_port, wait_until

DEADLINE_S = 60.0
SDK = "instrumented"


def start_instrumented(servers: Servers, receiver: str, backend: Server) -> Server:
    """Start the service in the middle as people do: by OpenTelemetry's launcher, exporting to `receiver`."""
    port = free_port()
    return servers.start(
        *(Path(sys.executable).parent / "opentelemetry-instrument", sys.executable),
        *(SERVERS / "instrumented_service.py", "--port", str(port), "--backend", str(backend.port)),
        port=port,
        env={
            "OTEL_SERVICE_NAME": SDK,
            "OTEL_TRACES_EXPORTER": "otlp",
            "OTEL_METRICS_EXPORTER": "none",
            "OTEL_LOGS_EXPORTER": "none",
            "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
            "OTEL_EXPORTER_OTLP_ENDPOINT": receiver,
            "OTEL_BSP_SCHEDULE_DELAY": "200",
        },
    )


class Store:
    """What the page tells of the store."""

    def __init__(self, page: str) -> None:
        self.page = page

    def trace(self, trace_id: str, count: int) -> list[dict[str, Any]]:
        """Wait until the store has so many spans of a trace; give them in the order of the tree."""

        def whole() -> list[dict[str, Any]]:
            try:
                found = self._told(f"/api/v1/traces/{trace_id}")
            except urllib.error.HTTPError:
                return []
            for one in found["spans"]:
                one["service"] = found["resources"][one["resource"]]["service.name"]
            return found["spans"] if len(found["spans"]) >= count else []

        return wait_until(whole, deadline_s=DEADLINE_S, what=f"{count} spans of {trace_id}")

    def traces(self, service: str, count: int) -> list[str]:
        """Wait until so many traces have spans of a service; give their ids."""

        def enough() -> list[str]:
            found = [one["trace_id"] for one in self._told("/api/v1/traces?limit=100")["traces"]]
            having = [one for one in found if service in self._services(one)]
            return having if len(having) >= count else []

        return wait_until(enough, deadline_s=DEADLINE_S, what=f"{count} traces with {service}")

    def _services(self, trace_id: str) -> set[str]:
        found = self._told(f"/api/v1/traces/{trace_id}")
        return {one["service.name"] for one in found["resources"]}

    def _told(self, path: str) -> Any:
        with urllib.request.urlopen(self.page + path, timeout=60) as answer:
            return json.loads(answer.read())


def shape(spans: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """Service and kind of each, in the order of the tree; each must be the only child of the one before."""
    for parent, child in itertools.pairwise(spans):
        assert child["parent_id"] == parent["span_id"], spans
    return [(one["service"], one["kind"]) for one in spans]


@pytest.mark.skipif(
    os.environ.get(IN_GUEST) != "6.12", reason="nothing of it depends on the kernel: one will do"
)
def test_a_service_with_an_sdk_between_two_without(
    servers: Servers, agents: Agents, tmp_path: Path
) -> None:
    """With the header one trace has all; without, the SDK begins a trace of its own, which the last service joins."""
    page_port, receiver_port = free_port(), free_port()
    page, receiver = (f"http://127.0.0.1:{port}" for port in (page_port, receiver_port))
    last = servers.python("backend.py")
    middle = start_instrumented(servers, receiver, last)
    chosen, other = (
        servers.python("threaded.py", "--backend", middle.port, "--client", "fresh")
        for _ in range(2)
    )
    agent = agents.run(
        *("--store", str(tmp_path / "traces.db")),
        *("--web", page.removeprefix("http://")),
        *("--receive", f"otlp+{receiver}"),
        *("--propagate", "http-header", "--propagate-pid", chosen.pid),
    )
    for port in (page_port, receiver_port):
        wait_until(partial(answers, port), deadline_s=DEADLINE_S, what=f"port {port}")
    curl(f"{chosen.url}/orders/1")
    curl(f"{other.url}/orders/2")
    store = Store(page)
    before = [("curl", "client"), ("threaded", "server"), ("threaded", "client")]
    behind = [(SDK, "server"), (SDK, "client"), ("backend", "server")]
    asked = {
        str(span.attributes["url.full"]).rpartition("/")[2]: span.trace_id
        for span in agent.wait_for_spans(8)
        if span.service == "curl"
    }
    assert shape(store.trace(asked["1"], 6)) == before + behind
    assert shape(store.trace(asked["2"], 3)) == before
    (own,) = {*store.traces(SDK, 2)} - {asked["1"]}
    assert shape(store.trace(own, 3)) == behind
    finished = agent.stop()
    assert finished.ledger["balanced"], finished.ledger
    assert finished.ledger["received"]["accepted"] == 4
    # Not traced a second time: all that is told of it is what it told itself.
    assert SDK not in {span.service for span in finished.spans}
