"""HTTP exchanges described by the semantic conventions."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent import redaction
from agent.protocols import Description, Role
from agent.protocols.http1 import Http1
from agent.protocols.http1_head import Framing, Request, Response
from agent.protocols.http_semantics import MAX_USER_AGENT, delivers_spans, describe
from agent.protocols.pairing import Exchange, Failure
from agent.routes import Routes
from agent.spans.span import encoded


@dataclass
class Connection:
    """What `describe` reads of a connection."""

    is_tls: bool = False
    routes: Routes = field(default_factory=Routes)


def exchange(
    role: Role,
    request: Request,
    response: Response | None = None,
    *,
    connection: Connection | None = None,
    failure: Failure | None = None,
) -> Exchange:
    made = Exchange(Http1, role, request, 1)
    made.response = response
    made.connection = connection or Connection()
    made.failure = failure
    return made


def flat(description: Description) -> dict[str, object]:
    """All attributes; a key is in one block only."""
    blocks = (*description.attributes, encoded(description.own))
    items = [item for block in blocks for item in block.items]
    assert len(dict(items)) == len(items)
    return dict(items)


def get(target: bytes = b"/", method: str = "GET", **fields: Any) -> Request:
    return Request(method, target, **{"version": "1.1", "host": b"shop:8080", **fields})


def test_server_span():
    request = get(b"/orders/17?token=s3cret&q=", user_agent=b"curl/8", size=90, body_size=0)
    response = Response(200, "1.1", body_size=5, size=44)
    described = describe(exchange(Role.SERVER, request, response))
    assert (described.name, described.error_type) == ("GET /orders/{id}", None)
    assert flat(described) == {
        "http.request.method": "GET",
        "url.scheme": "http",
        "http.route": "/orders/{id}",
        "network.protocol.version": "1.1",
        "http.response.status_code": 200,
        "url.path": "/orders/17",
        "url.query": "token=REDACTED&q=",
        "http.request.size": 90,
        "http.response.body.size": 5,
        "http.response.size": 44,
        "server.address": "shop",
        "server.port": 8080,
        "user_agent.original": "curl/8",
    }


def test_client_span():
    request = get(b"/orders/17?a=1", "POST", size=95, body_size=5, framing=Framing.LENGTH)
    response = Response(200, "1.1", size=44)
    connection = Connection(is_tls=True)
    described = describe(exchange(Role.CLIENT, request, response, connection=connection))
    assert (described.name, described.error_type) == ("POST /orders/{id}", None)
    assert flat(described) == {
        "http.request.method": "POST",
        "url.scheme": "https",
        "url.template": "/orders/{id}",
        "network.protocol.version": "1.1",
        "http.response.status_code": 200,
        "url.full": "https://shop:8080/orders/17?a=REDACTED",
        "http.request.body.size": 5,
        "http.request.size": 95,
        "http.response.size": 44,
        "server.address": "shop",
        "server.port": 8080,
    }


@pytest.mark.parametrize(
    ("role", "status", "error_type"),
    [
        (Role.SERVER, 200, None),
        (Role.SERVER, 404, None),
        (Role.SERVER, 499, None),
        (Role.SERVER, 500, "500"),
        (Role.CLIENT, 302, None),
        (Role.CLIENT, 404, "404"),
        (Role.CLIENT, 503, "503"),
        (Role.UNKNOWN, 404, None),
    ],
)
def test_which_statuses_are_errors(role, status, error_type):
    assert describe(exchange(role, get(), Response(status, "1.1"))).error_type == error_type


@pytest.mark.parametrize(
    ("status", "failure", "error_type"),
    [
        (0, Failure.RESET, "connection_reset"),
        (200, Failure.CLOSED_BY_PEER, "connection_closed_by_peer"),
        (500, Failure.TIMEOUT, "timeout"),
        (200, Failure.AGENT_EXIT, None),
        (500, Failure.AGENT_EXIT, "500"),
    ],
)
def test_failures(status, failure, error_type):
    response = Response(status, "1.1") if status else None
    description = describe(exchange(Role.SERVER, get(), response, failure=failure))
    assert description.error_type == error_type
    assert ("http.response.status_code" in flat(description)) == bool(status)


@pytest.mark.parametrize(
    ("host", "address", "port"),
    [
        (b"shop", "shop", 80),
        (b"shop:8080", "shop", 8080),
        (b"10.0.0.1:81", "10.0.0.1", 81),
        (b"[::1]:81", "::1", 81),
        (b"[::1]", "::1", 80),
        (b"shop:", "shop", 80),
        (b"shop:http", "shop:http", 80),
        (b"shop:123456", "shop", 80),
        (b"user:secret@shop:82", "shop", 82),
        (b"sh\x00op", "sh\ufffdop", 80),
    ],
)
def test_server_address(host, address, port):
    attributes = flat(describe(exchange(Role.SERVER, get(host=host))))
    assert (attributes["server.address"], attributes["server.port"]) == (address, port)


@pytest.mark.parametrize("host", [None, b""])
def test_without_a_host_the_socket_tells(host):
    attributes = flat(describe(exchange(Role.CLIENT, get(b"/a", host=host))))
    assert "server.address" not in attributes
    assert attributes["url.full"] == "/a"


@pytest.mark.parametrize(
    ("method", "target", "name", "url"),
    [
        (
            "GET",
            b"http://u:p@example.com/a/1?b=c",
            "GET /a/{id}",
            "http://REDACTED:REDACTED@example.com/a/1?b=REDACTED",
        ),
        ("GET", b"HTTPS://example.com", "GET /", "https://example.com/"),
        ("GET", b"http://example.com?x", "GET /", "http://example.com/?x"),
        ("CONNECT", b"db:5432", "CONNECT", "http://db:5432"),
        ("OPTIONS", b"*", "OPTIONS", "http://shop:8080"),
        ("GET", b"ftp://x/y?z=1", "GET", "http://shop:8080?z=REDACTED"),
    ],
)
def test_forms_of_targets(method, target, name, url):
    description = describe(exchange(Role.CLIENT, get(target, method)))
    assert (description.name, flat(description)["url.full"]) == (name, url)


def test_unknown_methods():
    description = describe(exchange(Role.SERVER, get(b"/x", "PROPFIND", version="")))
    assert description.name == "HTTP /x"
    assert flat(description) == {
        "http.request.method": "_OTHER",
        "http.request.method_original": "PROPFIND",
        "url.scheme": "http",
        "http.route": "/x",
        "url.path": "/x",
        "server.address": "shop",
        "server.port": 8080,
    }


def test_no_route_where_there_is_no_room():
    connection = Connection(routes=Routes(limit=0))
    description = describe(exchange(Role.SERVER, get(b"/x"), connection=connection))
    assert (description.name, flat(description).get("http.route")) == ("GET", None)


def test_nothing_is_learnt_from_what_is_not_found():
    connection = Connection()
    missing = exchange(Role.SERVER, get(b"/x"), Response(404, "1.1"), connection=connection)
    assert describe(missing).name == "GET"
    assert describe(exchange(Role.SERVER, get(b"/x"), connection=connection)).name == "GET /x"
    assert describe(missing).name == "GET /x"


@pytest.mark.parametrize(
    ("path", "seen"),
    [
        (b"/card/4111111111111111", "/card/REDACTED"),
        (b"/card/4111111111111112", "/card/4111111111111112"),
        (b"/\xc3\xa4\xff", "/ä\ufffd"),
        (b"/" + b"a/" * 3000, "/" + "a/" * 1023 + "REDACTED"),
        (b"/mail/a1@example.com", "/mail/REDACTED"),
    ],
)
def test_paths_leave_redacted(path, seen):
    assert flat(describe(exchange(Role.SERVER, get(path))))["url.path"] == seen


_SEGMENTS = st.one_of(
    st.uuids().map(lambda uuid: str(uuid).encode()),
    st.from_regex(rb"[0-9]{8}(-[0-9]{4}){3}-[0-9]{12}", fullmatch=True),
    st.from_regex(rb"[2-6][0-9\-]{12,20}", fullmatch=True),
    st.text("abcX019-_.~%@;=:", max_size=30).map(str.encode),
    st.binary(max_size=16).map(lambda part: part.replace(b"?", b"").replace(b"/", b"")),
)


class Forgetful(Routes):
    """Keeps nothing for whoever uses templates."""

    __slots__ = ()

    def kept_for(self, number, template):
        del number, template


# Few words, so that paths look alike, and more of them than a position has literals.
_ALIKE = st.one_of(
    st.sampled_from([b"", b"a", b"b", b"v1", b"v2", b"x.js", b"*"]),
    st.integers(0, 10**10).map(lambda number: b"%d" % number),
    st.text("abcdefgh", min_size=2, max_size=2).map(str.encode),
    _SEGMENTS,
)


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(
    st.lists(
        st.tuples(
            st.lists(_ALIKE, min_size=1, max_size=3).map(lambda parts: b"/" + b"/".join(parts)),
            st.sampled_from([b"", b"?a=1"]),
            st.sampled_from([Role.SERVER, Role.CLIENT]),
            st.sampled_from(["GET", "POST", "M-X"]),
            st.sampled_from([200, 404, 500]),
            st.booleans(),
        ),
        max_size=120,
    ),
    st.sampled_from([3, 200]),
)
def test_what_is_kept_for_paths_that_look_alike_is_what_they_would_be_told(asked, limit):
    keeps, forgets = Routes(limit=limit), Forgetful(limit=limit)
    for path, query, role, method, status, is_tls in asked:
        kept, anew = (
            describe(
                exchange(
                    role,
                    get(path + query, method),
                    Response(status, "1.1"),
                    connection=Connection(is_tls, routes),
                )
            )
            for routes in (keeps, forgets)
        )
        assert (kept.name, kept.error_type, flat(kept)) == (anew.name, anew.error_type, flat(anew))


@given(st.lists(_SEGMENTS, min_size=1, max_size=5))
def test_the_short_way_of_paths_says_what_redaction_says(segments):
    path = b"/" + b"/".join(segments)
    assert flat(describe(exchange(Role.SERVER, get(path))))["url.path"] == redaction.path(path)


def test_long_user_agents_are_cut():
    attributes = flat(describe(exchange(Role.SERVER, get(user_agent=b"x" * 1000))))
    assert attributes["user_agent.original"] == "x" * MAX_USER_AGENT


def test_blocks_are_shared():
    connection = Connection()
    first, second = (
        describe(
            exchange(
                Role.SERVER,
                get(b"/a/%d" % n, user_agent=b"u"),
                Response(200, "1.1"),
                connection=connection,
            )
        )
        for n in range(2)
    )
    for block in (0, 1):
        assert first.attributes[block] is second.attributes[block]


@pytest.mark.parametrize(
    ("method", "target", "expected"),
    [
        ("POST", b"/v1/traces", True),
        ("POST", b"/otlp/v1/traces?key=1", True),
        ("GET", b"/v1/traces", False),
        ("POST", b"/v1/metrics", False),
        ("POST", b"/x?next=/v1/traces", False),
    ],
)
def test_otlp_is_known_by_its_path(method, target, expected):
    assert delivers_spans(Request(method, target, "1.1")) is expected
