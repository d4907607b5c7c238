"""OTLP over HTTP: both forms, gzip, and everything that is no delivery."""

from __future__ import annotations

import gzip
import json
import socket
from contextlib import contextmanager

import pytest

from agent.errors import ConfigError
from agent.receive.channel import Closed
from agent.receive.http import JSON, PROTOBUF, HttpServer
from agent.receive.settings import Place
from tests.receive.sending import Agent, message, one, partial, post

TOKEN = "0123456789abcdef"


@contextmanager
def serving(agent: Agent, token: str = "", host: str = "127.0.0.1"):
    server = HttpServer(Place(host, 0), agent.intake, token=token)
    server.start()
    try:
        yield server.port
    finally:
        server.close()


def test_both_forms_and_gzip():
    agent = Agent()
    span = {"traceId": "4b" * 16, "spanId": "05" * 8, "name": "json"}
    body = json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]}).encode()
    with serving(agent) as port:
        status, headers, answer = post(port, one(name="plain"))
        assert (status, headers["Content-Type"], answer) == (200, PROTOBUF, b"")
        assert post(port, gzip.compress(one(name="zip")), Content_Encoding="gzip")[0] == 200
        status, headers, answer = post(port, body, f"{JSON}; charset=utf-8")
        assert (status, headers["Content-Type"], answer) == (200, JSON, b"{}")
        status, _, answer = post(port, message(span_id=b"x").SerializeToString())
        assert (status, partial(answer).rejected_spans) == (200, 1)
    assert [span.name for span in agent.spans] == ["plain", "zip", "json"]


@pytest.mark.parametrize(
    ("request_", "status", "cause"),
    [
        ({"body": b"what"}, 400, "not_otlp"),
        ({"body": b"{", "kind": JSON}, 400, "not_otlp"),
        ({"body": b"[" * 100_000, "kind": JSON}, 400, "not_otlp"),
        ({"body": b"x", "Content_Encoding": "gzip"}, 400, "not_otlp"),
        ({"body": b"x", "Content_Encoding": "br"}, 415, "not_otlp"),
        ({"body": b"x", "kind": "text/plain"}, 415, "not_otlp"),
        ({"body": gzip.compress(b"\0" * 9_000_000), "Content_Encoding": "gzip"}, 413, "too_large"),
        ({"body": b"", "path": "/v1/metrics"}, 404, ""),
        ({"body": b"", "method": "GET"}, 405, ""),
        ({"body": b"", "Host": "evil.example"}, 403, ""),
    ],
)
def test_refusals(request_, status, cause):
    agent = Agent()
    with serving(agent) as port:
        found, headers, _ = post(port, **request_)
        assert found == status
        assert "Retry-After" not in headers
        assert post(port, one())[0] == 200
    assert agent.refused == ([cause] if cause else [])


def test_a_body_beyond_the_bound_is_not_kept(monkeypatch):
    monkeypatch.setattr("agent.receive.http.MAX_REQUEST", 1000)
    agent = Agent()
    with serving(agent) as port:
        assert post(port, b"x" * 1001)[0] == 413
    assert agent.parcels == []


def test_back_pressure():
    rooms = [False, True]
    agent = Agent(lambda: rooms.pop(0))
    with serving(agent) as port:
        status, headers, _ = post(port, one())
        assert (status, headers["Retry-After"]) == (429, "2")
        assert post(port, one())[0] == 200
    assert agent.refused == ["queue_full"]


def test_an_agent_that_ends():
    def gone() -> bool:
        raise Closed

    with serving(Agent(gone)) as port:
        status, headers, _ = post(port, one())
        assert (status, headers["Retry-After"]) == (503, "2")


def test_token():
    agent = Agent()
    with serving(agent, TOKEN) as port:
        assert post(port, one())[0] == 401
        assert post(port, one(), Authorization="Bearer no")[0] == 401
        assert post(port, one(), Authorization=f"Bearer {TOKEN}")[0] == 200
    assert agent.refused == ["unauthorized"] * 2
    with serving(agent, TOKEN, "0.0.0.0") as port:
        assert post(port, one(), Authorization=f"Bearer {TOKEN}", Host="shop:4318")[0] == 200


def test_a_port_that_is_taken():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        place = Place("127.0.0.1", taken.getsockname()[1])
        with pytest.raises(ConfigError, match=place.authority):
            HttpServer(place, Agent().intake, token="")
