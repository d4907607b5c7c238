"""What the kernel side is told of runtimes."""

from __future__ import annotations

import shutil
import subprocess
import sys

import pytest

from agent.binaries.elf import open_elf
from agent.processes import proc, tasks
from agent.processes.runtime import Kind, Runtime
from agent.processes.tasks import ALL_ADDRESSES, Layout, layout_of


class Process:
    pid = 7

    def __init__(self, kind: Kind) -> None:
        self.runtime = Runtime(kind)


class Proc:
    def __init__(self, *mappings: tuple[int, int, str]) -> None:
        self.mappings = mappings

    def starts(self, pid: int) -> list[tuple[int, str]]:
        assert pid == 7
        return [(start, path) for start, _, path in self.mappings if path]

    def inside(self, pid: int, path: str) -> str:
        return f"/nowhere/{pid}{path}"

    def writable(self, pid: int) -> tuple[tuple[int, int, str], ...]:
        assert pid == 7
        return self.mappings

    def executable(self, pid: int) -> str:
        raise AssertionError(pid)

    def load_address(self, pid: int) -> int | None:
        raise AssertionError(pid)


EXE = "/usr/bin/python3.11"
LIBRARY = "/usr/lib/x86_64-linux-gnu/libpython3.11.so.1.0"


@pytest.mark.parametrize(
    ("mappings", "locks"),
    [
        ([(10, 20, EXE), (20, 30, ""), (40, 50, "")], (10, 30)),
        ([(10, 20, EXE), (20, 30, EXE), (30, 40, "[heap]")], (10, 30)),
        ([(5, 6, "[heap]"), (10, 20, LIBRARY), (20, 30, "")], (10, 30)),
        ([(10, 20, EXE)], (10, 20)),
        ([(10, 20, EXE), (25, 30, "")], (10, 20)),
    ],
)
def test_python_locks_are_in_its_data(mappings, locks):
    assert layout_of(Process(Kind.PYTHON), Proc(*mappings)) == Layout(locks=locks)


def test_python_without_its_data_is_not_described():
    assert layout_of(Process(Kind.PYTHON), Proc((1, 2, "/usr/lib/libc.so.6"))) is None


def test_no_wake_of_ruby_hands_anything_over():
    assert layout_of(Process(Kind.RUBY), Proc()) == Layout(locks=ALL_ADDRESSES)


class GoProc:
    def __init__(self, path: str, address: int | None = 0x400000) -> None:
        self.path, self.address = path, address

    def starts(self, pid: int) -> list[tuple[int, str]]:
        raise AssertionError(pid)

    def inside(self, pid: int, path: str) -> str:
        raise AssertionError(pid, path)

    def writable(self, pid: int) -> tuple[tuple[int, int, str], ...]:
        raise AssertionError(pid)

    def executable(self, pid: int) -> str:
        assert pid == 7
        return self.path

    def load_address(self, pid: int) -> int | None:
        assert pid == 7
        return self.address


def go(version: str) -> Process:
    process = Process(Kind.GO)
    process.runtime = Runtime(Kind.GO, version)
    return process


@pytest.fixture
def functions(monkeypatch):
    """Addresses in an executable that this one stands for."""
    found: dict[str, int] = {}
    monkeypatch.setattr(tasks, "addresses_of", lambda elf, names: found)
    elf = open_elf(sys.executable)
    assert elf is not None
    with elf:
        found["base"] = elf.segments()[0].address
    return found


def test_go_by_release(functions):
    functions["runtime.main"] = 1
    assert layout_of(go("1.25.5"), GoProc(sys.executable)) == Layout(
        "RUNTIME_GO", offsets=(152, 272, 296)
    )
    assert layout_of(go("1.20.1"), GoProc(sys.executable)) is None
    assert layout_of(go("1.25.5"), GoProc(sys.executable, None)) is None
    assert layout_of(go("1.25.5"), GoProc("/nowhere")) is None


def test_go_without_a_function_table_is_not_told(functions):
    assert layout_of(go("1.25.5"), GoProc(sys.executable)) is None


def test_go_with_the_client_of_net_http(functions):
    base = functions["base"]
    functions["runtime.main"] = base + 1
    functions["net/http.(*persistConn).roundTrip"] = base + 64
    assert layout_of(go("1.27.3"), GoProc(sys.executable)) is None, "no closures"
    functions["net/http.(*Transport).dialConn.gowrap2"] = base + 200
    functions["net/http.(*Transport).dialConn.gowrap1"] = base + 300
    layout = layout_of(go("1.27.3"), GoProc(sys.executable, 0x7000))
    assert layout is not None
    assert layout.addresses == (0x7000 + 200, 0x7000 + 301)
    ((hook, path, _),) = layout.probes
    assert (hook, path) == (tasks.GO_ROUND_TRIP_HOOK, sys.executable)


ON_READ = b"_ZN4node15LibuvStreamWrap8OnUvReadElPK8uv_buf_t"


@pytest.mark.parametrize("where", ["executable", "library"])
def test_node_by_the_function_that_reads(monkeypatch, where):
    """Of the executable, or of libnode, as Debian builds it."""
    executable = sys.executable if where == "executable" else "/nowhere"
    monkeypatch.setattr(Proc, "executable", lambda self, pid: executable)
    monkeypatch.setattr(Proc, "inside", lambda self, pid, path: sys.executable)
    elf = open_elf(sys.executable)
    assert elf is not None
    with elf:
        address = elf.segments()[0].address + 64
    monkeypatch.setattr(tasks, "address_of", lambda elf, name: {ON_READ: address}.get(name))
    layout = layout_of(Process(Kind.NODE), Proc((1, 2, "/usr/lib/libnode.so.108")))
    assert layout is not None
    ((hook, path, offset),) = layout.probes
    assert (layout.kind, hook, path) == ("RUNTIME_NODE", tasks.CALLED_BACK, sys.executable)
    assert offset >= 64


def test_a_node_without_that_function_is_not_described(monkeypatch):
    monkeypatch.setattr(Proc, "executable", lambda self, pid: sys.executable)
    assert layout_of(Process(Kind.NODE), Proc()) is None


@pytest.mark.skipif(shutil.which("node") is None, reason="Node.js is not installed")
def test_this_node_has_it():
    process = Process(Kind.NODE)
    with subprocess.Popen(["node", "-e", "setTimeout(() => 0, 60000)"]) as running:
        try:
            process.pid = running.pid
            layout = layout_of(process, proc.Proc())
        finally:
            running.kill()
    assert layout is not None
    assert layout.probes[0][2] > 0


def test_compiled_programs_need_no_description():
    assert layout_of(Process(Kind.NATIVE), Proc()) is None


def test_fields():
    fields = Layout(locks=(1, 2), addresses=(3,), offsets=(4, 5)).fields()
    assert fields == {
        "locks_start": 1,
        "locks_end": 2,
        "address_0": 3,
        "offset_0": 4,
        "offset_1": 5,
    }
