"""Addresses of symbols that an executable or a library exports, looked up as the dynamic linker does.

The section `.gnu.hash` leads from a name to its entry in `.dynsym`, so that of the 75 000 symbols of a large program a few
are read. All numbers are 4 bytes, but for those of the filter, which are 8:

    number of buckets, index of the first symbol that is hashed, number of filters, shift
    filters    not needed to find what is there
    buckets    by hash modulo their number: index of their first symbol, 0 for none
    hashes     one for each hashed symbol, in the order of the symbols; the lowest bit is set at a bucket's last

The hash of a name begins with 5381; each byte is added to 33 times what was there (https://sourceware.org/glibc, elf/dl-hash.h).
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from agent.binaries.elf import Elf, Section

MAX_CHAIN: Final = 256
"""Symbols of a bucket that are looked at; on average there are two or three."""

_HEADER: Final = struct.Struct("<4I")
_SYMBOL: Final = struct.Struct("<IBBHQQ")


def address_of(elf: Elf, name: bytes) -> int | None:
    """Where a symbol is, as linked; None if the file does not define it, or has no such table."""
    sections = elf.sections()
    table, symbols, names = map(sections.get, (".gnu.hash", ".dynsym", ".dynstr"))
    if table is None or symbols is None or names is None:
        return None
    buckets, first, filters, _ = _numbers(elf, table, 0, 4) or (0, 0, 0, 0)
    if not buckets:
        return None
    wanted = _hash(name)
    buckets_at = _HEADER.size + 8 * filters
    (index,) = _numbers(elf, table, buckets_at + 4 * (wanted % buckets), 1) or (0,)
    if index < first or not index:
        return None
    hashes_at = buckets_at + 4 * buckets
    chain = elf.read(table.offset + hashes_at + 4 * (index - first), 4 * MAX_CHAIN)
    for (found,) in struct.iter_unpack("<I", chain[: len(chain) // 4 * 4]):
        if found | 1 == wanted | 1:
            address = _address_if(elf, symbols, names, index, name)
            if address is not None:
                return address
        if found & 1:
            break
        index += 1
    return None


def _address_if(elf: Elf, symbols: Section, names: Section, index: int, name: bytes) -> int | None:
    """The address of a symbol, if that is its name and it is defined here."""
    raw = elf.read(symbols.offset + index * _SYMBOL.size, _SYMBOL.size)
    if (index + 1) * _SYMBOL.size > symbols.size or len(raw) < _SYMBOL.size:
        return None
    place, _, _, section, address, _ = _SYMBOL.unpack(raw)
    is_it = elf.read(names.offset + place, len(name) + 1) == name + b"\0"
    return address if is_it and section else None


def _numbers(elf: Elf, table: Section, at: int, count: int) -> tuple[int, ...] | None:
    raw = elf.read(table.offset + at, 4 * count) if at + 4 * count <= table.size else b""
    return struct.unpack(f"<{count}I", raw) if len(raw) == 4 * count else None


def _hash(name: bytes) -> int:
    value = 5381
    for byte in name:
        value = (value * 33 + byte) & 0xFFFFFFFF
    return value
