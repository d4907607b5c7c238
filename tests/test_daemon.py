"""What of the live run needs no kernel side; the rest is tests/vm."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path

import pytest

from agent.config import Config, Select
from agent.counters import Ledger
from agent.daemon import (
    WATCHES_PER_SLOT,
    discovery_of,
    kernel_settings,
    notify_service_manager,
    pid_max,
    print_ledger,
    process_facts,
    require_root,
)
from agent.errors import KernelError
from agent.kernel.layout import structs
from agent.processes.selection import Verdict
from agent.replay import RecordedProcesses, RecordedRuntime
from agent.spans.span import Resource


def test_kernel_settings():
    assert kernel_settings(Config(ring_kb=1024, max_connections=500), 8192) == {
        "RING_PAGES": 256,
        "MAX_SOCKETS": 500,
        "WATCH_BY_DEFAULT": 1,
        "WATCH_SLOTS": 128,
        "BUDGET_TO_SERVER": 4096,
        "BUDGET_FROM_SERVER": 1024,
        "PROPAGATE": 0,
        "PROPAGATE_TCP_OPTION": 0,
        "PROPAGATE_HTTP_HEADER": 0,
        "TRACE_SQLITE": 1,
        "MAX_FLOWS": 500,
    }


@pytest.mark.parametrize(
    ("select", "by_default"),
    [
        (Select(), 1),
        (Select(pid=(1,)), 0),
        (Select(exe=("*",)), 0),
        (Select(port=(80,)), 0),
        (Select(container=("a",)), 0),
    ],
)
def test_what_is_selected_is_all_that_is_watched(select, by_default):
    assert kernel_settings(Config(select=select), 8192)["WATCH_BY_DEFAULT"] == by_default


def test_exclusion_leaves_the_rest_watched():
    assert kernel_settings(Config(exclude=Select(pid=(1,))), 8192)["WATCH_BY_DEFAULT"] == 1


def test_every_pid_has_a_place():
    limit = int(Path("/proc/sys/kernel/pid_max").read_text())
    assert pid_max() % 4096 == 0
    assert limit <= pid_max() < limit + 4096
    assert structs("maps.h")["watch_slot"].size == WATCHES_PER_SLOT


def test_facts_of_a_process_come_back_from_a_recording():
    resource = Resource((("service.name", "shop"), ("process.command_args", ("a", "b")), ("n", 7)))
    runtime = RecordedRuntime(uses_goroutines=True, is_proxy=False, reuses_threads=True)
    told = json.loads(json.dumps(process_facts(resource, runtime)))
    processes = RecordedProcesses()
    processes.recorded(10, told)
    back, same = processes.identify(10)
    assert (back.attributes, same) == (resource.attributes, runtime)


@pytest.mark.parametrize("is_abstract", [False, True])
def test_service_manager_is_told(tmp_path, monkeypatch, is_abstract):
    name = f"@zerospan-{os.getpid()}" if is_abstract else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind("\0" + name[1:] if is_abstract else name)
        manager.settimeout(5)
        monkeypatch.setenv("NOTIFY_SOCKET", name)
        notify_service_manager("READY=1")
        assert manager.recv(100) == b"READY=1"


def test_service_manager_that_is_not_there(tmp_path, monkeypatch):
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    notify_service_manager("READY=1")
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "no"))
    notify_service_manager("READY=1")


def test_ledger_is_one_line(capsys):
    print_ledger(Ledger())
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert json.loads(error)["balanced"]


def test_without_root(monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(KernelError, match="needs root"):
        require_root()
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    require_root()


def test_agent_never_traces_itself():
    decisions: dict[int, Verdict] = {}
    config = Config(select=Select(pid=(os.getpid(),)))
    discovery = discovery_of(config, [], decisions.__setitem__)
    discovery.scan()
    assert not discovery.process(os.getpid()).is_traced
    assert decisions.get(os.getpid(), Verdict.EXCLUDE) is Verdict.EXCLUDE
