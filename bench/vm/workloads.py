"""The workloads: a server that is kept saturated by a load generator on the same CPU."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from deploy.guest import CHECKOUT
from tests.vm.harness_guest import Server, Servers, free_port

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Started:
    """A workload's servers, up."""

    selected: tuple[int, ...]
    """Ports of what the agent is to trace."""
    load: Callable[[int], int]
    """Saturate for so many seconds; gives the requests that were answered."""


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


def wrk(url: str, connections: int) -> Callable[[int], int]:
    """Give a load of so many keep-alive connections."""

    def load(seconds: int) -> int:
        command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "60s", url]
        told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        if "Non-2xx" in told or "Socket errors" in told:
            raise RuntimeError(f"the load on {url} was not answered:\n{told}")
        found = re.search(r"(\d+) requests in", told)
        assert found, told
        return int(found[1])

    return load


def _go(servers: Servers) -> Started:
    server = servers.go(gomaxprocs=1)
    return Started((server.port,), wrk(f"{server.url}/hello", 8))


def _nginx(servers: Servers) -> Started:
    server = servers.nginx(backend=servers.started[0])  # which is not asked
    return Started((server.port,), wrk(f"{server.url}/hello", 8))


def _nginx_file(servers: Servers) -> Started:
    server = servers.nginx(backend=servers.started[0])
    return Started((server.port,), wrk(f"{server.url}/static/page.html", 8))


def _gunicorn(servers: Servers) -> Started:
    server = servers.gunicorn("sync")
    return Started((server.port,), wrk(f"{server.url}/hello", 4))


def _chain(servers: Servers) -> Started:
    stock, shop = free_port(), free_port()
    demo = CHECKOUT / "demo"
    servers.start("/usr/bin/python3", demo / "stock.py", str(stock), port=stock)
    server = servers.start("/usr/bin/python3", demo / "shop.py", str(shop), str(stock), port=shop)
    front = servers.nginx(backend=server)
    return Started((stock, shop, front.port), wrk(f"{front.url}/orders/1", 4))


def _redis(servers: Servers) -> Started:
    port = free_port()
    servers.start("redis-server", "--port", str(port), "--save", "", port=port)

    def load(seconds: int) -> int:
        requests = 15_000 * seconds
        command = [
            "redis-benchmark",
            "-p",
            str(port),
            "-t",
            "get",
            "-c",
            "8",
            "-n",
            str(requests),
            "-q",
        ]
        subprocess.run(command, capture_output=True, check=True)
        return requests

    return Started((), load)


WORKLOADS: Final = (
    Workload("go", "Go net/http hello, 8 connections", _go, spans=1, limit_ms=0.15),
    Workload("nginx", "nginx hello, 8 connections", _nginx, spans=1, limit_ms=0.11),
    Workload("nginx-file", "nginx file, 8 connections", _nginx_file, spans=1, limit_ms=0.11),
    Workload("gunicorn", "gunicorn (sync) hello, 4 connections", _gunicorn, spans=1, limit_ms=0.18),
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


def agent_command(template: str, *, sink: int, ports: list[int]) -> list[str]:
    """Fill in the agent's command."""
    selection = " ".join(f"--port {port}" for port in ports)
    return template.format(python=sys.executable, sink=sink, ports=selection).split()
