"""Conversations, read aloud."""

from __future__ import annotations

import pytest

from agent.connections import table
from agent.spans.span import Attributes, Span, SpanKind, Status
from tests.scenario import (
    AF_UNIX,
    CLIENT,
    EGRESS,
    EVENTS,
    INGRESS,
    KINDS,
    SERVER,
    Run,
    facts,
    play,
    request,
    response,
)

OK = "server GET / -> 200, 2 bytes"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


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
                    ("server.address", "shop"),
                    ("server.port", 80),
                    ("user_agent.original", "curl/8"),
                )
            ),
            Attributes(
                (
                    ("network.transport", "tcp"),
                    ("network.type", "ipv4"),
                    ("network.peer.address", "10.0.0.9"),
                    ("client.address", "10.0.0.9"),
                )
            ),
            Attributes((("zerospan.parent.rule", "none"),)),
            Attributes(
                (
                    ("network.peer.port", 40000),
                    ("url.path", "/orders/7"),
                    ("http.request.size", 58),
                    ("http.response.body.size", 2),
                    ("http.response.size", 44),
                    # From the request's first byte to the beginning of the call that sent the response.
                    ("zerospan.time_to_first_byte", 0.005001),
                )
            ),
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
