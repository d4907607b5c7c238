"""What the agent tells the page about itself: a page of shared memory, written by one process, read by another.

A file without a name (memfd_create(2)), so nothing is left behind, no disk is waited for, and nobody else can read it.
Layout: `<Q length, Q checksum>`, then JSON. A reader that comes while it is written finds a wrong checksum and
looks again.
"""

from __future__ import annotations

import json
import os
import struct
import zlib
from typing import Any, Final

_HEAD: Final = struct.Struct("<QQ")
MAX_BYTES: Final = 1 << 20
"""A larger text is not told: some thousand processes."""
TRIES: Final = 5


class Board:
    """The writing end."""

    def __init__(self) -> None:
        self.fd = os.memfd_create("zerospan-board", os.MFD_CLOEXEC)

    def tell(self, facts: dict[str, Any]) -> None:
        """Replace what is told; if it is too much, the list of processes is left out."""
        text = json.dumps(facts).encode()
        if len(text) > MAX_BYTES:
            text = json.dumps({**facts, "processes": None}).encode()
        os.pwrite(self.fd, _HEAD.pack(len(text), zlib.crc32(text)) + text, 0)

    def close(self) -> None:
        """Forget it."""
        os.close(self.fd)


def read_board(fd: int) -> dict[str, Any] | None:
    """What is told; None if nothing is, or nothing whole."""
    for _ in range(TRIES if fd >= 0 else 0):
        head = os.pread(fd, _HEAD.size, 0)
        if len(head) < _HEAD.size:
            return None
        length, checksum = _HEAD.unpack(head)
        text = os.pread(fd, min(length, MAX_BYTES), _HEAD.size)
        if len(text) == length and zlib.crc32(text) == checksum:
            facts: dict[str, Any] = json.loads(text)
            return facts
    return None
