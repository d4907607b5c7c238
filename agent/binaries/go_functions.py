"""Where functions of a Go executable begin: its function table, which stripped executables keep.

The table is the section `.gopclntab`, or `.data.rel.ro.gopclntab` in position-independent executables. Since Go 1.18
(runtime/symtab.go and debug/gosym/pclntab.go in Go's source):

     4 bytes    magic: fffffff0 (1.18, 1.19), fffffff1 (since 1.20)
     4 bytes    0, 0, smallest instruction, size of a pointer
     8 x 8      functions, files, start of the text, offsets of: names, units, files, tables of lines, functions
    functions   for each its place relative to the text and that of its description, 4 bytes each; then the text's end
    description place of the function, place of its name, …, 4 bytes each

Go 1.27 leaves the start of the text 0, and a linker may leave it to the loader before: then it is that of the section
`.text`. With an external linker C code may come first there, so a place counts only where the code is what Go's compiler
begins a function with: the comparison of the stack pointer with the limit in the goroutine, which R14 points to.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

    from agent.binaries.elf import Elf

SECTIONS: Final = (".gopclntab", ".data.rel.ro.gopclntab")
MAGICS: Final = frozenset((0xFFFFFFF0, 0xFFFFFFF1))
MAX_TABLE: Final = 1 << 27
"""Bytes. Kubernetes' largest programs have 30 MB."""
MAX_FUNCTIONS: Final = 1 << 20

_HEADER: Final = struct.Struct("<IHBB8Q")
_PAIR: Final = struct.Struct("<II")
_CHECKS_STACK: Final = b"\x3b\x66\x10"
"""The end of `cmp 0x10(%r14), %rsp` or of the same with a register that holds a lower address."""
_PROLOGUE: Final = 24
"""Bytes of code in which that stands; a large frame is computed first."""


def addresses_of(elf: Elf, names: Iterable[str]) -> dict[str, int]:
    """The address of each function that is there."""
    sections = elf.sections()
    section = next((sections[name] for name in SECTIONS if name in sections), None)
    if section is None or section.size > MAX_TABLE:
        return {}
    head = elf.read(section.offset, _HEADER.size)
    if len(head) < _HEADER.size:
        return {}
    magic, _, _, pointer, count, _, text, names_at, units_at, *_, functions_at = _HEADER.unpack(
        head
    )
    if magic not in MAGICS or pointer != 8 or not count <= MAX_FUNCTIONS:
        return {}
    if not names_at < units_at <= section.size or functions_at >= section.size:
        return {}
    if not text:
        text = sections[".text"].address if ".text" in sections else 0
    wanted = _places_of(elf.read(section.offset + names_at, units_at - names_at), names)
    if not wanted:
        return {}
    table = elf.read(section.offset + functions_at, section.size - functions_at)
    found = _find(table, count, wanted)
    return {name: text + place for name, place in found.items() if _is_code(elf, text + place)}


def _places_of(table: bytes, names: Iterable[str]) -> dict[int, str]:
    """Names by their place in the table of names."""
    wanted = {}
    for name in names:
        text = name.encode() + b"\0"
        place = 0 if table.startswith(text) else table.find(b"\0" + text) + 1
        if place or table.startswith(text):
            wanted[place] = name
    return wanted


def _find(table: bytes, count: int, wanted: dict[int, str]) -> dict[str, int]:
    found: dict[str, int] = {}
    pairs = table[: min(count * _PAIR.size, len(table) // _PAIR.size * _PAIR.size)]
    for place, at in _PAIR.iter_unpack(pairs):
        if at + _PAIR.size > len(table):
            continue
        entry, name = _PAIR.unpack_from(table, at)
        if name in wanted and entry == place:
            found[wanted[name]] = place
            if len(found) == len(wanted):
                break
    return found


def _is_code(elf: Elf, address: int) -> bool:
    offset = elf.offset_of(address)
    return offset is not None and _CHECKS_STACK in elf.read(offset, _PROLOGUE)
