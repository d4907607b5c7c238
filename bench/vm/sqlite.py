"""What tracing SQLite costs the program that uses it: a guest that counts instructions, without and with zerospan.

    python -m bench.vm.sqlite [--kernel 6.12]

Prints µs of 10^3 instructions, in the thread that executes the statements: for each statement, or each row. A trap into the
kernel takes longer than its instructions tell, so these are comparisons, and no promises of time.
"""

from __future__ import annotations

import argparse
import contextlib
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from deploy.guest import COUNTING, SERIES, Guest, Machine
from tests.vm.harness_guest import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROWS: Final = 2000
EXECUTIONS: Final = 2000
ROUNDS: Final = 3
DEADLINE_S: Final = 1200.0
READY_S: Final = 600.0


def main() -> int:
    """On the host: boot the guest; in it: measure."""
    parser = argparse.ArgumentParser(prog="python -m bench.vm.sqlite", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--kernel", choices=SERIES, default=SERIES[0])
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.inside:
        measure()
        return 0
    command = [sys.executable, "-m", "bench.vm.sqlite", "--inside"]
    with tempfile.TemporaryDirectory(prefix="zerospan-bench-") as scratch:
        machine = Machine(
            series=chosen.kernel, scratch=Path(scratch), cpus=1, qemu_options=COUNTING
        )
        with Guest(machine, command, output=sys.stdout.buffer) as guest:
            return guest.exit_status if guest.wait(DEADLINE_S) else 1


def measure() -> None:
    """In the guest: without, then with."""
    without = costs()
    with tempfile.TemporaryDirectory() as folder, agent(Path(folder)):
        traced = costs()
    print(f"{'µs (10^3 instructions)':28}{'without':>9}{'with':>9}{'added':>9}")
    for what, before in without.items():
        print(f"{what:28}{before:9.2f}{traced[what]:9.2f}{traced[what] - before:9.2f}")


@contextlib.contextmanager
def agent(folder: Path) -> Iterator[None]:
    """A running zerospan, which has looked at this process before it is ready."""
    log = folder / "agent.log"
    words = (sys.executable, "-m", "agent", "run", "--export", f"file:{folder}/spans.jsonl")
    with log.open("wb") as stderr, subprocess.Popen(words, stderr=stderr) as process:
        wait_until(
            lambda: "ready:" in log.read_text(), deadline_s=READY_S, what="the agent's ready line"
        )
        try:
            yield
        finally:
            process.send_signal(signal.SIGTERM)


def costs() -> dict[str, float]:
    """The least of some rounds, in µs."""
    database = sqlite3.connect(":memory:", isolation_level=None)
    database.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT)")
    database.executemany("INSERT INTO t VALUES (?, ?)", ((n, f"name {n}") for n in range(ROWS)))

    def inserts() -> None:
        for _ in range(EXECUTIONS):
            database.execute("INSERT INTO t (name) VALUES (?)", ("a name",))

    def looks_up() -> None:
        for number in range(EXECUTIONS):
            database.execute("SELECT name FROM t WHERE id = ?", (number % ROWS,)).fetchall()

    def reads_all() -> None:
        database.execute("SELECT id, name FROM t LIMIT ?", (ROWS,)).fetchall()

    found = {
        "an INSERT": least(inserts) / EXECUTIONS,
        "a SELECT of one row": least(looks_up) / EXECUTIONS,
        f"each row of {ROWS}": least(reads_all) / ROWS,
    }
    database.close()
    return found


def least(work: Callable[[], None]) -> float:
    """CPU time of this thread, in µs."""
    times = []
    for _ in range(ROUNDS):
        began = time.thread_time_ns()
        work()
        times.append((time.thread_time_ns() - began) / 1e3)
    return min(times)


if __name__ == "__main__":
    sys.exit(main())
