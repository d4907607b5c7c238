"""How many exchanges one core turns from records into OTLP bytes.

Every row is CPU time of one thread. The rows take turns, a slice of their records each, so whatever else the machine
does befalls all of them alike; what counts is the best round of each, which was disturbed the least, and the ratios
between rows of one run. Runs of different days do not compare.
"""

from __future__ import annotations

import gc
import random
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from agent.config import DEFAULT_PROPAGATORS
from agent.counters import Ledger
from agent.export.otlp import encode
from agent.pipeline import GC_THRESHOLDS, Pipeline
from agent.replay import RecordedProcesses
from agent.spans.span import Span
from agent.traces.context import Ids
from agent.traces.context_propagators import propagators
from agent.traces.sampler import sampler

BATCH = 512
"""Spans that are encoded together."""
SETTLE_EVERY = 2048
"""Records between two times that exchanges are settled."""
PADDING = bytes(128)
"""`Pipeline.take` may look behind a record."""

Encoder = Callable[[Sequence[Span]], bytes]


class Run:
    """The pipeline with an encoder at its end."""

    def __init__(self, encoder: Encoder = encode) -> None:
        self.encoder = encoder
        self.bytes = 0
        self.spans = 0
        self._batch: list[Span] = []
        self.ledger = Ledger()
        processes = RecordedProcesses()
        self.pipeline = Pipeline(
            processes=processes,
            kernel=processes,
            ledger=self.ledger,
            emit=self._emit,
            sampler=sampler("always_on"),
            ids=Ids(random.randbytes),
            contexts=propagators(DEFAULT_PROPAGATORS),
            unix_offset_ns=0,
        )

    def _emit(self, span: Span) -> None:
        self._batch.append(span)
        if len(self._batch) >= BATCH:
            self._flush()

    def _flush(self) -> None:
        self.bytes += len(self.encoder(self._batch))
        self.spans += len(self._batch)
        self._batch.clear()

    def settle(self) -> None:
        """Make spans, and bytes, of all exchanges that have ended."""
        self.pipeline.settle(everything=True)
        if self._batch:
            self._flush()


class Fed(Run):
    """A run whose records lie in one buffer, as in the ring."""

    def __init__(self, records: list[bytes], encoder: Encoder) -> None:
        super().__init__(encoder)
        self.places = []
        buffer = bytearray()
        for record in records:
            self.places.append((len(buffer), len(buffer) + len(record)))
            buffer += record + bytes(-len(record) % 8)
        self.data = memoryview(bytes(buffer + PADDING))

    def go(self, start: int, end: int) -> float:
        """Records from `start` to `end`; gives the CPU seconds."""
        take, data, places = self.pipeline.take, self.data, self.places
        began = time.thread_time()
        for at in range(start, end, SETTLE_EVERY):
            for first, last in places[at : min(at + SETTLE_EVERY, end)]:
                take(data, first, last)
            self.pipeline.settle()
        self.settle()
        return time.thread_time() - began


@dataclass(frozen=True, slots=True)
class Row:
    """Something to measure."""

    name: str
    records: list[bytes]
    per_exchange: int = 2
    """Records of an exchange, or of all commands that are sent together."""
    exchanges: int = 1
    """How many commands are sent together, which become one span."""
    unmeasured: int = 0
    """Records before the first exchange that is measured: they open connections."""
    encoder: Encoder = encode


@dataclass(frozen=True, slots=True)
class Rate:
    """Exchanges per second of CPU time."""

    best: float
    median: float


def slices(row: Row, rounds: int) -> list[tuple[int, int]]:
    """Give where the records of each round begin and end: whole exchanges, as many in every round."""
    size = (len(row.records) - row.unmeasured) // row.per_exchange // rounds * row.per_exchange
    if not size:
        raise ValueError(f"{row.name}: fewer exchanges than rounds")
    return [(row.unmeasured + n * size, row.unmeasured + (n + 1) * size) for n in range(rounds)]


def rates(rows: Sequence[Row], rounds: int) -> dict[str, Rate]:
    """Measure all rows. The first round fills the caches and is not counted.

    The garbage collector is set as the daemon sets it.
    """
    before = gc.get_threshold()
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)
    try:
        return _rates(rows, rounds)
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()


def _rates(rows: Sequence[Row], rounds: int) -> dict[str, Rate]:
    runs = [(row, Fed(row.records, row.encoder), slices(row, rounds + 1)) for row in rows]
    measured: dict[str, list[float]] = {row.name: [] for row in rows}
    for row, run, _ in runs:
        run.go(0, row.unmeasured)
    for number in range(rounds + 1):
        for row, run, parts in runs:
            start, end = parts[number]
            before = run.spans
            spent = run.go(start, end)
            expected = (end - start) // row.per_exchange
            assert run.spans - before == expected, row.name
            measured[row.name].append(expected * row.exchanges / spent)
    for row, run, _ in runs:
        assert run.ledger.captured == run.ledger.built, (row.name, run.ledger.as_json())
    return {
        name: Rate(best=max(found[1:]), median=statistics.median(found[1:]))
        for name, found in measured.items()
    }
