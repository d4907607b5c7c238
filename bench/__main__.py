"""`python -m bench`: user space natively, records to OTLP bytes, on one core. Also: its memory over many exchanges.

Every row is CPU time of one thread, the median of interleaved rounds, so rows of one run compare; runs of different
days do not. The traffic is `traffic.py`'s.
"""

from __future__ import annotations

import argparse
import gc
import json
import platform
import random
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from agent.config import DEFAULT_PROPAGATORS
from agent.counters import Ledger
from agent.export.otlp import encode
from agent.pipeline import Pipeline
from agent.replay import RecordedProcesses
from agent.spans.span import Span
from agent.traces.context import Ids
from agent.traces.context_propagators import propagators
from agent.traces.sampler import sampler
from bench import stock
from bench.traffic import conversation, records

BATCH = 512
SETTLE_EVERY = 2048
Encoder = Callable[[Sequence[Span]], bytes]


class Run:
    """The pipeline with an encoder at its end, fed from one buffer as the ring feeds it."""

    def __init__(self, parts: list[bytes], encoder: Encoder) -> None:
        places, buffer = [], bytearray()
        for part in parts:
            places.append((len(buffer), len(buffer) + len(part)))
            buffer += part + bytes(-len(part) % 8)
        self.places = places
        self.data = memoryview(bytes(buffer + bytes(128)))
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

    def go(self, start: int, end: int) -> float:
        """Records from `start` to `end`; the CPU seconds."""
        take, data, places = self.pipeline.take, self.data, self.places
        began = time.thread_time()
        for at in range(start, end, SETTLE_EVERY):
            for first, last in places[at : min(at + SETTLE_EVERY, end)]:
                take(data, first, last)
            self.pipeline.settle()
        self.pipeline.settle(everything=True)
        if self._batch:
            self._flush()
        return time.thread_time() - began


def measure(
    rows: dict[str, tuple[list[bytes], Encoder]], opens: int, rounds: int
) -> dict[str, float]:
    """Exchanges per second of each row; the rows take turns, a slice of the records each."""
    runs = {name: Run(parts, encoder) for name, (parts, encoder) in rows.items()}
    for run in runs.values():
        run.go(0, opens)
    rates: dict[str, list[float]] = {name: [] for name in rows}
    for number in range(rounds):
        for name, run in runs.items():
            size = (len(run.places) - opens) // rounds // 2 * 2
            start = opens + number * size
            before = run.spans
            spent = run.go(start, start + size)
            rates[name].append((run.spans - before) / spent)
    for name, run in runs.items():
        assert run.ledger.captured == run.ledger.built, (name, run.ledger.as_json())
    return {name: statistics.median(rate[1:]) for name, rate in rates.items()}


def memory(exchanges: int) -> list[tuple[int, int]]:
    """RssAnon in KiB as ever more exchanges pass, of connections that come and go."""
    readings = []
    run = Run([], encode)
    done = 0
    step = 20_000
    socket = 1
    while done < exchanges:
        parts, socket = conversation(step, socket=socket, connections=256, seed=done)
        for part in parts:
            run.pipeline.take(memoryview(part + bytes(96)), 0, len(part))
        run.pipeline.settle(everything=True)
        done += step
        if done % (exchanges // 10) < step:
            del parts
            gc.collect()
            readings.append((done, rss_anon()))
    return readings


def rss_anon() -> int:
    """KiB."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1])
    return 0


def main() -> None:
    """Measure and print a table, then the same as one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--exchanges", type=int, default=20_000, help="per row")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument(
        "--memory", type=int, default=200_000, help="exchanges of the memory run; 0: none"
    )
    chosen = parser.parse_args()
    count = chosen.exchanges
    varied = records(count)
    small = records(count, is_small=True)
    repeated = records(count, is_repeated=True)
    rows: dict[str, tuple[list[bytes], Encoder]] = {
        "zerospan, every head different": (varied, encode),
        "zerospan, every head different and small": (small, encode),
        "zerospan, clients repeat themselves": (repeated, encode),
        "zerospan + protobuf objects": (varied, stock.protobuf_objects),
        "zerospan + OpenTelemetry SDK encoder": (varied, stock.sdk_encoder),
    }
    rates = measure(rows, 256, chosen.rounds)
    result: dict[str, object] = {"machine": platform.platform(), "exchanges_per_s": rates}
    for name, rate in rates.items():
        print(f"{rate:10,.0f} exchanges/s  {1e6 / rate:6.1f} µs  {name}")
    growth = {}
    for connections in (10, 1_000, 10_000):
        parts = records(count, connections=connections)
        growth[connections] = measure({"": (parts, encode)}, connections, chosen.rounds)[""]
        print(f"{growth[connections]:10,.0f} exchanges/s with {connections} open connections")
    result["by_connections"] = growth
    if chosen.memory:
        readings = memory(chosen.memory)
        result["rss_anon_kib"] = readings
        print(
            "RssAnon KiB after so many exchanges: "
            + ", ".join(f"{n:,}: {kib:,}" for n, kib in readings)
        )
    print(json.dumps(result))


if __name__ == "__main__":
    main()
