"""Who listens on which TCP port: /proc/net/tcp of each network namespace, and the sockets that a process holds.

The kernel lists listening sockets before all others, so reading stops at the first line of another state: a host
with 100 000 connections costs no more than one with ten.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

LISTEN: Final = b"0A"
"""TCP_LISTEN of include/net/tcp_states.h, as /proc/net/tcp prints it."""
MAX_LISTENING: Final = 8192
"""Listening sockets of one namespace that are looked at."""
MAX_FDS: Final = 2048
"""Open files of one process that are looked at. Files are listed by number, and a server opens its listening
sockets before it has connections."""
_CHUNK: Final = 1 << 16


def parse_listening(lines: Iterable[bytes]) -> Iterator[tuple[int, int]]:
    """Give (inode, port) of each listening socket in lines of /proc/net/tcp or tcp6; the heading is skipped."""
    for line in lines:
        fields = line.split(None, 10)
        if len(fields) < 10 or not fields[0].endswith(b":"):
            continue
        if fields[3] != LISTEN:
            return
        port, inode = _hexadecimal(fields[1].rpartition(b":")[2]), fields[9]
        if port is not None and inode.isdigit() and len(inode) <= 20:
            yield int(inode), port


def listening_in(net: str) -> dict[int, int]:
    """Map socket inode to port for the namespace whose tables are in the folder `net`; empty if it is gone."""
    found: dict[int, int] = {}
    for table in ("tcp", "tcp6"):
        for inode, port in parse_listening(_lines(f"{net}/{table}")):
            if len(found) >= MAX_LISTENING:
                return found
            found[inode] = port
    return found


def held_by(process: str) -> frozenset[int]:
    """Give the inodes of the sockets that the process whose folder is `process` has open; none if it is gone."""
    inodes: list[int] = []
    try:
        names = os.listdir(f"{process}/fd")
    except OSError:
        return frozenset()
    for name in names[:MAX_FDS]:
        try:
            target = os.readlink(f"{process}/fd/{name}")
        except OSError:
            continue  # closed meanwhile
        if target.startswith("socket:["):
            inode = target[8:-1]
            if inode.isdecimal() and inode.isascii() and len(inode) <= 20:
                inodes.append(int(inode))
    return frozenset(inodes)


def _hexadecimal(text: bytes) -> int | None:
    """A port as printed: four hexadecimal digits."""
    try:
        port = int(text, 16)
    except ValueError:
        return None
    return port if 0 < port <= 0xFFFF else None


def _lines(path: str) -> Iterator[bytes]:
    """The lines of a file, read in pieces and no further than asked for."""
    try:
        with open(path, "rb", buffering=_CHUNK) as table:
            for _ in range(MAX_LISTENING + 1):
                line = table.readline(512)
                if not line:
                    return
                yield line
    except OSError:
        return  # the process that lent its view of the namespace has ended
