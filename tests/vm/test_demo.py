"""The demo's shop without faults: no finding on traffic that is well, and the page seen from outside the guest.

Two minutes and a half in a guest of its own, for what `make demo FAULTS=off` says, too: only with ZEROSPAN_DEMO=1.
"""

from __future__ import annotations

import compileall
import json
import os
import socket
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from demo.build import build
from demo.scene import STAYS
from deploy.guest import CHECKOUT, Guest, Machine, port_to

pytestmark = pytest.mark.vm

KERNEL = "6.1"
DEADLINE_S = 900.0
"""Two minutes and a half on an idle machine; others may use it, too."""
PAGE_PORT = 4320


def get(url: str) -> tuple[str, bytes]:
    with urllib.request.urlopen(url, timeout=120) as answer:
        return answer.headers["Content-Type"], answer.read()


def told(url: str) -> Any:
    return json.loads(get(url)[1])


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@pytest.mark.skipif("ZEROSPAN_DEMO" not in os.environ, reason="asked for by ZEROSPAN_DEMO=1")
def test_a_shop_that_is_well_has_no_findings_and_its_page_can_be_seen(tmp_path: Path) -> None:
    build()
    for directory in ("agent", "demo"):
        compileall.compile_dir(CHECKOUT / directory, quiet=1)
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    machine = Machine(series=KERNEL, scratch=scratch, qemu_options=port_to(PAGE_PORT, port))
    scene = [sys.executable, "-m", "demo.scene", "--no-faults", "--brief", "--stay", "--page", url]
    console = tmp_path / "console"
    with console.open("wb") as output, Guest(machine, scene, output=output) as guest:
        end = time.monotonic() + DEADLINE_S
        # It stays only if there is no finding.
        while STAYS not in console.read_text(errors="replace"):
            assert guest.is_running, console.read_text(errors="replace")[-4000:]
            assert time.monotonic() < end, console.read_text(errors="replace")[-4000:]
            time.sleep(0.5)
        kind, page = get(f"{url}/")
        assert kind.startswith("text/html")
        assert b"zerospan" in page
        traces = told(f"{url}/api/v1/traces?limit=1000")["traces"]
        assert {one["root_service"] for one in traces} >= {"curl"}
        whole = max(traces, key=lambda one: int(one["spans"]))
        trace = told(f"{url}/api/v1/traces/{whole['trace_id']}")
        services = {one["service.name"] for one in trace["resources"]}
        assert {"nginx", "checkout"} <= services
        status = told(f"{url}/api/v1/status")
        assert status["agent"]["ledger"]["exchanges"]["captured"] > 0
