"""What is unusual of a connection: pieces, pipelining, bodies that must be read, upgrades, garbage."""

from __future__ import annotations

import pytest

from agent.connections import general, losses
from agent.spans import semconv
from tests.scenario import (
    INGRESS,
    facts,
    play,
    request,
    response,
)

OK = "server GET / -> 200, 2 bytes"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


def test_pipelined_requests_pair_in_order(host):
    socket = host.accept()
    socket.received(request("/a") + request("/b", method="POST", body=b"body")).received(
        request("/c")
    )
    socket.sent(response(200)).sent(response(201) + response(202))
    socket.received(request("/d")).sent(response(203))
    assert play(host).lines == [
        "server GET /a -> 200, 0 bytes",
        "server POST /b -> 201, 0 bytes",
        "server GET /c -> 202, 0 bytes",
        "server GET /d -> 203, 0 bytes",
    ]


def test_requests_overtake_responses(host):
    """Windowed pipelining: the client goes on asking when the first response has come."""
    socket = host.accept()
    socket.received(request("/a") + request("/b")).sent(response(200))
    socket.received(request("/c")).sent(response(201)).sent(response(202))
    assert play(host).lines == [
        "server GET /a -> 200, 0 bytes",
        "server GET /b -> 201, 0 bytes",
        "server GET /c -> 202, 0 bytes",
    ]


def test_heads_in_pieces(host):
    socket = host.accept()
    for byte in request("/a"):
        socket.received(bytes([byte]))
    answer = response(200, b"hi")
    socket.sent(answer[:5]).sent(answer[5:-1]).sent(answer[-1:])
    socket.received(request("/b")).sent(response(201))
    assert play(host).lines == ["server GET /a -> 200, 2 bytes", "server GET /b -> 201, 0 bytes"]


def test_chunked(host):
    socket = host.accept()
    socket.received(request("/a")).sent(CHUNKED).sent(b"3\r\nabc\r\n").sent(
        b"4\r\ndefg\r\n0\r\n\r\n"
    )
    socket.received(request("/b")).sent(response(201))
    assert play(host).lines == ["server GET /a -> 200, 7 bytes", "server GET /b -> 201, 0 bytes"]


def test_head_has_no_body_whatever_its_length_says(host):
    socket = host.accept()
    socket.received(request("/a", method="HEAD"))
    socket.sent(b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n")
    socket.received(request("/b")).sent(response(201))
    assert play(host).lines == ["server HEAD /a -> 200, 0 bytes", "server GET /b -> 201, 0 bytes"]


def test_continue_before_the_body(host):
    body = b"x" * 100
    socket = host.accept()
    socket.received(
        request("/a", method="POST", body=body, fields="Expect: 100-continue\r\n")[:-100]
    )
    socket.sent(b"HTTP/1.1 100 Continue\r\n\r\n").received(body).sent(response(201))
    socket.received(request("/b")).sent(response(200))
    assert play(host).lines == ["server POST /a -> 201, 0 bytes", "server GET /b -> 200, 0 bytes"]


@pytest.mark.parametrize("status", [204, 304])
def test_statuses_without_a_body(host, status):
    socket = host.accept()
    socket.received(request("/a")).sent(b"HTTP/1.1 %d X\r\nContent-Length: 5\r\n\r\n" % status)
    socket.received(request("/b")).sent(response(200))
    assert play(host).lines == [
        f"server GET /a -> {status}, 0 bytes",
        "server GET /b -> 200, 0 bytes",
    ]


def test_body_up_to_the_end_of_the_connection(host):
    socket = host.accept()
    socket.received(request("/a")).sent(b"HTTP/1.1 200 OK\r\n\r\n12345").sent(b"67").close()
    assert play(host).lines == ["server GET /a -> 200, 7 bytes"]


def test_body_up_to_the_end_of_file_as_the_client_sees_it(host):
    socket = host.connect()
    socket.sent(request("/a")).received(b"HTTP/1.1 200 OK\r\n\r\n12345").ended(INGRESS).close()
    assert play(host).lines == ["client GET http://shop/a -> 200, 5 bytes"]


def test_upgraded_connection_is_muted(host):
    socket = host.accept()
    socket.received(request("/ws", fields="Upgrade: websocket\r\nConnection: upgrade\r\n"))
    socket.sent(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n")
    socket.sent(b"\x81\x05hello").received(b"\x81\x85").close()
    run = play(host)
    assert run.lines == ["server GET /ws -> 101, 0 bytes"]
    assert run.outside.muted == [socket.number]
    assert run.ledger.connections["muted_upgraded"] == 1


def test_tunnel_is_muted(host):
    socket = host.accept()
    socket.received(b"CONNECT db:5432 HTTP/1.1\r\nHost: db:5432\r\n\r\n")
    socket.sent(b"HTTP/1.1 200 Connection established\r\n\r\n").received(b"\x16\x03\x01").close()
    run = play(host)
    assert [(span.name, facts(span)[semconv.SERVER_ADDRESS]) for span in run.spans] == [
        ("CONNECT", "db")
    ]
    assert run.outside.muted == [socket.number]


def test_connection_that_is_not_understood_is_muted(host):
    socket = host.accept()
    socket.received(request("/a")).sent(response(200))
    for _ in range(losses.MAX_TROUBLE):
        socket.received(b"\x00\x01garbage\r\n").sent(b"\x00\r\n\r\n")
    run = play(host)
    assert run.lines == ["server GET /a -> 200, 0 bytes"]
    assert run.outside.muted == [socket.number]
    assert run.counts == {"captured": 4, "spans": 1, "unparsed": {"garbage": 3}}


def test_garbage_costs_its_own_exchange_only(host):
    socket = host.accept()
    socket.received(request("/a")).sent(b"what?\r\n\r\n")
    socket.received(request("/b")).sent(response(201)).close()
    run = play(host)
    assert run.lines == ["server GET /b -> 201, 0 bytes"]
    assert run.counts == {"captured": 2, "spans": 1, "unparsed": {"garbage": 1}}


def test_response_that_nobody_asked_for(host):
    """A server says 408 on an idle connection."""
    socket = host.accept()
    socket.received(request("/a")).sent(response(200)).sent(response(408)).close()
    run = play(host)
    assert run.lines == ["server GET /a -> 200, 0 bytes"]
    assert run.counts == {"captured": 2, "spans": 1, "unparsed": {"request_not_seen": 1}}


def test_too_many_pipelined_requests_are_given_up(host, monkeypatch):
    monkeypatch.setattr(general, "MAX_PENDING", 3)
    socket = host.accept()
    socket.received(request("/a") * 4)
    run = play(host)
    assert run.outside.muted == [socket.number]
    assert run.counts == {"captured": 4, "unparsed": {"garbage": 4}}
