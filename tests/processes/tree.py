"""Builds a /proc tree on disk, with the files that the agent reads."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from pathlib import Path

from agent.processes.proc import Proc

BOOT = 1_700_000_000
HOST_NETNS = 4026531840
CONTAINER = "c0ffee" + "0123456789" * 5 + "abcdef12"


@dataclass
class Program:
    """What to write for one process."""

    argv: tuple[str, ...] = ("/usr/bin/app",)
    exe: str | None = None
    """argv[0] without it; empty for none."""
    comm: str | None = None
    ppid: int = 1
    start_ticks: int = 5000
    environ: dict[str, str] = field(default_factory=dict)
    cgroup: str = "0::/\n"
    uid: int = 1000
    netns: int = HOST_NETNS
    maps: tuple[str, ...] = ()
    socket_inodes: tuple[int, ...] = ()
    state: str = "S"
    flags: int = 0x400000
    tgid: int | None = None


class ProcTree:
    """A /proc in a temporary folder."""

    def __init__(self, root: Path) -> None:
        self.root = root
        root.mkdir(exist_ok=True)
        (root / "stat").write_text(f"cpu 1 2 3\nintr 5\nbtime {BOOT}\nprocesses 9\n")

    @property
    def proc(self) -> Proc:
        return Proc(self.root, ticks_per_s=100)

    def start(self, pid: int, program: Program) -> None:
        """Make a process appear, or replace what runs in it."""
        self.end(pid)
        folder = self.root / str(pid)
        (folder / "ns").mkdir(parents=True)
        (folder / "fd").mkdir()
        (folder / "net").mkdir()
        exe = program.argv[0] if program.exe is None else program.exe
        comm = exe.rpartition("/")[2][:15] if program.comm is None else program.comm
        (folder / "stat").write_text(
            f"{pid} ({comm}) {program.state} {program.ppid} 1 1 0 -1 {program.flags} "
            f"0 0 0 0 0 0 0 0 20 0 1 0 {program.start_ticks} 1000 10\n"
        )
        (folder / "status").write_text(
            f"Name:\t{comm}\nTgid:\t{program.tgid or pid}\nPid:\t{pid}\n"
            f"Uid:\t{program.uid}\t{program.uid}\t{program.uid}\t{program.uid}\n"
        )
        (folder / "cmdline").write_bytes(b"".join(a.encode() + b"\0" for a in program.argv))
        (folder / "environ").write_bytes(
            b"".join(f"{name}={value}\0".encode() for name, value in program.environ.items())
        )
        (folder / "cgroup").write_text(program.cgroup)
        (folder / "maps").write_text(
            "".join(
                f"7f00{index:08x}-7f01{index:08x} r-xp 00000000 fe:00 {index}    {path}\n"
                for index, path in enumerate(program.maps)
            )
            + "7ffd00000000-7ffd00001000 rw-p 00000000 00:00 0    [stack]\n"
        )
        if exe:
            (folder / "exe").symlink_to(exe)
        (folder / "ns" / "net").symlink_to(f"net:[{program.netns}]")
        (folder / "fd" / "0").symlink_to("/dev/null")
        for number, inode in enumerate(program.socket_inodes, start=3):
            (folder / "fd" / str(number)).symlink_to(f"socket:[{inode}]")
        (folder / "net" / "tcp").write_text("  sl  local_address rem_address   st\n")

    def listen(self, pid: int, ports: dict[int, int]) -> None:
        """Write the table of listening sockets, inode to port, as this process sees it."""
        lines = [
            f"   {index}: 00000000:{port:04X} 00000000:0000 0A 00000000:00000000 00:00000000"
            f" 00000000  1000        0 {inode} 1 0000000000000000 100 0 0 10 0\n"
            for index, (inode, port) in enumerate(ports.items())
        ]
        (self.root / str(pid) / "net" / "tcp").write_text("  sl  local_address\n" + "".join(lines))

    def end(self, pid: int) -> None:
        """Make a process disappear."""
        shutil.rmtree(self.root / str(pid), ignore_errors=True)
