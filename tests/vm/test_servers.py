"""The servers of the VM scenarios do what the scenarios take for granted. This needs no guest, so none is booted."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.vm.harness_guest import Server, Servers, curl, python
from tests.vm.servers.build import BUILT, build

WAYS = [
    "write",
    "writev",
    "send",
    "sendto",
    "sendmsg",
    "sendfile",
    "splice",
    "partial",
    "half-close",
]
COMPILED_WAYS = ["mmsg", "uring", "uring-rw", "uring-async"]


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[Servers]:
    build()
    with Servers(tmp_path) as started:
        yield started


CHAINS: dict[str, Callable[[Servers, Server], Server]] = {
    "nginx": lambda servers, backend: servers.nginx(backend=backend),
    "nginx-fresh": lambda servers, backend: servers.nginx(backend=backend, keepalive=False),
    "haproxy": lambda servers, backend: servers.haproxy(backend=backend),
    "threaded": lambda servers, backend: servers.python("threaded.py", "--backend", backend.port),
    "threaded-fresh": lambda servers, backend: servers.python(
        "threaded.py", "--client", "fresh", "--backend", backend.port
    ),
    "gunicorn-sync": lambda servers, backend: servers.gunicorn("sync", backend=backend),
    "gunicorn-gthread": lambda servers, backend: servers.gunicorn(
        "gthread", threads=4, backend=backend
    ),
    "node": lambda servers, backend: servers.node(backend=backend),
    "go": lambda servers, backend: servers.go(backend=backend),
}


@pytest.mark.parametrize("front", CHAINS.values(), ids=CHAINS)
def test_front_forwards_each_request_and_its_id(
    servers: Servers, front: Callable[[Servers, Server], Server]
) -> None:
    server = front(servers, servers.python("backend.py"))
    answers = [
        json.loads(curl(f"{server.url}/items/{n}", "--header", f"X-Request-Id: r{n}"))
        for n in (1, 2)
    ]
    assert answers == [{"id": str(n), "request": f"r{n}", "received": 0} for n in (1, 2)]


def test_clients_requests_all_come_back(servers: Servers) -> None:
    server = servers.python("threaded.py", "--backend", servers.python("backend.py").port)
    told = json.loads(python("client.py", "--port", server.port, "--requests", 100, "--threads", 7))
    assert (told["ok"], told["failed"]) == (100, 0)


def test_backend_answers_in_each_shape(servers: Servers) -> None:
    server = servers.python("backend.py")
    assert curl(f"{server.url}/size/1000") == "x" * 1000
    assert curl(f"{server.url}/chunks/3") == "chunk 0\nchunk 1\nchunk 2\n"
    assert curl(f"{server.url}/close/10") == "x" * 10
    assert curl(f"{server.url}/status/503", "--write-out", "%{http_code}") == "503"
    with pytest.raises(subprocess.CalledProcessError):
        curl(f"{server.url}/abort")
    with pytest.raises(subprocess.CalledProcessError):
        curl(f"{server.url}/hang", "--max-time", "0.2")


def test_nginx_serves_a_file(servers: Servers) -> None:
    server = servers.nginx(backend=servers.python("backend.py"))
    assert curl(f"{server.url}/static/page.html") == "static\n" * 100


@pytest.mark.parametrize("way", WAYS)
def test_exchanges_succeed_in_every_way(servers: Servers, tmp_path: Path, way: str) -> None:
    unix = tmp_path / "socket"
    server = servers.python("ways.py", "serve", "--way", way, "--unix", unix)
    python("ways.py", "--port", server.port, "call", "--way", way)
    python("ways.py", "--port", server.port, "call", "--way", way, "--unix", unix)


@pytest.mark.parametrize("way", COMPILED_WAYS)
def test_exchanges_succeed_in_every_compiled_way(servers: Servers, way: str) -> None:
    server = servers.ways(way)
    subprocess.run([BUILT / "ways", way, "call", str(server.port), "23"], check=True, timeout=20)
