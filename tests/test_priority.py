"""The agent's priority: taken, refused, given up. In processes of their own, for it is this one's, too."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from agent import priority


def nice_after(statements: str) -> int:
    code = f"import os\nfrom agent.priority import *\n{statements}\nprint(os.getpriority(os.PRIO_PROCESS, 0))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return int(done.stdout)


def test_it_is_taken() -> None:
    assert nice_after("prioritise(7)") == 7


def test_threads_inherit_it() -> None:
    statements = (
        "import threading; found = []; prioritise(7)\n"
        "thread = threading.Thread(target=lambda: found.append(os.getpriority(os.PRIO_PROCESS, 0)))\n"
        "thread.start(); thread.join(); assert found == [7]"
    )
    assert nice_after(statements) == 7


def test_what_is_refused_is_told(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(which: int, who: int, nice: int) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "setpriority", refuse)
    priority.prioritise(-10)
    assert "the priority (nice -10) is not granted: Operation not permitted" in caplog.text


def test_it_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    set_to = []
    monkeypatch.setattr(os, "setpriority", lambda which, who, nice: set_to.append(nice))
    for now in (-10, 0, 5):
        monkeypatch.setattr(os, "getpriority", lambda which, who, now=now: now)
        priority.give_up_priority()
    assert set_to == [0]
