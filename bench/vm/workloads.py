"""The workloads: servers, and what asks them."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from bench.vm.load import Target, ask_redis, saturate
from deploy.guest import CHECKOUT
from tests.vm.harness_guest import Server, Servers, free_port

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

REDIS_GETS_PER_S: Final = 15_000
"""Less than any Redis answers in a guest second; redis-benchmark is told a number, not a time."""


@dataclass(frozen=True, slots=True)
class Started:
    """A workload's servers, up."""

    selected: tuple[int, ...]
    """Ports of what the agent is to trace."""
    load: Callable[[int], int]
    """Saturate for so many seconds; gives the requests that were answered."""
    target: Target | None = None
    """Whom to ask at a fixed rate; None where nothing is selected."""


@dataclass(frozen=True, slots=True)
class Workload:
    """One row of the table."""

    name: str
    what: str
    start: Callable[[Servers], Started]
    spans: int
    """Of the selected servers, per request."""
    limit_ms: float | None = None
    """Added busy time per request that we promise to stay below."""


def _http(server: Server, path: str, connections: int, *others: int) -> Started:
    """Servers behind `server` are traced, too."""
    target = Target(server.port, path, connections)
    return Started((server.port, *others), lambda seconds: saturate(target, seconds), target)


def _go(servers: Servers) -> Started:
    return _http(servers.go(gomaxprocs=1), "/hello", 8)


def _nginx(servers: Servers) -> Started:
    # Its backend is not asked.
    return _http(servers.nginx(backend=servers.started[0]), "/hello", 8)


def _nginx_file(servers: Servers) -> Started:
    return _http(servers.nginx(backend=servers.started[0]), "/static/page.html", 8)


def _gunicorn(servers: Servers) -> Started:
    return _http(servers.gunicorn("sync"), "/hello", 4)


def _node(servers: Servers) -> Started:
    port = free_port()
    service = CHECKOUT / "tests" / "accuracy" / "services" / "service.js"
    env = {"PORT": str(port), "BACKEND": "1"}  # which this path does not ask
    return _http(servers.start("node", service, port=port, env=env), "/hello/1", 8)


def _chain(servers: Servers) -> Started:
    """The demo's services."""
    stock, shop = free_port(), free_port()
    demo = CHECKOUT / "demo"
    servers.start("/usr/bin/python3", demo / "stock.py", str(stock), port=stock)
    server = servers.start("/usr/bin/python3", demo / "shop.py", str(shop), str(stock), port=shop)
    return _http(servers.nginx(backend=server), "/orders/1", 4, shop, stock)


def _redis(servers: Servers) -> Started:
    port = free_port()
    servers.start("redis-server", "--port", str(port), "--save", "", port=port)
    return Started((), lambda seconds: ask_redis(port, REDIS_GETS_PER_S * seconds))


WORKLOADS: Final = (
    Workload("go", "Go net/http hello, 8 connections", _go, spans=1, limit_ms=0.15),
    Workload("nginx", "nginx hello, 8 connections", _nginx, spans=1, limit_ms=0.11),
    Workload("nginx-file", "nginx file, 8 connections", _nginx_file, spans=1, limit_ms=0.11),
    Workload("gunicorn", "gunicorn (sync) hello, 4 connections", _gunicorn, spans=1, limit_ms=0.18),
    Workload("node", "Node.js hello, 8 connections", _node, spans=1),
    Workload("chain", "nginx → Python → Python, 4 connections", _chain, spans=5),
    Workload("redis", "redis-benchmark GET, Redis not selected", _redis, spans=0),
)


def start_sink(servers: Servers) -> Server:
    """Start a collector that keeps each batch as a file: nginx, cheaper than any real one."""
    (servers.directory / "sink-body").mkdir()
    return servers.configured("sink.conf", "nginx", "-c", "{config}", "-e", "stderr")


def take_spans(directory: Path) -> int:
    """Count the spans that the sink has got since the last time: each carries this attribute once."""
    spans = 0
    for batch in directory.joinpath("sink-body").rglob("*"):
        if batch.is_file():
            spans += batch.read_bytes().count(b"\x0a\x13http.request.method")
            batch.unlink()
    return spans


def agent_command(
    template: str, *, sink: int, ports: list[int], file: Path | None = None
) -> list[str]:
    """Fill in the agent's command: see `python -m bench.vm --help`."""
    return template.format(
        python=sys.executable,
        sink=sink,
        ports=" ".join(f"--port {port}" for port in ports),
        file=f"--export file:{file}" if file else "",
    ).split()
