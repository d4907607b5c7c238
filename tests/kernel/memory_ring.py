"""A ring buffer in memory, with the kernel's layout (kernel/bpf/ringbuf.c), and who writes it."""

from __future__ import annotations

import mmap
import os
import struct

PAGE = mmap.PAGESIZE
BUSY, DISCARD = 1 << 31, 1 << 30
_HEADER = struct.Struct("<II")


class MemoryRing:
    """The kernel's side: consumer page, producer page, data, and the data again."""

    def __init__(self, size: int = PAGE) -> None:
        self.size = size
        self.descriptor = os.memfd_create("ring")
        os.ftruncate(self.descriptor, 2 * PAGE + 2 * size)
        self._memory = mmap.mmap(self.descriptor, 2 * PAGE + 2 * size)

    @property
    def consumer(self) -> int:
        """How far the reader is."""
        return int.from_bytes(self._memory[:8], "little")

    @property
    def producer(self) -> int:
        """How far the writers are."""
        return int.from_bytes(self._memory[PAGE : PAGE + 8], "little")

    def reserve(self, payload: bytes, flags: int = BUSY) -> int:
        """Room for a record; where its header is."""
        at = self.producer
        room = (len(payload) + 8 + 7) // 8 * 8
        assert at + room - self.consumer <= self.size, "the ring is full"
        self._put(at + 8, payload)
        self.commit(at, len(payload) | flags)
        self._memory[PAGE : PAGE + 8] = (at + room).to_bytes(8, "little")
        return at

    def commit(self, at: int, length: int) -> None:
        """Write a header: the record's length with its flags."""
        self._put(at, _HEADER.pack(length, 0xDEAD))

    def submit(self, payload: bytes) -> int:
        """A whole record."""
        return self.reserve(payload, flags=0)

    def close(self) -> None:
        """Let it go."""
        self._memory.close()
        os.close(self.descriptor)

    def _put(self, at: int, data: bytes) -> None:
        """Into both copies, as one page that is mapped twice has it."""
        base = 2 * PAGE
        for offset, byte in enumerate(data):
            place = (at + offset) % self.size
            self._memory[base + place] = self._memory[base + self.size + place] = byte
