"""In the guest: every workload without the agent, then with it; then the agent at rest, and its end.

All servers are up from the beginning, and one agent serves all workloads: it selects the servers of all but one. So
the only difference between the two measurements of a workload is the agent.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import subprocess
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from bench.vm.readings import (
    CGROUP,
    busy_s,
    cgroup_cpu_s,
    cgroup_mb,
    cpu_s,
    holding,
    prepare_cgroup,
    resident_mb,
    runs_counted,
)
from bench.vm.workloads import WORKLOADS, Started, agent_command, start_sink, take_spans
from tests.vm.harness_guest import Servers, wait_until

WARM_S: Final = 1
LOAD_S: Final = 2
SETTLE_S: Final = 3
"""Until the last batch is at the collector; an idle guest second costs next to nothing."""
IDLE_S: Final = 10
READY_S: Final = 600.0
STOP_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class Cost:
    """One measurement under load."""

    requests: int
    busy_ms: float
    """Of everything in the guest, per request."""
    agent_ms: float = 0.0
    """CPU of the agent's process, per request."""
    spans: float = 0.0
    """That arrived at the collector, per request of the measurement and its warming up."""


def measure(started: Started, agent: int | None, directory: Path) -> Cost:
    """Warm up, then measure."""
    warm = started.load(WARM_S)
    busy, own = busy_s(), cpu_s(agent) if agent else 0.0
    requests = started.load(LOAD_S)
    busy = busy_s() - busy
    own = cpu_s(agent) - own if agent else 0.0
    if agent:
        time.sleep(SETTLE_S)
    return Cost(
        requests=requests,
        busy_ms=busy / requests * 1e3,
        agent_ms=own / requests * 1e3,
        spans=take_spans(directory) / (requests + warm),
    )


def kernel_time(started: Started) -> dict[str, float]:
    """Give what BPF programs ran, per request."""
    with runs_counted():
        before = holding()
        requests = started.load(1)
        ran = holding().since(before)
    return {"bpf_ms": ran.run_ns / requests / 1e6, "bpf_runs": ran.runs / requests}


class Agent:
    """The agent, in a cgroup of its own."""

    def __init__(self, command: list[str], directory: Path) -> None:
        self.before = holding()
        self.log = directory / "agent.log"
        began = time.monotonic()
        enter = f'echo $$ >{CGROUP}/cgroup.procs; exec "$@"'
        with self.log.open("wb") as stderr:
            self.process = subprocess.Popen(
                ["/bin/sh", "-c", enter, "sh", *command], stdout=subprocess.DEVNULL, stderr=stderr
            )
        wait_until(self._is_ready, deadline_s=READY_S, what="the agent's ready line")
        self.start = {
            "seconds": time.monotonic() - began,
            "cpu_seconds": cgroup_cpu_s(),
        }

    def _is_ready(self) -> bool:
        text = self.log.read_text(errors="replace")
        if self.process.poll() is not None:
            raise RuntimeError(f"the agent ended:\n{text}")
        return any(line.startswith("ready:") for line in text.splitlines())

    def footprint(self) -> dict[str, Any]:
        """Give what it holds."""
        held = holding().since(self.before)
        return {
            "programs": held.programs,
            "maps": held.maps,
            "links": held.links,
            "map_mb": held.map_bytes / 2**20,
            "resident_mb": resident_mb(self.process.pid),
            "cgroup_mb": cgroup_mb(),
        }

    def idle(self) -> float:
        """Give its CPU seconds per second without load."""
        own, began = cpu_s(self.process.pid), time.monotonic()
        time.sleep(IDLE_S)
        return (cpu_s(self.process.pid) - own) / (time.monotonic() - began)

    def stop(self) -> dict[str, Any]:
        """End it; give the time, the ledger, and what it left in the kernel."""
        began = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(STOP_S)
        seconds = time.monotonic() - began
        left = holding().since(self.before)
        last = self.log.read_text(errors="replace").rstrip().rpartition("\n")[2]
        try:
            ledger = json.loads(last)
        except json.JSONDecodeError:
            ledger = {"text": last}
        return {
            "seconds": seconds,
            "left": left.programs + left.maps + left.links,
            "ledger": ledger,
        }


def run(chosen: list[str], template: str, directory: Path) -> dict[str, Any]:
    """Measure; without an agent's command only the baseline."""
    figures: dict[str, Any] = {"kernel": platform.release(), "workloads": {}}
    with Servers(directory) as servers:
        sink = start_sink(servers)
        started: dict[str, Started] = {}
        for workload in WORKLOADS:
            if workload.name in chosen:
                started[workload.name] = workload.start(servers)
        for name, workload_started in started.items():
            cost = measure(workload_started, None, directory)
            figures["workloads"][name] = {"without": asdict(cost)}
            print(f"{name}: {cost.busy_ms:.4f} ms per request without", flush=True)
        if not template:
            return figures
        prepare_cgroup()
        ports = [port for one in started.values() for port in one.selected]
        agent = Agent(agent_command(template, sink=sink.port, ports=ports), directory)
        print(f"agent: ready after {agent.start['seconds']:.1f} s", flush=True)
        for name, workload_started in started.items():
            cost = measure(workload_started, agent.process.pid, directory)
            row = figures["workloads"][name]
            row["with"] = asdict(cost)
            row |= kernel_time(workload_started)
            time.sleep(SETTLE_S)
            take_spans(directory)
            print(
                f"{name}: {cost.busy_ms:.4f} ms per request with, {cost.spans:.2f} spans",
                flush=True,
            )
        figures["agent"] = {"start": agent.start, **agent.footprint()}
        figures["agent"]["idle_cpu"] = agent.idle()
        figures["agent"]["stop"] = agent.stop()
    return figures


def main() -> None:
    """Leave the figures in SCRATCH/figures.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--agent", default="", help="command template; empty for the baseline alone"
    )
    parser.add_argument("workloads", nargs="+")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir="/dev/shm") as directory:
        figures = run(arguments.workloads, arguments.agent, Path(directory))
    Path(os.environ["SCRATCH"], "figures.json").write_text(json.dumps(figures))


if __name__ == "__main__":
    main()
