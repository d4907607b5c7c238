"""HTTP/1.1 and 1.0 (RFC 9110, RFC 9112): requests and responses, in order, on one connection.

    message = start line, header fields, empty line, body
    body    = by Transfer-Encoding: chunked, else Content-Length, else none (request) or up to the end (response)

The nth response that is not 1xx answers the nth request; whether it has a body depends on that request (HEAD,
CONNECT), which the response reader finds in `pairing`. After 101, and after CONNECT was answered with 2xx, the
connection speaks something else: `is_opaque`.

Heads are read, bodies are skipped. Two things make the end of a message unknowable, and both are `Framing.UNKNOWN`:
bytes that say where it ends were not captured (a cut head, a chunk size inside a hole), or its framing is one that
recipients must refuse (RFC 9112 §6.3: lengths that differ, a coding after chunked, chunked in HTTP/1.0). We do not
guess then: the message ends with its turn (`Stream.end_turn`), with the stream, or, if it is chunked, where what
passed ends with the last chunk. A cut head also raises `wants_capture`.

Line ends are those of a head's first line: CR LF, or, tolerated, LF alone. With both Transfer-Encoding and
Content-Length, the former rules, as in every server that accepts the pair.

Common shapes are read by `http1_shortcut.py`.

Not parsed: bodies, and header fields that no span needs. HTTP/0.9 and HTTP/2 are other protocols.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from agent.errors import Gap, ProtocolError
from agent.protocols import (
    MAX_CLASSIFY,
    About,
    Protocol,
    Verdict,
    Wire,
    register,
)
from agent.protocols.http1_head import (
    LAST_CHUNK,
    MAX_HEAD,
    START_LINE,
    Framing,
    Head,
    Request,
    Response,
    carrier_of,
    classify_beginning,
    ending_of,
    first_value,
    framing_of,
    parse_chunk_size,
    parse_fields,
    parse_request_line,
    parse_status_line,
)
from agent.protocols.http1_shortcut import Http1Shortcut
from agent.protocols.http_semantics import delivers_spans, describe

if TYPE_CHECKING:
    from agent.protocols.pairing import Exchange
    from agent.stream import Read, Stream

MAX_EMPTY: Final = 16
"""Bytes of line ends before a start line: RFC 9112 §2.2 has servers ignore "at least one empty line"."""
MAX_CHUNK_LINE: Final = 4096
"""A chunk size with its extensions; Go allows 4096 bytes, hyper 16 KiB, and nobody sends extensions."""
_BODILESS = frozenset((204, 304))


@register
class Http1(Protocol):
    """One connection."""

    name = "http1"
    about = About(
        title="HTTP/1.1, HTTP/1.0",
        captured="method, route, status, sizes, user agent, path and the names of parameters; trace context",
        omitted="bodies, other header fields, values of parameters; what follows an upgrade or CONNECT; HTTP/0.9",
        tested="nginx, HAProxy, gunicorn, Node.js, Go, Python's http.server and http.client, curl",
    )
    shortcut = Http1Shortcut

    @classmethod
    def classify(cls, head: bytes) -> Verdict:
        """A request line or a status line, as far as `head` goes."""
        line, is_whole, _ = head[:MAX_CLASSIFY].lstrip(b"\r\n").partition(b"\n")
        if is_whole:
            if START_LINE.match(line + b"\n") is None:
                return Verdict.NO
            return Verdict.RESPONSE if line.startswith(b"HTTP/1.") else Verdict.REQUEST
        verdict = classify_beginning(line)
        if verdict is not Verdict.MORE or len(head) < MAX_CLASSIFY:
            return verdict
        # A request line this long has a target that begins like a URL, or is an authority.
        is_url = b" /" in line or b"://" in line or line.startswith(b"CONNECT ")
        return Verdict.REQUEST if is_url else Verdict.NO

    def request(self, stream: Stream) -> Wire[Request]:
        """Read one request."""
        line = yield from _read_start(stream)
        request = parse_request_line(line)
        head = yield from _read_head(stream, line)
        fields = head.fields
        request.host = first_value(fields, b"host")
        request.user_agent = first_value(fields, b"user-agent")
        request.carrier = carrier_of(fields)
        request.framing, request.content_length = framing_of(head, request.version, Framing.NONE)
        request.head_size = head.size
        request.is_truncated = head.size is None
        self._judge(head)
        yield request
        request.body_size = yield from _skip_body(stream, request, ending_of(head))
        request.size = stream.position - stream.begun_at
        return request

    def response(self, stream: Stream) -> Wire[Response]:
        """Read one final response; the interim ones before it are read over."""
        while True:
            line = yield from _read_start(stream)
            response = parse_status_line(line)
            head = yield from _read_head(stream, line)
            if response.status >= 200 or response.status == 101:
                break
            if head.size is None:
                raise Gap("an interim response was not captured whole")
        exchange = self.pairing.answering()
        method = "" if exchange is None else exchange.request.method
        status = response.status
        is_bodiless = method == "HEAD" or status in _BODILESS
        if status == 101 or (method == "CONNECT" and status < 300):
            self.is_opaque = is_bodiless = True
            response.upgrade = first_value(head.fields, b"upgrade")
        if not is_bodiless:
            response.framing, response.content_length = framing_of(
                head, response.version, Framing.CLOSE
            )
        elif head.size is None:
            response.framing = Framing.UNKNOWN
        response.head_size = head.size
        response.is_truncated = head.size is None
        self._judge(head)
        yield response
        ending = b"\r\n\r\n" if is_bodiless else ending_of(head)
        response.body_size = yield from _skip_body(stream, response, ending)
        response.size = stream.position - stream.begun_at
        return response

    describe = staticmethod(describe)

    @staticmethod
    def is_end_sure(response: Response) -> bool:
        """Sizes are known where framing is."""
        return response.body_size is not None

    @staticmethod
    def delivers_spans(exchange: Exchange) -> bool:
        """OTLP over HTTP."""
        return delivers_spans(exchange.request)

    def _judge(self, head: Head) -> None:
        """Ask for longer captures where a head was cut."""
        if head.size is None:
            wanted = min(MAX_HEAD, 1 << head.captured.bit_length())
            self.wants_capture = max(self.wants_capture, wanted)


def _read_start(stream: Stream) -> Read[bytes]:
    """A message's first line, not yet consumed; without a line feed at its end where it was cut."""
    yield from stream.wait()
    for _ in range(MAX_EMPTY):
        if stream.peek(1) not in (b"\r", b"\n"):
            break
        yield from stream.skip(1)
        yield from stream.wait()
    stream.begin()
    size = yield from stream.find((b"\n",), MAX_HEAD)
    return stream.peek(size if size > 0 else MAX_HEAD)


def _read_head(stream: Stream, line: bytes) -> Read[Head]:
    """The rest of a head whose first line is `line`; consumes all of it, or all that was captured."""
    size = -1
    is_crlf = line.endswith(b"\r\n")
    if line.endswith(b"\n"):
        ends = (b"\r\n\r\n",) if is_crlf else (b"\n\n", b"\n\r\n")
        size = yield from stream.find(ends, MAX_HEAD)
    is_whole = size >= 0
    head = stream.take(size) if is_whole else stream.take(len(stream.peek()))
    block = head[len(line) : len(head) if is_whole else head.rfind(b"\n") + 1]
    fields = parse_fields(block, is_crlf=is_crlf)
    return Head(fields, len(head), size if is_whole else None)


def _skip_body(stream: Stream, message: Request | Response, ending: bytes) -> Read[int | None]:
    """Walk to the end of a message; the size of its content, None where that cannot be known."""
    length = message.content_length
    begun = stream.position
    if message.framing is Framing.NONE:
        return 0
    if message.framing is Framing.CHUNKED:
        return (yield from _skip_chunks(stream))
    if message.framing is Framing.LENGTH and length is not None:
        yield from stream.skip(length)
        return length
    if message.framing is Framing.CLOSE:
        yield from stream.skip_to_end()
        return stream.position - begun
    yield from stream.skip_turn(ending)
    return length


def _skip_chunks(stream: Stream) -> Read[int | None]:
    """RFC 9112 §7.1: chunks, the last one, trailer fields. None if a hole hides where a chunk begins."""
    total = 0
    while True:
        line = yield from stream.find((b"\n",), MAX_CHUNK_LINE)
        if line < 0:
            break
        size = parse_chunk_size(stream.take(line))
        if size == 0:
            return (yield from _skip_trailer(stream, total))
        yield from stream.skip(size)
        total += size
        line = yield from stream.find((b"\n",), 2)
        if line < 0:
            break
        if stream.take(line) not in (b"\r\n", b"\n"):
            raise ProtocolError(f"a chunk of {size} bytes does not end where it should")
    yield from stream.skip_turn(LAST_CHUNK)
    return None


def _skip_trailer(stream: Stream, total: int) -> Read[int | None]:
    """RFC 9112 §7.1.2: field lines up to an empty one; `total` is the size of the content before them."""
    budget = MAX_HEAD
    while True:
        size = yield from stream.find((b"\n",), budget)
        if size < 0:
            yield from stream.skip_turn(b"\r\n\r\n")
            return total
        if stream.take(size) in (b"\r\n", b"\n"):
            return total
        budget -= size
