"""The services do what the benchmark takes for granted: their calls are those of the shape. This needs no guest."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.accuracy.build import build
from tests.accuracy.cases import SHAPES
from tests.accuracy.inside import call, start_backend
from tests.accuracy.runtimes import RUNTIMES, Runtime, is_here
from tests.vm.harness_guest import Server, Servers, curl, wait_until

CONCURRENCY = 8
REQUESTS = 24


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[Servers]:
    build()
    with Servers(tmp_path) as started:
        yield started


def calls_of(backend: Server) -> int:
    return int(curl(f"{backend.url}/calls"))


def has_served(backend: Server, count: int) -> bool:
    return calls_of(backend) >= count


@pytest.mark.parametrize("runtime", RUNTIMES, ids=lambda runtime: runtime.name)
def test_every_shape_makes_its_calls_with_the_id_and_answers_with_it(
    servers: Servers, runtime: Runtime
) -> None:
    if not is_here(runtime):
        pytest.skip(f"{runtime.needs} is not installed")
    backend = start_backend(servers)
    service = runtime.start(servers, backend.port)
    made = 0
    for n, shape in enumerate(map(SHAPES.__getitem__, runtime.shapes), 1):
        told = call(service, runtime, shape, CONCURRENCY, REQUESTS, 1000 * n)
        logs = [server.log.read_text(errors="replace")[-1500:] for server in servers.started]
        assert told.failed == [], (shape.name, logs)
        made += REQUESTS * shape.calls
        wait_until(
            partial(has_served, backend, made),
            deadline_s=10,
            what=f"all calls of {shape.name}: {logs}",
        )
        assert calls_of(backend) == made
