"""SQLite in real programs: as many statements as the library itself says that it executed, each for its own request."""

from __future__ import annotations

import json
import subprocess
from collections import Counter
from pathlib import Path
from typing import Final

from tests.vm.harness_agent import Agents
from tests.vm.harness_guest import Server, Servers, curl, python
from tests.vm.harness_spans import ExportedSpan
from tests.vm.harness_tracing import CLIENT, SERVER, number_of

SECRET: Final = "hunter2"
REQUESTS: Final = 40
THREADS: Final = 8
OF_A_REQUEST: Final = Counter(
    {
        ("PRAGMA", None): 1,
        ("BEGIN", None): 1,
        ("INSERT orders", None): 1,
        ("UPDATE orders", None): 1,
        ("COMMIT", None): 1,
        ("SELECT items", None): 2,
        ("INSERT items", "SQLITE_CONSTRAINT"): 1,
        ("SELECT nowhere", "SQLITE_ERROR"): 1,
    }
)


def statements(spans: list[ExportedSpan], pid: int | None = None) -> list[ExportedSpan]:
    return [
        span
        for span in spans
        if span.attributes.get("db.system.name") == "sqlite"
        and pid in (None, span.resource["process.pid"])
    ]


def outcomes(spans: list[ExportedSpan]) -> Counter[tuple[str, str | None]]:
    return Counter((span.name, span.attributes.get("db.response.status_code")) for span in spans)


def check_service(
    spans: list[ExportedSpan], service: Server, file: Path, counted: Counter[str]
) -> None:
    """All that it executed for a request is that request's, and is told as it was."""
    requests = {
        span.span_id: span
        for span in spans
        if span.kind == SERVER
        and span.attributes.get("server.port") == service.port
        and number_of(span).isdigit()
    }
    assert len(requests) == REQUESTS
    own = [span for span in statements(spans, service.pid) if span.parent_span_id]
    assert {span.kind for span in own} == {CLIENT}
    assert outcomes(own) == Counter({what: n * REQUESTS for what, n in OF_A_REQUEST.items()})
    for number, request in requests.items():
        children = [span for span in own if span.parent_span_id == number]
        assert outcomes(children) == OF_A_REQUEST
        assert {span.trace_id for span in children} == {request.trace_id}
    # SQLite's own word: it begins what it could prepare; the PRAGMA ran before it was asked.
    words = Counter(span.name.split()[0] for span in own if span.name != "SELECT nowhere")
    assert words == counted + Counter(PRAGMA=REQUESTS)
    read = [span for span in own if span.name == "SELECT items"]
    # Python's module is a row ahead of what it was asked for.
    rows = Counter(span.attributes["db.response.returned_rows"] for span in read)
    assert rows == {1: REQUESTS, 4: REQUESTS}
    assert {span.attributes.get("db.namespace") for span in own} == {str(file)}
    insert = next(span for span in own if span.name == "INSERT orders")
    assert insert.attributes["db.query.text"] == "INSERT INTO orders VALUES (?)"


def test_statements_of_services_and_of_the_shell(
    servers: Servers, agents: Agents, tmp_path: Path
) -> None:
    """A service with a thread, and one with a task for each request; and a process that ends at once."""
    agent = agents.run()
    files = {mode: tmp_path / f"{mode}.db" for mode in ("threads", "tasks")}
    services = {
        mode: servers.python("sqlite_service.py", "--file", file, *(["--tasks"] if mode == "tasks" else []))
        for mode, file in files.items()
    }  # fmt: skip
    counted = {}
    for mode, service in services.items():
        load = ("--port", service.port, "--requests", REQUESTS, "--threads", THREADS)
        told = json.loads(python("client.py", *load))
        assert (told["ok"], told["failed"]) == (REQUESTS, 0)
        counted[mode] = Counter(json.loads(curl(f"{service.url}/counted")))
    text = f"SELECT count(*) FROM orders WHERE customer = '{SECRET}'; SELECT 1 FROM nothing"
    shell = subprocess.run(
        ["sqlite3", files["threads"], text], capture_output=True, text=True, check=False
    )
    assert shell.stdout == f"{REQUESTS}\n"
    finished = agent.stop()
    print(counted, finished.stop_s, json.dumps(finished.ledger))
    for mode, service in services.items():
        check_service(finished.spans, service, files[mode], counted[mode])
    of_shell = [span for span in finished.spans if span.service == "sqlite3"]
    assert outcomes(of_shell) == {("SELECT orders", None): 1, ("SELECT nothing", "SQLITE_ERROR"): 1}
    assert finished.ledger["balanced"] is True
    assert finished.ledger["exchanges"]["lost"] == {}
    assert not any(finished.ledger["records"]["lost"].values())
    assert SECRET not in agent.exported.read_text()
