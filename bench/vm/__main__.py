"""On the host: boot a guest whose clock counts instructions, let it measure, print the tables.

    python -m bench.vm [--kernel 6.12] [--agent COMMAND | --baseline] [ROW…]

A row is a workload, `life` (the agent's starts, its first span, itself at rest, its ends) or `pipeline` (user space
alone); without any, all of them.

COMMAND is a template: {python} is this environment's Python, {ports} becomes `--port N …` for the servers to trace,
{sink} is the port of a collector, and {file} becomes `--export file:PATH` where the first span is waited for, otherwise
nothing. It must print a line `ready: …` to stderr and end on SIGTERM.
"""

from __future__ import annotations

import argparse
import compileall
import json
import signal
import sys
import tempfile
from pathlib import Path
from typing import Final

from bench.vm.inside import PARTS
from bench.vm.load import build_paced
from bench.vm.table import lines
from bench.vm.workloads import WORKLOADS
from deploy.guest import CHECKOUT, COUNTING, SERIES, Guest, GuestError, Machine
from tests.vm.servers.build import build

AGENT: Final = "{python} -m agent run --export otlp+http://127.0.0.1:{sink} {file} {ports}"
KEPT: Final = CHECKOUT / ".cache" / "bench"
DEADLINE_S: Final = 3600.0


def main() -> int:
    """Give 0 when the guest has measured everything; what it did measure is printed in every case."""
    parser = argparse.ArgumentParser(prog="python -m bench.vm", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--kernel", choices=SERIES, default=SERIES[0])
    parser.add_argument("--agent", default=AGENT)
    parser.add_argument("--baseline", action="store_true", help="measure without an agent")
    names = [*PARTS, *(workload.name for workload in WORKLOADS)]
    parser.add_argument("rows", nargs="*", metavar="ROW", help=", ".join(names))
    arguments = parser.parse_args()
    if unknown := set(arguments.rows) - set(names):
        parser.error(f"no such row: {', '.join(sorted(unknown))}")
    build()
    build_paced()
    for name in ("agent", "bench", "demo", "deploy", "tests/vm"):
        compileall.compile_dir(CHECKOUT / name, quiet=1)
    agent = [] if arguments.baseline else [f"--agent={arguments.agent}"]
    command = [sys.executable, "-m", "bench.vm.inside", *agent, *(arguments.rows or names)]
    with tempfile.TemporaryDirectory(prefix="zerospan-bench-") as scratch:
        machine = Machine(
            series=arguments.kernel,
            scratch=Path(scratch),
            cpus=1,
            memory="3G",
            qemu_options=COUNTING,
        )
        print(
            f"Booting a guest with kernel {arguments.kernel} that counts instructions.", flush=True
        )
        is_complete = measured(machine, command)
        found = Path(scratch) / "figures.json"
        figures = json.loads(found.read_text()) if found.exists() else None
    if figures is None:
        return 1
    KEPT.mkdir(parents=True, exist_ok=True)
    kept = KEPT / f"vm-{'-'.join([arguments.kernel, *arguments.rows])}.json"
    kept.write_text(json.dumps(figures, indent=2) + "\n")
    print("\n" + "\n".join(lines(figures)))
    print(f"\nAll figures: {kept.relative_to(CHECKOUT)}")
    return 0 if is_complete else 1


def measured(machine: Machine, command: list[str]) -> bool:
    """Run the guest; tell whether it measured everything. After Ctrl-C or SIGTERM it is gone, too."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with Guest(machine, command, output=sys.stdout.buffer) as guest:
        try:
            is_over = guest.wait(DEADLINE_S)
        except KeyboardInterrupt:
            print("\nbench: interrupted; the guest is gone", file=sys.stderr)
            return False
        if not is_over:
            print(f"bench: not over after {DEADLINE_S:.0f} s", file=sys.stderr)
        elif guest.exit_status:
            print(f"bench: the guest ended with {guest.exit_status}", file=sys.stderr)
        return is_over and not guest.exit_status


if __name__ == "__main__":
    try:
        sys.exit(main())
    except GuestError as error:
        sys.exit(f"bench: {error}")
