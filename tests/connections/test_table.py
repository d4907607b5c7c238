"""Conversations, read aloud."""

from __future__ import annotations

import errno

import pytest

from agent.connections import claims, general, losses, table
from agent.spans import semconv
from agent.spans.span import Attributes, Span, SpanKind, Status
from tests.scenario import (
    AF_UNIX,
    CLIENT,
    EGRESS,
    EVENTS,
    INGRESS,
    KINDS,
    SERVER,
    Host,
    Run,
    facts,
    play,
    request,
    response,
)

OK = "server GET / -> 200, 2 bytes"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.fixture
def host() -> Host:
    return Host()


def test_a_request_and_its_response_are_a_span(host):
    host.process(10, "shop")
    socket = host.accept(thread=11)
    socket.received(request("/orders/7", fields="User-Agent: curl/8\r\n"))
    host.wait(5_000_000)
    socket.sent(response(200, b"hi"), took_ns=1000)
    run = play(host)
    (span,) = run.spans
    span.attributes = tuple(Attributes(block.items) for block in span.attributes)
    assert span == Span(
        trace_id=span.trace_id,
        span_id=span.span_id,
        parent_id=None,
        name="GET /orders/{id}",
        kind=SpanKind.SERVER,
        start_unix_ns=1_000_002_000,
        end_unix_ns=1_005_004_000,
        status=Status.UNSET,
        status_message="",
        attributes=(
            Attributes(
                (
                    ("http.request.method", "GET"),
                    ("url.scheme", "http"),
                    ("http.route", "/orders/{id}"),
                    ("network.protocol.version", "1.1"),
                    ("http.response.status_code", 200),
                )
            ),
            Attributes(
                (
                    ("url.path", "/orders/7"),
                    ("http.request.size", 58),
                    ("http.response.body.size", 2),
                    ("http.response.size", 44),
                )
            ),
            Attributes((("server.address", "shop"), ("server.port", 80))),
            Attributes((("user_agent.original", "curl/8"),)),
            Attributes(
                (
                    ("network.transport", "tcp"),
                    ("network.type", "ipv4"),
                    ("network.peer.address", "10.0.0.9"),
                    ("client.address", "10.0.0.9"),
                )
            ),
            Attributes((("network.peer.port", 40000),)),
            Attributes((("zerospan.parent.rule", "none"),)),
            # From the request's first byte to the beginning of the call that sent the response.
            Attributes((("zerospan.time_to_first_byte", 0.005001),)),
        ),
        resource=span.resource,
    )
    assert span.resource.attributes == (("service.name", "shop"), ("process.pid", 10))
    assert run.counts == {"captured": 1, "spans": 1}


def test_both_ends_on_this_host_are_two_spans(host):
    client, server = host.connect(), host.accept()
    client.sent(request("/a"))
    server.received(request("/a"))
    server.sent(response(200, b"hi"))
    client.received(response(200, b"hi"))
    assert play(host).lines == [
        "server GET /a -> 200, 2 bytes",
        "client GET http://shop/a -> 200, 2 bytes",
    ]


def test_keep_alive(host):
    socket = host.accept()
    for path in ("/a", "/b", "/c"):
        socket.received(request(path)).sent(response(200, path.encode()))
    socket.close()
    run = play(host)
    assert run.lines == [
        "server GET /a -> 200, 2 bytes",
        "server GET /b -> 200, 2 bytes",
        "server GET /c -> 200, 2 bytes",
    ]
    assert run.ledger.connections == {"opened": 1, "closed": 1}


def test_a_request_that_is_tried_again_is_another_span(host):
    """The same bytes: on the same connection after an answer that asks for that, and on another after none."""
    first = host.connect(port=40000)
    first.sent(request("/a")).received(response(408)).sent(request("/a")).close()
    host.connect(port=40001).sent(request("/a")).received(response(200))
    run = play(host)
    assert run.lines == [
        "client GET http://shop/a -> 408, 0 bytes",
        "client GET http://shop/a -> connection_closed",
        "client GET http://shop/a -> 200, 0 bytes",
    ]
    assert len({span.span_id for span in run.spans}) == 3


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


# Bodies of which only the head makes events.


def test_long_body_is_over_when_the_next_request_comes(host):
    socket = host.accept()
    whole = response(200, b"x" * 5000)
    socket.received(request("/a")).sent(whole[:1024]).sent(whole[1024:])
    at = host.now_ns
    host.wait(1_000_000)
    socket.received(request("/b")).sent(response(200))
    run = play(host)
    assert run.lines == ["server GET /a -> 200, 5000 bytes", "server GET /b -> 200, 0 bytes"]
    assert run.spans[0].end_unix_ns == at


def test_long_body_is_over_when_the_kernel_side_says_so(host):
    socket = host.accept()
    whole = response(200, b"x" * 5000)
    socket.received(request("/a")).sent(whole[:2000])
    run = Run().take(host.records)
    assert [c.socket for c in run.pipeline.connections.waiting()] == [socket.number]
    socket.progress()
    run.take(host.records[-1:])
    assert not run.pipeline.connections.finished
    socket.sent(whole[2000:])
    at = host.now_ns
    host.wait(1_000_000)
    socket.progress()
    run.take(host.records[-1:]).finish()
    assert run.lines == ["server GET /a -> 200, 5000 bytes"]
    assert run.spans[0].end_unix_ns == at


def test_long_body_is_over_when_the_connection_is(host):
    socket = host.accept()
    socket.received(request("/a")).sent(response(200, b"x" * 5000))
    at = host.now_ns
    socket.close()
    run = play(host)
    assert run.lines == ["server GET /a -> 200, 5000 bytes"]
    assert run.spans[0].end_unix_ns == at


@pytest.mark.parametrize("direction", [INGRESS, EGRESS])
def test_long_body_is_over_when_its_direction_is(host, direction):
    """`Connection: close`: the client reads the end of file, the server shuts down, and then comes the close."""
    socket = host.connect() if direction == INGRESS else host.accept()
    whole = response(200, b"x" * 9000)
    socket.asks(request("/a")).answers(whole[:2000]).answers(whole[2000:])
    socket.ended(direction).close()
    run = play(host)
    assert [(facts(s)["http.response.body.size"], s.status) for s in run.spans] == [
        (9000, Status.UNSET)
    ]


def test_long_chunked_body_is_over_with_the_turn(host):
    socket = host.accept()
    socket.received(request("/a")).sent(CHUNKED + b"1000\r\n" + b"x" * 4096 + b"\r\n0\r\n\r\n")
    socket.received(request("/b")).sent(response(200))
    assert play(host).lines == ["server GET /a -> 200", "server GET /b -> 200, 0 bytes"]


def test_long_chunked_body_is_over_when_its_last_bytes_say_so(host):
    socket = host.accept()
    body = b"1000\r\n" + b"x" * 4096 + b"\r\n0\r\n\r\n"
    socket.received(request("/a")).sent(CHUNKED + body[:2000]).sent(body[2000:]).progress(body[-8:])
    run = Run().take(host.records)
    assert len(run.pipeline.connections.finished) == 1
    assert run.finish().lines == ["server GET /a -> 200, 4096 bytes"]


def test_pipelined_response_behind_a_long_chunked_one_is_not_guessed(host):
    socket = host.accept()
    socket.received(request("/a") + request("/b"))
    socket.sent(CHUNKED + b"1000\r\n" + b"x" * 4096 + b"\r\n0\r\n\r\n").sent(response(201))
    socket.received(request("/c")).sent(response(202)).close()
    run = play(host)
    assert run.lines == ["server GET /a -> 200"]
    assert run.counts == {"captured": 2, "spans": 1, "unparsed": {"gap": 1}}


def test_file_sent_by_the_kernel(host):
    socket = host.accept()
    head = response(200, b"x" * 100_000)[:-100_000]
    for path in ("/a", "/b"):
        socket.received(request(path)).sent(head).sent(b"", size=60_000, is_silent=True)
        socket.sent(b"", size=40_000, is_silent=True)
    at = host.now_ns
    socket.close()
    run = play(host)
    assert run.lines == ["server GET /a -> 200, 100000 bytes", "server GET /b -> 200, 100000 bytes"]
    assert run.spans[1].end_unix_ns == at


def test_upload_whose_body_makes_no_events(host):
    socket = host.connect()
    head = request("/a", method="PUT", body=b"x" * 100_000)[:-100_000]
    socket.sent(head).sent(b"", size=100_000, is_silent=True).received(response(201)).close()
    run = play(host)
    assert run.lines == ["client PUT http://shop/a -> 201, 0 bytes"]
    assert facts(run.spans[0])["http.request.body.size"] == 100_000


def test_longer_captures_are_asked_for_when_a_head_was_cut(host):
    socket = host.accept(budgets=(256, 256))
    socket.received(request("/a", fields=f"Cookie: {'c' * 400}\r\n")).sent(response(200))
    socket.received(request("/b")).sent(response(201)).close()
    run = play(host)
    assert run.lines == ["server GET /a -> 200, 0 bytes", "server GET /b -> 201, 0 bytes"]
    assert run.outside.budgets == [(socket.number, 0, 512), (socket.number, 1, 512)]


# Joined in the middle.


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


# Ends.


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


# Others than HTTP.


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


def test_response_that_nobody_asked_for_comes_first(host):
    host.accept().sent(response(408)).close()
    assert play(host).counts == {"captured": 1, "unparsed": {"request_not_seen": 1}}


def test_too_many_pipelined_requests_are_given_up(host, monkeypatch):
    monkeypatch.setattr(general, "MAX_PENDING", 3)
    socket = host.accept()
    socket.received(request("/a") * 4)
    run = play(host)
    assert run.outside.muted == [socket.number]
    assert run.counts == {"captured": 4, "unparsed": {"garbage": 4}}


# Losses; tests/connections/test_losses.py has them all.


def test_lost_response(host):
    socket = host.accept()
    socket.received(request("/a")).sent(response(200), is_lost=True)
    socket.received(request("/b")).sent(response(201)).close()
    run = play(host)
    assert run.lines == ["server GET /b -> 201, 0 bytes"]
    assert run.counts == {"captured": 2, "spans": 1, "lost": {"ring_full": 1}}


def test_lost_request(host):
    socket = host.accept()
    socket.received(request("/a")).sent(response(200))
    socket.received(request("/b"), is_lost=True).sent(response(201))
    socket.received(request("/c")).sent(response(202)).close()
    run = play(host)
    assert run.lines == ["server GET /a -> 200, 0 bytes", "server GET /c -> 202, 0 bytes"]
    assert run.counts == {"captured": 3, "spans": 2, "lost": {"ring_full": 1}}


def test_lost_head_of_a_request_whose_body_is_a_request(host):
    socket = host.accept()
    socket.received(request("/a")).sent(response(200))
    head = request("/b", method="POST", body=request("/evil")).removesuffix(request("/evil"))
    socket.received(head, is_lost=True).received(request("/evil")).sent(response(201))
    socket.received(request("/c")).sent(response(202)).close()
    run = play(host)
    assert run.lines == ["server GET /a -> 200, 0 bytes", "server GET /c -> 202, 0 bytes"]
    assert run.counts == {"captured": 3, "spans": 2, "unparsed": {"gap": 1}}


def test_lost_interim_response_does_not_make_a_body_a_request(host):
    socket = host.accept()
    body = request("/evil")
    head = request("/a", method="POST", body=body).removesuffix(body)
    socket.received(head).sent(b"HTTP/1.1 100 Continue\r\n\r\n", is_lost=True)
    socket.received(body).sent(response(201)).received(request("/b")).sent(response(202)).close()
    run = play(host)
    assert run.lines == ["server GET /b -> 202, 0 bytes"]
    assert run.counts == {"captured": 2, "spans": 1, "lost": {"ring_full": 1}}


def test_lost_first_exchanges(host):
    socket = host.accept()
    socket.received(request("/a"), is_lost=True).sent(response(200), is_lost=True)
    socket.received(request("/b")).sent(response(201)).received(request("/c")).sent(response(202))
    socket.close()
    run = play(host)
    # Where a request begins is known only from the turn before it.
    assert run.lines == ["server GET /c -> 202, 0 bytes"]
    assert run.counts == {"captured": 3, "spans": 1, "lost": {"ring_full": 2}}


def test_lost_all(host):
    socket = host.accept()
    for _ in range(3):
        socket.received(request("/a"), is_lost=True).sent(response(200), is_lost=True)
    socket.close()
    assert play(host).counts == {"captured": 3, "lost": {"ring_full_unclassified": 3}}


def test_loss_among_pipelined_requests_is_the_end_of_what_can_be_followed(host):
    socket = host.accept()
    socket.received(request("/a") + request("/b")).sent(response(200), is_lost=True)
    socket.received(request("/c")).sent(response(201)).sent(response(202)).close()
    run = play(host)
    assert run.lines == []
    assert run.outside.muted == [socket.number]
    assert run.ledger.connections["muted_pipelined_loss"] == 1
    assert run.counts == {"captured": 2, "lost": {"ring_full": 2}}


def test_record_of_an_earlier_turn_comes_late(host):
    socket = host.accept()
    socket.received(request("/a")).sent(response(200)).received(request("/b"))
    host.records.append(host.records[2])
    socket.sent(response(201)).close()
    run = play(host)
    assert run.lines == ["server GET /a -> 200, 0 bytes", "server GET /b -> 201, 0 bytes"]
    assert run.ledger.records_ignored == {"late": 1}


# Hostile records.


def test_payload_longer_than_the_record_is_malformed(host):
    socket = host.accept()
    socket.received(request("/a"))
    host.records[-1] = host.records[-1][:-1]
    run = play(host)
    assert run.lines == []
    assert run.ledger.records_ignored == {"malformed": 1}


HOSTILE = {
    "more captured than moved": {"size": 3},
    "no such direction": {"direction": 2},
}


@pytest.mark.parametrize("change", HOSTILE.values(), ids=HOSTILE)
def test_record_that_cannot_be_is_malformed(host, change):
    socket = host.accept()
    socket.received(request("/a"))
    layout = EVENTS["data_event"]
    record = host.records.pop()
    host.records.append(layout.pack(**{**layout.unpack(record), **change}) + record[layout.size :])
    assert play(host).ledger.records_ignored == {"malformed": 1}


@pytest.mark.parametrize(
    "change", [{"position": 2**64 - 1}, {"turn": 2**32 - 1}, {"other_position": 2**63}]
)
def test_crazy_numbers_do_no_harm(host, change):
    socket = host.accept()
    layout = EVENTS["data_event"]
    for _ in range(3):
        socket.received(request("/a")).sent(response(200))
        record = host.records.pop()
        host.records.append(
            layout.pack(**{**layout.unpack(record), **change}) + record[layout.size :]
        )
    socket.close()
    play(host)


def test_role_that_does_not_exist_is_unknown(host):
    socket = host.accept()
    layout = EVENTS["open_event"]
    host.records[0] = layout.pack(**{**layout.unpack(host.records[0]), "role": 77})
    socket.received(request("/a")).sent(response(200)).close()
    assert play(host).lines == ["server GET /a -> 200, 0 bytes"]


def test_records_of_unknown_connections_are_counted(host):
    socket = host.accept()
    socket.received(request("/a")).ended().progress().close()
    run = Run().take(host.records[1:]).finish()
    assert run.ledger.records_ignored == {"connection_unknown": 2}


# Bounds, and processes that are not traced.


def test_table_is_bounded(host, monkeypatch):
    monkeypatch.setattr(table, "MAX_CONNECTIONS", 2)
    sockets = [host.accept(client=("10.0.0.9", 40000 + n)) for n in range(2)]
    for socket in sockets:
        socket.received(request("/a"))
    third = host.accept(client=("10.0.0.9", 50000))
    third.received(request("/b"))
    for socket in (*sockets, third):
        socket.sent(response(200)).close()
    run = play(host)
    assert run.lines == ["server GET /a -> 200, 0 bytes", "server GET /b -> 200, 0 bytes"]
    assert run.outside.muted == [sockets[0].number]
    assert run.counts == {"captured": 3, "spans": 2, "lost": {"connections_full": 1}}


def test_process_that_is_excluded_later(host):
    host.accept(process=10).received(request("/a"))
    other = host.accept(process=11)
    other.received(request("/b")).sent(response(200))
    run = Run().take(host.records)
    run.pipeline.connections.exclude(10)
    run.finish()
    assert run.lines == ["server GET /b -> 200, 0 bytes"]
    assert run.counts == {"captured": 2, "spans": 1, "filtered": {"process_excluded": 1}}


def test_process_that_is_not_traced(host, monkeypatch):
    run = Run()
    monkeypatch.setattr(run.outside, "identify", {}.get)
    socket = host.accept()
    socket.received(request("/a"))
    run.take(host.records).finish()
    assert run.outside.muted == [socket.number]
    assert run.ledger.connections == {"filtered": 1}


def test_unix_sockets(host):
    client = host.connect(family=AF_UNIX)
    server = host.accept(family=AF_UNIX, peer=client)
    client.sent(request("/a"))
    server.received(request("/a")).sent(response(200))
    client.received(response(200))
    server.close()
    client.close()
    run = play(host)
    assert run.lines == [
        "server GET /a -> 200, 0 bytes",
        "client GET http://shop/a -> 200, 0 bytes",
    ]
    server_span, client_span = run.spans
    assert server_span.parent_id == client_span.span_id


def test_live_connections_can_be_looked_up(host):
    socket = host.accept()
    run = Run().take(host.records)
    found = run.pipeline.connections.get(socket.number)
    assert found is not None
    assert found.is_server
    assert len(run.pipeline.connections) == 1
    assert run.pipeline.connections.get(99) is None


def test_roles_are_those_of_the_header():
    assert (SERVER, CLIENT) == (1, 2)
    assert KINDS["EVENT_DATA"] == 2


def test_empty_record_is_no_repetition_of_a_request(host):
    """Nothing equals nothing: the hot path remembers the bytes of the last request."""
    socket = host.accept()
    socket.sent(response(408)).received(b"").received(request("/a")).sent(response(200)).close()
    assert play(host).lines == ["server GET /a -> 200, 0 bytes"]


def test_repeated_messages_are_spans_of_their_own(host):
    socket = host.accept()
    for _ in range(3):
        socket.received(request("/a")).sent(response(200, b"hi"))
        host.wait(1_000_000)
    run = play(host)
    assert run.lines == ["server GET /a -> 200, 2 bytes"] * 3
    assert len({span.start_unix_ns for span in run.spans}) == 3
    assert len({span.span_id for span in run.spans}) == 3


def test_same_response_to_another_method_is_read_anew(host):
    socket = host.accept()
    answer = response(200, b"hi")
    socket.received(request("/a")).sent(answer)
    socket.received(request("/a", method="HEAD")).sent(answer[:-2])
    socket.received(request("/a")).sent(answer).close()
    assert play(host).lines == [
        "server GET /a -> 200, 2 bytes",
        "server HEAD /a -> 200, 0 bytes",
        "server GET /a -> 200, 2 bytes",
    ]
