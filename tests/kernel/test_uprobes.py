"""What is attached to files, and until when; without a kernel."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from agent.kernel.uprobes import Uprobes, sqlite_cookie

HOOK = "uprobe:one"


class Kernel:
    """Gives a real descriptor for each attachment."""

    def __init__(self) -> None:
        self.asked: list[tuple[int, str, int, int]] = []
        self.descriptors: list[int] = []
        self.refuses = False

    def attach(self, program: int, path: str, offset: int, cookie: int) -> int:
        self.asked.append((program, path, offset, cookie))
        if self.refuses:
            return -22
        self.descriptors.append(os.open("/dev/null", os.O_RDONLY))
        return self.descriptors[-1]

    def attached(self) -> int:
        return sum(Path(f"/proc/self/fd/{number}").exists() for number in self.descriptors)


@pytest.fixture
def kernel() -> Kernel:
    return Kernel()


@pytest.fixture
def uprobes(kernel):
    made = Uprobes({HOOK: 5}, kernel.attach, limit=2)
    yield made
    made.close()


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    paths = [tmp_path / str(number) for number in range(3)]
    for path in paths:
        path.touch()
    return [str(path) for path in paths]


def test_once_per_file_until_the_last_process_ends(uprobes, kernel, files, tmp_path):
    other_name = str(tmp_path / "link")
    os.link(files[0], other_name)
    assert uprobes.attach(1, HOOK, files[0], 16)
    assert uprobes.attach(2, HOOK, other_name, 16)
    assert kernel.asked == [(5, files[0], 16, 0)]
    uprobes.exited(1)
    assert kernel.attached() == 1
    uprobes.exited(2)
    uprobes.exited(2)
    assert kernel.attached() == 0


def test_at_most_so_many_files(uprobes, files):
    assert [uprobes.attach(1, HOOK, path, 0) for path in files] == [True, True, False]
    uprobes.exited(1)
    assert uprobes.attach(1, HOOK, files[2], 0)


def test_what_cannot_be_attached(uprobes, kernel, files):
    assert not uprobes.attach(1, HOOK, "/nowhere", 0)
    assert not uprobes.attach(1, "uprobe:other", files[0], 0)
    kernel.refuses = True
    assert not uprobes.attach(1, HOOK, files[0], 0)
    kernel.refuses = False
    assert uprobes.attach(1, HOOK, files[0], 0)


def test_many_places_of_a_file(kernel, files):
    """They are let go of beside the caller, and all are gone at the end."""
    uprobes = Uprobes({HOOK: 5}, kernel.attach)
    for pid in (1, 2):
        for offset in range(20):
            assert uprobes.attach(pid, HOOK, files[0], offset, offset + 7)
    assert kernel.asked == [(5, files[0], offset, offset + 7) for offset in range(20)]
    uprobes.exited(1)
    assert kernel.attached() == 20
    uprobes.exited(2)
    assert uprobes.attach(3, HOOK, files[0], 0)
    uprobes.close()
    assert kernel.attached() == 0


def test_what_a_place_in_sqlite_tells():
    assert sqlite_cookie("SQLITE_STEP", 248) == 248 * 256 + 1
    assert sqlite_cookie("SQLITE_END", 0) == 5
    with pytest.raises(KeyError):
        sqlite_cookie("SQLITE_OTHER", 0)


def test_close_detaches_all(uprobes, kernel, files):
    for path in files:
        uprobes.attach(1, HOOK, path, 0)
    uprobes.close()
    assert kernel.attached() == 0
