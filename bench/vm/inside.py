"""In the guest: all that is measured there, in this order.

    without     each workload saturated, no agent in the kernel
    pipeline    user space alone, fed with records
    life        the agent's first start, its first span, itself at rest, its end; a second start
    with        each workload saturated again; then once more with BPF statistics, which cost
    half        each workload at half of the rate that it had with the agent, then of the rate without it: the ledgers
                of these lives are of that alone

All servers are up from the beginning; the agent selects those of all workloads but the ones that say otherwise. So the
only difference between the two measurements of a workload is the agent.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from bench.kinds import by_connections, kinds
from bench.throughput import rates
from bench.vm.life import Agent, first_span_s
from bench.vm.load import keep_rate
from bench.vm.readings import busy_s, cpu_s, holding, runs_counted
from bench.vm.workloads import WORKLOADS, Started, Workload, agent_command, start_sink, take_spans
from tests.vm.harness_guest import Server, Servers

if TYPE_CHECKING:
    from collections.abc import Iterator

WARM_S: Final = 1
LOAD_S: Final = 2
HALF_S: Final = 3
HALF_WARM_S: Final = 0.5
"""Servers keep connections that are older than the agent, whose first request it may not see."""
SETTLE_S: Final = 3
"""Until the last batch is at the collector; an idle guest second costs next to nothing."""
PIPELINE_EXCHANGES: Final = 4000
"""Of each kind; the first half fills the caches."""
PARTS: Final = ("pipeline", "life")
"""What can be chosen besides workloads."""


@dataclass(frozen=True, slots=True)
class Cost:
    """One measurement under load."""

    requests: int
    seconds: float
    """For so long load was asked of the generator."""
    busy_ms: float
    """Of everything in the guest, per request."""
    agent_ms: float = 0.0
    """CPU of the agent's process, per request."""
    spans: float = 0.0
    """That arrived at the collector, per request of the measurement and its warming up."""


class Guest:
    """The guest with its servers."""

    def __init__(self, servers: Servers, chosen: list[str], template: str) -> None:
        self.directory = servers.directory
        self.template = template
        self.sink: Server = start_sink(servers)
        self.workloads: dict[str, tuple[Workload, Started]] = {
            workload.name: (workload, workload.start(servers))
            for workload in WORKLOADS
            if workload.name in chosen
        }
        self.file = self.directory / "spans.jsonl"
        self.rows: dict[str, dict[str, Any]] = {name: {} for name in self.workloads}

    def agent(self, *, writes_file: bool = False) -> Agent:
        """Start the agent."""
        ports = [port for _, started in self.workloads.values() for port in started.selected]
        command = agent_command(
            self.template,
            sink=self.sink.port,
            ports=ports,
            file=self.file if writes_file else None,
        )
        agent = Agent(command, self.directory)
        say(f"agent: ready after {agent.start['seconds']:.1f} s")
        return agent

    def saturated(self, name: str, agent: Agent | None) -> Cost:
        """Warm up, then measure."""
        started = self.workloads[name][1]
        warm = started.load(WARM_S)
        busy, own = busy_s(), cpu_s(agent.pid) if agent else 0.0
        requests = started.load(LOAD_S)
        busy = busy_s() - busy
        own = cpu_s(agent.pid) - own if agent else 0.0
        cost = Cost(
            requests=requests,
            seconds=LOAD_S,
            busy_ms=busy / requests * 1e3,
            agent_ms=own / requests * 1e3,
            spans=self.arrived() / (requests + warm) if agent else 0.0,
        )
        say(f"{name}: {cost.busy_ms:.4f} ms per request, {cost.spans:.2f} spans")
        return cost

    def kernel_time(self, name: str) -> dict[str, float]:
        """Give what BPF programs ran, per request."""
        with runs_counted():
            before = holding()
            requests = self.workloads[name][1].load(1)
            ran = holding().since(before)
        self.arrived()
        return {"bpf_ms": ran.run_ns / requests / 1e6, "bpf_runs": ran.runs / requests}

    def at_rate(self, name: str, rate: float, agent: Agent) -> dict[str, Any]:
        """Ask so often per second; give what became of it, in requests and in spans."""
        workload, started = self.workloads[name]
        assert started.target
        keep_rate(started.target, rate, HALF_WARM_S)
        self.arrived()
        busy, own = busy_s(), cpu_s(agent.pid)
        load = keep_rate(started.target, rate, HALF_S)
        busy, own = busy_s() - busy, cpu_s(agent.pid) - own
        spans = self.arrived()
        say(f"{name}: {spans} spans of {load.answered} requests at {rate:,.0f}/s")
        return {
            "rate": rate,
            **asdict(load),
            "spans": spans,
            "expected_spans": load.answered * workload.spans,
            "busy_ms": busy / load.requests * 1e3,
            "agent_ms": own / load.requests * 1e3,
        }

    def arrived(self) -> int:
        """Wait until the last batch is there; give the spans since the last time."""
        time.sleep(SETTLE_S)
        return take_spans(self.directory)

    # The parts, in the order of the module's docstring.

    def without(self) -> None:
        """Each workload without the agent."""
        for name, row in self.rows.items():
            row["without"] = asdict(self.saturated(name, None))

    def life(self) -> dict[str, Any]:
        """The agent's life with little to do."""
        target = next((one.target for _, one in self.workloads.values() if one.target), None)
        with self.agent(writes_file="{file}" in self.template) as agent:
            figures: dict[str, Any] = {"start": agent.start}
            if target and "{file}" in self.template:
                figures["first_span_s"] = first_span_s(target, self.file)
            figures |= agent.footprint()
            figures["idle_cpu"] = agent.idle()
            figures["stop"] = agent.stop()
        with self.agent() as agent:
            figures["again"] = {"start": agent.start, "stop": agent.stop()}
        self.arrived()
        return figures

    def with_agent(self) -> dict[str, Any]:
        """Each workload with the agent; gives its figures after that."""
        with self.agent() as agent:
            for name, row in self.rows.items():
                row["with"] = asdict(self.saturated(name, agent))
                row |= self.kernel_time(name)
            return {"start": agent.start, **agent.footprint(), "stop": agent.stop()}

    def half(self, kind: str) -> dict[str, Any]:
        """Each workload at half of the rate that saturated the CPU without or with the agent; in a life of its own."""
        with self.agent() as agent:
            for name, row in self.rows.items():
                if self.workloads[name][1].target:
                    rate = row[kind]["requests"] / row[kind]["seconds"] / 2
                    row[f"half_{kind}"] = self.at_rate(name, rate, agent)
            return {"start": agent.start, **agent.footprint(), "stop": agent.stop()}


def say(text: str) -> None:
    """Tell how far it is."""
    print(text, flush=True)


def pipeline() -> dict[str, float]:
    """Give ms of instructions per exchange for each kind of traffic and by open connections, from records to OTLP bytes."""
    rows = [*kinds(PIPELINE_EXCHANGES), *by_connections(PIPELINE_EXCHANGES)]
    measured = rates(rows, rounds=1)
    return {name: 1e3 / rate.best for name, rate in measured.items()}


def run(chosen: list[str], template: str, directory: Path) -> Iterator[dict[str, Any]]:
    """Measure what is chosen; without an agent's command only the baseline. Gives all figures so far after each part."""
    figures: dict[str, Any] = {"kernel": platform.release()}
    if "pipeline" in chosen:
        figures["pipeline"] = pipeline()
        yield figures
    if chosen == ["pipeline"]:
        return
    has_workloads = bool(set(chosen) - set(PARTS))
    with Servers(directory) as servers:
        # An agent's life needs somebody to trace.
        guest = Guest(servers, chosen if has_workloads else ["nginx"], template)
        if has_workloads:
            guest.without()
            figures["workloads"] = guest.rows
            yield figures
        if template and "life" in chosen:
            figures["life"] = guest.life()
            yield figures
        if template and has_workloads:
            figures["saturated"] = guest.with_agent()
            yield figures
            if any(started.target for _, started in guest.workloads.values()):
                for kind in ("with", "without"):
                    figures[f"half_{kind}"] = guest.half(kind)
                    yield figures


def main() -> None:
    """Leave the figures in SCRATCH/figures.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--agent", default="", help="command template; empty for the baseline alone"
    )
    parser.add_argument("chosen", nargs="+")
    arguments = parser.parse_args()
    kept = Path(os.environ["SCRATCH"], "figures.json")
    with tempfile.TemporaryDirectory(dir="/dev/shm") as directory:
        for figures in run(arguments.chosen, arguments.agent, Path(directory)):
            kept.write_text(json.dumps(figures))


if __name__ == "__main__":
    main()
