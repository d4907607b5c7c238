"""What `zerospan ps` says: each process with sockets, whether it is traced and why, and what stays unseen in it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from agent.processes.discovery import Discovery
    from agent.processes.process import Process


@dataclass(frozen=True, slots=True)
class PsRow:
    """One process."""

    pid: int
    service: str
    runtime: str
    """Kind and version, as `python 3.11`."""
    ports: tuple[int, ...]
    """TCP ports that it listens on, in order."""
    is_traced: bool
    why: str
    cannot_see: tuple[str, ...]
    """A sentence each; empty for a process that is not traced."""


def rows(discovery: Discovery) -> list[PsRow]:
    """All processes that have sockets now, by pid. The discovery must have scanned."""
    discovery.find_sockets()
    return [
        row_of(discovery, process)
        for process in sorted(discovery, key=lambda process: process.pid)
        if process.has_sockets
    ]


def row_of(discovery: Discovery, process: Process) -> PsRow:
    """One process' row."""
    return PsRow(
        pid=process.pid,
        service=process.service,
        runtime=str(process.runtime),
        ports=tuple(sorted(process.ports)),
        is_traced=process.is_traced,
        why=process.decision.why,
        cannot_see=discovery.inspector.cannot_see(process) if process.is_traced else (),
    )
