"""What HTTP's versions share (RFC 9110): an exchange described by the stable semantic conventions for HTTP spans.

https://opentelemetry.io/docs/specs/semconv/http/http-spans/ (1.37)

A private sibling of the HTTP protocols, and no protocol itself: it registers nothing. A request has `method`,
`target`, `version`, `host`, `user_agent`, `body_size` and `size`; a response `status`, `body_size` and `size`.

Most attributes of most spans repeat, so they are made once, in blocks: one per method, route and status, one per Host and
user agent. Those are memos of pure functions, each with a cap. What is left, the URL and the sizes, is encoded at once.
The block of a method, route and status is also kept by what the path looks like (`Routes.kept`), which tells the route.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from agent import redaction
from agent.protocols import Description, Role
from agent.protocols.pairing import Exchange, Failure
from agent.routes import DIGITS_COLLAPSED
from agent.spans import semconv
from agent.spans.span import Attributes, Value
from agent.spans.wire import Integers, Strings, utf8

KNOWN_METHODS: Final = frozenset(
    ("CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE")
)
"""RFC 9110 §9 and RFC 5789: what the conventions know; others are `_OTHER`."""

MAX_BLOCKS: Final = 4096
"""Blocks of each kind that are kept: 200 routes of 20 statuses, or as many hosts, at about 1 KB each."""
MAX_KEPT: Final = 64
"""Blocks that are kept for a route: methods come from strangers."""
MAX_HOST: Final = 255
"""Characters of a DNS name (RFC 1035 §2.3.4)."""
MAX_USER_AGENT: Final = 512

_URL_PATH = Strings(semconv.URL_PATH)
_URL_QUERY = Strings(semconv.URL_QUERY)
_URL_FULL = Strings(semconv.URL_FULL)
_REQUEST_BODY_SIZE = Integers(semconv.HTTP_REQUEST_BODY_SIZE)
_REQUEST_SIZE = Integers(semconv.HTTP_REQUEST_SIZE)
_RESPONSE_BODY_SIZE = Integers(semconv.HTTP_RESPONSE_BODY_SIZE)
_RESPONSE_SIZE = Integers(semconv.HTTP_RESPONSE_SIZE)
_DEFAULT_PORTS = {"http": 80, "https": 443}
# A member of an enum takes 40 ns to get at through its class.
_CLIENT = Role.CLIENT
_AGENT_EXIT = Failure.AGENT_EXIT

# What `redaction.path` leaves as it is whatever it says: short segments without escapes, parameters, an "@".
_PLAIN_PATH = re.compile(rb"(?:/[!-$&-.0-:<-?A-~]{0,12})*")
# UUIDs too, unless their digits may be a card's number.
_UUID_PATH = re.compile(
    rb"(?:/(?:[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}|[!-$&-.0-:<-?A-~]{0,12})(?=/|\Z))*"
)
_MANY_DIGITS = re.compile(rb"[0-9](?:-?[0-9]){12}")
_PARAMETER_VALUE = re.compile(rb"=[^&]+")


@dataclass(frozen=True, slots=True)
class _Common:
    """What exchanges of the same method, route and outcome share."""

    name: str
    attributes: Attributes
    error_type: str | None


@dataclass(frozen=True, slots=True)
class _Parties:
    """Who was asked, and by what."""

    url: bytes
    """The beginning of url.full: scheme and authority, as UTF-8."""
    attributes: Attributes


class _KnownParties(dict[tuple[bytes | None, bytes | None, str], _Parties]):
    """By Host, user agent and scheme. A look-up here takes half of what one in an lru_cache takes."""

    def __missing__(self, key: tuple[bytes | None, bytes | None, str]) -> _Parties:
        if len(self) >= MAX_BLOCKS:
            self.clear()
        made = self[key] = _parties(*key)
        return made


_PARTIES: Final = _KnownParties()
_new: Final = object.__new__


@dataclass(frozen=True, slots=True)
class _Target:
    """A request's target in parts (RFC 9112 §3.2); paths and queries as sent."""

    scheme: str
    host: bytes | None
    path: bytes
    query: bytes


def describe(exchange: Exchange) -> Description:  # noqa: C901, PLR0912  # the hot path
    """Name, attributes and error of an exchange. Templates come from `exchange.connection.routes`."""
    request = exchange.request
    response = exchange.response
    connection = exchange.connection
    is_server = exchange.role is not _CLIENT
    status = 0 if response is None else response.status
    path, _, query = request.target.partition(b"?")
    host = request.host
    scheme = "https" if connection.is_tls else "http"
    # The same as routes.numbered.
    number = path.translate(DIGITS_COLLAPSED)
    number = number.replace(b"00", b"0").replace(b"00", b"0").replace(b"00", b"0")
    kept = connection.routes.kept.get(number)
    key = (request.method, status, request.version, scheme, is_server)
    common = None if kept is None else kept.get(key)
    if common is None:
        if path[:1] != b"/":
            parts = _split(request.target, request, scheme)
            scheme, host, path, query = parts.scheme, parts.host, parts.path, parts.query
        template = None
        if path[:1] == b"/":
            # Nothing is learnt from a path that the service does not have, or scanners would fill the table.
            routes = connection.routes
            template = routes.known(path) if status == 404 else routes.template(path)
        common = _common(request.method, template, status, request.version, scheme, is_server)
        if not _is_plain(path):
            path = utf8(redaction.path(path))
        elif template is not None and scheme == key[3]:
            _keep(connection.routes.kept_for(number, template), key, common)
    parties = _PARTIES[host, request.user_agent, scheme]
    if is_server:
        own = _URL_PATH[len(path)] + path
        if query:
            query = _query(query)
            own += _URL_QUERY[len(query)] + query
    else:
        # `OPTIONS *` asks the server itself: its URL has no path (RFC 9110 §7.1).
        url = parties.url + path if path[:1] == b"/" else parties.url
        if query:
            url += b"?" + _query(query)
        own = _URL_FULL[len(url)] + url
    # A body of zero bytes is left out of requests, which mostly have none.
    if request.body_size:
        own += _REQUEST_BODY_SIZE[request.body_size]
    if request.size is not None:
        own += _REQUEST_SIZE[request.size]
    if response is not None and response.size is not None:
        if response.body_size is not None:
            own += _RESPONSE_BODY_SIZE[response.body_size]
        own += _RESPONSE_SIZE[response.size]
    # Not by its constructor: 1.4 µs against 0.5.
    description = _new(Description)
    description.name = common.name
    description.attributes = (common.attributes, parties.attributes)
    description.own = own
    failure = exchange.failure
    if failure is None or failure is _AGENT_EXIT:
        description.error_type = common.error_type
    else:
        description.error_type = failure.value
    return description


def _keep(kept: dict[Any, _Common] | None, key: Any, common: _Common) -> None:
    """For the next path that looks like it."""
    if kept is not None:
        if len(kept) >= MAX_KEPT:
            kept.clear()
        kept[key] = common


def _is_plain(path: bytes) -> bool:
    """Whether `redaction.path` leaves it as it is; false where only that can tell."""
    if len(path) > redaction.MAX_TEXT:
        return False
    if _PLAIN_PATH.fullmatch(path) is not None:
        return True
    return _UUID_PATH.fullmatch(path) is not None and _MANY_DIGITS.search(path) is None


def delivers_spans(request: Any) -> bool:
    """Whether a request is OTLP over HTTP. The path alone has to do: the content type is not kept of any request."""
    path: bytes = request.target.partition(b"?")[0]
    return request.method == "POST" and path.endswith(b"/v1/traces")


def _split(target: bytes, request: Any, scheme: str) -> _Target:
    """The forms of a target that do not begin with a slash."""
    before, has_scheme, rest = target.partition(b"://")
    if has_scheme and before.lower() in (b"http", b"https"):
        # absolute-form; "the server MUST ignore the received Host header field" (RFC 9112 §3.2.2).
        whole, _, query = rest.partition(b"?")
        host, slash, path = whole.partition(b"/")
        return _Target(before.decode("ascii").lower(), host, (slash or b"/") + path, query)
    if request.method == "CONNECT":
        # authority-form: it names whom to connect to, and there is no path.
        return _Target(scheme, target, b"", b"")
    path, _, query = target.partition(b"?")
    return _Target(scheme, request.host, path, query)


@lru_cache(MAX_BLOCKS)
def _common(
    method: str,
    template: str | None,
    status: int,
    version: str,
    scheme: str,
    is_server: bool,  # noqa: FBT001  # a part of the key, not a switch of behaviour
) -> _Common:
    """The block of all exchanges of one shape, with their name and error."""
    is_known = method in KNOWN_METHODS
    name = method if is_known else "HTTP"
    items: list[tuple[str, Value]] = [
        (semconv.HTTP_REQUEST_METHOD, method if is_known else "_OTHER"),
        (semconv.URL_SCHEME, scheme),
    ]
    if not is_known:
        items.append((semconv.HTTP_REQUEST_METHOD_ORIGINAL, redaction.mask(method)))
    if template is not None:
        name = f"{name} {template}"
        items.append((semconv.HTTP_ROUTE if is_server else semconv.URL_TEMPLATE, template))
    if version:
        items.append((semconv.NETWORK_PROTOCOL_VERSION, version))
    if status:
        items.append((semconv.HTTP_RESPONSE_STATUS_CODE, status))
    is_error = status >= (500 if is_server else 400)
    return _Common(name, Attributes(items), str(status) if is_error else None)


def _parties(host: bytes | None, user_agent: bytes | None, scheme: str) -> _Parties:
    """server.address and server.port, by Host; where it names no port, the scheme's own; and user_agent.original."""
    url, items = _server(host, scheme) if host else (b"", [])
    if user_agent:
        # Some programs put a key there.
        text = redaction.mask(redaction.text(user_agent, MAX_USER_AGENT))
        items.append((semconv.USER_AGENT_ORIGINAL, text))
    return _Parties(url, Attributes(items))


def _server(host: bytes, scheme: str) -> tuple[bytes, list[tuple[str, Value]]]:
    """How a URL begins, and server.address and server.port."""
    user, at, place = redaction.authority(host[:MAX_HOST]).rpartition("@")
    authority = user + at + redaction.mask_shapes(place)
    address, colon, port = authority.rpartition("@")[2].rpartition(":")
    if not colon or not port.isdigit():
        address, port = (address + colon + port).rstrip(":"), ""
    number = int(port) if 0 < len(port) <= 5 else _DEFAULT_PORTS[scheme]
    return utf8(f"{scheme}://{authority}"), [
        (semconv.SERVER_ADDRESS, address.strip("[]")),
        (semconv.SERVER_PORT, number),
    ]


def _query(query: bytes) -> bytes:
    """The query without its values, as UTF-8."""
    if len(query) > redaction.MAX_TEXT:
        return utf8(redaction.query(query))
    # Values differ in every request, and nothing of them is told; names come again: 0.6 µs, not 1.7.
    return _redacted_query(_PARAMETER_VALUE.sub(b"=x", query))


@lru_cache(MAX_BLOCKS)
def _redacted_query(query: bytes) -> bytes:
    return utf8(redaction.query(query))
