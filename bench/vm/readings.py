"""Reading the guest's own numbers: busy time, the agent's CPU and memory, what BPF ran and holds."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

TICK_S: Final = 1 / os.sysconf("SC_CLK_TCK")
CGROUP: Final = Path("/sys/fs/cgroup/zerospan")


def busy_s() -> float:
    """Give the CPU time that was not idle, from any fixed point on, over all of a guest with one CPU.

    By the idle time, which the kernel keeps to the microsecond; what it says of user and system time are samples, which
    a load at a fixed rate may always meet at the same moment.
    """
    return time.clock_gettime(time.CLOCK_BOOTTIME) - idle_s(Path("/proc/stat").read_text())


def idle_s(stat: str) -> float:
    """Give the idle time of all CPUs, waiting for disks included, from the text of /proc/stat (proc(5))."""
    _cpu, _user, _nice, _system, idle, iowait, *_ = stat.partition("\n")[0].split()
    return (int(idle) + int(iowait)) * TICK_S


def cpu_s(pid: int) -> float:
    """Give the CPU time of a process's threads that live, to the nanosecond."""
    return sum(
        int(path.read_text().split()[0]) / 1e9
        for path in Path(f"/proc/{pid}/task").glob("*/schedstat")
    )


def resident_mb(pid: int) -> dict[str, float]:
    """Give VmRSS and RssAnon."""
    status = Path(f"/proc/{pid}/status").read_text()
    found = re.findall(r"^(VmRSS|RssAnon):\s+(\d+) kB", status, re.MULTILINE)
    return {name: int(kilobytes) / 1024 for name, kilobytes in found}


@contextlib.contextmanager
def own_cgroup() -> Iterator[None]:
    """A new cgroup for one life of the agent: what its maps occupy in the kernel is charged to it as well.

    Files that are cached already are charged to nobody: only a first start shows what the agent's files take.
    """
    (CGROUP.parent / "cgroup.subtree_control").write_text("+memory")
    CGROUP.mkdir()
    try:
        yield
    finally:
        CGROUP.rmdir()


def cgroup_mb() -> dict[str, float]:
    """Give what is charged to the agent's cgroup, with the part that is kernel memory and the part that is files."""
    stat = dict(line.split() for line in (CGROUP / "memory.stat").read_text().splitlines())
    current = int((CGROUP / "memory.current").read_text())
    return {
        "current": current / 2**20,
        "kernel": int(stat.get("kernel", 0)) / 2**20,
        "file": int(stat["file"]) / 2**20,
    }


def cgroup_cpu_s() -> float:
    """Give the CPU time of all that ever ran in the agent's cgroup: its loader too, which is gone."""
    stat = dict(line.split() for line in (CGROUP / "cpu.stat").read_text().splitlines())
    return int(stat["usage_usec"]) / 1e6


def _bpftool(kind: str) -> list[dict[str, Any]]:
    shown = subprocess.run(["bpftool", "-j", kind, "show"], capture_output=True, check=True)
    items: list[dict[str, Any]] = json.loads(shown.stdout or b"[]")
    return items


@dataclass(frozen=True, slots=True)
class Holding:
    """What the kernel's BPF side holds."""

    programs: int
    maps: int
    links: int
    map_bytes: int
    """Memory of the maps."""
    runs: int
    """Of all programs, while statistics were on."""
    run_ns: int

    def since(self, earlier: Holding) -> Holding:
        """Give the difference."""
        return Holding(*(getattr(self, name) - getattr(earlier, name) for name in self.__slots__))


def map_bytes(item: dict[str, Any]) -> int:
    """Give the memory of a map that bpftool shows.

    Before Linux kernel commit 90a5527d7686 ("bpf: add new map ops ->map_mem_usage") (in v6.4) a ring buffer's is told as
    its entries times the size of a value, which it has not.
    """
    told: int = item["bytes_memlock"]
    return max(told, item["max_entries"]) if item["type"] == "ringbuf" else told


def holding() -> Holding:
    """Ask bpftool."""
    programs, maps = _bpftool("prog"), _bpftool("map")
    return Holding(
        programs=len(programs),
        maps=len(maps),
        links=len(_bpftool("link")),
        map_bytes=sum(map(map_bytes, maps)),
        runs=sum(item.get("run_cnt", 0) for item in programs),
        run_ns=sum(item.get("run_time_ns", 0) for item in programs),
    )


@contextlib.contextmanager
def runs_counted() -> Iterator[None]:
    """Let the kernel count and time each run of a program; that costs, so it is off while busy time is read."""
    switch = Path("/proc/sys/kernel/bpf_stats_enabled")
    switch.write_text("1")
    try:
        yield
    finally:
        switch.write_text("0")
