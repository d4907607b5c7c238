"""In the guest: report each scenario to the host, and give scenarios their servers and their zerospan."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.vm.harness import RESULTS
from tests.vm.harness_agent import Agents
from tests.vm.harness_guest import Servers
from tests.vm.harness_tracing import Tracing

_reports: dict[str, list[pytest.TestReport]] = {}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All that is here runs in a guest."""
    for item in items:
        item.add_marker(pytest.mark.vm)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Append the scenario's result to the file that the host reads, once it is torn down."""
    reports = _reports.setdefault(report.nodeid, [])
    reports.append(report)
    if report.when != "teardown" or "SCRATCH" not in os.environ:
        return
    worst = next((r for r in reports if r.failed), None)
    worst = worst or next((r for r in reports if r.skipped), report)
    line = {
        "scenario": report.nodeid,
        "outcome": worst.outcome,
        "text": worst.longreprtext
        + "".join(f"\n--- {name}\n{text}" for name, text in worst.sections),
    }
    with Path(os.environ["SCRATCH"], RESULTS).open("a") as file:
        file.write(json.dumps(line) + "\n")


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[Servers]:
    """Give a way to start servers; all end with the scenario."""
    with Servers(tmp_path) as started:
        yield started


@pytest.fixture
def agents(tmp_path: Path) -> Iterator[Agents]:
    """Give a way to run zerospan; what still runs at the end of the scenario is killed."""
    with Agents(tmp_path) as started:
        yield started


@pytest.fixture(scope="module")
def tracing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tracing]:
    """Give one zerospan that traces everything, for all scenarios of a module: a start takes longer than a scenario."""
    directory = tmp_path_factory.mktemp("tracing")
    with Agents(directory) as agents, Servers(directory) as before:
        tracing = Tracing.begin(agents, before)
        yield tracing
        tracing.old_connection.close()
