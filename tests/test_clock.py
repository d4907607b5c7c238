"""Kernel time and Unix time."""

from __future__ import annotations

import time

from agent.clock import unix_offset_ns


def test_offset_leads_from_one_to_the_other():
    before = time.time_ns()
    told = time.monotonic_ns() + unix_offset_ns()
    after = time.time_ns()
    # A millisecond is far more than the readings take.
    assert before - 1_000_000 <= told <= after + 1_000_000


def test_best_of_the_readings_counts(monkeypatch):
    """The reading that took least time: 40 ns around 1000, where Unix time was 5000."""
    monotonic = iter([0, 900, 980, 1020, 2000, 2500, 3000, 3500, 4000, 4600])
    unix = iter([1, 5000, 2, 3, 4])
    monkeypatch.setattr(time, "monotonic_ns", lambda: next(monotonic))
    monkeypatch.setattr(time, "time_ns", lambda: next(unix))
    assert unix_offset_ns() == 5000 - 1000
