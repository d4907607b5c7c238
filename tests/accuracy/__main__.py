"""On the host: boot a guest per kernel, measure in it, score, print the table, keep it as JSON and Markdown.

    python -m tests.accuracy [--kernel 6.12] [--only go,node] [--requests 1024]

What was measured is kept in .cache/accuracy/KERNEL.json; a run of some services replaces those alone.
"""

from __future__ import annotations

import argparse
import compileall
import contextlib
import datetime
import json
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

from deploy.guest import CHECKOUT, SERIES, Guest, GuestError, Machine
from tests.accuracy.build import BUILT, build
from tests.accuracy.cases import CONCURRENCIES, REQUESTS, SHAPES, edges_of
from tests.accuracy.inside import LEDGER, MEASURED, SPANS, Measured
from tests.accuracy.report import as_json, from_json, markdown, terminal
from tests.accuracy.runtimes import RUNTIMES, Runtime, is_here, select
from tests.accuracy.score import Cell, Spans, judge
from tests.vm.harness_spans import spans_of

SILENCE_S: Final = 420.0
"""Boot, zerospan's start and a service's, on a busy machine without KVM."""
INTERRUPTED: Final = "interrupted"


def main() -> int:
    """Give 0 when all that was asked for has been measured."""
    parser = argparse.ArgumentParser(prog="python -m tests.accuracy", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--kernel", choices=SERIES, action="append")
    parser.add_argument("--only", default="", help="services, by the beginning of their names")
    most = max(CONCURRENCIES)
    parser.add_argument(
        "--requests", type=int, default=REQUESTS[most], help=f"of a cell with {most} at once"
    )
    arguments = parser.parse_args()
    try:
        chosen = select(arguments.only)
    except ValueError as error:
        parser.error(str(error))
    missing = [runtime.name for runtime in chosen if not is_here(runtime)]
    if missing:
        parser.error(f"not installed: {', '.join(missing)}; run deploy/setup.sh accuracy")
    # What has been measured until then is scored, and the guest ended.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    build()
    for name in ("agent", "deploy", "probes", "tests/vm", "tests/accuracy"):
        compileall.compile_dir(CHECKOUT / name, quiet=1)
    status = 0
    for series in arguments.kernel or SERIES:
        trouble = run(series, chosen, arguments.requests)
        if trouble:
            print(f"accuracy: {trouble}", file=sys.stderr)
            status = 1
        if trouble == INTERRUPTED:
            break
    return status


def run(series: str, chosen: list[Runtime], requests: int) -> str:
    """Measure on one kernel; tell what was wrong, if anything."""
    with tempfile.TemporaryDirectory(prefix="zerospan-accuracy-") as temporary:
        scratch = Path(temporary)
        names = [runtime.name for runtime in chosen]
        trouble = _measure(series, ["--requests", str(requests), *names], scratch)
        measured = _measurements(scratch)
        cells = _score(measured, scratch)
        ledger = scratch / LEDGER
        if ledger.exists():
            print(f"ledger: {ledger.read_text()}")
        for runtime in chosen:
            log = scratch / f"{runtime.name}.log"
            if any(cell.failed for cell in cells if cell.runtime == runtime.name) and log.exists():
                print(f"{runtime.name} said:\n{log.read_text()}")
    for line in measured:
        if line["trouble"]:
            trouble = f"{line['runtime']}: {line['trouble']}"
            print(trouble, file=sys.stderr)
    if not cells:
        return trouble or "nothing was measured"
    kernel = measured[0]["kernel"]
    kept = BUILT / f"{series}.json"
    every = _merged(kept, cells)
    today = datetime.datetime.now(tz=datetime.UTC).date().isoformat()
    content = {"kernel": kernel, "date": today, "cells": [as_json(cell) for cell in every]}
    kept.write_text(json.dumps(content, indent=1) + "\n")
    kept.with_suffix(".md").write_text(markdown(every))
    print(f"\nKernel {kernel}, {today}; right / without / wrong parent, percent\n")
    print(terminal(cells))
    print(f"Kept in {kept.relative_to(CHECKOUT)} and {kept.with_suffix('.md').name}")
    return trouble


def _measure(series: str, arguments: list[str], scratch: Path) -> str:
    """Run the guest; tell what was wrong, if anything."""
    machine = Machine(series=series, scratch=scratch, memory="4G")
    command = [sys.executable, "-m", "tests.accuracy.inside", *arguments]
    print(f"Booting a guest with kernel {series}.", flush=True)
    shown, last = 0, time.monotonic()
    with (
        contextlib.suppress(KeyboardInterrupt),
        Guest(machine, command, output=sys.stdout.buffer) as guest,
    ):
        while not guest.wait(1.0):
            lines = _measurements(scratch)
            for line in lines[shown:]:
                print(
                    f"{line['runtime']} {line['shape']} at {line['concurrency']}: {line['seconds']} s"
                )
                sys.stdout.flush()
                last = time.monotonic()
            shown = len(lines)
            if time.monotonic() - last > SILENCE_S:
                return f"nothing was measured for {SILENCE_S:.0f} s"
        return f"the guest ended with {guest.exit_status}" if guest.exit_status else ""
    return INTERRUPTED


def _measurements(scratch: Path) -> list[dict[str, Any]]:
    path = scratch / MEASURED
    data = path.read_text() if path.exists() else ""
    return [json.loads(line) for line in data[: data.rfind("\n") + 1].splitlines()]


def _score(lines: list[dict[str, Any]], scratch: Path) -> list[Cell]:
    path = scratch / SPANS
    text = path.read_text() if path.exists() else ""
    spans = Spans(spans_of(text[: text.rfind("\n") + 1].splitlines()))
    inside = {runtime.name: runtime.inside for runtime in RUNTIMES}
    cells = []
    for line in lines:
        if line["trouble"] or not (scratch / f"{line['runtime']}.log").exists():
            continue  # nothing was measured, or its spans were still to come
        measured = Measured(**{name: line[name] for name in Measured.__slots__})
        cells.append(
            judge(
                spans,
                edges_of(SHAPES[measured.shape], measured.answered, inside[measured.runtime]),
                runtime=measured.runtime,
                shape=measured.shape,
                concurrency=measured.concurrency,
                requests=measured.requests,
                failed=len(measured.failed),
            )
        )
    return cells


def _merged(kept: Path, cells: list[Cell]) -> list[Cell]:
    """Put new cells in the place of the old ones of the same services, in the order of RUNTIMES."""
    old = (
        [from_json(cell) for cell in json.loads(kept.read_text())["cells"]] if kept.exists() else []
    )
    new = {cell.runtime for cell in cells}
    every = [cell for cell in old if cell.runtime not in new] + cells
    order = {runtime.name: n for n, runtime in enumerate(RUNTIMES)}
    return sorted(
        (cell for cell in every if cell.runtime in order), key=lambda cell: order[cell.runtime]
    )


if __name__ == "__main__":
    try:
        sys.exit(main())
    except GuestError as error:
        sys.exit(f"accuracy: {error}")
