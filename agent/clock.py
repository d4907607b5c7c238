"""Kernel time (CLOCK_MONOTONIC) and Unix time."""

from __future__ import annotations

import time


def unix_offset_ns() -> int:
    """What has to be added to a monotonic time to make it a Unix time; the best of a few readings."""
    best = None
    for _ in range(5):
        before = time.monotonic_ns()
        unix = time.time_ns()
        after = time.monotonic_ns()
        if best is None or after - before < best[0]:
            best = (after - before, unix - (before + after) // 2)
    assert best is not None
    return best[1]
