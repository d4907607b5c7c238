"""SQLite's library: where its functions are in a file, and where a statement has its text.

The library may be a file of its own, or a part of an executable, of an extension module, of a JDBC driver. It is known by the
names of its functions; a file that was linked with it and then stripped has none, and is not seen.

The text stands in the statement's own structure, `zSql` in struct Vdbe, whose place changes with the release and with how
that was built. The function that gives the text to programs says it:

    const char *sqlite3_sql(sqlite3_stmt *pStmt) { Vdbe *p = (Vdbe *)pStmt; return p ? p->zSql : 0; }

compiles to a comparison of the argument with 0 and one load behind the argument (in RDI) into the result (in RAX).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from agent.binaries.symbols import address_of
from agent.binaries.symtab import addresses

if TYPE_CHECKING:
    from collections.abc import Mapping

    from agent.binaries.elf import Elf

FUNCTIONS: Final[Mapping[bytes, str]] = {
    b"sqlite3_step": "SQLITE_STEP",
    b"sqlite3_prepare_v2": "SQLITE_PREPARE",
    b"sqlite3_prepare_v3": "SQLITE_PREPARE_FLAGS",
    b"sqlite3_open": "SQLITE_OPEN",
    b"sqlite3_open_v2": "SQLITE_OPEN",
    b"sqlite3_reset": "SQLITE_END",
    b"sqlite3_finalize": "SQLITE_END",
}
"""What each does, by `enum sqlite_function` in probes/include/sqlite.h. To let go of each takes the kernel a while, so those that are hardly
used have no part in it: of statements that `sqlite3_prepare` and the variants for UTF-16 prepare, failures to do so are not seen."""
NEEDED: Final = (b"sqlite3_step", b"sqlite3_prepare_v2", b"sqlite3_reset", b"sqlite3_finalize")
_SQL: Final = b"sqlite3_sql"
_EM_X86_64: Final = 62
_CODE: Final = 32
"""Bytes of sqlite3_sql that are looked at: GCC's and Clang's have 18 to 24."""
_TEST: Final = re.compile(rb"\x48\x85\xff", re.DOTALL)
"""test %rdi,%rdi"""
_LOAD: Final = re.compile(rb"\x48\x8b(?:\x87(.{4})|\x47(.))", re.DOTALL)
"""mov offset(%rdi),%rax, with an offset of 32 or of 8 bits."""
_MAX_OFFSET: Final = 1024
"""struct Vdbe has 304 bytes in 3.40."""


@dataclass(frozen=True, slots=True)
class Library:
    """What there is to attach to in a file."""

    functions: tuple[tuple[str, int], ...]
    """What a function does, and the offset of its first instruction in the file."""
    text_at: int
    """Offset of the pointer to a statement's text in it."""


def read_library(elf: Elf) -> Library | None:
    """Find it; None for a file without the library, or in which not all is found."""
    if elf.machine != _EM_X86_64:
        return None
    wanted = frozenset((*FUNCTIONS, _SQL))
    found = {name: address_of(elf, name) for name in wanted}
    if found[_SQL] is None:
        found |= addresses(elf, wanted)
    offsets = {
        name: elf.offset_of(address) for name, address in found.items() if address is not None
    }
    sql = offsets.pop(_SQL, None)
    text_at = _text_at(elf.read(sql, _CODE)) if sql is not None else None
    if text_at is None or any(offsets.get(name) is None for name in NEEDED):
        return None
    functions = tuple(
        (FUNCTIONS[name], offset) for name, offset in sorted(offsets.items()) if offset is not None
    )
    return Library(functions, text_at)


def _text_at(code: bytes) -> int | None:
    """The offset that the code loads from; None if it is other code than we know."""
    test = _TEST.search(code)
    load = _LOAD.search(code, test.end()) if test is not None else None
    if load is None:
        return None
    offset = int.from_bytes(load[1] or load[2], "little", signed=True)
    return offset if 0 < offset < _MAX_OFFSET and not offset % 8 else None
