"""SQLite in real programs: as many statements as the library itself says that it executed, each for its own request."""

from __future__ import annotations

import json
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from tests.vm.harness_agent import Agents
from tests.vm.harness_guest import Servers, curl, python
from tests.vm.harness_spans import ExportedSpan
from tests.vm.harness_tracing import CLIENT, SERVER, number_of

SECRET = "hunter2"
REQUESTS = 40
THREADS = 8
OF_A_REQUEST = Counter(
    {
        ("BEGIN", None): 1,
        ("INSERT orders", None): 1,
        ("UPDATE orders", None): 1,
        ("COMMIT", None): 1,
        ("SELECT items", None): 2,
        ("INSERT items", "SQLITE_CONSTRAINT"): 1,
        ("SELECT nowhere", "SQLITE_ERROR"): 1,
        ("PRAGMA", None): 1,
    }
)


def statements(spans: list[ExportedSpan], service: str) -> list[ExportedSpan]:
    return [
        span
        for span in spans
        if span.attributes.get("db.system.name") == "sqlite" and span.service == service
    ]


def outcome(span: ExportedSpan) -> tuple[str, str | None]:
    return span.name, span.attributes.get("db.response.status_code")


@pytest.mark.parametrize("mode", ["threads", "tasks"])
def test_statements_of_a_service(
    servers: Servers, agents: Agents, tmp_path: Path, mode: str
) -> None:
    file = tmp_path / "orders.db"
    agent = agents.run()
    service = servers.python(
        "sqlite_service.py", "--file", file, *(("--tasks",) * (mode == "tasks"))
    )
    told = json.loads(
        python("client.py", "--port", service.port, "--requests", REQUESTS, "--threads", THREADS)
    )
    assert (told["ok"], told["failed"]) == (REQUESTS, 0)
    counted = Counter(json.loads(curl(f"{service.url}/counted")))
    if mode == "threads":
        shell = subprocess.run(
            ["sqlite3", file, "SELECT count(*) FROM orders WHERE customer = 'hunter2'; SELECT 1 FROM nothing"],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert shell.stdout == f"{REQUESTS}\n"
    agent.wait_for_spans(REQUESTS * 11, deadline_s=60)
    finished = agent.stop()
    print(counted, finished.stop_s, json.dumps(finished.ledger))

    requests = {
        span.span_id: span
        for span in finished.spans
        if span.kind == SERVER and number_of(span).isdigit() and span.service != "sqlite3"
    }
    assert len(requests) == REQUESTS
    found = statements(finished.spans, next(iter(requests.values())).service)
    assert {span.kind for span in found} == {CLIENT}
    # What the service does before it serves is no request's; all else is.
    own = [span for span in found if span.parent_span_id]
    assert Counter(map(outcome, own)) == Counter(
        {what: count * REQUESTS for what, count in OF_A_REQUEST.items()}
    )
    for request in requests:
        children = [span for span in own if span.parent_span_id == request]
        assert Counter(map(outcome, children)) == OF_A_REQUEST
        assert {span.trace_id for span in children} == {requests[request].trace_id}
    # SQLite's own word: it begins a statement that can be prepared; PRAGMA ran before it was asked.
    words = Counter(span.name.split()[0] for span in own if span.name != "SELECT nowhere")
    assert words - Counter(PRAGMA=REQUESTS) == counted
    # Python's module is a row ahead of what it was asked for.
    rows = Counter(
        span.attributes["db.response.returned_rows"] for span in own if span.name == "SELECT items"
    )
    assert rows == {1: REQUESTS, 4: REQUESTS}
    assert {span.attributes.get("db.namespace") for span in own} == {str(file)}
    (insert, *_) = (span for span in own if span.name == "INSERT orders")
    assert insert.attributes["db.query.text"] == "INSERT INTO orders VALUES (?)"
    assert finished.ledger["balanced"] is True
    assert finished.ledger["exchanges"]["lost"] == {}
    assert not any(finished.ledger["records"]["lost"].values())
    assert SECRET not in agent.exported.read_text()
    if mode == "threads":
        assert Counter(map(outcome, statements(finished.spans, "sqlite3"))) == {
            ("SELECT orders", None): 1,
            ("SELECT nothing", "SQLITE_ERROR"): 1,
        }
