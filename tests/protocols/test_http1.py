"""HTTP/1 conversations; the classes are named for the sections of RFC 9112 and RFC 9110 that decide."""

from __future__ import annotations

from typing import Any

import pytest

from agent.errors import Gap, ProtocolError
from agent.protocols import Role, Verdict
from agent.protocols.http1 import MAX_EMPTY, Http1
from agent.protocols.http1_head import MAX_HEAD, MAX_TARGET, Framing, Request, Response
from agent.protocols.http1_shortcut import Http1Shortcut
from agent.protocols.pairing import Exchange
from agent.routes import Routes
from agent.stream import EndOfStream
from tests.wire import Piece, Reading, Result, Sample, bytewise, read, three_ways, whole

TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
SAMPLES = [
    Sample(
        requests=(
            b"GET /orders/1?x=1 HTTP/1.1\r\nHost: shop:8080\r\nUser-Agent: curl/8\r\n\r\n",
            b"POST /orders HTTP/1.1\r\nHost: shop\r\nContent-Length: 5\r\n\r\nhello",
            b"PUT /x HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n0\r\nT: x\r\n\r\n",
            b"HEAD /big HTTP/1.1\r\nHost: shop\r\n\r\n",
            b"DELETE /orders/1 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
        ),
        responses=(
            b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\nhello world!",
            b"HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\na\r\n0123456789\r\n0\r\n\r\n",
            b"HTTP/1.1 204 No Content\r\nServer: x\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n",
            b"HTTP/1.1 304 Not Modified\r\nContent-Length: 77\r\n\r\n",
        ),
    ),
]


def request(method: str = "GET", target: bytes = b"/", **fields: Any) -> Request:
    """A whole request without a body, unless said otherwise."""
    return Request(method, target, **{"version": "1.1", "body_size": 0, **fields})


def one_request(data: bytes) -> Result:
    """What comes of `data`, the same whichever way it is cut."""
    first, *others = [read(Http1(), "request", pieces) for pieces in three_ways(data)]
    assert all(other == first for other in others)
    return first


def one_response(data: bytes, method: str | None = "GET", *, is_closed: bool = False) -> Result:
    """The same for the response to a request of `method`."""
    answering = [] if method is None else [request(method)]
    first, *others = [
        read(Http1(), "response", pieces, answering=answering, is_closed=is_closed)
        for pieces in three_ways(data)
    ]
    assert all(other == first for other in others)
    return first


class TestRequestLine:
    """RFC 9112 §3"""

    @pytest.mark.parametrize(
        ("line", "method", "target", "version"),
        [
            (b"GET / HTTP/1.1", "GET", b"/", "1.1"),
            (b"GET /a?b=c&d HTTP/1.0", "GET", b"/a?b=c&d", "1.0"),
            (b"OPTIONS * HTTP/1.1", "OPTIONS", b"*", "1.1"),
            (b"CONNECT db.example:5432 HTTP/1.1", "CONNECT", b"db.example:5432", "1.1"),
            (b"GET http://a.example/x HTTP/1.1", "GET", b"http://a.example/x", "1.1"),
            (b"PROPFIND /dav HTTP/1.1", "PROPFIND", b"/dav", "1.1"),
            (b"BREW /pot HTTP/1.1", "BREW", b"/pot", "1.1"),
            (b"get / HTTP/1.1", "get", b"/", "1.1"),
            (b"GET /\xc3\xa4 HTTP/1.1", "GET", b"/\xc3\xa4", "1.1"),
            (b"GET /with space HTTP/1.1", "GET", b"/with space", "1.1"),
        ],
    )
    def test_line(self, line, method, target, version):
        size = len(line) + 4
        expected = request(method, target, version=version, head_size=size, size=size)
        assert one_request(line + b"\r\n\r\n") == Result((expected,))

    @pytest.mark.parametrize(
        "line",
        [
            b"GET",
            b"GET /",
            b"GET HTTP/1.1",
            b"GET  HTTP/1.1",
            b"GET / HTTP/2.0",
            b"GET / HTTP/1.1 ",
            b"GET / HTTP/1.x",
            b"G(T / HTTP/1.1",
            b"\x16\x03\x01 / HTTP/1.1",
            b"A" * 33 + b" / HTTP/1.1",
        ],
    )
    def test_no_request_line(self, line):
        assert one_request(line + b"\r\n\r\n") == Result(error=ProtocolError)

    def test_long_targets_are_cut(self):
        target = b"/" + b"a" * 20000
        result = read(Http1(), "request", whole(b"GET " + target + b" HTTP/1.1\r\n\r\n"))
        assert result.messages[0].target == target[:MAX_TARGET]


class TestMessageParsing:
    """RFC 9112 §2.2"""

    def test_empty_lines_before_a_request_are_ignored(self):
        expected = request(host=b"a", head_size=len(GET), size=len(GET))
        assert one_request(b"\r\n\n\r\n" + GET) == Result((expected,))

    def test_too_many_are_not(self):
        assert one_request(b"\n" * (MAX_EMPTY + 1) + GET) == Result(error=ProtocolError)

    def test_line_feeds_alone_end_lines(self):
        data = b"POST / HTTP/1.1\nHost: a\nContent-Length: 2\n\nhi"
        expected = request(
            "POST",
            host=b"a",
            framing=Framing.LENGTH,
            content_length=2,
            head_size=43,
            body_size=2,
            size=45,
        )
        assert one_request(data) == Result((expected,))

    def test_an_empty_line_may_have_its_carriage_return(self):
        data = b"GET / HTTP/1.1\nHost: a\n\r\n"
        assert one_request(data) == Result((request(host=b"a", head_size=25, size=25),))

    def test_an_endless_head_is_refused(self):
        reading = Reading(Http1(), "request")
        reading.feed(Piece(b"GET / HTTP/1.1\r\n", 16))
        fed = 0
        while reading.error is None:
            reading.feed(Piece(b"A: b\r\n" * 500, 3000))
            fed += 3000
        assert (reading.error, fed < MAX_HEAD + 3000) == (ProtocolError, True)

    def test_an_endless_line_is_refused(self):
        assert read(Http1(), "request", whole(b"G" * MAX_HEAD)).error is ProtocolError


class TestFieldSyntax:
    """RFC 9112 §5"""

    @pytest.mark.parametrize(
        "fields",
        [
            b"Host: a\r\nUser-Agent: b c\r\n",
            b"hOST:a\r\nUSER-AGENT:b c\r\n",
            b"Host: \t a \t\r\nUser-Agent:   b c  \r\n",
            b"Host: a\r\nUser-Agent: b\r\n \t c\r\n",
            b" Host: ignored\r\nHost: a\r\nX-Host: x\r\nUser-Agent: b c\r\nUser-Agent: second\r\n",
            b"no colon\r\nhost\r\nHost: a\r\nuser-agent : x\r\nUser-Agent: b c\r\n: empty\r\n",
        ],
    )
    def test_fields(self, fields):
        data = b"GET / HTTP/1.1\r\n" + fields + b"\r\n"
        expected = request(host=b"a", user_agent=b"b c", head_size=len(data), size=len(data))
        assert one_request(data) == Result((expected,))


class TestTraceContext:
    """W3C Trace Context §3"""

    @pytest.mark.parametrize(
        ("fields", "carrier"),
        [
            (b"TraceParent: 00-1\r\n", {"traceparent": "00-1"}),
            (
                b"tracestate: a=1\r\ntraceparent: 00-1\r\ntracestate: b=2\r\n",
                {"traceparent": "00-1", "tracestate": "a=1,b=2"},
            ),
            (b"traceparent: 00-1\r\ntracestate:\r\n", {"traceparent": "00-1"}),
            (b"traceparent: 00-1\r\ntraceparent: 00-2\r\n", None),
            (b"tracestate: a=1\r\n", {"tracestate": "a=1"}),
            (b"traceparent:\r\n", None),
            (b"b3: 0\r\nb3: 1\r\nX-B3-TraceId: \xe9\r\n", {"x-b3-traceid": "é"}),
            (
                b"X-Datadog-Tags: a=b\r\nx-datadog-trace-id: 7\r\nX-Datadog-Tags: c=d\r\n",
                {"x-datadog-tags": "a=b,c=d", "x-datadog-trace-id": "7"},
            ),
            (
                b"uber-trace-id: 1\r\nX-Amzn-Trace-Id: 2\r\nX-Request-Id: 3\r\n",
                {"uber-trace-id": "1", "x-amzn-trace-id": "2"},
            ),
            (b"trace-id: 00-1\r\n", None),
            (b"traceparent: 1\r\ntracestate: a=1\r\n", {"traceparent": "1", "tracestate": "a=1"}),
        ],
    )
    def test_carrier(self, fields, carrier):
        data = b"GET / HTTP/1.1\r\n" + fields + b"\r\n"
        expected = request(carrier=carrier, head_size=len(data), size=len(data))
        assert one_request(data) == Result((expected,))
        assert Http1Shortcut().request(data) in (None, expected)


class TestRequestBodyLength:
    """RFC 9112 §6.3"""

    @pytest.mark.parametrize(
        ("fields", "body", "framing", "length", "size"),
        [
            (b"", b"", Framing.NONE, None, 0),
            (b"Content-Length: 0\r\n", b"", Framing.LENGTH, 0, 0),
            (b"Content-Length: 5\r\n", b"hello", Framing.LENGTH, 5, 5),
            (b"Content-Length: 5, 5\r\n", b"hello", Framing.LENGTH, 5, 5),
            (b"Content-Length: 5\r\nContent-Length: 5\r\n", b"hello", Framing.LENGTH, 5, 5),
            (b"Transfer-Encoding: chunked\r\n", b"0\r\n\r\n", Framing.CHUNKED, None, 0),
            (b"Transfer-Encoding: gzip, Chunked\r\n", b"0\n\n", Framing.CHUNKED, None, 0),
            (
                b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n",
                b"2\r\nhi\r\n0\r\n\r\n",
                Framing.CHUNKED,
                None,
                2,
            ),
        ],
    )
    def test_length(self, fields, body, framing, length, size):
        head = b"POST / HTTP/1.1\r\n" + fields + b"\r\n"
        expected = request(
            "POST",
            framing=framing,
            content_length=length,
            head_size=len(head),
            body_size=size,
            size=len(head + body),
        )
        follower = request(host=b"a", head_size=len(GET), size=len(GET))
        assert one_request(head + body + GET) == Result((expected, follower))

    @pytest.mark.parametrize(
        "fields",
        [
            b"Content-Length: 5\r\nContent-Length: 6\r\n",
            b"Content-Length: 5, 05\r\n",
            b"Content-Length: -5\r\n",
            b"Content-Length: +5\r\n",
            b"Content-Length: 0x5\r\n",
            b"Content-Length:\r\n",
            b"Content-Length : 5\r\n",
            b"Content-Length: 1234567890123456789\r\n",
            b"Transfer-Encoding: gzip\r\n",
            b"Transfer-Encoding: chunked, gzip\r\n",
            b"Transfer-Encoding: chunked, chunked\r\n",
            b"Transfer-Encoding: xchunked\r\n",
            b"Transfer-Encoding : chunked\r\n",
            b"Transfer-Encoding: \x0bchunked\x00\r\n",
        ],
    )
    def test_what_must_be_refused_ends_with_the_turn(self, fields):
        head = b"POST / HTTP/1.1\r\n" + fields + b"\r\n"
        reading = Reading(Http1(), "request")
        for piece in whole(head + b"12345"):
            reading.feed(piece)
        opened = request("POST", framing=Framing.UNKNOWN, head_size=len(head), body_size=None)
        assert reading.result() == Result(open=opened)
        assert Http1Shortcut().request(head + b"12345") is None
        reading.end_turn()
        opened.size = len(head) + 5
        assert reading.result() == Result((opened,))

    def test_chunked_in_http_1_0_is_faulty(self):
        data = b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"
        assert read(Http1(), "request", whole(data)).open.framing is Framing.UNKNOWN


class TestResponseBodyLength:
    """RFC 9112 §6.3"""

    @pytest.mark.parametrize(
        ("method", "status", "fields"),
        [
            ("HEAD", 200, b"Content-Length: 5\r\n"),
            ("HEAD", 200, b"Transfer-Encoding: chunked\r\n"),
            ("HEAD", 404, b""),
            ("GET", 204, b"Content-Length: 5\r\n"),
            ("GET", 304, b"Transfer-Encoding: chunked\r\n"),
        ],
    )
    def test_no_body(self, method, status, fields):
        head = b"HTTP/1.1 %d X\r\n%s\r\n" % (status, fields)
        expected = Response(status, "1.1", head_size=len(head), body_size=0, size=len(head))
        assert one_response(head, method) == Result((expected,))

    @pytest.mark.parametrize("line", [b"HTTP/1.1 200 OK", b"HTTP/1.1 200", b"HTTP/1.1 200 "])
    def test_content_length(self, line):
        head = line + b"\r\nContent-Length: 2\r\n\r\n"
        expected = Response(200, "1.1", Framing.LENGTH, 2, None, len(head), 2, len(head) + 2)
        assert one_response(head + b"hi") == Result((expected,))

    @pytest.mark.parametrize("method", ["GET", None])
    def test_chunked(self, method):
        head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        body = b"5 ;x\r\nhello\r\n0003\nabc\n000\r\nA: b\r\n\r\n"
        expected = Response(200, "1.1", Framing.CHUNKED, None, None, len(head), 8, len(head + body))
        assert one_response(head + body, method) == Result((expected,))

    @pytest.mark.parametrize("fields", [b"", b"Transfer-Encoding: gzip\r\n"])
    def test_up_to_the_end_of_the_connection(self, fields):
        head = (
            b"HTTP/1.0 200 OK\r\n\r\n" if not fields else b"HTTP/1.1 200 OK\r\n" + fields + b"\r\n"
        )
        version = head[5:8].decode()
        opened = Response(200, version, Framing.CLOSE, head_size=len(head))
        assert one_response(head + b"hello") == Result(open=opened)
        closed = Response(200, version, Framing.CLOSE, None, None, len(head), 5, len(head) + 5)
        assert one_response(head + b"hello", is_closed=True) == Result((closed,))

    def test_lengths_that_differ_end_with_the_stream(self):
        head = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n"
        expected = Response(200, "1.1", Framing.UNKNOWN, head_size=len(head), size=len(head) + 3)
        assert one_response(head + b"abc", is_closed=True) == Result((expected,))

    @pytest.mark.parametrize(
        "line",
        [b"HTTP/1.1 20 OK", b"HTTP/1.1 2000", b"HTTP/1.1  200", b"HTTP/2 200", b"ICY 200 OK"],
    )
    def test_no_status_line(self, line):
        assert one_response(line + b"\r\n\r\n") == Result(error=ProtocolError)


class TestChunkedTransferCoding:
    """RFC 9112 §7.1"""

    HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"

    @pytest.mark.parametrize(
        "body",
        [
            b"\r\n",
            b"x\r\n",
            b"-1\r\n",
            b"1 1\r\n",
            b"1234567890123456\r\n",
            b"f" * 5000,
            b"1\r\nab\r\n",
            b"1\r\naXY",
            b"1\r\naX\n",
            b"0\r\n" + b"A: b\r\n" * 11000,
        ],
    )
    def test_errors(self, body):
        result = read(Http1(), "response", whole(self.HEAD + body))
        assert result.error is ProtocolError

    def test_huge_chunks_are_skipped_without_memory(self):
        reading = Reading(Http1(), "response")
        reading.feed(Piece(self.HEAD + b"7fffffffffff\r\n", len(self.HEAD) + 14))
        for _ in range(100):
            reading.feed(Piece(b"x" * 100, 2**40))
        assert len(reading.stream.peek()) == 0
        assert reading.open is not None

    def test_a_hole_inside_a_chunk_does_no_harm(self):
        reading = Reading(Http1(), "response")
        reading.feed(Piece(self.HEAD + b"1000\r\n" + b"x" * 100, len(self.HEAD) + 6 + 0x1000))
        reading.feed(Piece(b"\r\n0\r\n\r\n", 7))
        assert reading.messages[0].body_size == 0x1000

    @pytest.mark.parametrize("after", [b"1000\r\nxxx", b"3\r\nabc", b"1\r\na\r\n0\r\n"])
    def test_a_hole_before_the_end_waits_for_the_turn(self, after):
        reading = Reading(Http1(), "response")
        reading.feed(Piece(self.HEAD + after, 9000))
        expected = Response(200, "1.1", Framing.CHUNKED, head_size=len(self.HEAD))
        assert reading.result() == Result(open=expected)
        reading.stream.advance(20000, 7)
        reading.step()
        assert reading.result() == Result(open=expected)
        reading.stream.end_turn(30000, 9)
        reading.step()
        expected.size = 30000
        if after.endswith(b"0\r\n"):
            expected.body_size = 1
        assert reading.result() == Result((expected,))
        assert reading.stream.now_ns == 9

    def test_the_last_chunk_at_the_end_of_what_passed_ends_it(self):
        reading = Reading(Http1(), "response")
        reading.feed(Piece(self.HEAD + b"10\r\nabc", 9000))
        reading.stream.advance(20000, 7, tail=b"xxxxxxxx")
        reading.step()
        assert reading.messages == []
        reading.stream.advance(30000, 8, tail=b"\r\n0\r\n\r\n")
        reading.step()
        assert reading.messages == [
            Response(200, "1.1", Framing.CHUNKED, head_size=len(self.HEAD), size=30000)
        ]

    def test_an_earlier_turn_does_not_end_it(self):
        reading = Reading(Http1(), "request")
        head = b"PUT / HTTP/1.1\r\nExpect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n"
        reading.feed(Piece(head, len(head)))
        reading.end_turn()
        reading.feed(Piece(b"10", 9000))
        assert reading.messages == []
        reading.end_turn()
        assert reading.messages[0].size == len(head) + 9000

    def test_the_stream_ends_in_the_middle(self):
        result = read(Http1(), "response", whole(self.HEAD + b"5\r\nab"), is_closed=True)
        opened = Response(200, "1.1", Framing.CHUNKED, head_size=len(self.HEAD))
        assert result == Result(open=opened, error=EndOfStream)


class TestInterimResponses:
    """RFC 9110 §15.2"""

    def test_they_are_read_over(self):
        data = (
            b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"
            b"HTTP/1.1 204 No Content\r\n\r\n"
        )
        expected = Response(204, "1.1", head_size=27, body_size=0, size=27)
        assert one_response(data) == Result((expected,))

    def test_a_cut_one_is_a_gap(self):
        assert read(Http1(), "response", [Piece(b"HTTP/1.1 103 X\r\nLink", 900)]).error is Gap


class TestUpgrade:
    """RFC 9110 §7.8"""

    def test_after_101_the_connection_is_opaque(self):
        head = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n"
        protocol = Http1()
        result = read(protocol, "response", whole(head), answering=[request()])
        size = len(head)
        expected = Response(
            101, "1.1", upgrade=b"websocket", head_size=size, body_size=0, size=size
        )
        assert (result, protocol.is_opaque) == (Result((expected,)), True)

    @pytest.mark.parametrize(("status", "is_opaque"), [(200, True), (299, True), (407, False)])
    def test_connect_opens_a_tunnel_if_it_succeeds(self, status, is_opaque):
        head = b"HTTP/1.1 %d X\r\nContent-Length: 0\r\n\r\n" % status
        protocol = Http1()
        result = read(protocol, "response", whole(head), answering=[request("CONNECT", b"a:1")])
        assert (result.messages[0].status, protocol.is_opaque) == (status, is_opaque)
        assert Http1Shortcut().response(head, len(head), request("CONNECT")) is None


class TestCutHeads:
    """A turn's captured bytes end within the head."""

    def test_a_request_is_told_with_what_is_known(self):
        protocol = Http1()
        reading = Reading(protocol, "request")
        captured = b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\nUser-Ag"
        reading.feed(Piece(captured, 5000))
        reading.end_turn()
        expected = request(
            "POST",
            b"/a",
            host=b"a",
            framing=Framing.UNKNOWN,
            content_length=9,
            body_size=9,
            size=5000,
            is_truncated=True,
        )
        assert reading.result() == Result((expected,))
        assert protocol.wants_capture == 64

    @pytest.mark.parametrize("captured", [b"GET /" + b"x" * 95, b"GET /" + b"x" * 95 + b" HTT"])
    def test_a_request_line_may_be_cut(self, captured):
        reading = Reading(Http1(), "request")
        reading.feed(Piece(captured, 5000))
        reading.end_turn()
        expected = request(
            "GET",
            b"/" + b"x" * 95,
            version="",
            framing=Framing.UNKNOWN,
            body_size=None,
            size=5000,
            is_truncated=True,
        )
        assert reading.result() == Result((expected,))

    @pytest.mark.parametrize("captured", [b"", b"GET", b"GET ", b"HTTP/1.1 20"])
    def test_too_little_is_a_gap(self, captured):
        kind = "response" if captured.startswith(b"H") else "request"
        result = read(Http1(), kind, [Piece(captured, 5000)])
        assert result.error in (Gap, ProtocolError)

    def test_a_response_is_told_with_what_is_known(self):
        protocol = Http1()
        reading = Reading(protocol, "response", [request()])
        reading.feed(Piece(b"HTTP/1.1 500 X\r\nSet-Cookie: " + b"x" * 1000, 9000))
        reading.end_turn()
        expected = Response(500, "1.1", Framing.UNKNOWN, size=9000, is_truncated=True)
        assert reading.result() == Result((expected,))
        assert protocol.wants_capture == 2048

    @pytest.mark.parametrize(
        ("head", "tail", "method"),
        [
            (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX", b"\r\n0\r\n\r\n", "GET"),
            (b"HTTP/1.1 200 OK\r\nX: ", b"abc\r\n\r\n", "HEAD"),
            (b"HTTP/1.1 304 OK", b"abc\r\n\r\n", "GET"),
        ],
    )
    def test_the_end_can_be_seen(self, head, tail, method):
        reading = Reading(Http1(), "response", [request(method)])
        reading.feed(Piece(head, 1000))
        assert reading.messages == []
        reading.stream.advance(9000, 1, tail=tail)
        reading.step()
        assert reading.messages[0].size == 9000

    def test_what_is_asked_for_has_a_bound_and_does_not_shrink(self):
        protocol = Http1()
        reading = Reading(protocol, "request")
        for captured in (60000, 100):
            reading.feed(Piece(b"GET / HTTP/1.1\r\nA: " + b"x" * captured, 70000))
            reading.end_turn()
        assert protocol.wants_capture == MAX_HEAD


class TestClassify:
    @pytest.mark.parametrize(
        ("head", "verdict"),
        [
            (b"", Verdict.MORE),
            (b"\r\n", Verdict.MORE),
            (b"GE", Verdict.MORE),
            (b"GET", Verdict.MORE),
            (b"GET ", Verdict.MORE),
            (b"GET http:/", Verdict.MORE),
            (b"GET /", Verdict.MORE),
            (b"GET / HTTP/1.", Verdict.MORE),
            (b"GET / HTTP/1.1\r\n", Verdict.REQUEST),
            (b"\r\nGET / HTTP/1.1\n", Verdict.REQUEST),
            (b"GET /" + b"a" * 59, Verdict.REQUEST),
            (b"GET https://example.com/" + b"a" * 59, Verdict.REQUEST),
            (b"CONNECT " + b"a" * 59, Verdict.REQUEST),
            (b"OPTIONS * HTTP/1.1\r\n", Verdict.REQUEST),
            (b"VERSION-CONTROL / HTTP/1.1\r\n", Verdict.REQUEST),
            (b"HTTP/1", Verdict.MORE),
            (b"HTTP/1.1 20", Verdict.MORE),
            (b"HTTP/1.1 200", Verdict.MORE),
            (b"HTTP/1.1 200 ", Verdict.RESPONSE),
            (b"HTTP/1.0 404\r\n", Verdict.RESPONSE),
            (b"HTTP/1.1 2x", Verdict.NO),
            (b"HTTP/1.1 999999\r\n", Verdict.NO),
            (b"HTTP/2 200\r\n", Verdict.NO),
            (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Verdict.NO),
            (b"PRI", Verdict.NO),
            (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc", Verdict.NO),
            (b"*3\r\n$3\r\nSET\r\n", Verdict.NO),
            (b"GET key\r\n", Verdict.NO),
            (b"GET " + b"a" * 70, Verdict.NO),
            (b"GET /\r\n", Verdict.NO),
            (b"GET /a b HTTP/1.1\r\n", Verdict.NO),
            (b"GET / RTSP/1.0\r\n", Verdict.NO),
            (b"OPTIONS sip:a@b SIP/2.0\r\n", Verdict.NO),
            (b"GET /\x00", Verdict.NO),
            (b"SELECT 1", Verdict.NO),
            (b"BREW /pot HTTP/1.1\r\n", Verdict.NO),
            (b"EHLO x\r\n", Verdict.NO),
        ],
    )
    def test_verdict(self, head, verdict):
        assert Http1.classify(head) is verdict


class TestMessageTimes:
    def test_of_its_beginning_and_end(self):
        reading = Reading(Http1(), "request")
        stream = reading.stream
        stream.feed(0, b"\r\n", 2, 10)
        stream.feed(2, b"POST / HTTP/1.1\r\n", 17, 20, start_ns=15)
        reading.step()
        stream.feed(19, b"Content-Length: 1000\r\n\r\n", 24, 30, start_ns=25)
        reading.step()
        assert (stream.begun_ns, stream.now_ns) == (15, 30)
        stream.feed(43, b"", 1000, 40)
        reading.step()
        assert (len(reading.messages), stream.begun_ns, stream.now_ns) == (1, 15, 40)


class TestHostileInput:
    def test_work_grows_with_the_number_of_pipelined_requests_only(self):
        """Counted work: steps of readers, and bytes that wait."""
        reading = Reading(Http1(), "request")
        tiny = b"GET / HTTP/1.1\r\n\r\n"
        piece = Piece(tiny * 1000, len(tiny) * 1000)
        for _ in range(20):
            reading.feed(piece)
            assert reading.stream.position == reading.stream.end
        assert len(reading.messages) == 20000
        assert reading.steps == 2 * 20000

    def test_tiny_chunks_need_one_step_per_piece(self):
        reading = Reading(Http1(), "response")
        reading.feed(Piece(TestChunkedTransferCoding.HEAD, len(TestChunkedTransferCoding.HEAD)))
        for _ in range(20):
            reading.feed(Piece(b"1\r\nx\r\n" * 5000, 30000))
        assert reading.steps < 60
        assert reading.stream.position == reading.stream.end

    def test_folded_lines_in_masses(self):
        data = b"GET / HTTP/1.1\r\nHost: a" + b"\r\n x" * 15000 + b"\r\n\r\n"
        assert read(Http1(), "request", whole(data)).messages[0].host.endswith(b"x x")

    def test_a_request_line_of_spaces(self):
        data = b"GET " + b" " * 60000 + b"HTTP/1.1\r\n\r\n"
        assert read(Http1(), "request", bytewise(data[:100]) + whole(data[100:])).error is None


def test_describe_is_that_of_http():
    exchange = Exchange(Http1, Role.CLIENT, request("BREW", b"*"), 1)
    exchange.connection = type("Connection", (), {"is_tls": False, "routes": Routes()})
    assert Http1.describe(exchange).name == "HTTP"
