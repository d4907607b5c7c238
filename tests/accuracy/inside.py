"""In the guest: one zerospan, one backend, and every service in turn, with every shape, at every concurrency.

Leaves in SCRATCH: a line of JSON for each measurement (MEASURED), when it is done; after each service the exported spans
(SPANS), then what the service had to say (NAME.log). Scoring is done elsewhere.

    python -m tests.accuracy.inside [--requests 1024] NAME…
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from tests.accuracy.build import BUILT
from tests.accuracy.cases import CONCURRENCIES, REQUESTS, SHAPES, Shape, edges_of
from tests.accuracy.runtimes import RUNTIMES, Runtime
from tests.vm.harness_agent import Agent, Agents
from tests.vm.harness_guest import Server, Servers, free_port

MEASURED: Final = "measured.jsonl"
SPANS: Final = "spans.jsonl"
LEDGER: Final = "ledger.json"

FIRST_ID: Final = 1_000_000
QUIET_S: Final = 6.0
"""Nothing more comes when nothing came for so long: settling and batching take 1.1 s, on an idle machine."""
REST_S: Final = 2.5
"""The same when there are as many spans as edges: a few may be of requests that a client made twice."""


@dataclass(frozen=True, slots=True)
class Measured:
    """One measurement."""

    runtime: str
    shape: str
    concurrency: int
    first: int
    """The first id; the others follow."""
    requests: int
    failed: list[int]
    seconds: float
    trouble: str = ""
    """Why there is nothing to measure."""

    @property
    def answered(self) -> list[int]:
        """The ids whose spans are asked for."""
        every = range(self.first, self.first + self.requests)
        return [number for number in every if number not in set(self.failed)]


def start_backend(servers: Servers) -> Server:
    """Start the end of every chain."""
    port = free_port()
    return servers.start(BUILT / "backend", str(port), port=port)


def call(
    service: Server, runtime: Runtime, shape: Shape, concurrency: int, requests: int, first: int
) -> Measured:
    """Load a service."""
    words = [service.port, shape.name, first, requests, concurrency]
    began = time.monotonic()
    told = subprocess.run(
        [BUILT / "caller", *map(str, words)], capture_output=True, text=True, check=True
    )
    return Measured(
        runtime=runtime.name,
        shape=shape.name,
        concurrency=concurrency,
        first=first,
        requests=requests,
        failed=json.loads(told.stdout)["failed"],
        seconds=round(time.monotonic() - began, 2),
    )


class Exported:
    """The file of exported spans, as it grows; what is added to it is appended to a copy, if one is wanted."""

    def __init__(self, path: Path, copy: Path = Path(os.devnull)) -> None:
        self._path = path
        self._copy = copy
        self._read = 0
        self.count = 0

    def look(self) -> bool:
        """Count the spans that have come since the last time; tell whether there were any."""
        if not self._path.exists():
            return False
        with self._path.open("rb") as file:
            file.seek(self._read)
            data = file.read()
        with self._copy.open("ab") as copy:
            copy.write(data)
        self._read += len(data)
        came = data.count(b'"spanId"')
        self.count += came
        return came > 0

    def wait(self, count: int) -> None:
        """Wait until nothing more comes; `count` in all are expected."""
        last = time.monotonic()
        while time.monotonic() - last < (QUIET_S if self.count < count else REST_S):
            time.sleep(0.2)
            if self.look():
                last = time.monotonic()


def measure_all(
    runtimes: list[Runtime],
    counts: Mapping[int, int],
    agent: Agent,
    backend: Server,
    directory: Path,
    scratch: Path,
) -> None:
    """Measure each service; leave the results as they come. `counts`: requests of a cell, by concurrency."""
    exported = Exported(agent.exported, scratch / SPANS)
    first, wanted = FIRST_ID, 0
    for runtime in runtimes:
        own = directory / runtime.name
        own.mkdir()
        with Servers(own) as servers:
            try:
                service = runtime.start(servers, backend.port)
            except AssertionError as error:
                _tell(scratch, Measured(runtime.name, "", 0, 0, 0, [], 0.0, str(error)))
                continue
            for shape in map(SHAPES.__getitem__, runtime.shapes):
                for concurrency in CONCURRENCIES:
                    requests = counts[concurrency]
                    measured = call(service, runtime, shape, concurrency, requests, first)
                    first += requests
                    edges = edges_of(shape, measured.answered, runtime.inside)
                    wanted += len(edges.work) + len(edges.hops)
                    _tell(scratch, measured)
            exported.wait(wanted)
            logs = "".join(
                server.log.read_text(errors="replace")[-2000:] for server in servers.started
            )
        (scratch / f"{runtime.name}.log").write_text(logs)
        wanted = exported.count


def _tell(scratch: Path, measured: Measured) -> None:
    line: dict[str, Any] = {"kernel": platform.release(), **asdict(measured)}
    with (scratch / MEASURED).open("a") as file:
        file.write(json.dumps(line) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="+")
    parser.add_argument("--requests", type=int, default=REQUESTS[max(CONCURRENCIES)])
    arguments = parser.parse_args()
    counts = {**REQUESTS, max(CONCURRENCIES): arguments.requests}
    scratch = Path(os.environ["SCRATCH"])
    with tempfile.TemporaryDirectory(dir="/dev/shm") as temporary:
        directory = Path(temporary)
        with Agents(directory) as agents, Servers(directory) as servers:
            agent = agents.run("--exclude-exe", str(BUILT / "caller"))
            backend = start_backend(servers)
            chosen = [runtime for runtime in RUNTIMES if runtime.name in arguments.names]
            measure_all(chosen, counts, agent, backend, directory, scratch)
            finished = agent.stop()
            (scratch / LEDGER).write_text(json.dumps(finished.ledger))


if __name__ == "__main__":
    main()
