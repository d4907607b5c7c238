"""Event loops of which nothing tells in which callback they are: known by requests that overlap in a thread."""

from __future__ import annotations

import pytest

from tests.scenario import Host, Socket, play, request, response
from tests.traces.test_correlate import family


@pytest.fixture
def host() -> Host:
    """A program whose one thread has had two requests under way."""
    host = Host()
    both = [serve(host, f"/{n}", 41000 + n) for n in range(2)]
    for front in both:
        front.sent(response())
    return host


def serve(host: Host, path: str, port: int = 42000) -> Socket:
    return host.accept(client=("10.0.0.8", port)).received(request(path))


def back(host: Host, port: int = 50000) -> Socket:
    """A connection that was opened while nothing was under way."""
    return host.connect(process=10, thread=10, port=port, server=("10.9.9.9", 80))


def test_the_only_request_is_taken_for_it(host):
    pooled = back(host)
    front = serve(host, "/a")
    pooled.sent(request("/a/1")).received(response())
    front.sent(response())
    assert family(play(host))["client /a/1"] == ("alone", "server /a")


def test_not_where_it_was_not_alone_from_its_beginning_on(host):
    pooled = back(host)
    fronts = [serve(host, "/a"), serve(host, "/b", 42001)]
    fronts[0].sent(response())
    pooled.sent(request("/b/1")).received(response())
    fronts[1].sent(response())
    told = family(play(host))["client /b/1"]
    assert told == ("refused:loop", None)


def test_not_in_a_program_that_calls_behind_its_responses(host):
    """Nor for what it was taken for before that was found out, as long as its trace is not settled."""
    pooled = back(host)
    front = serve(host, "/a")
    pooled.sent(request("/late")).received(response())
    front.sent(response())
    pooled.sent(request("/later")).received(response())
    front = serve(host, "/b", 42001)
    opened = back(host, 50001)
    opened.sent(request("/latest")).received(response())
    front.sent(response())
    told = family(play(host))
    assert told["client /late"] == ("refused:loop", None)
    assert told["client /later"] == ("none", None)
    assert told["client /latest"] == ("refused:loop", None)


def test_a_connection_that_is_opened_while_one_request_alone_is_under_way(host):
    front = serve(host, "/a")
    back(host).sent(request("/a/1")).received(response())
    front.sent(response())
    assert family(play(host))["client /a/1"] == ("opener", "server /a")


def test_a_thread_that_serves_one_after_the_other_is_no_loop():
    """It may call between two requests: then it works for neither, and for the next one later."""
    host = Host()
    pooled = back(host)
    serve(host, "/a").sent(response())
    pooled.sent(request("/between")).received(response())
    front = serve(host, "/b", 42001)
    pooled.sent(request("/b/1")).received(response())
    front.sent(response())
    told = family(play(host))
    assert told["client /between"] == ("none", None)
    assert told["client /b/1"] == ("thread", "server /b")


def test_a_proxy_is_taken_at_its_word(host):
    host.process(10, "nginx", is_proxy=True)
    fronts = [serve(host, "/a"), serve(host, "/b", 42001)]
    back(host).sent(request("/b/up")).received(response())
    for front in fronts:
        front.sent(response())
    assert family(play(host))["client /b/up"] == ("opener", "server /b")
