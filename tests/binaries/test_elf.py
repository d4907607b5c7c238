"""ELF files, whole, broken and hostile."""

from __future__ import annotations

import shutil
import struct
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from elftools.elf.elffile import ELFFile
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.binaries.elf import Segment, open_elf
from tests.binaries.elf_files import elf

if TYPE_CHECKING:
    from pathlib import Path

SAMPLE = elf({".text": b"code", ".data": b"12345678"})


def test_sections_and_segments(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(SAMPLE)
    opened = open_elf(str(path))
    assert opened is not None
    with opened as file:
        sections = file.sections()
        assert list(sections) == ["", ".text", ".data", ".shstrtab"]
        assert file.read(sections[".data"].offset, 100)[:8] == b"12345678"
        assert file.read(sections[".data"].offset, 3) == b"123"
        assert file.read(len(SAMPLE), 3) == b""
        assert file.read(-1, 3) == b""
        assert file.contains(sections[".data"], b"456", limit=100)
        assert not file.contains(sections[".data"], b"456", limit=4)
        [segment] = file.segments()
        assert segment == Segment(offset=128, size=segment.size, is_writable=True)


@pytest.mark.parametrize("tool", [sys.executable, "/usr/bin/env"])
def test_real_executable_as_pyelftools_reads_it(tool: str) -> None:
    opened = open_elf(tool)
    assert opened is not None
    with opened as file, open(tool, "rb") as stream:
        expected = {
            section.name: (section["sh_offset"], section["sh_size"])
            for section in ELFFile(stream).iter_sections()
            if section["sh_type"] != "SHT_NOBITS"
        }
        found = file.sections()
        assert {name: (found[name].offset, found[name].size) for name in expected} == expected


@pytest.mark.skipif(shutil.which("gcc") is None, reason="needs a C compiler")
def test_section_made_by_objcopy(tmp_path: Path) -> None:
    (tmp_path / "a.c").write_text("int main(void) { return 0; }\n")
    (tmp_path / "note").write_bytes(b"hello from a section")
    binary = tmp_path / "a"
    subprocess.run(["gcc", "-o", binary, tmp_path / "a.c"], check=True)
    subprocess.run(["objcopy", "--add-section", f".hello={tmp_path / 'note'}", binary], check=True)
    opened = open_elf(str(binary))
    assert opened is not None
    with opened as file:
        section = file.sections()[".hello"]
        assert file.read(section.offset, section.size) == b"hello from a section"


@pytest.mark.parametrize(
    "content",
    [b"", b"#!/bin/sh\n", SAMPLE[:63], SAMPLE.replace(b"\x02\x01\x01", b"\x01\x01\x01", 1)],
    ids=["empty", "script", "cut", "32-bit"],
)
def test_what_is_not_read(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    assert open_elf(str(path)) is None


def test_what_is_no_file(tmp_path: Path) -> None:
    assert open_elf(str(tmp_path)) is None
    assert open_elf(str(tmp_path / "none")) is None
    assert open_elf("/dev/null") is None


@settings(deadline=None)
@given(data=st.data())
def test_broken_files_read_as_less(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    content = bytearray(SAMPLE)
    for _ in range(data.draw(st.integers(1, 6))):
        position = data.draw(st.integers(16, len(content) - 8))
        value = data.draw(st.sampled_from([0, 1, 0xFFFF, 1 << 31, 1 << 63, (1 << 64) - 1]))
        content[position : position + 8] = struct.pack("<Q", value)
    path = tmp_path_factory.getbasetemp() / "broken"
    path.write_bytes(content)
    opened = open_elf(str(path))
    assert opened is not None
    with opened as file:
        for section in file.sections().values():
            assert len(file.read(section.offset, min(section.size, 4096))) <= 4096
            file.contains(section, b"x", limit=4096)
        file.segments()
