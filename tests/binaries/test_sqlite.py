"""Where SQLite's functions and a statement's text are: held to the library on this machine, and to small ones made here."""

from __future__ import annotations

import ctypes
import ctypes.util
import subprocess
from pathlib import Path

import pytest

from agent.binaries.elf import open_elf
from agent.binaries.sqlite import Library, read_library

FUNCTIONS = ("prepare_v2", "prepare_v3", "step", "reset", "finalize", "open_v2")
SOURCE = """
struct statement {{ char before[{text_at}]; const char *text; }};
const char *sqlite3_sql(struct statement *s) {{ return {body}; }}
"""


def made(folder: Path, *, text_at: int = 248, body: str = "s ? s->text : 0", flags: str = "-O2", without: str = "") -> Path:  # fmt: skip
    text = SOURCE.format(text_at=text_at, body=body)
    text += "".join(f"int sqlite3_{name}(void) {{ return 1; }}" for name in FUNCTIONS if name != without)  # fmt: skip
    source, library = folder / "one.c", folder / "one.so"
    source.write_text(text)
    command = ["cc", *flags.split(), "-shared", "-fPIC", "-o", str(library), str(source)]
    subprocess.run(command, check=True, timeout=60)
    return library


def read(path: Path | str) -> Library | None:
    elf = open_elf(str(path))
    assert elf is not None
    with elf:
        return read_library(elf)


@pytest.mark.parametrize("text_at", [96, 248, 264])
@pytest.mark.parametrize("flags", ["-O2", "-O1", "-Os", "-O2 -fcf-protection=full"])
def test_where_the_text_is(tmp_path: Path, flags: str, text_at: int) -> None:
    """Offsets of 8 and of 32 bits."""
    library = read(made(tmp_path, text_at=text_at, flags=flags))
    assert library is not None
    assert library.text_at == text_at
    assert sorted({function for function, _ in library.functions}) == [
        *("SQLITE_END", "SQLITE_OPEN", "SQLITE_PREPARE", "SQLITE_PREPARE_FLAGS", "SQLITE_STEP"),
    ]


@pytest.mark.parametrize("body", ["(const char *)s", "s->text", "0"])
def test_other_code_than_we_know(tmp_path: Path, body: str) -> None:
    assert read(made(tmp_path, body=body)) is None


@pytest.mark.parametrize("text_at", [4096, 2048])
def test_a_text_that_is_too_far(tmp_path: Path, text_at: int) -> None:
    assert read(made(tmp_path, text_at=text_at)) is None


def test_a_library_that_lacks_a_function(tmp_path: Path) -> None:
    assert read(made(tmp_path, without="finalize")) is None
    assert read(made(tmp_path, without="prepare_v3")) is not None


def test_a_part_of_a_program_that_exports_nothing(tmp_path: Path) -> None:
    library = read(made(tmp_path, flags="-O2 -fvisibility=hidden"))
    assert library is not None
    assert library.text_at == 248
    path = tmp_path / "one.so"
    subprocess.run(["strip", path], check=True)
    assert read(path) is None


def test_the_librarys_own_text_stands_where_it_is_said() -> None:
    """The library on this machine, asked by itself."""
    name = ctypes.util.find_library("sqlite3")
    assert name is not None
    sqlite = ctypes.CDLL(name)
    mapped = Path("/proc/self/maps").read_text().splitlines()
    path = next(line[line.index("/") :] for line in mapped if "libsqlite3" in line)
    library = read(path)
    assert library is not None
    base = next(int(line.split("-")[0], 16) for line in mapped if line.endswith(path))
    database, statement = ctypes.c_void_p(), ctypes.c_void_p()
    assert sqlite.sqlite3_open(b":memory:", ctypes.byref(database)) == 0
    text = b"SELECT 1 + 1"
    assert sqlite.sqlite3_prepare_v2(database, text, -1, ctypes.byref(statement), None) == 0
    assert statement.value is not None
    place = ctypes.c_char_p.from_address(statement.value + library.text_at)
    assert place.value == text
    assert ctypes.c_void_p.from_address(statement.value).value == database.value
    step = ctypes.cast(sqlite.sqlite3_step, ctypes.c_void_p).value
    assert step is not None
    assert ("SQLITE_STEP", step - base) in library.functions
    sqlite.sqlite3_finalize(statement)
    sqlite.sqlite3_close(database)
