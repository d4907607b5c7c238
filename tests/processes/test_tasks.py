"""What the kernel side is told of runtimes."""

from __future__ import annotations

import pytest

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
