"""CPython: where its thread state, and in that the context that runs, are found in memory.

The logical task of a thread is its current context, `PyThreadState.context`: asyncio runs each task and each callback in
one of its own, copied from the context that made it. A thread's state is found without touching the program: it lies in
thread-specific data, and its key is `autoTSSkey` in `_PyRuntime`, {int initialized; pthread_key_t key}, which the
interpreter exports as it does `PyContext_CopyCurrent`, the function that copies contexts.

The offsets are private to each minor version; they were measured for the builds that the table names (tests hold those
that are on the machine to it). Of another version we say nothing.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from agent.binaries.symbols import address_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from agent.binaries.elf import Elf

COPY: Final = b"PyContext_CopyCurrent"
RUNTIME: Final = b"_PyRuntime"

_OFFSETS: Final[Mapping[tuple[int, int], tuple[int, int]]] = {
    (3, 9): (240, 584),
    (3, 10): (240, 584),
    (3, 11): (224, 592),
    (3, 12): (208, 1544),
    (3, 13): (208, 2160),
}
"""By version: `context` in PyThreadState, and `autoTSSkey` in _PyRuntime. x86_64, without Py_DEBUG and free threading."""

_FILE: Final = re.compile(r"(?:lib)?python(3)\.(\d+)(?:\.so[\d.]*)?$")
"""Not the debug builds (`d`), nor those without a lock (`t`): their offsets are others."""


@dataclass(frozen=True, slots=True)
class Interpreter:
    """Where things are in the file of an interpreter."""

    base: int
    """Address at which the file's first byte is linked."""
    runtime: int
    """Address of _PyRuntime, as linked."""
    copy_offset: int
    """Offset of PyContext_CopyCurrent's first instruction in the file."""
    context_at: int
    """Of `context` in PyThreadState."""
    key_at: int
    """Of the number of the thread-specific key, in _PyRuntime."""


def version_of(path: str) -> tuple[int, int] | None:
    """The version that a file's name tells, where we know its layout."""
    match = _FILE.search(path)
    version = (int(match[1]), int(match[2])) if match else None
    return version if version in _OFFSETS else None


def read_interpreter(elf: Elf, version: tuple[int, int]) -> Interpreter | None:
    """Find them; None for a file that is no interpreter (the small executable beside libpython), or was stripped."""
    copy, runtime = address_of(elf, COPY), address_of(elf, RUNTIME)
    if copy is None or runtime is None:
        return None
    context_at, key_at = _OFFSETS[version]
    copy_offset = elf.offset_of(copy)
    first = elf.segments()[0]
    if copy_offset is None:
        return None
    return Interpreter(
        base=first.address - first.offset,
        runtime=runtime,
        copy_offset=copy_offset,
        context_at=context_at,
        key_at=key_at + 4,
    )
