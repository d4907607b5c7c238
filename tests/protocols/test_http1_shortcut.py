"""The hot path of HTTP/1 answers what the readers would, or None."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.protocols.http1 import Http1
from agent.protocols.http1_head import MAX_HEAD, MAX_TARGET, Framing, Response
from agent.protocols.http1_shortcut import Http1Shortcut
from tests.protocols.test_http1 import GET, one_request, one_response, request
from tests.wire import Piece, Result, read, whole

FIELDS = st.sampled_from(
    [
        b"Host: a\r\n",
        b"host:  b:80 \r\n",
        b"Host : c\r\n",
        b"User-Agent: x y\r\n",
        b"user-agent:\r\n",
        b"User-Agent : z\r\n",
        b"uber-trace-id: 1:2:0:1\r\n",
        b"a\r\n",
        b"\r\n",
        b" folded\r\n",
        b"\tfolded: x\r\n",
        b"traceparent: 00-1\r\n",
        b"TRACEPARENT:00-2\r\n",
        b"traceparent : 00-3\r\n",
        b"tracestate: a=1\r\n",
        b"Tracestate: \r\n",
        b"trace-x: 1\r\n",
        b"b3: 1\r\n",
        b"X-B3-TraceId: 2\r\n",
        b"x-datadog-tags: 3\r\n",
        b"x-y: 1\r\n",
        b"Content-Length: 0\r\n",
        b"Content-Length: 3\r\n",
        b"content-length:3\r\n",
        b"Content-Length : 3\r\n",
        b"Content-Length: 3, 3\r\n",
        b"Content-Length\r\n",
        b"Content-Length-X: 9\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"Transfer-Encoding-X: chunked\r\n",
        b"transfer-encoding : x\r\n",
        b"A: b\r\n",
        b"no colon\r\n",
        b"bare: a\nHost: z\r\n",
        b"cr: a\rHost: z\r\n",
        b"\xff\x00: \xfe\r\n",
    ]
)
BODIES = st.sampled_from([b"", b"abc", b"3\r\nabc\r\n0\r\n\r\n", GET])


def only(result: Result, size: int) -> object:
    """The one whole message, if the bytes are one message and nothing else."""
    if result.error is None and result.open is None and len(result.messages) == 1:
        message = result.messages[0]
        return message if message.size == size else None
    return None


class TestQuickPath:
    """Equal to the general path, or None."""

    @given(
        line=st.sampled_from(
            [
                b"GET / HTTP/1.1\r\n",
                b"POST /a?b HTTP/1.1\r\n",
                b"GET / HTTP/1.0\r\n",
                b"GET  / HTTP/1.1\r\n",
                b"GET /\r HTTP/1.1\r\n",
                b"GET /a b HTTP/1.1\r\n",
                b"BREW / HTTP/1.1\r\n",
                b"GET HTTP/1.1\r\n",
                b"GET / HTTP/1.1\n",
                b"\r\nGET / HTTP/1.1\r\n",
            ]
        ),
        fields=st.lists(FIELDS, max_size=6),
        body=BODIES,
    )
    def test_request(self, line, fields, body):
        data = line + b"".join(fields) + b"\r\n" + body
        shortcut = Http1Shortcut()
        for _ in range(2):
            quick = shortcut.request(data)
            if quick is not None:
                assert quick == only(read(Http1(), "request", whole(data)), len(data))

    @given(
        status=st.sampled_from(
            [b"200 OK", b"204 X", b"304 X", b"101 X", b"100 X", b"500", b"999 X"]
        ),
        version=st.sampled_from([b"1.1", b"1.0"]),
        fields=st.lists(FIELDS, max_size=5),
        body=BODIES,
        method=st.sampled_from(["GET", "HEAD", "CONNECT"]),
    )
    def test_response(self, status, version, fields, body, method):
        data = b"HTTP/" + version + b" " + status + b"\r\n" + b"".join(fields) + b"\r\n" + body
        shortcut = Http1Shortcut()
        for _ in range(2):
            quick = shortcut.response(data, len(data), request(method))
            if quick is not None:
                assert quick.size is not None
                pieces = [Piece(data, quick.size)]
                result = read(Http1(), "response", pieces, answering=[request(method)])
                assert quick == only(result, quick.size)

    @pytest.mark.parametrize(
        "data",
        [
            GET,
            b"POST /x HTTP/1.1\r\nTraceparent: 1\r\nContent-Length: 2\r\n\r\nhi",
            b"GET /x HTTP/1.1\r\nHost: a\r\nUser-Agent: b\r\ntraceparent: 1\r\ntracestate: a=b\r\nX-Request-Id: 5\r\n\r\n",
            b"GET /x HTTP/1.1\r\nhost: a\r\nuber-trace-id: 1:2:0:1\r\nuser-agent: b\r\nb3: 0\r\n\r\n",
            b"GET /x HTTP/1.1\r\nHOST: a\r\nX-B3-TraceId: 1\r\nx-datadog-trace-id: 2\r\nX-Amzn-Trace-Id: x\r\n\r\n",
        ],
    )
    def test_common_requests_are_taken(self, data):
        assert Http1Shortcut().request(data) == only(one_request(data), len(data))

    def test_a_request_that_repeats_another_ones_fields(self):
        shortcut = Http1Shortcut()
        first = shortcut.request(GET.replace(b"/", b"/1", 1))
        second = shortcut.request(GET.replace(b"/", b"/2", 1))
        size = len(GET) + 1
        assert first == request(target=b"/1", host=b"a", head_size=size, size=size)
        assert second == request(target=b"/2", host=b"a", head_size=size, size=size)
        assert shortcut.request(GET, len(GET) + 1) is None

    def test_a_body_may_be_captured_in_part(self):
        data = b"POST / HTTP/1.1\r\nContent-Length: 500\r\n\r\nabc"
        head = len(data) - 3
        expected = request(
            "POST",
            framing=Framing.LENGTH,
            content_length=500,
            head_size=head,
            body_size=500,
            size=head + 500,
        )
        assert Http1Shortcut().request(data, head + 500) == expected

    @pytest.mark.parametrize("status", [b"200 OK", b"404 Not Found"])
    def test_common_responses_are_taken(self, status):
        data = b"HTTP/1.1 " + status + b"\r\nContent-Length: 2\r\n\r\nhi"
        for captured in (data, data[:-2]):
            quick = Http1Shortcut().response(captured, len(data), request())
            assert quick == only(one_response(data), len(data))

    def test_a_response_that_repeats_another_ones_head(self):
        shortcut = Http1Shortcut()
        data = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
        first = shortcut.response(data, len(data), request())
        assert shortcut.response(data, len(data), request()) == first
        assert shortcut.response(data, len(data) + 1, request()) is None
        assert shortcut.response(data, len(data), request("HEAD")) is None
        other = data.replace(b"200", b"404")
        assert shortcut.response(other, len(data), request()) == only(
            one_response(other), len(data)
        )

    def test_long_heads_are_not_remembered(self):
        shortcut = Http1Shortcut()
        data = b"HTTP/1.1 200 OK\r\nA: " + b"a" * 2000 + b"\r\nContent-Length: 0\r\n\r\n"
        answers = [shortcut.response(data, len(data), request()) for _ in range(2)]
        assert answers == [only(one_response(data), len(data))] * 2
        assert shortcut._answer == b""

    def test_a_response_may_end_later(self):
        data = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n"
        size = len(data) + 100
        expected = Response(200, "1.1", Framing.LENGTH, 100, None, len(data), 100, size)
        for passed in (len(data), len(data) + 7, size):
            assert Http1Shortcut().response(data, passed, request()) == expected
        assert Http1Shortcut().response(data, size + 1, request()) is None

    @pytest.mark.parametrize(
        "data",
        [
            b"GET / HTTP/1.1\r\nHost: a",
            b"GET / HTTP/1.1",
            b"",
            b"GET /" + b"a" * MAX_TARGET + b" HTTP/1.1\r\n\r\n",
            b"GET / HTTP/1.1\r\nA: " + b"a" * MAX_HEAD + b"\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: a\r\n b\r\n\r\n",
            b"GET / HTTP/1.1\r\nUser-Agent: a\r\n b\r\n\r\n",
            b"GET / HTTP/1.1\r\nTracestate: a\r\n b\r\n\r\n",
            b"GET / HTTP/1.1\r\nTraceparent: a\r\n b\r\n\r\n",
            GET + GET,
        ],
    )
    def test_unusual_requests_are_left_to_the_general_path(self, data):
        assert Http1Shortcut().request(data) is None

    @pytest.mark.parametrize(
        "data",
        [
            b"",
            b"HTTP/1.1 200 OK\r\nContent-Length: 2",
            b"HTTP/1.1 200 OK\r\n\r\nhi",
            b"HTTP/1.1 200 OK\nContent-Length: 2\r\n\r\nhi",
            b"HTTP/1.1 204 No Content\r\n\r\nhi",
            b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nhi",
            b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\nhi",
            b"HTTP/1.1 200 OK\r\nA: " + b"a" * MAX_HEAD + b"\r\n\r\n",
        ],
    )
    def test_unusual_responses_are_left_to_the_general_path(self, data):
        assert Http1Shortcut().response(data, len(data), None) is None

    def test_a_response_without_a_body(self):
        data = b"HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n"
        expected = Response(304, "1.1", head_size=len(data), body_size=0, size=len(data))
        assert Http1Shortcut().response(data, len(data), request()) == expected
