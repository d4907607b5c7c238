"""On the host: every scenario of tests/vm/guest becomes one test per kernel. In the guest: the scenarios themselves."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from deploy.guest import SERIES
from tests.vm import harness

if harness.IN_GUEST not in os.environ:
    collect_ignore = ["guest"]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Parametrise the host's one test with kernels and scenarios; ZEROSPAN_KERNELS limits the kernels."""
    if "scenario" not in metafunc.fixturenames:
        return
    wanted = os.environ.get("ZEROSPAN_KERNELS", " ".join(SERIES)).split()
    scenarios = harness.collect()
    names = [node.removeprefix("tests/vm/guest/").replace("::", "/") for node in scenarios]
    metafunc.parametrize("run", wanted, indirect=True, scope="session")
    metafunc.parametrize("scenario", scenarios, ids=names)


@pytest.fixture(scope="session")
def run(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[harness.Run]:
    """Give the guest of one kernel, which runs the scenarios that this session selected."""
    series = request.param
    selected = [
        str(item.callspec.params["scenario"])
        for item in request.session.items
        if isinstance(item, pytest.Function)
        and hasattr(item, "callspec")
        and item.callspec.params.get("run") == series
    ]
    guest = harness.Run(series, selected, tmp_path_factory.mktemp(f"guest-{series}-"))
    yield guest
    guest.stop()
