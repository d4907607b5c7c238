"""Embedded databases in processes: which files hold SQLite's library, and what to attach to them.

A process that is looked at tells by the files that it has mapped. It may map the library later (a first import, dlopen), so
the places where distributions keep it are looked at, too, as the process sees them. Processes that end sooner than they
can be looked at are served by what is attached for others: an attachment belongs to the file.

Not seen: a library elsewhere that is mapped after the process was looked at, under a name that does not say `sqlite`, or
without symbols.
"""

from __future__ import annotations

import os
import re
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from agent.binaries.elf import open_elf
from agent.binaries.sqlite import Library, read_library

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

ENTRY_HOOK: Final = "uprobe:sqlite"
RETURN_HOOK: Final = "uretprobe:sqlite"
USUAL: Final = (
    "/usr/lib/x86_64-linux-gnu/libsqlite3.so.0",
    "/usr/lib64/libsqlite3.so.0",
    "/usr/lib/libsqlite3.so.0",
)
"""Debian and Ubuntu; Fedora, SUSE and their kin; Alpine and Arch."""
MAX_KNOWN: Final = 512
"""Files that were read; beyond, the one that was asked for first is forgotten and read again."""
MAX_FILES: Final = 8
"""Of one process."""
_NAME: Final = re.compile(r"sqlite[^/]*$", re.IGNORECASE)
"""libsqlite3.so.0, _sqlite3.cpython-311-x86_64-linux-gnu.so, better_sqlite3.node, libsqlitejdbc.so, e_sqlite3 …"""

FileKey = tuple[int, int, int]
"""Device, inode, time of the last change."""


class Proc(Protocol):
    """What `processes.proc` tells of memory."""

    def mapped(self, pid: int) -> Collection[str]:
        """Files that are mapped."""

    def inside(self, pid: int, path: str) -> str:
        """Where a file that the process sees can be opened."""


@dataclass(frozen=True, slots=True)
class Attachment:
    """One place that a program is to be attached to."""

    hook: str
    path: str
    offset: int
    function: str
    """What is there: one of `enum sqlite_function`."""
    text_at: int
    """Where a statement has its text."""


class Embedded:
    """What is known of files."""

    def __init__(self, proc: Proc) -> None:
        self._proc = proc
        self._known: OrderedDict[FileKey, Library | None] = OrderedDict()

    def attachments(self, pid: int) -> Iterator[Attachment]:
        """All that there is to attach for a process; returns before entries, so that no entry is without its return."""
        seen = set()
        named = sorted(path for path in self._proc.mapped(pid) if _NAME.search(path))
        for name in (*named[:MAX_FILES], *USUAL):
            path = self._proc.inside(pid, name)
            key = _key_of(path)
            if key is None or key in seen:
                continue
            seen.add(key)
            library = self._library(key, path)
            if library is not None:
                yield from _places(library, path)

    def _library(self, key: FileKey, path: str) -> Library | None:
        if key in self._known:
            return self._known[key]
        elf = open_elf(path)
        library = None
        if elf is not None:
            with elf:
                library = read_library(elf)
        self._known[key] = library
        if len(self._known) > MAX_KNOWN:
            self._known.popitem(last=False)
        return library


def _places(library: Library, path: str) -> Iterator[Attachment]:
    for hook in (RETURN_HOOK, ENTRY_HOOK):
        for function, offset in library.functions:
            if hook == ENTRY_HOOK or function != "SQLITE_END":
                yield Attachment(hook, path, offset, function, library.text_at)


def _key_of(path: str) -> FileKey | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino, status.st_mtime_ns
