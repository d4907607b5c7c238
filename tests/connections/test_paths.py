"""The hot path and the general way give the same spans, and so does the same conversation cut differently."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.protocols import Shortcut
from agent.protocols.http1 import Http1
from agent.spans import semconv
from agent.spans.span import Resource, Span
from tests.scenario import Host, Run, facts, line, play, request, response

PROPERTY = settings(
    max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow], database=None
)
NOBODY = Resource(())
WIDE = (1 << 20, 1 << 20)
NARROW = (128, 128)

PARENT = "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n"
REQUESTS = (
    request("/"),
    request("/a/b?q=1", fields="User-Agent: curl/8\r\n"),
    request("/a/12", fields=PARENT),
    request("/upload", method="POST", body=b"x" * 900),
    request("/a", method="HEAD"),
    request("http://other/x"),
    b"POST /c HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    b"GET /old HTTP/1.0\r\n\r\n",
)
RESPONSES = (
    response(200),
    response(200, b"x"),
    response(503, b"x" * 3000),
    b"HTTP/1.1 204 No Content\r\n\r\n",
    b"HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\n" + response(201),
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n0\r\n\r\n",
)


@dataclass
class Turn:
    """One exchange, and how its bytes pass: where they are cut, how many of the last are sent by the kernel."""

    asked: bytes
    answered: bytes
    cuts: tuple[list[int], list[int]] = ([], [])
    silent: bool = False
    waits: list[int] = field(default_factory=lambda: [0, 0])


@st.composite
def turns(draw) -> Turn:
    asked = draw(st.sampled_from(REQUESTS))
    answered = draw(st.sampled_from(RESPONSES))
    if asked.startswith(b"HEAD"):
        answered = answered.partition(b"\r\n\r\n")[0] + b"\r\n\r\n"
        if answered.startswith(b"HTTP/1.1 100"):
            answered = response(200)
    cut = st.lists(st.integers(1, 200), max_size=3)
    waits = draw(st.lists(st.integers(0, 3), min_size=2, max_size=2))
    return Turn(asked, answered, (draw(cut), draw(cut)), draw(st.booleans()), waits)


def pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    edges = sorted({0, len(data), *(at for at in cuts if at < len(data))})
    return [data[a:b] for a, b in pairwise(edges)]


def records(talk: list[Turn], *, is_server: bool, budgets, is_cut: bool) -> Host:
    host = Host()
    socket = (host.accept if is_server else host.connect)(budgets=budgets)
    for turn in talk:
        host.wait(turn.waits[0] * 500)
        asked, answered = turn.cuts if is_cut else ([], [])
        for piece in pieces(turn.asked, asked):
            socket.asks(piece)
        host.wait(turn.waits[1] * 500)
        if is_cut and turn.silent and turn.answered.startswith(b"HTTP/1.1 503"):
            head = turn.answered.partition(b"\r\n\r\n")[0] + b"\r\n\r\n"
            socket.answers(head).answers(b"", size=len(turn.answered) - len(head), is_silent=True)
        else:
            for piece in pieces(turn.answered, answered):
                socket.answers(piece)
    return host if not talk else socket.close().host


@contextmanager
def without_the_hot_path() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Http1, "shortcut", Shortcut)  # it takes nothing
        yield


def spans(run: Run) -> list[Span]:
    return [replace(span, resource=NOBODY) for span in run.spans]


def gist(span: Span) -> dict[str, object]:
    """What does not depend on when pieces passed."""
    told = facts(span)
    del told[semconv.TIME_TO_FIRST_BYTE]
    return {"line": line(span), "parent": span.parent_id, **told}


@PROPERTY
@given(st.lists(turns(), max_size=5), st.booleans(), st.sampled_from((WIDE, NARROW)), st.booleans())
def test_hot_path_and_general_way_agree(talk, is_server, budgets, is_cut):
    host = records(talk, is_server=is_server, budgets=budgets, is_cut=is_cut)
    run = play(host)
    with without_the_hot_path():
        slow = play(host)
    assert spans(run) == spans(slow)
    assert run.counts == slow.counts
    assert len(run.spans) == len(talk)


@PROPERTY
@given(st.lists(turns(), max_size=5), st.booleans())
def test_cuts_change_nothing(talk, is_server):
    whole = play(records(talk, is_server=is_server, budgets=WIDE, is_cut=False))
    cut = play(records(talk, is_server=is_server, budgets=WIDE, is_cut=True))
    assert list(map(gist, cut.spans)) == list(map(gist, whole.spans))


@PROPERTY
@given(st.lists(turns(), max_size=5), st.booleans())
def test_short_captures_change_nothing_but_sizes_of_chunked_bodies(talk, is_server):
    wide = play(records(talk, is_server=is_server, budgets=WIDE, is_cut=True))
    narrow = play(records(talk, is_server=is_server, budgets=NARROW, is_cut=True))
    for short, full in zip(narrow.spans, wide.spans, strict=True):
        assert gist(full).items() >= gist(short).items() - {("line", line(short))}
