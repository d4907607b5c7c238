"""Where exported symbols are: held to what binutils say of the files of this machine, and to files that lie."""

from __future__ import annotations

import shutil
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from agent.binaries.elf import Elf, open_elf
from agent.binaries.symbols import address_of
from tests.binaries.elf_files import elf


def opened(path: str | Path) -> Elf:
    found = open_elf(str(path))
    assert found is not None
    return found


@pytest.mark.skipif(shutil.which("nm") is None, reason="binutils are not installed")
def test_every_symbol_that_a_file_exports_is_found_where_it_is():
    path = Path(sys.executable).resolve()
    said = subprocess.run(
        ["nm", "-D", "--defined-only", path], capture_output=True, text=True, check=True
    )
    rows = [line.split() for line in said.stdout.splitlines()]
    exported = {
        row[2]: int(row[0], 16)
        for row in rows
        if len(row) == 3 and row[1] in "TD" and "@" not in row[2]
    }
    assert len(exported) > 100
    with opened(path) as file:
        assert all(address_of(file, name.encode()) == at for name, at in exported.items())
        assert address_of(file, b"PyNothing_OfThatName") is None
        assert address_of(file, b"getpid") is None, "it is another file's"


NAME = b"it"
HASH = (5381 * 33 + ord("i")) * 33 + ord("t")


def file_with(
    *, table: bytes = b"", name: bytes = NAME, section: int = 1, hashed: int = HASH
) -> bytes:
    """One exported symbol, at 0x1234."""
    symbols = bytes(24) + struct.pack("<IBBHQQ", 1, 18, 0, section, 0x1234, 8)
    table = table or struct.pack("<4I", 1, 1, 1, 6) + bytes(8) + struct.pack("<2I", 1, hashed | 1)
    return elf({".gnu.hash": table, ".dynsym": symbols, ".dynstr": b"\0" + name + b"\0"})


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (file_with(), 0x1234),
        (file_with(section=0), None),
        (file_with(name=b"other"), None),
        (file_with(name=b"its"), None),
        (file_with(hashed=HASH + 2), None),
        (file_with(table=struct.pack("<4I", 0, 1, 1, 6)), None),
        (file_with(table=struct.pack("<4I", 1, 1, 0xFFFFFFFF, 6)), None),
        (file_with(table=struct.pack("<4I", 0xFFFFFFFF, 1, 0, 6)), None),
        (file_with(table=struct.pack("<4I", 1, 9, 0, 6) + struct.pack("<2I", 1, HASH | 1)), None),
        (file_with(table=struct.pack("<4I", 1, 1, 0, 6) + struct.pack("<2I", 99, HASH)), None),
        (file_with(table=b"\1\0"), None),
        (elf({".dynsym": bytes(48)}), None),
    ],
)
def test_a_small_file(tmp_path: Path, data: bytes, found: int | None):
    (tmp_path / "file").write_bytes(data)
    with opened(tmp_path / "file") as file:
        assert address_of(file, NAME) == found


def test_a_chain_without_end_is_not_followed(tmp_path: Path):
    endless = struct.pack("<4I", 1, 1, 0, 6) + struct.pack("<I", 1) + struct.pack("<I", 2) * 100_000
    (tmp_path / "file").write_bytes(file_with(table=endless))
    with opened(tmp_path / "file") as file:
        assert address_of(file, NAME) is None
