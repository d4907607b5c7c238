"""HTTP servers: their bounds, and addresses that cannot be had."""

from __future__ import annotations

import socket
import threading
from typing import TYPE_CHECKING, Any

import pytest

from agent.errors import ConfigError
from agent.wsgi import WsgiServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MAX_BODY = 64


def echo(environ: dict[str, Any], start: Callable[..., Any]) -> list[bytes]:
    start("200 OK", [("Content-Type", "text/plain")])
    return [environ["wsgi.input"].read()]


@pytest.fixture
def server() -> Iterator[WsgiServer]:
    server = WsgiServer(echo, "127.0.0.1", 0, max_body=MAX_BODY, failing="nothing is served")
    thread = threading.Thread(target=server.run)
    thread.start()
    yield server
    server.close()
    thread.join(30)
    assert not thread.is_alive(), "close() ends run()"


def status_of(server: WsgiServer, body: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as client:
        length = str(len(body)).encode()
        client.sendall(b"POST / HTTP/1.0\r\nContent-Length: " + length + b"\r\n\r\n" + body)
        return client.makefile("rb").readline().split()[1]


def test_body_within_its_bound(server):
    assert status_of(server, b"x" * MAX_BODY) == b"200"


def test_body_beyond_its_bound(server):
    assert status_of(server, b"x" * (MAX_BODY + 1)) == b"413"


@pytest.mark.parametrize(("host", "place"), [("127.0.0.1", "127.0.0.1:{}"), ("::1", r"\[::1\]:{}")])
def test_address_that_is_taken_is_named(host, place):
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        taken = socket.create_server((host, 0), family=family)
    except OSError:
        pytest.skip(f"this host has no {host}")
    with taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match="nothing is served on " + place.format(port)):
            WsgiServer(echo, host, port, max_body=MAX_BODY, failing="nothing is served")
