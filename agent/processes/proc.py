"""What /proc says of a process, read once and kept small.

Everything here was written by the process itself or by whoever started it, so it is hostile: sizes are bounded,
control characters dropped, and of the environment only the few variables are kept that tell about tracing; none
whose name says that it holds a secret. A process may be gone between any two reads: then the answer is None or
empty, never an exception.

The files are read with bare system calls: a whole process takes 0.1 ms, a fifth of what psutil needs for less.
"""

from __future__ import annotations

import os
import re
import stat
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from agent.processes import sockets
from agent.processes.cgroup import Cgroup, parse
from agent.processes.text import clean, clean_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

MAX_PATH: Final = 1024
MAX_ARGUMENTS: Final = 192
"""Arguments kept. A Java service has a hundred options before its main class."""
MAX_ARGUMENT: Final = 512
"""Bytes of one argument kept; a class path is longer, and of no interest."""
MAX_ARGUMENTS_SIZE: Final = 8192
"""Characters of all arguments kept."""
MAX_CMDLINE: Final = 1 << 16
MAX_ENVIRON: Final = 1 << 18
"""Bytes of the environment looked through. Container platforms add a few variables per service of the cluster."""
MAX_VALUE: Final = 2048
MAX_VARIABLES: Final = 64
MAX_MAPS: Final = 1 << 21
_START: Final = re.compile(rb"([0-9a-f]+)-[0-9a-f]+ \S+ 0+ \S+ [1-9]\S* *(/.*)")
_MAPPING: Final = re.compile(rb"([0-9a-f]+)-[0-9a-f]+ \S+ \S+ \S+ \S+ *(.*)")
_WRITABLE: Final = re.compile(rb"([0-9a-f]+)-([0-9a-f]+) rw\S+ \S+ \S+ \S+ *(.*)")
"""Bytes of /proc/PID/maps read: 20 000 mappings."""
MAX_MAPPED: Final = 1024
"""Different mapped files kept."""

KEPT_VARIABLES: Final = frozenset(
    {
        "CORECLR_ENABLE_PROFILING",
        "CORECLR_PROFILER",
        "CORECLR_PROFILER_PATH",
        "JAVA_TOOL_OPTIONS",
        "JDK_JAVA_OPTIONS",
        "LD_PRELOAD",
        "NODE_OPTIONS",
        "PYTHONPATH",
        "RUBYOPT",
        "_JAVA_OPTIONS",
    }
)
"""Besides `OTEL_*`: how OpenTelemetry is loaded into a process (agent.processes.sdk)."""
_SECRET: Final = re.compile(r"HEADERS|KEY|TOKEN|SECRET|PASSWORD|CERTIFICATE")
TICK_NS: Final = 10_000_000
"""A clock tick, 1/100 s on all supported processors, where an event's time stands in for a start time."""
_MAX_TICKS: Final = 1 << 40
_IN_MEMORY: Final = "/memfd:"
"""memfd_create(2): the executable never was a file, and its name is not one's own."""
_PF_KTHREAD: Final = 0x0020_0000
"""include/linux/sched.h: the process is the kernel's own."""
_NONE: Final[Mapping[str, str]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class ProcessFacts:
    """One process at the moment it was looked at."""

    pid: int
    ppid: int = 0
    """0 if not known."""
    start_ticks: int = 0
    """Clock ticks from boot to its start; with `pid` its identity. 0 if not known."""
    start_unix_ns: int = 0
    """The same as time of day; 0 if not known."""
    comm: str = ""
    """The kernel's name for it: 15 bytes of the file name, unless the program changed it."""
    exe: str = ""
    """Path of the executable as the process sees it; empty for a kernel thread and where reading is not allowed."""
    argv: tuple[str, ...] = field(default=(), repr=False)
    """May hold secrets: for recognising programs, never for export."""
    environ: Mapping[str, str] = field(default_factory=lambda: _NONE, repr=False)
    """OTEL_* without what may be secret, and KEPT_VARIABLES."""
    cgroup: Cgroup = field(default_factory=Cgroup)
    uid: int | None = None
    netns: int = 0
    """Inode of the network namespace; 0 if not known."""
    is_kernel_thread: bool = False

    @property
    def executable_name(self) -> str:
        """File name of the executable; without one, what was called, else the kernel's name."""
        if self.exe and not self.exe.startswith(_IN_MEMORY):
            return _file_name(self.exe)
        called = self.argv[0].split(" ", 1)[0].removesuffix(":") if self.argv else ""
        return _file_name(called).lstrip("-@") or self.comm


def facts_after_exec(before: ProcessFacts, *, comm: bytes, arguments: bytes) -> ProcessFacts:
    """What an exec event tells, for a process that may be gone from /proc by the time it is read.

    An exec keeps the process's parent, container, network and user. The environment is not known then, and neither
    is the executable's path.
    """
    return replace(
        before,
        comm=clean(comm.partition(b"\0")[0], limit=64),
        exe="",
        argv=parse_arguments(arguments),
        environ=_NONE,
    )


def facts_after_fork(parent: ProcessFacts, child: int, *, time_ns: int) -> ProcessFacts:
    """A child that has not called exec is what its parent is. The time tells it from others of its number."""
    return replace(
        parent, pid=child, ppid=parent.pid, start_ticks=time_ns // TICK_NS, start_unix_ns=0
    )


@dataclass(frozen=True, slots=True)
class State:
    """What /proc/PID/stat says of a process that has not ended."""

    comm: str
    ppid: int
    start_ticks: int
    is_kernel_thread: bool


def parse_stat(raw: bytes) -> State | None:
    """Read /proc/PID/stat (proc(5)). The name may hold anything, so it ends at the last parenthesis."""
    head, _, rest = raw.rpartition(b")")
    fields = rest.split()
    if len(fields) < 20 or fields[0] in (b"Z", b"X"):
        return None
    ppid, flags, start = fields[1], fields[6], fields[19]
    if not (ppid.isdigit() and flags.isdigit() and start.isdigit()) or len(rest) > 1024:
        return None
    is_kernel = bool(int(flags) & _PF_KTHREAD)
    return State(clean(head.partition(b"(")[2], limit=64), int(ppid), int(start), is_kernel)


class Proc:
    """Reads a /proc tree. Without a root that is the live one; tests build their own."""

    def __init__(self, root: Path = Path("/proc"), *, ticks_per_s: int | None = None) -> None:
        self.root: Final = str(root)
        self._ticks_per_s: Final = ticks_per_s or os.sysconf("SC_CLK_TCK")

    def pids(self) -> list[int]:
        """All processes, in numerical order."""
        try:
            names = os.listdir(self.root)
        except OSError:
            return []
        return sorted(int(name) for name in names if name.isascii() and name.isdecimal())

    def facts(self, pid: int) -> ProcessFacts | None:
        """Read all of one process; None if it has ended, waited for or not, or if `pid` is a thread's number."""
        folder = f"{self.root}/{pid}"
        state = parse_stat(_read(f"{folder}/stat", 1024) or b"")
        status = _read(f"{folder}/status", 2048)
        if state is None or status is None or _number(status, b"\nTgid:\t") not in (pid, None):
            return None
        return ProcessFacts(
            pid=pid,
            ppid=state.ppid,
            start_ticks=state.start_ticks,
            start_unix_ns=self._unix_ns(state.start_ticks),
            comm=state.comm,
            exe=_link(f"{folder}/exe").removesuffix(" (deleted)"),
            argv=parse_arguments(_read(f"{folder}/cmdline", MAX_CMDLINE) or b""),
            environ=parse_environ(_read(f"{folder}/environ", MAX_ENVIRON) or b""),
            cgroup=parse(_read(f"{folder}/cgroup", MAX_CMDLINE) or b""),
            uid=_number(status, b"\nUid:\t"),
            netns=_inode(_link(f"{folder}/ns/net")),
            is_kernel_thread=state.is_kernel_thread,
        )

    def start_ticks(self, pid: int) -> int | None:
        """Only when it started, which tells whether a pid is still the same process; None if it is gone."""
        state = parse_stat(_read(f"{self.root}/{pid}/stat", 1024) or b"")
        return None if state is None else state.start_ticks

    def mapped(self, pid: int) -> frozenset[str]:
        """Paths of the files that are mapped into its memory: libraries, and what runtimes map besides."""
        found: set[str] = set()
        for line in _read_all(f"{self.root}/{pid}/maps", MAX_MAPS).split(b"\n"):
            start = line.find(b"/")
            if start >= 0 and len(found) < MAX_MAPPED:
                found.add(clean(line[start:], limit=MAX_PATH).removesuffix(" (deleted)"))
        return frozenset(found)

    def writable(self, pid: int) -> list[tuple[int, int, str]]:
        """Its writable mappings by address: start, end, and the file, empty if there is none."""
        found = []
        for line in _read_all(f"{self.root}/{pid}/maps", MAX_MAPS).split(b"\n"):
            if match := _WRITABLE.match(line):
                path = clean(match[3], limit=MAX_PATH).removesuffix(" (deleted)")
                found.append((int(match[1], 16), int(match[2], 16), path))
            if len(found) >= MAX_MAPPED:
                break
        return found

    def starts(self, pid: int) -> list[tuple[int, str]]:
        """Where the first bytes of files are mapped: address, and path as the process sees it."""
        found = []
        for line in _read_all(f"{self.root}/{pid}/maps", MAX_MAPS).split(b"\n"):
            if match := _START.match(line):
                path = clean(match[2], limit=MAX_PATH).removesuffix(" (deleted)")
                found.append((int(match[1], 16), path))
            if len(found) >= MAX_MAPPED:
                break
        return found

    def inside(self, pid: int, path: str) -> str:
        """A path at which a file that the process sees can be opened."""
        return f"{self.root}/{pid}/root/{path.lstrip('/')}"

    def load_address(self, pid: int) -> int | None:
        """Where its executable begins in its memory; None if that cannot be told."""
        path = _link(f"{self.root}/{pid}/exe")
        for line in _read_all(f"{self.root}/{pid}/maps", MAX_MAPS).split(b"\n"):
            match = _MAPPING.match(line)
            if match and path and clean(match[2], limit=MAX_PATH) == path:
                return int(match[1], 16)
        return None

    def executable(self, pid: int) -> str:
        """A path at which the running executable can be opened, whatever container it is from or if deleted."""
        return f"{self.root}/{pid}/exe"

    def read_inside(self, pid: int, path: str, *, limit: int) -> bytes:
        """Read a regular file as the process sees it; empty if there is none. A link out of it is not followed."""
        if ".." in path.split("/"):
            return b""
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        try:
            fd = os.open(f"{self.root}/{pid}/root/{path.lstrip('/')}", flags)
        except OSError:
            return b""
        try:
            return os.read(fd, limit) if stat.S_ISREG(os.fstat(fd).st_mode) else b""
        except OSError:
            return b""
        finally:
            os.close(fd)

    def socket_inodes(self, pid: int) -> frozenset[int]:
        """The sockets it has open."""
        return sockets.held_by(f"{self.root}/{pid}")

    def listening_sockets(self, pid: int) -> dict[int, int]:
        """Socket inode to port, of all that listen in its network namespace."""
        return sockets.listening_in(f"{self.root}/{pid}/net")

    def listening_ports(self, pid: int) -> frozenset[int]:
        """The TCP ports that this process listens on."""
        held = self.socket_inodes(pid)
        listening = self.listening_sockets(pid) if held else {}
        return frozenset(port for inode, port in listening.items() if inode in held)

    @cached_property
    def _boot_unix_s(self) -> int:
        found = _number(_read_all(f"{self.root}/stat", 1 << 20), b"\nbtime ")
        return found if found is not None and found < 1 << 33 else 0

    def _unix_ns(self, ticks: int) -> int:
        if not 0 < ticks < _MAX_TICKS or not self._boot_unix_s:
            return 0
        return self._boot_unix_s * 1_000_000_000 + ticks * 1_000_000_000 // self._ticks_per_s


def parse_arguments(raw: bytes) -> tuple[str, ...]:
    """Arguments, each ended by a zero byte, as far as the limits go.

    A program that overwrites its title leaves zeros behind it; they are no arguments.
    """
    kept: list[str] = []
    size = 0
    for argument in raw.rstrip(b"\0").split(b"\0", MAX_ARGUMENTS)[:MAX_ARGUMENTS]:
        text = clean(argument, limit=MAX_ARGUMENT)
        size += len(text)
        if size > MAX_ARGUMENTS_SIZE:
            break
        kept.append(text)
    return tuple(kept) if size else ()


def parse_environ(raw: bytes) -> Mapping[str, str]:
    """The variables that are kept, the first of a name counting, as for getenv(3)."""
    kept: dict[str, str] = {}
    for name, value in _variables(raw):
        if len(kept) < MAX_VARIABLES:
            kept.setdefault(name, clean(value, limit=MAX_VALUE))
    return kept or _NONE


def _variables(raw: bytes) -> Iterator[tuple[str, bytes]]:
    for variable in raw.split(b"\0"):
        name, separator, value = variable.partition(b"=")
        if not separator or len(name) > 128 or not name.isascii():
            continue
        text = name.decode("ascii")
        if text in KEPT_VARIABLES or (text.startswith("OTEL_") and not _SECRET.search(text)):
            yield clean_text(text, limit=128), value


def _number(raw: bytes, label: bytes) -> int | None:
    """The first number after `label`."""
    _, found, rest = raw.partition(label)
    digits = re.match(rb"\d{1,19}", rest[:20])
    return int(digits[0]) if found and digits else None


def _inode(link: str) -> int:
    """The number in `net:[4026531840]`."""
    digits = link.removeprefix("net:[").removesuffix("]")
    return int(digits) if digits.isascii() and digits.isdecimal() and len(digits) < 20 else 0


def _file_name(path: str) -> str:
    return path.rpartition("/")[2]


def _link(path: str) -> str:
    try:
        return clean(os.fsencode(os.readlink(path)), limit=MAX_PATH)
    except OSError:
        return ""


def _read(path: str, limit: int) -> bytes | None:
    """One read: all that these files give at once. None if the process is gone or is not ours to look at."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        return os.read(fd, limit)
    except OSError:
        return None
    finally:
        os.close(fd)


def _read_all(path: str, limit: int) -> bytes:
    """A file that the kernel gives a page at a time."""
    try:
        with open(path, "rb") as file:
            return file.read(limit)
    except OSError:
        return b""
