"""Without a back end: the store, the page over it, and spans of an instrumented program beside ours."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from tests.vm.harness import IN_GUEST
from tests.vm.harness_agent import Agents
from tests.vm.harness_guest import SERVERS, Servers, curl, free_port, wait_until

DEADLINE_S = 120.0


def get(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=60) as answer:
        body: bytes = answer.read()
        return body


def told(url: str) -> Any:
    return json.loads(get(url))


def is_up(url: str) -> bool:
    try:
        get(url)
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False
    return True


@pytest.mark.skipif(
    os.environ.get(IN_GUEST) != "6.1", reason="nothing of it depends on the kernel: one will do"
)
def test_store_page_and_the_spans_of_an_sdk(
    servers: Servers, agents: Agents, tmp_path: Path
) -> None:
    backend = servers.python("backend.py")
    page, receiver = (f"http://127.0.0.1:{free_port()}" for _ in range(2))
    agent = agents.run(
        *("--store", str(tmp_path / "traces.db")),
        *("--web", page.removeprefix("http://")),
        *("--receive", f"otlp+{receiver}"),
    )
    wait_until(lambda: is_up(page), deadline_s=DEADLINE_S, what="the page is there")
    wait_until(lambda: is_up(receiver), deadline_s=DEADLINE_S, what="the receiver is there")
    for number in range(23):
        curl(f"{backend.url}/items/{number}")
    script = [sys.executable, str(SERVERS / "instrumented.py"), f"{backend.url}/items/99", receiver]
    done = subprocess.run(script, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    trace_id = done.stdout.strip()

    def whole() -> Any:
        try:
            found = told(f"{page}/api/v1/traces/{trace_id}")
        except urllib.error.HTTPError:
            return None
        return found if len(found["spans"]) >= 2 else None

    found = wait_until(whole, deadline_s=DEADLINE_S, what="the trace is whole")
    services = [found["resources"][one["resource"]]["service.name"] for one in found["spans"]]
    assert found["spans"][0]["name"] == "job"
    assert services[0] == "instrumented"
    assert "backend" in services[1:]
    assert all(one["depth"] > 0 for one in found["spans"][1:])
    assert b"<title>" in get(f"{page}/")
    listed = told(f"{page}/api/v1/traces?service=backend&limit=100")["traces"]
    assert len(listed) >= 23
    finished = agent.stop()
    assert finished.ledger["balanced"], finished.ledger
    assert finished.ledger["received"]["accepted"] == 1
    # Neither the receiver nor what is said to it makes a span: nothing else here is sent with POST.
    methods = {span.attributes.get("http.request.method") for span in finished.spans}
    assert "GET" in methods
    assert "POST" not in methods
    shown = subprocess.run(
        [sys.executable, "-m", "agent", "trace", trace_id, "--store", str(tmp_path / "traces.db")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "job" in shown.stdout
    assert "GET /items" in shown.stdout
