"""The server as the agent's child: it comes up, knows what it is told, comes back, and does not outlive the agent."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from agent import child
from agent.web.child import WebChild
from agent.web.settings import WebSettings
from tests.web.asking import told

DEADLINE_S = 60.0


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def status_of(settings: WebSettings):
    deadline = time.monotonic() + DEADLINE_S
    while True:
        try:
            return told(f"{settings.url}/api/v1/status")
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(0.05)


def until(holds) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_child(store, monkeypatch):
    monkeypatch.setattr(child, "AGAIN_S", 0.0)
    settings = WebSettings(str(store), "127.0.0.1", free_port())
    web = WebChild(settings)
    first = web.keep_up()
    assert first == web.pid
    assert web.keep_up() is None
    web.tell({"ledger": {"spans": 5}, "processes": []})
    assert status_of(settings)["agent"] == {"ledger": {"spans": 5}, "processes": []}
    # It ends: another one comes, and knows the same.
    assert first is not None
    os.kill(first, signal.SIGKILL)
    until(lambda: web.keep_up() not in (None, first))
    assert status_of(settings)["agent"]["ledger"] == {"spans": 5}
    web.close()
    assert web.pid is None


def test_port_that_is_taken(store, caplog):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        web = WebChild(WebSettings(str(store), "127.0.0.1", taken.getsockname()[1]))
        web.keep_up()
        until(lambda: web.keep_up() is None and web.pid is None)
        assert "ended (2)" in caplog.text
        # It stays down.
        monotonic = time.monotonic()
        until(lambda: time.monotonic() > monotonic + child.AGAIN_S or web.keep_up() is None)
        assert web.pid is None
        web.close()


def test_child_ends_with_the_agent(store):
    script = (
        "import sys, time; from agent.web.child import WebChild; from agent.web.settings import WebSettings\n"
        f"web = WebChild(WebSettings({str(store)!r}, '127.0.0.1', {free_port()}))\n"
        "print(web.keep_up(), flush=True); time.sleep(600)"
    )
    agent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert agent.stdout is not None
    pid = int(agent.stdout.readline())
    agent.kill()
    agent.wait()
    agent.stdout.close()

    def is_gone() -> bool:
        try:
            return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
        except FileNotFoundError:
            return True

    until(is_gone)
