"""The services do what the benchmark takes for granted: each shape is answered and forwards the id. Needs no guest."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.accuracy.build import build
from tests.accuracy.cases import SHAPES
from tests.accuracy.inside import call, start_backend
from tests.accuracy.runtimes import RUNTIMES, Runtime, is_here
from tests.vm.harness_guest import Servers


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[Servers]:
    build()
    with Servers(tmp_path) as started:
        yield started


@pytest.mark.parametrize("runtime", RUNTIMES, ids=lambda runtime: runtime.name)
def test_every_shape_is_answered_with_the_id_that_was_forwarded(
    servers: Servers, runtime: Runtime
) -> None:
    if not is_here(runtime):
        pytest.skip(f"{runtime.needs} is not installed")
    backend = start_backend(servers)
    service = runtime.start(servers, backend.port)
    failed = {
        shape: call(service, runtime, SHAPES[shape], 8, 24, 1000 * n).failed
        for n, shape in enumerate(runtime.shapes, 1)
    }
    assert failed == {shape: [] for shape in runtime.shapes}, [
        server.log.read_text(errors="replace")[-1500:] for server in servers.started
    ]
