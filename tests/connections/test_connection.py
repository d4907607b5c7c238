"""What a connection is, before and after a protocol claims it."""

from __future__ import annotations

import errno

import pytest

from agent.connections.connection import Connection, classify, failure_of
from agent.protocols import MAX_CLASSIFY, Role, Verdict
from agent.protocols.http1 import Http1
from agent.protocols.pairing import Exchange, Failure
from tests.scenario import request, response


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (b"", (None, Verdict.MORE)),
        (b"GE", (None, Verdict.MORE)),
        (request(), (Http1, Verdict.REQUEST)),
        (response(), (Http1, Verdict.RESPONSE)),
        (b"\x16\x03\x01", (None, Verdict.NO)),
        (b"A" * MAX_CLASSIFY, (None, Verdict.NO)),
    ],
)
def test_classify(head, expected):
    assert classify((Http1,), head) == expected


def test_nothing_is_claimed_without_protocols():
    assert classify((), request()) == (None, Verdict.NO)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (0, Failure.CLOSED_BY_PEER),
        (errno.ECONNRESET, Failure.RESET),
        (errno.EPIPE, Failure.RESET),
        (errno.ECONNABORTED, Failure.RESET),
        (errno.ETIMEDOUT, Failure.TIMEOUT),
        (errno.ECONNREFUSED, Failure.REFUSED),
        (errno.EHOSTUNREACH, Failure.RESET),
    ],
)
def test_failure_of(error, expected):
    assert failure_of(error, Failure.CLOSED_BY_PEER) is expected


class Process:
    routes = None


def test_pending_is_what_either_way_has_under_way():
    connection = Connection(7, 10, Process)
    assert connection.pending() == []
    connection.protocol = Http1()
    assert connection.pending() == []
    first, second = (Exchange(Http1, Role.SERVER, None, 1) for _ in range(2))
    connection.quick = first
    assert connection.pending() == [first]
    connection.quick = None
    connection.protocol.pairing.begin(first)
    connection.protocol.pairing.begin(second)
    assert connection.pending() == [first, second]


@pytest.mark.parametrize(
    ("role", "is_server", "port"),
    [(Role.SERVER, True, 80), (Role.CLIENT, False, 40000), (Role.UNKNOWN, False, 40000)],
)
def test_role_tells_whose_port_is_the_servers(role, is_server, port):
    connection = Connection(7, 10, Process)
    connection.role, connection.local_port, connection.remote_port = role, 80, 40000
    assert (connection.is_server, connection.server_port) == (is_server, port)
