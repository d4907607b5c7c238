"""Which files of a process hold SQLite's library, and what is attached to them."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from agent.processes import embedded
from agent.processes.embedded import ENTRY_HOOK, RETURN_HOOK, Attachment, Embedded
from tests.binaries.test_sqlite import made

DEBIANS = "/usr/lib/x86_64-linux-gnu/libsqlite3.so.0"


class World:
    """A process's files, below a folder."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.paths: list[str] = []

    def add(self, path: str, source: Path, *, is_mapped: bool = True) -> None:
        place = Path(self.inside(1, path))
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(source.read_bytes())
        if is_mapped:
            self.paths.append(path)

    def mapped(self, pid: int) -> frozenset[str]:
        del pid
        return frozenset(self.paths)

    def inside(self, pid: int, path: str) -> str:
        return f"{self.root}/{pid}{path}"


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path / "proc")


@pytest.fixture
def library(tmp_path: Path) -> Path:
    return made(tmp_path)


def places(world: World) -> list[Attachment]:
    return list(Embedded(world).attachments(1))


@pytest.mark.parametrize(
    "path",
    [
        DEBIANS,
        "/opt/python/lib/_sqlite3.cpython-312-x86_64-linux-gnu.so",
        "/app/node_modules/better-sqlite3/build/Release/better_sqlite3.node",
        "/tmp/sqlite-3.45.1-libsqlitejdbc.so",
        "/app/libe_sqlite3.so",
        "/usr/local/bin/sqlite3",
    ],
)
def test_mapped_files_whose_name_says_so(world: World, library: Path, path: str) -> None:
    world.add(path, library)
    assert {at.path for at in places(world)} == {world.inside(1, path)}


def test_other_files_are_not_read(world: World, library: Path) -> None:
    world.add("/usr/lib/libc.so.6", library)
    world.add("/sqlite/server", library)
    assert places(world) == []


def test_the_usual_place_is_looked_at_before_the_library_is_mapped(
    world: World, library: Path
) -> None:
    world.add(DEBIANS, library, is_mapped=False)
    assert {at.path for at in places(world)} == {world.inside(1, DEBIANS)}
    world.paths.append(DEBIANS)
    assert len(places(world)) == len(set(places(world)))


def test_returns_come_before_entries(world: World, library: Path) -> None:
    """Otherwise a call might be entered and never returned from."""
    world.add(DEBIANS, library)
    found = places(world)
    hooks = [at.hook for at in found]
    assert hooks == [RETURN_HOOK] * 4 + [ENTRY_HOOK] * 6
    assert "SQLITE_END" not in {at.function for at in found if at.hook == RETURN_HOOK}
    assert {at.text_at for at in found} == {248}


def test_what_is_no_library(world: World, tmp_path: Path) -> None:
    text = tmp_path / "text"
    text.write_text("no ELF")
    world.add("/data/sqlite.db", text)
    world.paths.append("/gone/libsqlite3.so.0")
    assert places(world) == []


def test_a_file_is_read_once_until_it_changes(
    world: World, library: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.add(DEBIANS, library)
    known = Embedded(world)
    first = list(known.attachments(1))
    reads = []
    monkeypatch.setattr(embedded, "read_library", lambda elf: reads.append(elf))
    assert list(known.attachments(1)) == first
    assert reads == []
    subprocess.run(["strip", world.inside(1, DEBIANS)], check=True)
    assert list(known.attachments(1)) == []
    assert len(reads) == 1


def test_bounds(world: World, library: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "MAX_FILES", 2)
    monkeypatch.setattr(embedded, "MAX_KNOWN", 1)
    for number in range(4):
        world.add(f"/app/sqlite{number}", library)
    assert {Path(at.path).name for at in places(world)} == {"sqlite0", "sqlite1"}
