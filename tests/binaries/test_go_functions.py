"""Addresses from Go's function table, of files made here and of executables that the installed Go makes."""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection

from agent.binaries.elf import Elf, open_elf
from agent.binaries.go_functions import addresses_of
from agent.binaries.go_layout import goroutine_of
from tests.binaries.elf_files import elf

NAMES = [b"main.a", b"main.b", b"main.main"]
CODE = b"\x49\x3b\x66\x10" + bytes(28)
GO = shutil.which("go", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")


def table(*, magic: int = 0xFFFFFFF1, count: int = len(NAMES), text: int = 0) -> bytes:
    """Functions of 32 bytes each, in the order of their names."""
    names = b"".join(name + b"\0" for name in NAMES)
    pairs, descriptions, places = b"", b"", []
    at = 8 * len(NAMES) + 4
    for index, name in enumerate(NAMES):
        places.append(names.index(name + b"\0"))
        pairs += struct.pack("<II", 32 * index, at + len(descriptions))
        descriptions += struct.pack("<II", 32 * index, places[-1])
    pairs += struct.pack("<I", 32 * len(NAMES))
    start = 72
    head = struct.pack("<IHBB8Q", magic, 0, 1, 8, count, 0, text, start, *(start + len(names),) * 4)
    return head + names + pairs + descriptions


def opened(tmp_path: Path, content: bytes, name: str = ".gopclntab") -> Elf:
    path = tmp_path / "file"
    path.write_bytes(elf({".text": CODE * 3, name: content}))
    file = open_elf(str(path))
    assert file is not None
    return file


@pytest.mark.parametrize("name", [".gopclntab", ".data.rel.ro.gopclntab"])
@pytest.mark.parametrize("magic", [0xFFFFFFF0, 0xFFFFFFF1])
def test_addresses(tmp_path, name, magic):
    with opened(tmp_path, table(magic=magic), name) as file:
        text = file.sections()[".text"].address
        assert addresses_of(file, ["main.a", "main.main", "main.mai", "ain.b"]) == {
            "main.a": text,
            "main.main": text + 64,
        }


def test_what_is_no_code_of_go_does_not_count(tmp_path):
    with opened(tmp_path, table(text=1 << 20)) as file:
        assert addresses_of(file, ["main.a"]) == {}


@pytest.mark.parametrize(
    "content", [b"", table(magic=1), table(count=1 << 40), *(table()[:n] for n in range(0, 140, 7))]
)
def test_damaged_tables(tmp_path, content):
    with opened(tmp_path, content) as file:
        assert set(addresses_of(file, ["main.main"])) <= {"main.main"}


PROGRAM = """package main

import "net/http"

func main() { http.Get("http://127.0.0.1:1/") }
"""
ROUND_TRIP = "net/http.(*persistConn).roundTrip"
MEMBERS = {"runtime.g": ("goid", "parentGoid", "startpc"), "net/http.persistConn": ("conn",)}


def members(file: ELFFile) -> dict[str, int]:
    """Offsets by the debug information."""
    found = {}
    wanted = dict(MEMBERS)
    for unit in file.get_dwarf_info().iter_CUs():
        for entry in unit.get_top_DIE().iter_children():
            name = entry.attributes.get("DW_AT_name")
            if entry.tag != "DW_TAG_structure_type" or name is None:
                continue
            for member in wanted.pop(name.value.decode(), ()):
                for part in entry.iter_children():
                    if part.attributes["DW_AT_name"].value.decode() == member:
                        found[member] = part.attributes["DW_AT_data_member_location"].value
        if not wanted:
            break
    return found


@pytest.mark.skipif(GO is None, reason="needs Go")
def test_the_installed_go(tmp_path):
    """Its layout is the one in the table, and its table tells what the symbols tell."""
    assert GO is not None
    (tmp_path / "main.go").write_text(PROGRAM)
    built = tmp_path / "built"
    environment = {
        **os.environ, "GOTOOLCHAIN": "local", "CGO_ENABLED": "0", "GO111MODULE": "off", "GOFLAGS": "",
    }  # fmt: skip
    subprocess.run(
        [GO, "build", "-o", str(built), "main.go"], cwd=tmp_path, env=environment, check=True
    )
    version = subprocess.run([GO, "env", "GOVERSION"], capture_output=True, text=True, check=True)
    layout = goroutine_of(version.stdout.strip().removeprefix("go"))
    assert layout is not None
    with built.open("rb") as stream:
        file = ELFFile(stream)
        assert members(file) == {
            "goid": layout.goid,
            "parentGoid": layout.parent_goid,
            "startpc": layout.start_pc,
            "conn": 80,
        }
        symbols = file.get_section_by_name(".symtab")
        assert isinstance(symbols, SymbolTableSection)
        found = symbols.get_symbol_by_name(ROUND_TRIP)
        assert found is not None
        address = found[0]["st_value"]
    executable = open_elf(str(built))
    assert executable is not None
    with executable:
        assert addresses_of(executable, [ROUND_TRIP]) == {ROUND_TRIP: address}
