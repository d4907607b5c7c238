"""The linker's symbol table, held to a library that this machine's compiler makes."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from agent.binaries import symtab
from agent.binaries.elf import open_elf
from agent.binaries.symtab import addresses

SOURCE = "int number = 5; static int hidden(void) { return 2; } int shown(void) { return hidden(); } int absent(void); int calls(void) { return absent(); }"
WANTED = frozenset((b"number", b"shown", b"hidden", b"absent", b"nothing"))


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("symbols")
    (folder / "one.c").write_text(SOURCE)
    built = folder / "one.so"
    subprocess.run(
        ["cc", "-O0", "-shared", "-fPIC", "-o", built, folder / "one.c"], check=True, timeout=60
    )
    return built


def found(path: Path) -> dict[bytes, int]:
    elf = open_elf(str(path))
    assert elf is not None
    with elf:
        return addresses(elf, WANTED)


def as_nm_says(path: Path) -> dict[bytes, int]:
    told = subprocess.run(["nm", path], capture_output=True, text=True, check=True).stdout
    return {
        words[2].encode(): int(words[0], 16)
        for line in told.splitlines()
        if len(words := line.split()) == 3
    }


def test_what_is_defined_here(library: Path, tmp_path: Path) -> None:
    assert found(library).keys() == {b"number", b"shown", b"hidden"}
    assert found(library).items() <= as_nm_says(library).items()
    stripped = tmp_path / "stripped.so"
    subprocess.run(["strip", "-o", stripped, library], check=True)
    assert found(stripped) == {}


def test_the_table_is_read_up_to_a_bound(library: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(symtab, "MAX_SYMBOLS", 1)
    assert found(library) == {}
