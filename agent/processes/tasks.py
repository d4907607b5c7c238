"""How the kernel side reads what a process's runtime knows of its work: `struct runtime` in probes/include/maps.h.

Each runtime has a reader here. It is asked once for a process, when that first shows up with a connection or a port, and
gives None where it cannot tell: then the kernel side goes by threads alone.

CPython: threads wait for its lock (the GIL) in its own data, all at the same addresses, and are woken by whoever happened
to run. Such a wake hands nobody any work. Its data is known by the mappings: the writable ones of the executable or of
libpython, and what follows them without a file (variables that begin as zero).

Go: the layout of its goroutines is known by its release. The goroutines of net/http's client connections are known by the
code that they begin with, closures of `dialConn`, which the linker puts side by side. Who asks them
is learned at the entry of `roundTrip`. Without the function table nothing is told: such goroutines would be taken for
others.

Node.js: nothing is read of its memory. Its loop calls a function for each read from a socket, which returns when all is done
that follows from that; and where it returns something is attached. It is exported by the executable, or by libnode.

Ruby: its lock wakes each thread at an address of the thread's own, as a queue does. So there no wake is taken as a
hand-off.
"""

from __future__ import annotations

import platform
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Protocol

from agent.binaries.elf import open_elf
from agent.binaries.go_functions import addresses_of
from agent.binaries.go_layout import goroutine_of
from agent.binaries.python import read_interpreter, version_of
from agent.binaries.symbols import address_of
from agent.processes.runtime import Kind

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from agent.processes.runtime import Runtime

ALL_ADDRESSES: Final = (0, (1 << 64) - 1)
GO_ROUND_TRIP_HOOK: Final = "uprobe:go.persistConn.roundTrip"
_GO_MAIN: Final = "runtime.main"
"""In every program: if it is not found, the table is not one that we read."""
_GO_ROUND_TRIP: Final = "net/http.(*persistConn).roundTrip"
_GO_CLOSURES: Final = tuple(
    f"net/http.(*Transport).dialConn.{kind}{number}"
    for kind in ("func", "gowrap")
    for number in range(1, 10)
)
_GO_FUNCTIONS: Final = (_GO_MAIN, _GO_ROUND_TRIP, *_GO_CLOSURES)
_CPYTHON: Final = re.compile(r"/(?:python[\d.]*[dmt]?|libpython[\d.]+[a-z]*\.so[\d.]*)$")


_GLIBC: Final = re.compile(r"/libc(?:\.so\.6|-2\.\d+\.so)$")
THREAD_SPECIFIC: Final = 0x310
"""`specific_1stblock` in glibc's struct pthread, where the thread pointer points; each entry is a number and a pointer.
The same from 2.4 to 2.41 on x86_64 (nptl/descr.h)."""
COPIED: Final = "uretprobe:PyContext_CopyCurrent"
CALLED_BACK: Final = "uretprobe:node.LibuvStreamWrap.OnUvRead"
_ON_READ: Final = b"_ZN4node15LibuvStreamWrap8OnUvReadElPK8uv_buf_t"
"""node::LibuvStreamWrap::OnUvRead(ssize_t, const uv_buf_t*): exported by Node.js 18 to 24, as built by Debian and by its makers."""
_LIBNODE: Final = re.compile(r"/libnode\.so[\d.]*$")


class Process(Protocol):
    """A process, as `processes.process` knows it."""

    @property
    def pid(self) -> int:
        """Its number."""

    @property
    def runtime(self) -> Runtime:
        """What it runs on."""


class Proc(Protocol):
    """What `processes.proc` tells of memory."""

    def writable(self, pid: int) -> Sequence[tuple[int, int, str]]:
        """Writable mappings: start, end, file."""

    def starts(self, pid: int) -> Sequence[tuple[int, str]]:
        """Where the first bytes of files are: address, file."""

    def inside(self, pid: int, path: str) -> str:
        """Where a file that the process sees can be opened."""

    def executable(self, pid: int) -> str:
        """Where the executable can be opened."""

    def load_address(self, pid: int) -> int | None:
        """Where the executable begins in memory."""


@dataclass(frozen=True, slots=True)
class Layout:
    """What the kernel side is told of a process's runtime."""

    kind: str = "RUNTIME_OTHER"
    """One of `enum runtime_kind`."""
    locks: tuple[int, int] = (0, 0)
    """Where futexes are the runtime's own locks: from the first address to before the second."""
    addresses: tuple[int, ...] = ()
    """At most 4, and what they are is said at the branch of the kind in probes/include/work.h; likewise"""
    offsets: tuple[int, ...] = ()
    """at most 6."""
    probes: tuple[tuple[str, str, int], ...] = ()
    """Hook, file and offset of what is to be attached to it."""
    """What to attach: a hook, a file, and an offset in it."""

    def fields(self) -> dict[str, int]:
        """As the fields of `struct runtime`, but for the kind."""
        named = {f"address_{index}": value for index, value in enumerate(self.addresses)}
        named |= {f"offset_{index}": value for index, value in enumerate(self.offsets)}
        return named | {"locks_start": self.locks[0], "locks_end": self.locks[1]}


def layout_of(process: Process, proc: Proc) -> Layout | None:
    """What there is to tell; None for most processes."""
    reader = READERS.get(process.runtime.kind)
    return None if reader is None else reader(process, proc)


def _python(process: Process, proc: Proc) -> Layout | None:
    locks = _data_of_python(process, proc)
    contexts = _contexts_of(process, proc)
    if locks is None:
        return None
    return Layout(locks=locks) if contexts is None else replace(contexts, locks=locks)


def _contexts_of(process: Process, proc: Proc) -> Layout | None:
    """How to read contexts; None for a version, a processor or a C library that we do not know."""
    mapped = proc.starts(process.pid)
    if platform.machine() != "x86_64" or not any(_GLIBC.search(path) for _, path in mapped):
        return None
    for start, path in mapped:
        version = version_of(path)
        if version is None:
            continue
        file = proc.inside(process.pid, path)
        elf = open_elf(file)
        if elf is None:
            continue
        with elf:
            found = read_interpreter(elf, version)
        if found is not None:
            return Layout(
                kind="RUNTIME_PYTHON",
                addresses=(start - found.base + found.runtime + found.key_at,),
                offsets=(found.context_at, THREAD_SPECIFIC),
                probes=((COPIED, file, found.copy_offset),),
            )
    return None


def _data_of_python(process: Process, proc: Proc) -> tuple[int, int] | None:
    start = end = 0
    for first, behind, path in proc.writable(process.pid):
        if path and _CPYTHON.search(path):
            start, end = start or first, behind
        elif end and not path and first == end:
            return start, behind
        elif end:
            break
    return (start, end) if end else None


def _go(process: Process, proc: Proc) -> Layout | None:
    path = proc.executable(process.pid)
    goroutine = goroutine_of(process.runtime.version)
    loaded_at = proc.load_address(process.pid)
    elf = open_elf(path)
    if elf is None:
        return None
    with elf:
        segments = elf.segments()
        functions = addresses_of(elf, _GO_FUNCTIONS)
        round_trip = functions.get(_GO_ROUND_TRIP)
        offset = elf.offset_of(round_trip) if round_trip is not None else None
    if goroutine is None or loaded_at is None or _GO_MAIN not in functions or not segments:
        return None
    offsets = (goroutine.goid, goroutine.parent_goid, goroutine.start_pc)
    if offset is None:
        return Layout("RUNTIME_GO", offsets=offsets)
    closures = [functions[name] for name in _GO_CLOSURES if name in functions]
    if not closures:
        return None
    moved = loaded_at - segments[0].address
    return Layout(
        "RUNTIME_GO",
        addresses=(min(closures) + moved, max(closures) + 1 + moved),
        offsets=offsets,
        probes=((GO_ROUND_TRIP_HOOK, path, offset),),
    )


def _node(process: Process, proc: Proc) -> Layout | None:
    libraries = [path for _, path in proc.starts(process.pid) if _LIBNODE.search(path)]
    files = [proc.executable(process.pid), *(proc.inside(process.pid, path) for path in libraries)]
    for file in files:
        elf = open_elf(file)
        if elf is None:
            continue
        with elf:
            address = address_of(elf, _ON_READ)
            offset = elf.offset_of(address) if address is not None else None
        if offset is not None:
            return Layout("RUNTIME_NODE", probes=((CALLED_BACK, file, offset),))
    return None


def _ruby(process: Process, proc: Proc) -> Layout | None:
    del process, proc
    return Layout(locks=ALL_ADDRESSES)


READERS: Final[Mapping[Kind, Callable[[Process, Proc], Layout | None]]] = {
    Kind.GO: _go,
    Kind.NODE: _node,
    Kind.PYTHON: _python,
    Kind.RUBY: _ruby,
}
