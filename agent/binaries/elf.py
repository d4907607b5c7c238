"""The little of ELF that we need: sections by name, segments, and a few bytes of either.

Only 64-bit little-endian files, the ones that the supported processors run. Nothing is read before it is asked for,
so a 100 MB executable costs three small reads. The file is hostile: every count and size is bounded, and whatever
does not fit reads as absent.

https://refspecs.linuxfoundation.org/elf/gabi4+/contents.html
"""

from __future__ import annotations

import os
import stat
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from types import TracebackType

MAX_SECTIONS: Final = 1024
"""A Go binary has 25, one with debug information 50."""
MAX_SEGMENTS: Final = 128
MAX_NAMES: Final = 1 << 16
"""Bytes of the section name table."""

PT_LOAD: Final = 1
PF_W: Final = 2
SHT_NOBITS: Final = 8
_IDENT: Final = b"\x7fELF\x02\x01"
"""EI_CLASS 2: 64 bits; EI_DATA 1: little-endian."""
_HEADER: Final = struct.Struct("<16sHHIQQQIHHHHHH")
_SECTION: Final = struct.Struct("<IIQQQQIIQQ")
_SEGMENT: Final = struct.Struct("<IIQQQQQQ")


@dataclass(frozen=True, slots=True)
class Section:
    """A named part of the file."""

    name: str
    offset: int
    size: int
    """Bytes in the file; 0 for a section that has none, as .bss."""
    address: int = 0
    """Where it is mapped, relative to the load address of a position-independent file."""


@dataclass(frozen=True, slots=True)
class Segment:
    """A part of the file that is mapped into memory."""

    offset: int
    size: int
    is_writable: bool
    address: int = 0


class Elf:
    """An open ELF file. Use `open_elf`, and close it or use it as a context manager."""

    def __init__(self, fd: int, *, header: bytes, size: int) -> None:
        self._fd = fd
        self._size = size
        fields = _HEADER.unpack(header)
        self.machine: Final[int] = fields[2]
        self._segments_at: Final[int] = fields[5]
        self._sections_at: Final[int] = fields[6]
        self._segment_size, self._segment_count = fields[9:11]
        self._section_size, self._section_count, self._names_index = fields[11:14]

    def sections(self) -> dict[str, Section]:
        """All sections by name, the first of a name counting; none if the file was stripped of them."""
        rows = self._table(self._sections_at, self._section_count, self._section_size, _SECTION)
        if self._names_index >= len(rows):
            return {}
        table = rows[self._names_index]
        names = self.read(table[4], min(table[5], MAX_NAMES))
        found: dict[str, Section] = {}
        for row in rows[:MAX_SECTIONS]:
            raw = names[row[0] : row[0] + 64].partition(b"\0")[0]
            name = raw.decode("ascii", "replace")
            size = 0 if row[1] == SHT_NOBITS else row[5]
            found.setdefault(name, Section(name, row[4], size, row[3]))
        return found

    def segments(self) -> list[Segment]:
        """What is loaded."""
        rows = self._table(self._segments_at, self._segment_count, self._segment_size, _SEGMENT)
        return [
            Segment(row[2], row[5], bool(row[1] & PF_W), row[3])
            for row in rows[:MAX_SEGMENTS]
            if row[0] == PT_LOAD
        ]

    def read(self, offset: int, size: int) -> bytes:
        """At most `size` bytes of the file; fewer at its end."""
        if not 0 <= offset < self._size or size <= 0:
            return b""
        try:
            return os.pread(self._fd, min(size, self._size - offset), offset)
        except OSError:
            return b""

    def offset_of(self, address: int) -> int | None:
        """Where in the file a mapped address is; None if it is not there."""
        for segment in self.segments():
            if segment.address <= address < segment.address + segment.size:
                return segment.offset + address - segment.address
        return None

    def contains(self, section: Section, text: bytes, *, limit: int) -> bool:
        """Whether `text` is in the first `limit` bytes of a section."""
        step = 1 << 20
        end = section.offset + min(section.size, limit)
        return any(
            text in self.read(offset, min(step + len(text), end - offset))
            for offset in range(section.offset, end, step)
        )

    def close(self) -> None:
        """Close the file."""
        os.close(self._fd)

    def __enter__(self) -> Elf:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _table(
        self, offset: int, count: int, entry_size: int, entry: struct.Struct
    ) -> list[tuple[int, ...]]:
        if entry_size != entry.size or count > MAX_SECTIONS:
            return []
        raw = self.read(offset, count * entry_size)
        return list(entry.iter_unpack(raw[: len(raw) // entry_size * entry_size]))


def open_elf(path: str) -> Elf | None:
    """Open an executable or a library; None if it cannot be opened or is not one that we read."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    header, size = _start_of(fd)
    if len(header) == _HEADER.size and header.startswith(_IDENT):
        return Elf(fd, header=header, size=size)
    os.close(fd)
    return None


def _start_of(fd: int) -> tuple[bytes, int]:
    """The file's first bytes and its size; nothing of what is not a regular file."""
    try:
        status = os.fstat(fd)
        regular = stat.S_ISREG(status.st_mode)
        return (os.pread(fd, _HEADER.size, 0) if regular else b""), status.st_size
    except OSError:
        return b"", 0
