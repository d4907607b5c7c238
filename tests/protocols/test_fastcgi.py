"""FastCGI: requests and answers, what is told of them, and a trace that goes through a web server to a program."""

from __future__ import annotations

import pytest

from agent.errors import Gap, ProtocolError
from agent.protocols.fastcgi import MAX_CAPTURE, Fastcgi, Request, Response
from agent.spans.span import Span
from tests.protocols import fastcgi_bytes as fcgi
from tests.scenario import Host, facts, play, request, response
from tests.wire import Reading, Result, Sample, bytewise, holed, read, three_ways, whole

SAMPLES = [
    Sample(
        requests=(fcgi.NGINX_ASKS, fcgi.request("/missing", method="POST", body=b"a=b&c=d")),
        responses=(fcgi.PHP_ANSWERS, fcgi.PHP_DOES_NOT_FIND),
    ),
    Sample(
        requests=(
            fcgi.request("/a?b=c", number=7, keep=True, HTTPS="on", HTTP_USER_AGENT="curl"),
            fcgi.request("*", method="OPTIONS", number=8, keep=True),
        ),
        responses=(
            fcgi.response(b"x" * 900, number=7),
            fcgi.record(6, b"Status: 5", number=8) + fcgi.record(6, b"03\n\nbusy", number=8)
            + fcgi.record(6, number=8) + fcgi.end(number=8),
        ),
    ),
]  # fmt: skip
MANAGEMENT = fcgi.record(9, fcgi.pairs(FCGI_MPXS_CONNS=""), number=0)


def test_a_request():
    expected = Request(
        number=1, method="GET", target=b"/item/7?token=hunter2", host=b"127.0.0.1", user_agent=b"curl/7.88.1",
        carrier={"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"},
        is_truncated=False, body_size=0, size=len(fcgi.NGINX_ASKS),
    )  # fmt: skip
    for pieces in three_ways(fcgi.NGINX_ASKS):
        assert read(Fastcgi(), "request", pieces) == Result((expected,))


TARGETS = [
    ({"REQUEST_URI": "/a?b=1"}, b"/a?b=1", b"shop"),
    ({"REQUEST_URI": "/a", "HTTPS": "on"}, b"https://shop/a", b"shop"),
    ({"REQUEST_URI": "/a", "HTTPS": "off"}, b"/a", b"shop"),
    ({"REQUEST_URI": "/a", "REQUEST_SCHEME": "https"}, b"https://shop/a", b"shop"),
    ({"SCRIPT_NAME": "/i.php", "PATH_INFO": "/x", "QUERY_STRING": "y=1"}, b"/i.php/x?y=1", b"shop"),
    ({"SCRIPT_NAME": "/i.php"}, b"/i.php", b"shop"),
    ({"REQUEST_URI": "/a", "HTTP_HOST": "", "SERVER_NAME": "s", "SERVER_PORT": "81"}, b"/a", b"s:81"),
    ({"REQUEST_URI": "/a", "HTTP_HOST": "", "SERVER_NAME": "s"}, b"/a", b"s"),
    ({"REQUEST_URI": "/a", "HTTP_HOST": ""}, b"/a", None),
]  # fmt: skip


@pytest.mark.parametrize(("parameters", "target", "host"), TARGETS)
def test_what_was_asked_for(parameters, target, host):
    told = fcgi.pairs(REQUEST_METHOD="GET", **{"HTTP_HOST": "shop", **parameters})
    data = fcgi.begin() + fcgi.record(4, told) + fcgi.record(4) + fcgi.record(5)
    (found,) = read(Fastcgi(), "request", whole(data)).messages
    assert (found.target, found.host) == (target, host)


def test_parameters_in_several_records():
    told = fcgi.pairs(REQUEST_METHOD="GET", REQUEST_URI="/a", HTTP_HOST="shop")
    data = fcgi.begin() + b"".join(
        fcgi.record(4, told[at : at + 5]) for at in range(0, len(told), 5)
    )
    data += fcgi.record(4) + fcgi.record(5)
    (found,) = read(Fastcgi(), "request", whole(data)).messages
    assert (found.target, found.size) == (b"/a", len(data))


ANSWERS = [
    (b"Content-type: text/html\r\n\r\n", 200),
    (b"X: 1\r\nStatus: 404 Not Found\r\n\r\nStatus: 500 no\r\n", 404),
    (b"status:\t301\nX: 1\n\n", 301),
    (b"Location: https://elsewhere.example/\r\n\r\n", 302),
    (b"Location: /here\r\n\r\n", 200),
    (b"X-Status: 500\r\n\r\n", 200),
]  # fmt: skip


@pytest.mark.parametrize(("head", "status"), ANSWERS)
def test_statuses(head, status):
    for pieces in three_ways(fcgi.response(head=head)):
        (found,) = read(Fastcgi(), "response", pieces).messages
        assert found.status == status
        assert found.body_size == len(head + b"hello\n") - found.head_size


def test_an_answer_that_says_nothing():
    assert read(Fastcgi(), "response", whole(fcgi.end())) == Result(
        (Response(0, body_size=0, size=16),)
    )


def test_records_of_the_connection_are_part_of_no_exchange():
    data = MANAGEMENT + fcgi.request()
    assert len(read(Fastcgi(), "request", bytewise(data)).messages) == 1
    data = fcgi.record(10, b"x", number=0) + fcgi.response()
    assert len(read(Fastcgi(), "response", bytewise(data)).messages) == 1


WRONG = [
    ("request", fcgi.record(4)),
    ("request", fcgi.begin(role=2)),
    ("request", fcgi.begin() + fcgi.record(4, number=2)),
    ("request", fcgi.begin() + fcgi.record(5)),
    ("request", fcgi.begin() + fcgi.record(4, fcgi.pairs(REQUEST_URI="/")) + fcgi.record(4)),
    ("request", fcgi.begin() + fcgi.record(4, b"\x05\x01a") + fcgi.record(4)),
    ("request", fcgi.request()[:-8] + fcgi.record(6)),
    ("response", fcgi.record(5)),
    ("response", fcgi.record(6, b"A: b\r\n\r\n") + fcgi.record(6, number=2)),
    ("response", fcgi.record(6, b"A: b\r\n\r\n") + fcgi.end(number=2)),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "data"), WRONG, ids=range(len(WRONG)))
def test_what_cannot_be(kind, data):
    assert read(Fastcgi(), kind, whole(data)).error is ProtocolError


def test_a_server_that_gives_up_ends_its_request():
    data = fcgi.request(method="POST", body=b"abc")[:-8] + fcgi.record(2)
    (found,) = read(Fastcgi(), "request", whole(data)).messages
    assert found.body_size is None


def test_what_was_not_captured():
    """Nobody knows where a record begins behind a hole; what was captured is told."""
    data = fcgi.request("/a", HTTP_COOKIE="c" * 3000, HTTP_USER_AGENT="u")
    protocol = Fastcgi()
    reading = Reading(protocol, "request")
    for piece in holed(data, 1000, len(data)):
        reading.feed(piece)
    assert reading.messages == []
    reading.end_turn()
    (found,) = reading.messages
    assert (found.target, found.user_agent, found.is_truncated) == (b"/a", None, True)
    assert (found.body_size, found.size) == (None, len(data))
    assert protocol.wants_capture == 1024
    assert protocol.wants_capture <= MAX_CAPTURE

    (found,) = read(Fastcgi(), "request", holed(data, 1000, 3000)).messages
    assert (found.is_truncated, found.body_size) == (True, 0)  # the sizes of records told the way

    data = fcgi.request("/" + "a" * 200)
    assert read(Fastcgi(), "request", holed(data, 60, len(data))).error is Gap


def test_an_answer_that_was_not_captured():
    data = fcgi.response(b"x" * 900) * 2
    reading = Reading(Fastcgi(), "response")
    for piece in holed(data, 500, len(data)):
        reading.feed(piece)
    reading.end_turn()
    (found,) = reading.messages
    assert (found.status, found.body_size, found.size) == (200, None, len(data))

    data = fcgi.response(head=b"A: " + b"b" * 200 + b"\r\n\r\n")
    (found,) = read(Fastcgi(), "response", holed(data, 100, 220)).messages
    assert (found.status, found.is_truncated, found.body_size) == (0, True, None)


# What is told.


def play_pair(asked: bytes, answered: bytes) -> Span:
    socket = Host().connect(server=("10.0.0.1", 9000)).asks(asked).answers(answered)
    (span,) = play(socket.close().host).spans
    return span


def test_a_span():
    span = play_pair(fcgi.request("/item/7?token=hunter2", HTTP_USER_AGENT="curl"), fcgi.response())
    known = facts(span)
    assert span.name == "GET /item/{id}"
    wanted = ("http.", "url.", "server.", "user_agent.", "network.protocol", "error.")
    assert {key: value for key, value in known.items() if key.startswith(wanted)} == {
        "http.request.method": "GET",
        "http.response.status_code": 200,
        "http.request.size": len(fcgi.request("/item/7?token=hunter2", HTTP_USER_AGENT="curl")),
        "http.response.size": len(fcgi.response()),
        "http.response.body.size": 6,
        "url.scheme": "http",
        "url.template": "/item/{id}",
        "url.full": "http://shop/item/7?token=REDACTED",
        "server.address": "shop",
        "server.port": 80,
        "user_agent.original": "curl",
        "network.protocol.name": "fastcgi",
    }


def test_a_refusal():
    span = play_pair(fcgi.request(), fcgi.end(status=2))
    known = facts(span)
    assert (known["error.type"], known.get("http.response.status_code")) == ("overloaded", None)
    assert facts(play_pair(fcgi.request(), fcgi.end(status=9)))["error.type"] == "_OTHER"
    assert (
        facts(play_pair(fcgi.request(), fcgi.response(head=b"Status: 500\n\n")))["error.type"]
        == "500"
    )


def test_a_trace_goes_through():
    """A web server asks PHP, which reads the end of the request only when all is said, and asks somebody else."""
    host = Host().process(10, "nginx", is_proxy=True).process(20, "php")
    outside = host.accept(process=10, thread=10).received(request("/a"))
    client = host.connect(process=10, thread=10, server=("10.0.0.1", 9000), port=40001)
    server = host.accept(process=20, thread=20, client=("10.0.0.9", 40001), port=9000)
    asked = fcgi.request("/a")
    client.sent(asked)
    for start, stop in ((0, 8), (8, 16), (16, 24), (24, len(asked) - 8)):
        server.received(asked[start:stop])
    call = host.connect(process=20, thread=20, server=("10.0.0.5", 80), port=40002)
    call.sent(request("/b")).received(response(200, b"hi"))
    server.sent(fcgi.response()).received(asked[-8:]).close()
    client.received(fcgi.response()).close()
    outside.sent(response(200, b"hi"))
    call.close()
    outside.close()
    run = play(host)
    by_id = {span.span_id: span for span in run.spans}
    (span,) = (span for span in run.spans if span.name == "GET /b")
    found = [(span.kind.name, span.name)]
    while span.parent_id is not None:
        span = by_id[span.parent_id]
        found.append((span.kind.name, span.name))
    assert found == [
        ("CLIENT", "GET /b"),
        ("SERVER", "GET /a"),
        ("CLIENT", "GET /a"),
        ("SERVER", "GET /a"),
    ]
    assert len({span.trace_id for span in run.spans}) == 1
    assert run.counts == {"captured": 4, "spans": 4}
