"""Which protocol a connection is of: joined in the middle, of none that is known, from the wrong side."""

from __future__ import annotations

import pytest

from agent.connections import claims
from tests.scenario import (
    play,
    request,
    response,
)

OK = "server GET / -> 200, 2 bytes"


def test_joined_before_a_request(host):
    socket = host.join()
    socket.received(request("/a")).sent(response(200)).close()
    assert play(host).lines == ["server GET /a -> 200, 0 bytes"]


def test_joined_before_a_response(host):
    socket = host.join()
    socket.sent(response(200)).received(request("/b")).sent(response(201)).close()
    run = play(host)
    assert run.lines == ["server GET /b -> 201, 0 bytes"]
    assert run.counts == {"captured": 2, "spans": 1, "unparsed": {"request_not_seen": 1}}


@pytest.mark.parametrize("first", ["received", "sent"])
def test_joined_within_a_body(host, first):
    """What is seen first is no message; the next turn begins with one."""
    socket = host.join()
    getattr(socket, first)(b"the rest of something\r\n")
    if first == "received":
        socket.sent(response(200))
    socket.received(request("/b")).sent(response(201)).close()
    run = play(host)
    assert run.lines == ["server GET /b -> 201, 0 bytes"]
    assert run.outside.muted == []


def test_joined_as_a_client(host):
    socket = host.join()
    socket.sent(request("/a")).received(response(200)).close()
    assert play(host).lines == ["client GET http://shop/a -> 200, 0 bytes"]


@pytest.mark.parametrize(
    "head",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.2p1\r\n",
        b"\x00" * 5,
    ],
    ids=["tls", "http2", "ssh", "zeros"],
)
def test_unknown_protocol_is_muted_at_its_first_bytes(host, head):
    socket = host.accept()
    socket.received(head)
    run = play(host)
    assert run.outside.muted == [socket.number]
    assert run.ledger.connections == {"opened": 1, "muted_unknown_protocol": 1}
    assert run.counts == {}


def test_unknown_protocol_is_muted_after_bounded_bytes(host):
    socket = host.accept()
    for byte in b"GET " + b"a" * 200:
        socket.received(bytes([byte]))
    run = play(host)
    assert run.outside.muted == [socket.number]
    assert run.ledger.records_ignored["connection_unknown"] >= 204 - 64


def test_unknown_protocol_is_muted_after_bounded_events(host):
    socket = host.accept()
    for _ in range(claims.MAX_UNDECIDED_EVENTS):
        socket.received(b"", size=0)
    assert play(host).outside.muted == [socket.number]


def test_unknown_protocol_on_an_old_connection_is_muted_with_the_second_turn(host):
    socket = host.join()
    socket.received(b"a0 ").received(b"NOOP\r\n").sent(b"a0 OK NOOP\r\n")
    run = play(host)
    assert run.outside.muted == [socket.number]
    assert run.ledger.records_ignored == {}


def test_server_that_sends_requests_is_not_http(host):
    socket = host.accept()
    socket.sent(request("/a"))
    run = play(host)
    assert run.ledger.connections["muted_wrong_direction"] == 1


def test_response_that_nobody_asked_for_comes_first(host):
    host.accept().sent(response(408)).close()
    assert play(host).counts == {"captured": 1, "unparsed": {"request_not_seen": 1}}
