"""Addresses of functions that a file does not export (symbols.py), by the table that the linker left in it.

It is gone where the file was stripped.

The file is hostile: tables are read up to a bound, and a name that does not fit reads as absent.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from agent.binaries.elf import Elf

MAX_SYMBOLS: Final = 1 << 16
"""SQLite's shell has 3000."""
MAX_NAMES: Final = 1 << 22

_SYMBOL: Final = struct.Struct("<IBBHQQ")


def addresses(elf: Elf, wanted: frozenset[bytes]) -> dict[bytes, int]:
    """Those of the wanted names that the table defines."""
    sections = elf.sections()
    table, names = sections.get(".symtab"), sections.get(".strtab")
    found: dict[bytes, int] = {}
    if table is None or names is None:
        return found
    text = elf.read(names.offset, min(names.size, MAX_NAMES))
    raw = elf.read(table.offset, min(table.size, MAX_SYMBOLS * _SYMBOL.size))
    # Where the name stands tells which entry it is, without a look at 2000 others. Names may share their ends.
    places = {}
    for name in wanted:
        at = text.find(b"\0" + name + b"\0") + 1
        if at:
            places[at] = name
    for entry in _SYMBOL.iter_unpack(raw[: len(raw) // _SYMBOL.size * _SYMBOL.size]):
        place = places.get(entry[0])
        if place is not None and entry[3]:
            found[place] = entry[4]
    return found
