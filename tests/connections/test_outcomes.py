"""How exchanges end: by either side, by errors, with the process, with the agent."""

from __future__ import annotations

import errno

import pytest

from agent.connections import table
from agent.spans.span import Status
from tests.scenario import (
    EGRESS,
    INGRESS,
    Run,
    play,
    request,
    response,
)

OK = "server GET / -> 200, 2 bytes"


def test_client_that_ends_its_direction_still_gets_its_response(host):
    socket = host.accept()
    socket.received(request("/a")).ended(INGRESS).sent(response(200)).close()
    assert play(host).lines == ["server GET /a -> 200, 0 bytes"]


def test_peer_that_ends_before_its_response(host):
    socket = host.connect()
    socket.sent(request("/a")).ended(INGRESS).close()
    run = play(host)
    assert run.lines == ["client GET http://shop/a -> connection_closed_by_peer"]
    assert run.spans[0].status is Status.ERROR


def test_server_that_ends_its_direction_within_its_response(host):
    socket = host.accept()
    socket.received(request("/a")).sent(response(200, b"12345")[:-2]).ended(EGRESS).close()
    assert play(host).lines == ["server GET /a -> 200 connection_closed, 5 bytes"]


def test_client_that_gives_up(host):
    socket = host.accept()
    socket.received(request("/a")).ended(INGRESS).close()
    assert play(host).lines == ["server GET /a -> connection_closed_by_peer"]


def test_client_that_gives_up_is_told_by_the_close(host):
    """As the kernel side tells it of accepted sockets."""
    host.accept().received(request("/a")).close(ended_by_peer=True)
    socket = host.accept().received(request("/b")).sent(response(200, b"12345")[:-2])
    socket.close(errno.ECONNRESET, ended_by_peer=True)
    assert play(host).lines == [
        "server GET /a -> connection_closed_by_peer",
        "server GET /b -> 200 connection_reset, 5 bytes",
    ]


def test_end_of_a_server_that_lingers_comes_with_the_progress(host):
    head = b"HTTP/1.1 200 OK\r\n\r\n"
    socket = host.accept().received(request("/a")).sent(head + b"12345")
    run = Run().take(host.records)
    assert [c.socket for c in run.pipeline.connections.waiting()] == [socket.number]
    before = len(host.records)
    socket.progress().ended(EGRESS)
    run.take(host.records[before:])
    assert not run.pipeline.connections.waiting()
    before = len(host.records)
    socket.close()
    assert run.take(host.records[before:]).finish().lines == ["server GET /a -> 200, 5 bytes"]


def test_own_timeout_of_a_client(host):
    socket = host.connect()
    socket.sent(request("/a")).close()
    assert play(host).lines == ["client GET http://shop/a -> connection_closed"]


def test_reset(host):
    socket = host.connect()
    socket.sent(request("/a")).reset().close()
    assert play(host).lines == ["client GET http://shop/a -> connection_reset"]


def test_reset_within_a_request(host):
    """A server that reads on gets the error on the requests' direction."""
    socket = host.accept()
    socket.received(request("/a")).reset().close()
    assert play(host).lines == ["server GET /a -> connection_reset"]


def test_broken_pipe(host):
    socket = host.accept()
    socket.received(request("/a")).ended(EGRESS, errno.EPIPE).close()
    assert play(host).lines == ["server GET /a -> connection_reset"]


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (errno.ETIMEDOUT, "timeout"),
        (errno.ECONNREFUSED, "connection_refused"),
        (errno.EIO, "connection_reset"),
    ],
)
def test_error_that_the_close_tells(host, error, told):
    socket = host.connect()
    socket.sent(request("/a")).close(error)
    assert play(host).lines == [f"client GET http://shop/a -> {told}"]


def test_process_that_exits_within_an_exchange(host):
    socket = host.accept()
    socket.received(request("/a"))
    host.exit(10)
    socket.close()
    assert play(host).lines == ["server GET /a -> process_exit"]


def test_number_of_a_process_that_exited_may_come_again(host):
    host.exit(10).wait(table.EXIT_NS)
    host.accept().received(request("/a")).close()
    assert play(host).lines == ["server GET /a -> connection_closed"]


def test_exits_are_forgotten_in_their_order(host, monkeypatch):
    monkeypatch.setattr(table, "MAX_EXITED", 2)
    sockets = [host.accept(process=number).received(request("/a")) for number in (1, 2, 3)]
    for number in (1, 2, 3):
        host.exit(number)
    for socket in sockets:
        socket.close()
    assert play(host).lines == [
        "server GET /a -> connection_closed",
        "server GET /a -> process_exit",
        "server GET /a -> process_exit",
    ]


def test_agent_that_stops_within_an_exchange(host):
    host.accept().received(request("/a"))
    run = play(host)
    assert run.lines == ["server GET /a -> nothing (unfinished)"]
    assert run.spans[0].status is Status.UNSET


def test_same_socket_opened_again_ends_what_was(host):
    socket = host.accept()
    socket.received(request("/a")).open()
    socket.positions, socket.turn = [0, 0], 0
    socket.received(request("/b")).sent(response(200)).close()
    assert play(host).lines == [
        "server GET /a -> connection_closed",
        "server GET /b -> 200, 0 bytes",
    ]
