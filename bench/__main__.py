"""User space natively, on one core: records to OTLP bytes, and its memory over many exchanges.

python -m bench                       all of it; memory over 1 million exchanges
python -m bench --memory 10000000     memory over 10 million
python -m bench --memory 0            rates alone
python -m bench --exchanges 0         memory alone
"""

from __future__ import annotations

import argparse
import json
import platform
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

from bench import memory, stock
from bench.kinds import BIG, OPEN, by_connections, kinds, stores
from bench.throughput import Rate, Row, rates

if TYPE_CHECKING:
    from collections.abc import Sequence

PROTOBUF = "big heads, protobuf objects in place of our encoder"
SDK = "big heads, the OpenTelemetry SDK's encoder in place of ours"


def rows(exchanges: int, sizes: Sequence[int] = OPEN) -> list[Row]:
    """Give everything that is measured, the stock ways included."""
    own = kinds(exchanges)
    (big,) = (row for row in own if row.name == BIG)
    stocked = [
        replace(big, name=PROTOBUF, encoder=stock.protobuf_objects),
        replace(big, name=SDK, encoder=stock.sdk_encoder),
    ]
    return [*own, *stores(exchanges), *stocked, *by_connections(exchanges, sizes)]


def table(measured: dict[str, Rate]) -> list[str]:
    """Give the lines of the table: each rate, its time, and how many times the SDK's rate it is."""
    return [f"{'best exchanges/s':>17}{'median':>10}{'µs each':>9}{'× SDK':>7}"] + [
        f"{rate.best:17,.0f}{rate.median:10,.0f}{1e6 / rate.best:9.1f}"
        f"{rate.best / measured[SDK].best:7.1f}  {name}"
        for name, rate in measured.items()
    ]


def memory_line(one: memory.Reading) -> str:
    """Give a reading as a line."""
    return f"{one.exchanges:12,} exchanges: RSS {one.rss_kib:9,} KiB, anonymous {one.anonymous_kib:9,} KiB"


def main() -> None:
    """Measure and print tables, then the same as one line of JSON."""
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--exchanges", type=int, default=20_000, help="of each row; 0: no rates")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument(
        "--memory", type=int, default=1_000_000, help="exchanges to read the memory over; 0: none"
    )
    chosen = parser.parse_args()
    result: dict[str, object] = {"machine": platform.platform()}
    if chosen.memory:
        # First: what the rates' records occupied would be in it.
        found = []
        for one in memory.readings(chosen.memory):
            found.append(one)
            print(memory_line(one), flush=True)
        growth = memory.growth_kib(found)
        print(f"anonymous memory grew by {growth:,} KiB from the second reading on", flush=True)
        result["memory"] = [asdict(one) for one in found]
    if chosen.exchanges:
        measured = rates(rows(chosen.exchanges), chosen.rounds)
        result["exchanges_per_s"] = {name: asdict(rate) for name, rate in measured.items()}
        print("\n".join(table(measured)))
    print(json.dumps(result))


if __name__ == "__main__":
    main()
