"""Spans, whole, as the semantic conventions for HTTP have them."""

from __future__ import annotations

import pytest

from agent.redaction import Action, Policy, Redaction, Rule
from agent.spans.span import SpanKind, Status
from tests.scenario import AF_INET6, AF_UNIX, INGRESS, Host, Run, facts, play, request, response


@pytest.fixture
def host() -> Host:
    return Host()


def test_client(host):
    socket = host.connect(server=("10.0.0.1", 8080))
    socket.sent(request("/orders/7?token=secret", fields="User-Agent: curl/8\r\n"), took_ns=2_000)
    host.wait(1_000_000)
    socket.received(response(404, b"no"))
    (span,) = play(host).spans
    assert (span.name, span.kind, span.status, span.status_message) == (
        "GET",
        SpanKind.CLIENT,
        Status.ERROR,
        "",
    )
    # From the beginning of the call that sent the request to the response's last byte.
    assert (span.start_unix_ns, span.end_unix_ns) == (1_000_002_000, 1_001_005_000)
    assert facts(span) == {
        "http.request.method": "GET",
        "url.scheme": "http",
        "network.protocol.version": "1.1",
        "http.response.status_code": 404,
        "url.full": "http://shop/orders/7?token=REDACTED",
        "http.request.size": 71,
        "http.response.body.size": 2,
        "http.response.size": 44,
        "server.address": "shop",
        "server.port": 80,
        "user_agent.original": "curl/8",
        "network.transport": "tcp",
        "network.type": "ipv4",
        "network.peer.address": "10.0.0.1",
        "network.peer.port": 8080,
        "zerospan.connection.id": "1",
        "zerospan.connection.requests": 1,
        "zerospan.connection.setup_time": 1e-06,
        "zerospan.parent.rule": "none",
        "zerospan.time_to_first_byte": 0.001003,
        "error.type": "404",
    }


def test_calls_are_counted_on_their_connection_as_long_as_none_was_missed(host):
    socket = host.connect()
    for _ in range(2):
        socket.sent(request("/a")).received(response(200))
    socket.sent(request("/a"), is_lost=True).received(response(200))
    for _ in range(2):
        socket.sent(request("/a")).received(response(200))
    told = [facts(span) for span in play(host).spans]
    assert [each.get("zerospan.connection.requests") for each in told] == [1, 2, None, None]
    assert ["zerospan.connection.setup_time" in each for each in told] == [
        True,
        False,
        False,
        False,
    ]
    assert {each["zerospan.connection.id"] for each in told} == {"1"}


def test_server_over_ipv6(host):
    socket = host.accept(client=("2001:db8::9", 40000), family=AF_INET6)
    socket.received(request("/a", method="POST", body=b"123")).sent(response(500))
    (span,) = play(host).spans
    assert (span.name, span.kind, span.status) == ("POST /a", SpanKind.SERVER, Status.ERROR)
    told = facts(span)
    assert {key: told[key] for key in told if key.startswith(("network", "client", "error"))} == {
        "network.protocol.version": "1.1",
        "network.transport": "tcp",
        "network.type": "ipv6",
        "network.peer.address": "2001:db8::9",
        "network.peer.port": 40000,
        "client.address": "2001:db8::9",
        "error.type": "500",
    }
    assert told["http.request.body.size"] == 3


def test_unix_socket_has_no_addresses(host):
    host.accept(family=AF_UNIX).received(request("/a")).sent(response())
    told = facts(play(host).spans[0])
    assert [key for key in told if key.startswith(("network", "client"))] == [
        "network.protocol.version",
        "network.transport",
    ]
    assert told["network.transport"] == "unix"


@pytest.mark.parametrize(
    ("role", "status", "is_error"),
    [("server", 404, False), ("server", 499, False), ("server", 500, True), ("server", 200, False),
     ("client", 399, False), ("client", 400, True), ("client", 503, True)],
)  # fmt: skip
def test_status_is_judged_by_the_end(host, role, status, is_error):
    socket = host.accept() if role == "server" else host.connect()
    socket.asks(request("/a")).answers(response(status))
    (span,) = play(host).spans
    assert span.status is (Status.ERROR if is_error else Status.UNSET)
    assert facts(span).get("error.type") == (str(status) if is_error else None)


def test_failure_is_an_error_with_its_reason(host):
    host.connect().sent(request("/a")).reset()
    (span,) = play(host).spans
    assert (span.status, facts(span)["error.type"]) == (Status.ERROR, "connection_reset")
    assert "http.response.status_code" not in facts(span)
    assert "zerospan.time_to_first_byte" not in facts(span)


def test_failure_within_a_response_rules_over_its_status(host):
    socket = host.connect()
    socket.sent(request("/a")).received(response(200, b"123")[:-1]).ended(INGRESS)
    told = facts(play(host).spans[0])
    assert (told["http.response.status_code"], told["error.type"]) == (
        200,
        "connection_closed_by_peer",
    )


def test_exchange_that_the_agent_did_not_see_to_its_end(host):
    host.accept().received(request("/a"))
    (span,) = play(host).spans
    assert (span.status, facts(span)["zerospan.incomplete"]) == (Status.UNSET, "agent_exit")


def test_span_never_ends_before_it_begins(host):
    """A clock of another processor may be behind."""
    socket = host.accept().received(request("/a"))
    host.now_ns -= 500_000
    socket.sent(response())
    (span,) = play(host).spans
    assert span.end_unix_ns == span.start_unix_ns


def test_rules_of_the_operator_hold_for_every_attribute(host):
    for number in range(2):
        socket = host.connect(server=("10.0.0.1", 8080))
        socket.sent(request(f"/orders/cust-{number}77", fields="User-Agent: curl/8\r\n"))
        socket.received(response(200, b"no"))
    rules = (
        Rule(Action.DROP, "user_agent.*"),
        Rule(Action.HASH, "network.peer.address"),
        Rule(Action.MASK, pattern="cust-[0-9]+"),
        Rule(Action.MASK, "http.response.size"),
    )
    plain, ruled = (
        play(host),
        Run(policy=Policy(Redaction(rules, "a long random text"))).take(host.records).finish(),
    )
    for before, after in zip(map(facts, plain.spans), map(facts, ruled.spans), strict=True):
        assert "user_agent.original" in before
        changed = {key for key in before if before[key] != after.get(key)}
        assert changed - {"url.template"} == {
            "user_agent.original",
            "network.peer.address",
            "url.full",
            "http.response.size",
        }
        assert "user_agent.original" not in after
        assert after["url.full"] == "http://shop/orders/REDACTED"
        assert after["http.response.size"] == "REDACTED"
        assert "cust-" not in str(after)
        assert len(str(after["network.peer.address"])) == 16


def test_what_rules_make_of_a_shared_block_is_made_once(host):
    for _ in range(2):
        socket = host.connect(server=("10.0.0.1", 8080))
        socket.sent(request("/a"))
        socket.received(response(200, b""))
    first, second = Run(policy=Policy()).take(host.records).finish().spans
    assert first.attributes[0] is second.attributes[0]
