"""FastCGI: what a web server asks a program such as PHP-FPM, and its answers.

https://fastcgi-archives.github.io/FastCGI_Specification.html, and RFC 3875 (CGI) for what parameters and headers mean

    request    BEGIN_REQUEST, PARAMS … up to an empty one, STDIN … up to an empty one
    response   STDOUT (header fields, an empty line, the content) and STDERR … , END_REQUEST

Both are HTTP in other clothes, and described as HTTP is. The records are in `fastcgi_records.py`; here is what they say
together. Requests come one after the other on a connection: the specification allows several at once, servers do not use it,
and PHP-FPM refuses it. Between them, records of the connection itself (id 0) are read over.

Where a header was not captured, nobody knows where the next record begins: the message ends with its turn. Content is
skipped, and so are errors (STDERR), which are text for a log.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from agent.errors import Gap, ProtocolError
from agent.protocols import About, Description, Protocol, Verdict, Wire, register
from agent.protocols.captured import read_beginning
from agent.protocols.fastcgi_records import (
    CONTEXTS,
    RESPONDER,
    Kind,
    Record,
    classify,
    pairs_of,
    read_header,
)
from agent.protocols.http1_head import MAX_HEAD, MAX_METHOD, MAX_TARGET, METHODS, carrier_of
from agent.protocols.http_semantics import describe
from agent.spans import semconv
from agent.spans.span import Attributes

if TYPE_CHECKING:
    from agent.protocols.pairing import Exchange
    from agent.stream import Read, Stream

MAX_CAPTURE: Final = 16 * 1024
"""Bytes of a turn that are wanted where parameters were cut: as many as a record of the kernel side can hold."""
BEGIN_SIZE: Final = 8
END_SIZE: Final = 8
REFUSALS: Final = {1: "cant_mpx_conn", 2: "overloaded", 3: "unknown_role"}
"""`protocolStatus` of END_REQUEST (§5.5) but for 0, REQUEST_COMPLETE."""
_OTHER_REFUSAL: Final = "_OTHER"

_EMPTY_LINE = re.compile(rb"\r?\n\r?\n")
_STATUS = re.compile(rb"(?im)^status:[ \t]*([1-9][0-9]{2})\b")
_ELSEWHERE = re.compile(rb"(?im)^location:[ \t]*[a-z][a-z0-9+.-]*:")
_PROTOCOL: Final = Attributes(((semconv.NETWORK_PROTOCOL_NAME, "fastcgi"),))


@dataclass(slots=True)
class Request:
    """A request; the fields as in HTTP's (http1_head.py), so that it is described alike."""

    number: int
    method: str
    target: bytes
    host: bytes | None
    user_agent: bytes | None
    carrier: dict[str, str] | None
    is_truncated: bool
    """Parameters may be missing."""
    version: str = ""
    """HTTP's is the web server's business."""
    body_size: int | None = None
    size: int | None = None


@dataclass(slots=True)
class Response:
    """An answer; `status` is 0 where the program said none, or it was not captured."""

    status: int
    is_truncated: bool = False
    head_size: int = 0
    """Bytes of the header fields, as far as they are known."""
    body_size: int | None = None
    size: int | None = None
    refusal: str = ""
    """Why the program did not take the request."""


@register
class Fastcgi(Protocol):
    """One connection."""

    name = "fastcgi"
    about = About(
        title="FastCGI",
        captured="as of HTTP: method, route, status, sizes, user agent, path and the names of parameters; trace context; a refusal",
        omitted="content, all other parameters and header fields, errors (STDERR), the program's exit status; the roles authorizer and filter (not recognized); requests at once on one connection",
        tested="nginx 1.22 with PHP-FPM 8.2, as a proxy recorded them",
    )

    @classmethod
    def classify(cls, head: bytes) -> Verdict:
        """As records look."""
        return classify(head)

    def request(self, stream: Stream) -> Wire[Request]:
        """Read one request."""
        yield from stream.wait()
        stream.begin()
        begun = stream.position
        record = yield from _read_first(stream)
        if record.number == 0:
            yield from stream.skip(record.length)
            return None
        if record.kind != Kind.BEGIN_REQUEST or record.size != BEGIN_SIZE:
            raise ProtocolError(f"a record of type {record.kind} begins no request")
        role = yield from stream.read(BEGIN_SIZE)
        if int.from_bytes(role[:2], "big") != RESPONDER:
            raise ProtocolError("a request to no responder")
        yield from stream.skip(record.padding)
        parameters = yield from _read_parameters(stream, record.number)
        request = _request_of(record.number, parameters)
        if request.is_truncated:
            self._want(len(parameters.data))
        yield request
        if parameters.is_astray:
            yield from stream.skip_turn(_last_input(record.number))
        else:
            request.body_size = yield from _skip_input(stream, record.number)
        request.size = stream.position - begun
        return request

    def response(self, stream: Stream) -> Wire[Response]:
        """Read one response."""
        yield from stream.wait()
        stream.begin()
        begun = stream.position
        record: Record | None = yield from _read_first(stream)
        assert record is not None
        if record.number == 0:
            yield from stream.skip(record.length)
            return None
        exchange = self.pairing.answering()
        number = record.number if exchange is None else exchange.request.number
        output = _Output()
        while record is not None and record.kind != Kind.END_REQUEST:
            _check(record, number, (Kind.STDOUT, Kind.STDERR))
            before = output.response
            left = yield from output.read(stream, record)
            if output.response is not before:
                yield output.response
            yield from stream.skip(left)
            record = yield from read_header(stream)
        response = output.response
        if record is not None and response is None:
            response = Response(0)
            yield response
        if response is None:
            raise Gap("the status was not captured")
        if record is None:
            yield from stream.skip_turn()
        else:
            _check(record, number, (Kind.END_REQUEST,))
            yield from _read_end(stream, record, response)
            if not response.is_truncated:
                response.body_size = output.passed - response.head_size
        response.size = stream.position - begun
        if response.is_truncated:
            self._want(len(output.head))
        return response

    @staticmethod
    def describe(exchange: Exchange) -> Description:
        """By the conventions for HTTP."""
        description = describe(exchange)
        response: Response | None = exchange.response
        if response is not None and response.refusal:
            description.error_type = response.refusal
        description.attributes += (_PROTOCOL,)
        return description

    @staticmethod
    def is_end_sure(response: Response) -> bool:
        """Sizes are known where all records were."""
        return response.body_size is not None or not response.is_truncated

    def _want(self, seen: int) -> None:
        """Ask for longer captures where something was cut."""
        wanted = min(MAX_CAPTURE, 1 << seen.bit_length())
        self.wants_capture = max(self.wants_capture, wanted)


@dataclass(frozen=True, slots=True)
class _Parameters:
    """What was captured of a request's parameters."""

    data: bytes
    is_whole: bool
    is_astray: bool
    """Where the next record begins is not known."""


class _Output:
    """What came of STDOUT."""

    def __init__(self) -> None:
        self.head = b""
        """Its beginning, until the header fields are known."""
        self.passed = 0
        """Bytes."""
        self.response: Response | None = None
        """What the header fields said."""

    def read(self, stream: Stream, record: Record) -> Read[int]:
        """Look at a record's content; how many bytes of it are left to walk over."""
        if record.kind != Kind.STDOUT:
            return record.length
        self.passed += record.size
        if self.response is not None:
            return record.length
        more = yield from read_beginning(stream, record.size, MAX_HEAD - len(self.head))
        self.head += more
        self.response = _response_of(self.head, is_cut=len(more) < record.size)
        return record.length - len(more)


def _read_first(stream: Stream) -> Read[Record]:
    """The header with which a message begins."""
    record = yield from read_header(stream)
    if record is None:
        raise Gap("the beginning of a message was not captured")
    return record


def _check(record: Record, number: int, kinds: tuple[Kind, ...]) -> None:
    """Whether a record may come here."""
    if record.number != number or record.kind not in kinds:
        raise ProtocolError(f"a record of type {record.kind} within request {number}")


def _read_parameters(stream: Stream, number: int) -> Read[_Parameters]:
    """PARAMS up to the empty one."""
    data, is_whole = b"", True
    while True:
        record = yield from read_header(stream)
        if record is None:
            return _Parameters(data, is_whole=False, is_astray=True)
        _check(record, number, (Kind.PARAMS,))
        seen = 0
        if is_whole:
            more = yield from read_beginning(stream, record.size, MAX_HEAD - len(data))
            seen, data = len(more), data + more
            is_whole = seen == record.size
        yield from stream.skip(record.length - seen)
        if not record.size:
            return _Parameters(data, is_whole=is_whole, is_astray=False)


def _skip_input(stream: Stream, number: int) -> Read[int | None]:
    """STDIN up to the empty one, or to where the server gives up; the size of the content, None if it is not known."""
    total = 0
    while True:
        record = yield from read_header(stream)
        if record is None:
            yield from stream.skip_turn(_last_input(number))
            return None
        _check(record, number, (Kind.STDIN, Kind.ABORT_REQUEST))
        yield from stream.skip(record.length)
        if record.kind == Kind.ABORT_REQUEST:
            return None
        if not record.size:
            return total
        total += record.size


def _read_end(stream: Stream, record: Record, response: Response) -> Read[None]:
    """END_REQUEST: the program's exit status, and whether it took the request."""
    end = yield from read_beginning(stream, record.size, END_SIZE)
    yield from stream.skip(record.length - len(end))
    if len(end) < END_SIZE:
        response.is_truncated = True
    elif end[4]:
        response.refusal = REFUSALS.get(end[4], _OTHER_REFUSAL)


def _last_input(number: int) -> bytes:
    """An empty STDIN."""
    return bytes((1, Kind.STDIN)) + number.to_bytes(2, "big") + bytes(4)


def _request_of(number: int, parameters: _Parameters) -> Request:
    """What the parameters say (RFC 3875 §4.1)."""
    values = pairs_of(parameters.data, is_whole=parameters.is_whole)
    first = {name: several[0] for name, several in values.items()}
    method = first.get(b"REQUEST_METHOD", b"")[:MAX_METHOD]
    target = first.get(b"REQUEST_URI") or _target_of(first)
    if not method or not target:
        if parameters.is_whole:
            raise ProtocolError("a request without method or path")
        raise Gap("what a request asks for was not captured")
    host = first.get(b"HTTP_HOST") or _server_of(first)
    is_secure = first.get(b"HTTPS", b"").lower() not in (b"", b"off", b"0")
    if target[:1] == b"/" and (is_secure or first.get(b"REQUEST_SCHEME") == b"https"):
        target = b"https://" + (host or b"") + target
    return Request(
        number,
        METHODS.get(method) or method.decode("ascii", "replace"),
        target[:MAX_TARGET],
        host or None,
        first.get(b"HTTP_USER_AGENT") or None,
        carrier_of({CONTEXTS[name]: values[name] for name in CONTEXTS.keys() & values.keys()}),
        is_truncated=not parameters.is_whole,
    )


def _target_of(first: dict[bytes, bytes]) -> bytes:
    """The path and the query, where the server does not say what it was asked for."""
    path = first.get(b"SCRIPT_NAME", b"") + first.get(b"PATH_INFO", b"")
    query = first.get(b"QUERY_STRING", b"")
    return path + b"?" + query if query else path


def _server_of(first: dict[bytes, bytes]) -> bytes:
    """The server's name and port, where the request had no Host."""
    name, port = first.get(b"SERVER_NAME", b""), first.get(b"SERVER_PORT", b"")
    return name + b":" + port if name and port.isdigit() else name


def _response_of(head: bytes, *, is_cut: bool) -> Response | None:
    """What the header fields say (RFC 3875 §6.3); None if more of them come. `is_cut`: what comes next is not known."""
    end = _EMPTY_LINE.search(head)
    if end is None and not is_cut and len(head) < MAX_HEAD:
        return None
    fields = head if end is None else head[: end.start()]
    status = _STATUS.search(fields)
    if status is not None:
        number = int(status[1])
    elif end is None:
        number = 0
    else:
        number = 302 if _ELSEWHERE.search(fields) else 200
    return Response(number, is_truncated=end is None, head_size=end.end() if end else 0)
