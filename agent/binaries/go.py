"""Go executables: which version built them, and of which modules they are made.

The linker writes both into `.go.buildinfo`, also into stripped and position-independent executables. Since Go 1.18
the text stands in the section itself (debug/buildinfo in Go's source):

    14 bytes    magic
     1 byte     pointer size, unused here
     1 byte     flags; bit 1: the text is inline
    16 bytes    unused here
    then        version, then module list: each a length (unsigned LEB128) and so many bytes

The module list is framed by 16 bytes on each side; its lines are `path`, `mod`, `dep`, `=>` (replaces the line above)
and `build`, the fields separated by tabs. Older executables hold pointers instead: of those we say only that they are
Go.
"""

from __future__ import annotations

import os
import re
from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

from agent.binaries.elf import Elf, open_elf

SECTION: Final = ".go.buildinfo"
MAGIC: Final = b"\xff Go buildinf:"
ALIGNMENT: Final = 16
"""The magic starts at a multiple of this."""
FLAG_INLINE: Final = 2
FRAME: Final = 16
"""Bytes before and after the module list."""
MAX_SIZE: Final = 1 << 20
"""Bytes read. Kubernetes' largest programs have 400 modules, 40 KB."""
MAX_SEARCH: Final = 1 << 16
"""Bytes of the data segment that are searched where there are no sections; Go puts the build info first."""
MAX_MODULES: Final = 2048
MAX_SYMBOLS: Final = 1 << 25
"""Bytes of the function table that are searched for a name."""

_VERSION: Final = re.compile(r"(?:go|devel go)(\d[\w.+-]{0,40})")
_TLS_FUNCTION: Final = b"crypto/tls.(*Conn).Write"


@dataclass(frozen=True, slots=True)
class GoBuild:
    """What a Go executable says of its making."""

    version: str = ""
    """As `1.22.3`; empty if not known."""
    path: str = ""
    """Import path of the main package."""
    modules: frozenset[str] = frozenset()
    """Paths of all modules linked in."""


def parse_build(raw: bytes) -> GoBuild | None:
    """Read the content of `.go.buildinfo`; None if it is not that."""
    if len(raw) < 32 or not raw.startswith(MAGIC):
        return None
    if not raw[15] & FLAG_INLINE:
        return GoBuild()
    version, position = _text(raw, 32)
    modules, _ = _text(raw, position)
    found = _VERSION.match(version.decode("ascii", "replace"))
    path, names = _modules(modules)
    return GoBuild(found[1] if found else "", path, names)


def read_build(elf: Elf) -> GoBuild | None:
    """Find and read the build info; None for what is not Go."""
    sections = elf.sections()
    if section := sections.get(SECTION):
        return parse_build(elf.read(section.offset, min(section.size, MAX_SIZE)))
    if sections:
        return None
    for segment in elf.segments():
        if segment.is_writable:
            head = elf.read(segment.offset, min(segment.size, MAX_SEARCH))
            position = _aligned(head)
            if position >= 0:
                return parse_build(elf.read(segment.offset + position, MAX_SIZE))
    return None


def has_tls(elf: Elf) -> bool:
    """Whether Go's own TLS is linked in. Stripped executables keep the function table that tells."""
    sections = elf.sections()
    table = sections.get(".gopclntab") or sections.get(".data.rel.ro.gopclntab")
    return table is not None and elf.contains(table, _TLS_FUNCTION, limit=MAX_SYMBOLS)


@dataclass(frozen=True, slots=True)
class _File:
    """An executable that does not change: replacing it makes another inode or time."""

    device: int
    inode: int
    modified_ns: int


class GoBuilds:
    """Build infos by file, the least recently used forgotten: many processes run the same executable."""

    def __init__(self, *, limit: int = 256) -> None:
        self._limit = limit
        self._known: OrderedDict[_File, GoBuild | None] = OrderedDict()

    def of(self, path: str) -> GoBuild | None:
        """The build info of the executable at `path`; None if it is gone or is not Go."""
        try:
            status = os.stat(path)
        except OSError:
            return None
        file = _File(status.st_dev, status.st_ino, status.st_mtime_ns)
        if file in self._known:
            self._known.move_to_end(file)
            return self._known[file]
        elf = open_elf(path)
        build = None
        if elf is not None:
            with elf:
                build = read_build(elf)
        if len(self._known) >= self._limit:
            self._known.popitem(last=False)
        self._known[file] = build
        return build


def _text(raw: bytes, position: int) -> tuple[bytes, int]:
    """A length and its bytes; empty if they are not all there. Second: where the next begins."""
    length = 0
    for index, byte in enumerate(raw[position : position + 4]):
        length |= (byte & 0x7F) << 7 * index
        if byte < 0x80:
            start = position + index + 1
            end = start + length
            return (raw[start:end], end) if end <= len(raw) else (b"", len(raw))
    return b"", len(raw)


def _modules(framed: bytes) -> tuple[str, frozenset[str]]:
    """The main package's path, and all modules' paths."""
    if len(framed) < 2 * FRAME + 1:
        return "", frozenset()
    path = ""
    names: set[str] = set()
    for line in framed[FRAME:-FRAME].split(b"\n", MAX_MODULES)[:MAX_MODULES]:
        fields = line[:512].decode("utf-8", "replace").split("\t")
        match fields:
            case ["path", name, *_]:
                path = name
            case ["mod" | "dep" | "=>", name, *_]:
                names.add(name)
    return path, frozenset(names)


def _aligned(data: bytes) -> int:
    position = data.find(MAGIC)
    while position >= 0 and position % ALIGNMENT:
        position = data.find(MAGIC, position + 1)
    return position
