"""OTLP over gRPC."""

from __future__ import annotations

import socket
from contextlib import contextmanager

import grpc
import pytest

from agent.errors import ConfigError
from agent.export.response import retry_delay_s
from agent.receive.channel import Closed
from agent.receive.grpc import GrpcServer
from agent.receive.intake import MAX_REQUEST
from agent.receive.settings import Place
from tests.export.servers import METHOD
from tests.receive.sending import Agent, message, one, partial

TOKEN = "0123456789abcdef"


@contextmanager
def calling(agent: Agent, token: str = ""):
    server = GrpcServer(Place("127.0.0.1", 0), agent.intake, token=token)
    server.start()
    try:
        with grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel:
            yield channel
    finally:
        server.close()


def call(channel, body: bytes, method: str = METHOD, **more):
    return channel.unary_unary(method)(body, timeout=30, **more)


def failure(channel, body: bytes, method: str = METHOD, **more):
    with pytest.raises(grpc.RpcError) as caught:
        call(channel, body, method, **more)
    return caught.value


def test_spans_arrive_plain_and_gzipped():
    agent = Agent()
    with calling(agent) as channel:
        assert call(channel, one(name="plain")) == b""
        assert call(channel, one(name="zip"), compression=grpc.Compression.Gzip) == b""
        answer = call(channel, message(span_id=b"x").SerializeToString())
        assert partial(answer).rejected_spans == 1
    assert [span.name for span in agent.spans] == ["plain", "zip"]
    assert agent.rejected == 1


def test_hostile_calls():
    agent = Agent()
    with calling(agent) as channel:
        code = grpc.StatusCode.INVALID_ARGUMENT
        assert failure(channel, b"what").code() is code
        assert failure(channel, b"\xff" * 1000).code() is code
        code = grpc.StatusCode.RESOURCE_EXHAUSTED
        assert failure(channel, bytes(MAX_REQUEST + 1)).code() is code
        bomb = bytes(MAX_REQUEST * 4)
        assert failure(channel, bomb, compression=grpc.Compression.Gzip).code() is code
        assert failure(channel, b"", "/x/Y").code() is grpc.StatusCode.UNIMPLEMENTED
        assert call(channel, one()) == b""
    assert agent.refused == ["not_otlp"] * 2
    assert len(agent.spans) == 1


def test_back_pressure():
    rooms = [False, True]
    agent = Agent(lambda: rooms.pop(0))
    with calling(agent) as channel:
        error = failure(channel, one())
        assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        details = dict(error.trailing_metadata())["grpc-status-details-bin"]
        assert retry_delay_s(details) == 2
        assert call(channel, one()) == b""


def test_an_agent_that_ends():
    def gone() -> bool:
        raise Closed

    with calling(Agent(gone)) as channel:
        assert failure(channel, one()).code() is grpc.StatusCode.UNAVAILABLE


def test_token():
    agent = Agent()
    with calling(agent, TOKEN) as channel:
        assert failure(channel, one()).code() is grpc.StatusCode.UNAUTHENTICATED
        assert call(channel, one(), metadata=[("authorization", f"Bearer {TOKEN}")]) == b""
    assert agent.refused == ["unauthorized"]


def test_a_port_that_is_taken():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        place = Place("127.0.0.1", taken.getsockname()[1])
        with pytest.raises(ConfigError, match=place.authority):
            GrpcServer(place, Agent().intake, token="")
