"""Parents at 64 requests at once, where they must be right: a part of `make accuracy` that every change is held to."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.accuracy.build import BUILT
from tests.accuracy.cases import SHAPES, edges_of
from tests.accuracy.inside import Exported, call, start_backend
from tests.accuracy.runtimes import select
from tests.accuracy.score import Spans
from tests.vm.harness_agent import Agent, Agents
from tests.vm.harness_guest import Server, Servers

CONCURRENCY = 64
REQUESTS = 320
"""Of each shape: with four edges or more per shape, one wrong parent is less than a thousandth."""
FIRST = {"python-threads": 2_000_000, "python-prefork": 3_000_000, "nginx": 4_000_000}
CHOSEN = ("one", "kept", "pooled", "hops")


@pytest.fixture(scope="module")
def traced(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Agent, Server]]:
    """Give a zerospan that traces all but the load, and the end of all chains."""
    directory = tmp_path_factory.mktemp("accuracy")
    with Agents(directory) as agents, Servers(directory) as servers:
        agent = agents.run("--exclude-exe", str(BUILT / "caller"))
        yield agent, start_backend(servers)
        assert agent.stop().ledger["balanced"]


@pytest.mark.parametrize("name", FIRST)
def test_parents_are_right_under_load(
    servers: Servers, traced: tuple[Agent, Server], name: str
) -> None:
    agent, backend = traced
    (runtime,) = select(name)
    service = runtime.start(servers, backend.port)
    exported = Exported(agent.exported)
    exported.look()
    measured = [
        call(service, runtime, SHAPES[shape], CONCURRENCY, REQUESTS, FIRST[name] + n * REQUESTS)
        for n, shape in enumerate(shape for shape in CHOSEN if shape in runtime.shapes)
    ]
    edges = [edges_of(SHAPES[each.shape], each.answered) for each in measured]
    assert [each.failed for each in measured] == [[] for _ in measured]
    exported.wait(exported.count + sum(len(each.work) + len(each.hops) for each in edges))
    spans = Spans(agent.spans())
    for kind in ("work", "hops"):
        score = spans.score(edge for each in edges for edge in getattr(each, kind))
        assert score.total >= 1000
        assert score.right >= 0.99 * score.total, score
        assert score.wrong.total() <= 0.001 * score.total, score
