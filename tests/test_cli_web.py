"""`zerospan web`, run as a person runs it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest
from click.testing import CliRunner

from agent.cli import commands
from agent.errors import ConfigError, StoreError
from agent.store.writer import Writer
from tests.store.made import span
from tests.web.asking import told
from tests.web.test_child import free_port, until


@pytest.fixture
def store(tmp_path):
    path = tmp_path / "traces.db"
    writer = Writer(path)
    writer.write([span(1, 1)])
    writer.close()
    return path


def refused(*arguments: object) -> BaseException | None:
    return CliRunner().invoke(commands, ["web", *map(str, arguments)]).exception


def test_refusals(tmp_path, store, monkeypatch):
    monkeypatch.delenv("ZEROSPAN_WEB_TOKEN", raising=False)
    assert isinstance(refused("--store", tmp_path / "none"), StoreError)
    assert isinstance(refused("--store", store, "--web", "0.0.0.0"), ConfigError)


def test_served_until_sigterm(store):
    port = free_port()
    environment = {**os.environ, "ZEROSPAN_WEB_TOKEN": "0123456789abcdef"}
    process = subprocess.Popen(
        [sys.executable, "-m", "agent", "web", "--store", str(store), "--web", f":{port}"], env=environment
    )  # fmt: skip
    found: list[dict] = []

    def answers() -> bool:
        try:
            found.append(
                told(f"http://127.0.0.1:{port}/api/v1/traces", Authorization="Bearer 0123456789abcdef")
            )  # fmt: skip
        except OSError:
            return False
        return True

    until(answers)
    assert [one["spans"] for one in found[0]["traces"]] == [1]
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 0
