"""When to try again: exponential back-off with jitter, within a bounded time."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Retry:
    """How patient a worker is with one batch."""

    first_s: float = 0.5
    longest_s: float = 15.0
    total_s: float = 60.0
    """After that the batch is given up: newer spans are worth more, and wait behind it."""

    def pause_s(self, failures: int, jitter: float) -> float:
        """Seconds to wait after so many failures in a row; `jitter` in 0..1 spreads many agents of one collector."""
        pause_s = self.first_s * float(2 ** min(failures - 1, 30))
        return min(pause_s, self.longest_s) * (0.5 + jitter / 2)
