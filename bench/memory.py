"""Whether memory stays flat while millions of exchanges pass, on connections that come and go.

The records are made as they are needed and dropped after that, so what grows is the pipeline's.
"""

from __future__ import annotations

import gc
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bench.throughput import PADDING, Run
from bench.traffic import passing

if TYPE_CHECKING:
    from collections.abc import Iterator

READINGS = 10
SETTLE_EVERY = 512
"""Exchanges between two times that all of them are settled."""


@dataclass(frozen=True, slots=True)
class Reading:
    """Memory of this process after so many exchanges."""

    exchanges: int
    rss_kib: int
    anonymous_kib: int


def parse_status(status: str) -> tuple[int, int]:
    """Give VmRSS and RssAnon in KiB from the text of /proc/PID/status."""
    fields = dict(line.split(":", 1) for line in status.splitlines() if ":" in line)
    return int(fields["VmRSS"].split()[0]), int(fields["RssAnon"].split()[0])


def readings(exchanges: int) -> Iterator[Reading]:
    """Let so many exchanges pass; read the memory ten times. Every one must have become a span."""
    taken = 0
    run = Run()
    since_settled = 0
    for records in passing(exchanges):
        for record in records:
            run.pipeline.take(memoryview(record + PADDING), 0, len(record))
        since_settled += len(records) // 2
        if since_settled >= SETTLE_EVERY:
            since_settled = 0
            run.settle()
            if run.spans >= exchanges * (taken + 1) // READINGS:
                taken += 1
                yield _read(run.spans)
    run.settle()
    assert run.spans == exchanges, run.ledger.as_json()
    if taken < READINGS:
        yield _read(run.spans)


def _read(exchanges: int) -> Reading:
    gc.collect()
    return Reading(exchanges, *parse_status(Path("/proc/self/status").read_text()))


def growth_kib(found: list[Reading]) -> int:
    """Give what the anonymous memory grew by from the second reading on; at the first one, caches still fill."""
    return found[-1].anonymous_kib - found[min(1, len(found) - 1)].anonymous_kib
