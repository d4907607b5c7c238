"""Records that found no room: whatever is missing, nothing is told that did not happen, and everything is counted.

Each exchange has a path and a status of its own, so a response that met another's request would show. A head that
lost its end may give a shorter path, never another one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.spans import semconv
from agent.spans.span import Span
from tests.scenario import (
    CLIENT,
    EGRESS,
    INGRESS,
    SERVER,
    Host,
    Run,
    Socket,
    facts,
    play,
    request,
    response,
)

BASE = 210
"""Statuses from here on have content."""

PROPERTY = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow], database=None
)


@dataclass
class Talk:
    """A conversation with losses."""

    host: Host = field(default_factory=Host, repr=False)
    made: dict[str, tuple[int, int]] = field(default_factory=dict, repr=False)
    """Path → status and size of the content."""
    script: list[str] = field(default_factory=list)
    """For people: what was moved, what was lost."""


def pieces(draw, data: bytes) -> list[bytes]:
    """`data` in one to three pieces."""
    places = draw(st.lists(st.integers(1, max(1, len(data) - 1)), max_size=2, unique=True))
    edges = [0, *sorted(places), len(data)]
    return [data[a:b] for a, b in pairwise(edges) if a < b]


def chunked(body: bytes, status: int) -> bytes:
    head = f"HTTP/1.1 {status} Reason\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
    chunk = b"%x\r\n%b\r\n" % (len(body), body) if body else b""
    return head + chunk + b"0\r\n\r\n"


def asked(draw, talk: Talk) -> bytes:
    path = f"/n{len(talk.made):04}n"
    body = draw(st.sampled_from((b"", b"x" * 10, request("/evil"), b"y" * 6000)))
    talk.made[path] = (0, 0)
    return request(path, method="POST" if body else "GET", body=body)


def answered(draw, talk: Talk, path: str) -> bytes:
    number = list(talk.made).index(path)
    body = (
        draw(st.sampled_from((b"", b"z", b"HTTP/1.1 200 OK\r\n\r\n", b"z" * 3000))) + b"n" * number
    )
    talk.made[path] = (BASE + number, len(body))
    make = draw(st.sampled_from((response, lambda status, body: chunked(body, status))))
    return make(BASE + number, body)


def move(draw, talk: Talk, data: bytes, move_one) -> None:
    """Over in pieces, any of which may be lost."""
    for piece in pieces(draw, data):
        is_lost = draw(st.sampled_from((False, False, True)))
        talk.script.append(f"{move_one.__name__} {piece[:60]!r}{' LOST' if is_lost else ''}")
        move_one(piece, is_lost=is_lost)


def opened(draw, host: Host) -> Socket:
    role = draw(st.sampled_from((SERVER, CLIENT)))
    return host.accept() if role == SERVER else host.connect()


@st.composite
def conversations(draw) -> Talk:
    """Requests and responses by turns."""
    talk = Talk()
    socket = opened(draw, talk.host)
    for _ in range(draw(st.integers(1, 8))):
        move(draw, talk, asked(draw, talk), socket.asks)
        move(draw, talk, answered(draw, talk, list(talk.made)[-1]), socket.answers)
    for direction in draw(st.sampled_from(((), (INGRESS,), (EGRESS,), (INGRESS, EGRESS)))):
        talk.script.append(f"end of {direction}")
        socket.ended(direction)
    socket.close()
    return talk


@st.composite
def batches(draw) -> Talk:
    """Several requests in a turn, answered in the next one."""
    talk = Talk()
    socket = opened(draw, talk.host)
    for _ in range(draw(st.integers(1, 3))):
        paths = []
        for _ in range(draw(st.integers(1, 4))):
            move(draw, talk, asked(draw, talk), socket.asks)
            paths.append(list(talk.made)[-1])
        for path in paths:
            move(draw, talk, answered(draw, talk, path), socket.answers)
    socket.close()
    return talk


def told(span: Span) -> tuple[str, object, object]:
    values = facts(span)
    path = str(values.get(semconv.URL_PATH) or values[semconv.URL_FULL]).removeprefix("http://shop")
    status = values.get(semconv.HTTP_RESPONSE_STATUS_CODE)
    return path, status, values.get(semconv.HTTP_RESPONSE_BODY_SIZE)


def assert_nothing_is_wrong(talk: Talk, run: Run) -> None:
    for path, status, size in map(told, run.spans):
        whole = [made for made in talk.made if made.startswith(path)]
        assert whole, path
        if path not in talk.made:
            continue
        expected_status, expected_size = talk.made[path]
        assert status in (None, expected_status), path
        assert size in (None, expected_size), path


@PROPERTY
@given(conversations())
def test_any_losses_leave_no_wrong_pair_and_no_exchange_uncounted(talk: Talk) -> None:
    run = play(talk.host)
    assert_nothing_is_wrong(talk, run)
    assert run.ledger.captured == len(talk.made)
    assert run.outside.muted == []


@PROPERTY
@given(batches())
def test_losses_among_pipelined_requests_leave_no_wrong_pair(talk: Talk) -> None:
    run = play(talk.host)
    assert_nothing_is_wrong(talk, run)


def test_the_end_of_a_first_head_is_lost_in_both_directions() -> None:
    host = Host()
    socket = host.accept()
    asked, answered = request("/n0000n"), response(210, b"")
    socket.asks(asked[:1]).asks(asked[1:], is_lost=True)
    socket.answers(answered[:1]).answers(answered[1:], is_lost=True)
    socket.asks(request("/n0001n")).answers(response(211, b"n"))
    socket.asks(request("/n0002n")).answers(response(212, b"nn")).close()
    run = play(host)
    assert run.outside.muted == []
    assert run.ledger.captured == 3
    assert run.spans[-1].attribute("url.path") == "/n0002n"
