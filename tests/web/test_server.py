"""The server itself."""

from __future__ import annotations

import logging
import socket

import pytest

from agent.errors import ConfigError
from agent.web.server import Server
from agent.web.settings import WebSettings


def test_address_that_is_taken(store):
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        pytest.raises(ConfigError, match="cannot be served"),
    ):
        Server(WebSettings(str(store), "127.0.0.1", taken.getsockname()[1]))


def test_warning_without_tls(store, caplog):
    with caplog.at_level(logging.WARNING):
        Server(WebSettings(str(store), "0.0.0.0", 0, token="0123456789abcdef")).close()
    assert "without TLS" in caplog.text


def test_request_that_is_too_large(page):
    host, port = page.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=30) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 100_000 + b"\r\n\r\n")
        assert client.recv(100).split()[1] == b"431"
