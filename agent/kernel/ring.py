"""Reads the BPF ring buffer in place.

The kernel's ring (kernel/bpf/ringbuf.c) is a page with the consumer's position, a page with the producer's, and the
data, mapped twice in a row so that no record is ever cut. A record is an 8-byte header, whose first word is the length
with two flag bits, and the payload, rounded up to 8. Walking it here costs 0.4 µs a record; a callback per record
through libbpf and ctypes costs four times that.

The length is read before the payload; x86 keeps that order (arm64 would need a load-acquire).
"""

from __future__ import annotations

import mmap
import select
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

_PAGE: Final = mmap.PAGESIZE
_BUSY: Final = 1 << 31
_DISCARD: Final = 1 << 30
_HEADER: Final = 8

PUBLISH_BYTES: Final = 256 * 1024
"""The consumer's position is handed back after so many bytes, so that the kernel has room while we still read."""


class Ring:
    """The reading end of one ring buffer map."""

    def __init__(self, descriptor: int, size: int, *, wake_descriptor: int | None = None) -> None:
        """`wake_descriptor`: becomes readable when the kernel side wakes us; the ring's own if not given."""
        self.size = size
        self._consumer_map = mmap.mmap(
            descriptor, _PAGE, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE
        )
        self._producer_map = mmap.mmap(
            descriptor, _PAGE + 2 * size, mmap.MAP_SHARED, mmap.PROT_READ, offset=_PAGE
        )
        self._consumer = memoryview(self._consumer_map).cast("Q")
        self._producer = memoryview(self._producer_map)[:8].cast("Q")
        self._data = memoryview(self._producer_map)[_PAGE:]
        self._words = self._data.cast("I")
        self._wake_descriptor = descriptor if wake_descriptor is None else wake_descriptor
        self._poll: select.epoll | None = None

    def wait(self, timeout_s: float) -> bool:
        """Until the kernel side asks to be read, which gives true, or the time is over.

        Edge-triggered: by a wake-up, and not because something lies in the ring, which is always so under load. So the
        timer decides, and a round has many records.
        """
        if self._poll is None:
            self._poll = select.epoll(1)
            self._poll.register(self._wake_descriptor, select.EPOLLIN | select.EPOLLET)
        return bool(self._poll.poll(timeout_s))

    def drain(self, take: Callable[[memoryview, int, int], None]) -> int:
        """Give `take` every record there is: the data, where the record starts and where it ends. Gives how many.

        The memory is the kernel's again afterwards: `take` copies what it keeps.
        """
        position = published = self._consumer[0]
        words, data, mask = self._words, self._data, self.size - 1
        count = 0
        try:
            # What is written while we read waits for the next round, so a round ends.
            producer = self._producer[0]
            while position < producer:
                at = position & mask
                length = words[at >> 2]
                if length & _BUSY:
                    break
                position += (length & ~_DISCARD) + _HEADER + 7 & ~7
                if not length & _DISCARD:
                    count += 1
                    take(data, at + _HEADER, at + _HEADER + length)
                if position - published >= PUBLISH_BYTES:
                    self._consumer[0] = published = position
        finally:
            self._consumer[0] = position
        return count

    def waiting(self) -> int:
        """Bytes that wait to be read."""
        return self._producer[0] - self._consumer[0]

    def close(self) -> None:
        """Unmap."""
        if self._poll is not None:
            self._poll.close()
        for view in (self._words, self._data, self._producer, self._consumer):
            view.release()
        self._producer_map.close()
        self._consumer_map.close()
