"""On the host: boot a guest whose clock counts instructions, let it measure, print the table.

    python -m bench.vm [--kernel 6.12] [--agent COMMAND | --baseline] [WORKLOAD…]

COMMAND is a template: {python} is this environment's Python, {ports} becomes `--port N …` for the servers to trace,
{sink} is the port of a collector. It must print a line `ready: …` to stderr and end on SIGTERM.
"""

from __future__ import annotations

import argparse
import compileall
import json
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

from bench.vm.workloads import WORKLOADS, Workload
from deploy.guest import CHECKOUT, COUNTING, SERIES, Guest, GuestError, Machine
from tests.vm.servers.build import build

AGENT: Final = "{python} -m agent run --export otlp+http://127.0.0.1:{sink} {ports}"
KEPT: Final = CHECKOUT / ".cache" / "bench"
DEADLINE_S: Final = 3600.0


def main() -> int:
    """Give 0 when the guest has measured."""
    parser = argparse.ArgumentParser(prog="python -m bench.vm", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--kernel", choices=SERIES, default=SERIES[0])
    parser.add_argument("--agent", default=AGENT)
    parser.add_argument("--baseline", action="store_true", help="measure without an agent")
    names = [workload.name for workload in WORKLOADS]
    parser.add_argument("workloads", nargs="*", metavar="WORKLOAD", help=", ".join(names))
    arguments = parser.parse_args()
    if unknown := set(arguments.workloads) - set(names):
        parser.error(f"no such workload: {', '.join(sorted(unknown))}")
    build()
    for name in ("agent", "bench", "demo", "deploy", "tests/vm"):
        compileall.compile_dir(CHECKOUT / name, quiet=1)
    agent = [] if arguments.baseline else [f"--agent={arguments.agent}"]
    command = [sys.executable, "-m", "bench.vm.inside", *agent, *(arguments.workloads or names)]
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
        with Guest(machine, command, output=sys.stdout.buffer) as guest:
            if not guest.wait(DEADLINE_S) or guest.exit_status:
                print(f"bench: the guest did not measure ({guest.exit_status})", file=sys.stderr)
                return 1
        figures = json.loads((Path(scratch) / "figures.json").read_text())
    KEPT.mkdir(parents=True, exist_ok=True)
    kept = KEPT / f"vm-{arguments.kernel}.json"
    kept.write_text(json.dumps(figures, indent=2) + "\n")
    show(figures)
    print(f"\nAll figures: {kept.relative_to(CHECKOUT)}")
    return 0


def show(figures: dict[str, Any]) -> None:
    """Print what was measured. On one saturated CPU the rate of requests is the inverse of the busy time of each."""
    print(f"\nKernel {figures['kernel']}; ms per request, 1 ms = 10^6 instructions\n")
    print(
        f"{'workload':42}{'without':>9}{'with':>9}{'added':>9}{'limit':>8}{'BPF':>8}{'runs':>7}{'agent':>8}{'rate':>7}{'traced':>8}"
    )
    for workload in WORKLOADS:
        if row := figures["workloads"].get(workload.name):
            print(f"{workload.what:42}{_row(row, workload)}")
    if agent := figures.get("agent"):
        print()
        for line in _agent_lines(agent):
            print(line)


def _row(row: dict[str, Any], workload: Workload) -> str:
    without = f"{row['without']['busy_ms']:9.4f}"
    if "with" not in row:
        return without
    loaded = row["with"]
    added = loaded["busy_ms"] - row["without"]["busy_ms"]
    traced = f"{loaded['spans'] / workload.spans:8.1%}" if workload.spans else ""
    return (
        f"{without}{loaded['busy_ms']:9.4f}{added:9.4f}{workload.limit_ms or '':>8}"
        f"{row['bpf_ms']:8.4f}{row['bpf_runs']:7.1f}{loaded['agent_ms']:8.4f}"
        f"{row['without']['busy_ms'] / loaded['busy_ms']:7.2f}{traced}"
    )


def _agent_lines(agent: dict[str, Any]) -> list[str]:
    start, stop, resident, charged = (
        agent["start"],
        agent["stop"],
        agent["resident_mb"],
        agent["cgroup_mb"],
    )
    return [
        f"start to ready    {start['seconds']:.2f} s, of that {start['cpu_seconds']:.2f} s on the CPU",
        f"stop              {stop['seconds']:.2f} s, left in the kernel: {stop['left']}",
        f"idle              {agent['idle_cpu']:.4f} CPU s per s",
        f"in the kernel     {agent['programs']} programs, {agent['maps']} maps ({agent['map_mb']:.1f} MB), "
        f"{agent['links']} links",
        f"resident          {resident['VmRSS']:.1f} MB, anonymous {resident['RssAnon']:.1f} MB",
        f"its cgroup        {charged['current']:.1f} MB: kernel {charged['kernel']:.1f}, files {charged['file']:.1f}",
        f"its ledger        {json.dumps(stop['ledger'])}",
    ]


if __name__ == "__main__":
    try:
        sys.exit(main())
    except GuestError as error:
        sys.exit(f"bench: {error}")
