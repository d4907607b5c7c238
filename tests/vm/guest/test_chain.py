"""A chain of programs, from the first request to the ledger: what is seen, joined, counted, and left behind."""

from __future__ import annotations

import json

import pytest

from tests.vm.harness_agent import Agent, Agents, Finished
from tests.vm.harness_guest import Server, Servers, curl, loaded, python
from tests.vm.harness_spans import ExportedSpan

SERVER, CLIENT = 2, 3


def requests_of(spans: list[ExportedSpan], kind: int, server: Server) -> list[str]:
    """The paths of the spans of one kind on a server's connections, in order."""
    return sorted(
        str(
            span.attributes.get("url.path")
            or span.attributes["url.full"].partition(f":{server.port}")[2]
        )
        for span in spans
        if span.kind == kind and span.attributes.get("server.port") == server.port
    )


def check_ended_well(finished: Finished) -> None:
    assert finished.returncode == 0, finished.stderr
    assert finished.ledger["balanced"], finished.ledger
    assert finished.stop_s < 5


@pytest.mark.parametrize("client", ["keepalive", "fresh"])
def test_requests_are_as_many_spans_and_each_has_its_parent(
    servers: Servers, agents: Agents, client: str
) -> None:
    backend = servers.python("backend.py")
    front = servers.python("threaded.py", "--backend", backend.port, "--client", client)
    agent = agents.run("--port", front.port, "--port", backend.port)
    told = json.loads(python("client.py", "--port", front.port, "--requests", 23, "--threads", 3))
    assert (told["ok"], told["failed"]) == (23, 0)
    agent.wait_for_spans(69)
    finished = agent.stop()
    check_ended_well(finished)
    spans = finished.spans
    wanted = [f"/orders/{n}" for n in range(100_000, 100_023)]
    inner = [f"/items/{n}" for n in range(100_000, 100_023)]
    assert requests_of(spans, SERVER, front) == wanted
    assert requests_of(spans, CLIENT, backend) == inner
    assert requests_of(spans, SERVER, backend) == inner
    assert wrong_parents(spans, front, backend) == []


def wrong_parents(spans: list[ExportedSpan], front: Server, backend: Server) -> list[ExportedSpan]:
    """Client spans whose parent is not the request that they were made for, by the number in both paths."""
    ids = {span.span_id: span for span in spans}
    return [
        span
        for span in spans
        if span.kind == CLIENT
        and span.attributes.get("server.port") == backend.port
        and number(ids.get(span.parent_span_id)) != number(span)
    ]


def number(span: ExportedSpan | None) -> str:
    if span is None:
        return ""
    path: str = span.attributes.get("url.path") or span.attributes["url.full"]
    return path.rpartition("/")[2]


def test_nothing_is_left_in_the_kernel(servers: Servers, agents: Agents) -> None:
    before = loaded()
    backend = servers.python("backend.py")
    agent: Agent = agents.run("--port", backend.port)
    curl(f"{backend.url}/items/1")
    agent.wait_for_spans(1)
    during = loaded()
    assert 0 < len(during.programs - before.programs) <= 30
    check_ended_well(agent.stop())
    assert loaded() == before
