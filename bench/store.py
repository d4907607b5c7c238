"""`python -m bench.store`: the store's speed: ingest on one core, bytes per span, and every query of docs/query.md.

The spans are `store_data.py`'s. Ingest is CPU time of the writing thread in batches of 512, eviction included where
the size is bounded; a query's time is that of a reader's first call, parsing and reading the shapes included, with
the file in the page cache. Queries run in a process of their own, whose memory is read a hundred times a second. What
misses a limit has a mark. One line of JSON comes last.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent.query.dependencies import dependencies
from agent.query.parser import parse
from agent.query.red import services
from agent.query.search import search
from agent.store.reader import Listing, Order, Reader
from agent.store.retention import Limits
from agent.store.writer import Writer
from bench.memory import parse_status
from bench.store_data import START_NS, Shop

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent.spans.span import Span

BATCH = 512
INGEST_LIMIT = 20_000
"""Spans per second on one core, at least."""
QUERY_LIMIT_S = 1.0
DOCUMENT = Path(__file__).resolve().parent.parent / "docs/query.md"
MORE = [
    "{ .http.route = nil && duration > 1h }",
    '{ .url.path =~ ".*/nothing/.*" }',
    "{ kind = server } > { kind = producer }",
    "{ kind = client } >> { kind = server && duration > 1h }",
    "{ kind = client } | avg(.http.response.body.size) > 1000000",
]
"""Queries that find nothing, and so look at everything, each in another way."""


def ingest(path: Path, spans: int, limits: Limits) -> float:
    """Spans per second of CPU time."""
    writer = Writer(path, limits, clock=lambda: START_NS)
    batch: list[Span] = []
    spent = 0.0
    count = 0
    for trace in Shop().traces(spans):
        batch += trace
        if len(batch) >= BATCH:
            began = time.thread_time()
            writer.write(batch)
            writer.sweep()
            spent += time.thread_time() - began
            count += len(batch)
            batch = []
    writer.close()
    return count / spent


def timed(path: Path, work: Callable[[Reader], object]) -> tuple[float, float]:
    """Seconds of CPU and of the clock, the better of two."""
    best = (float("inf"), float("inf"))
    for _ in range(2):
        began, began_wall = time.process_time(), time.perf_counter()
        with Reader(path) as reader:
            work(reader)
        best = min(best, (time.process_time() - began, time.perf_counter() - began_wall))
    return best


def questions() -> dict[str, Callable[[Reader], object]]:
    """What is asked, by name."""
    found = re.search(r"^```text\n(.*?)^```", DOCUMENT.read_text(), re.MULTILINE | re.DOTALL)
    assert found
    queries = [*found[1].splitlines(), *MORE]
    asked: dict[str, Callable[[Reader], object]] = {
        text: lambda reader, text=text: search(reader, parse(text))  # type: ignore[misc]
        for text in queries
    }
    asked["traces"] = lambda reader: reader.summaries(Listing())
    asked["traces --slowest"] = lambda reader: reader.summaries(Listing(order=Order.SLOWEST))
    asked["services"] = services
    asked["map"] = dependencies
    return asked


def ask(path: Path) -> dict[str, Any]:
    """Ask everything, in this process; the times, and the most anonymous memory that was seen."""
    most = 0
    is_over = threading.Event()

    def watch() -> None:
        nonlocal most
        while not is_over.wait(0.01):
            most = max(most, parse_status(Path("/proc/self/status").read_text())[1])

    watching = threading.Thread(target=watch)
    watching.start()
    times = {name: timed(path, work) for name, work in questions().items()}
    is_over.set()
    watching.join()
    return {"times": times, "anonymous_kib": most}


def mark(is_met: bool) -> str:  # noqa: FBT001  # what it marks
    """A figure's mark."""
    return "" if is_met else "  ← misses its limit"


def main() -> None:
    """Measure and print a table, then the same as one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--spans", type=int, default=1_000_000)
    parser.add_argument("--ask", type=Path, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.ask is not None:
        print(json.dumps(ask(chosen.ask)))
        return
    spans = chosen.spans
    with tempfile.TemporaryDirectory(prefix="zerospan-bench-") as folder:
        path = Path(folder) / "traces.db"
        rate = ingest(path, spans, Limits(size_bytes=1 << 40))
        size = os.path.getsize(path) / spans
        print(
            f"ingest                 {rate:10,.0f} spans/s of CPU time{mark(rate >= INGEST_LIMIT)}"
        )
        print(f"size                   {size:10,.0f} bytes/span")
        bounded = Path(folder) / "bounded.db"
        limit = 32 * 1024 * 1024
        evicting = ingest(bounded, spans, Limits(size_bytes=limit))
        print(f"ingest, 32 MiB at most {evicting:10,.0f} spans/s of CPU time{mark(evicting >= INGEST_LIMIT)}")  # fmt: skip
        assert os.path.getsize(bounded) <= limit
        command = [sys.executable, "-m", "bench.store", "--ask", str(path)]
        asked = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    for name, (cpu, wall) in asked["times"].items():
        print(f"{cpu:7.3f} s CPU {wall:7.3f} s  {name}{mark(cpu < QUERY_LIMIT_S)}")
    print(f"anonymous memory of the asking process: {asked['anonymous_kib']:,} KiB at most")
    print(
        json.dumps(
            {
                "spans": spans,
                "ingest_per_s": round(rate),
                "ingest_evicting_per_s": round(evicting),
                "bytes_per_span": round(size),
                "queries_s": {name: round(cpu, 3) for name, (cpu, _) in asked["times"].items()},
                "anonymous_kib": asked["anonymous_kib"],
            }
        )
    )


if __name__ == "__main__":
    main()
