"""What happens when there is more than zerospan can take, or nobody takes what it sends; and the older hooks."""

from __future__ import annotations

import re
import subprocess

from tests.vm.harness_agent import Agents
from tests.vm.harness_guest import Servers, curl, free_port, loaded, python
from tests.vm.harness_tracing import SERVER


def wrk(url: str, *, connections: int, seconds: int) -> int:
    """Load; the requests that were answered."""
    done = subprocess.run(
        ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", url],
        capture_output=True,
        text=True,
        check=True,
    )
    found = re.search(r"(\d+) requests in", done.stdout)
    assert found, done.stdout
    return int(found[1])


def test_more_than_a_small_ring_can_hold(servers: Servers, agents: Agents) -> None:
    """Every request is a span or counted as lost."""
    backend = servers.python("backend.py")
    nginx = servers.nginx(backend=backend)
    agent = agents.run("--ring-kb", 64, "--port", nginx.port)
    requests = wrk(f"{nginx.url}/hello", connections=32, seconds=5)
    finished = agent.stop()
    assert finished.returncode == 0, finished.stderr
    ledger = finished.ledger
    assert ledger["balanced"], ledger
    # wrk does not count the requests under way when its time is over: up to one per connection.
    assert requests <= ledger["exchanges"]["captured"] <= requests + 32
    spans = [s for s in finished.spans if s.kind == SERVER]
    assert len(spans) == ledger["exchanges"]["spans"]


def test_a_dead_collector_and_kprobes(servers: Servers, agents: Agents) -> None:
    """With kprobes in place of trampolines the spans are the same; what a dead collector does not take is counted."""
    before = loaded()
    backend = servers.python("backend.py")
    dead = free_port()
    agent = agents.run(
        "--kprobes", "--port", backend.port, "--export", f"otlp+http://127.0.0.1:{dead}"
    )
    python("client.py", "--port", backend.port, "--requests", 23, "--threads", 3)
    curl(f"{backend.url}/items/1")
    agent.wait_for_spans(24)
    finished = agent.stop()
    assert finished.returncode == 0, finished.stderr
    assert finished.ledger["balanced"], finished.ledger
    assert len(finished.spans) == 24
    (receiver,) = (v for k, v in finished.ledger["exporters"].items() if k.startswith("otlp"))
    assert receiver["exported"] == 0
    assert sum(receiver["dropped"].values()) == 24
    assert loaded() == before
