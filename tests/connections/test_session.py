"""The general way: two streams, a reader for each, the pairing between them."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from agent.connections.session import Session, Trouble
from agent.protocols import Role
from agent.protocols.http1 import Http1
from agent.protocols.mongodb import Mongodb
from agent.protocols.pairing import Exchange
from tests.protocols import mongodb_bytes as mongo
from tests.scenario import request, response

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@dataclass
class Heard:
    """What a session tells."""

    begins: list[tuple[bytes, int]] = field(default_factory=list)
    ends: list[Exchange] = field(default_factory=list)

    def begun(self, exchange: Exchange, position: int) -> None:
        self.begins.append((exchange.request.target, position))

    def ended(self, exchange: Exchange) -> None:
        self.ends.append(exchange)


class Talk:
    """A session at work, `start` bytes into the connection."""

    def __init__(self, start: int = 0) -> None:
        self.heard = Heard()
        self.protocol = Http1()
        self.session = Session(self.protocol, Role.SERVER, self.heard, positions=(start, start))
        self.time_ns = 0

    def asks(self, data: bytes, *, after: int = 0, size: int | None = None) -> Talk:
        return self._feed(self.session.requests, data, after, size)

    def answers(self, data: bytes, *, after: int = 0, size: int | None = None) -> Talk:
        return self._feed(self.session.responses, data, after, size)

    def _feed(self, stream, data, after, size) -> Talk:
        """`after`: so many bytes were lost before."""
        self.time_ns += 1
        stream.feed(stream.end + after, data, len(data) if size is None else size, self.time_ns)
        self.session.step()
        return self


def test_an_exchange_from_its_first_byte_to_its_last():
    talk = Talk(100).asks(request("/a")[:9]).asks(request("/a")[9:])
    assert talk.heard.begins == [(b"/a", 100)]
    talk.answers(response(200, b"12")[:-1])
    assert not talk.session.is_idle
    talk.answers(b"2")
    (exchange,) = talk.heard.ends
    assert (exchange.start_ns, exchange.first_byte_ns, exchange.end_ns) == (1, 3, 4)
    assert (exchange.request.target, exchange.response.status) == (b"/a", 200)
    assert talk.session.is_idle


def test_it_is_known_where_in_a_request_one_is():
    session = Talk().session
    assert (session.is_within_head, session.is_within_request) == (False, False)
    talk = Talk().asks(b"POST / HTTP/1.1\r\n")
    assert (talk.session.is_within_head, talk.session.is_within_request) == (True, True)
    talk.asks(b"Content-Length: 5\r\n\r\n12")
    assert (talk.session.is_within_head, talk.session.is_within_request) == (False, True)
    talk.asks(b"345")
    assert (talk.session.is_within_head, talk.session.is_within_request) == (False, False)


def test_pipelined_requests_are_answered_in_their_order():
    talk = Talk().asks(request("/a") + request("/b")).answers(response(201) + response(202))
    assert [(e.request.target, e.response.status) for e in talk.heard.ends] == [
        (b"/a", 201),
        (b"/b", 202),
    ]


def trouble(talk: Talk) -> tuple[Trouble | None, bool]:
    return talk.session.trouble, talk.session.is_uncounted


@pytest.mark.parametrize(
    ("talk", "expected"),
    [
        (Talk().asks(request("/a")), (None, False)),
        (Talk().answers(response(200)), (Trouble.NO_REQUEST, True)),
        (Talk().asks(request("/a"), after=1), (Trouble.GAP, True)),
        (Talk().asks(b"", size=10), (Trouble.GAP, True)),
        (Talk().asks(request("/a")).answers(response(200), after=1), (Trouble.GAP, False)),
        (Talk().asks(b"what?\r\n\r\n"), (Trouble.GARBAGE, True)),
        (Talk().asks(request("/a") + b"what?\r\n\r\n"), (Trouble.GARBAGE, True)),
        (Talk().asks(request("/a")).answers(CHUNKED + b"no size\r\n"), (Trouble.GARBAGE, False)),
        (
            Talk().asks(b"PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nno size\r\n"),
            (Trouble.GARBAGE, False),
        ),
    ],
)
def test_trouble(talk, expected):
    assert trouble(talk) == expected


def test_nothing_is_read_after_trouble():
    talk = Talk().asks(b"what?\r\n\r\n").asks(request("/a")).answers(response(200))
    assert talk.heard == Heard()


def test_exchanges_before_trouble_stand():
    talk = Talk().asks(request("/a")).answers(response(200) + b"what?\r\n\r\n")
    assert [e.request.target for e in talk.heard.ends] == [b"/a"]
    assert trouble(talk) == (Trouble.GARBAGE, True)


def test_end_that_only_the_turn_tells_leaves_pipelined_responses_unknown():
    talk = Talk().asks(request("/a") + request("/b"))
    talk.answers(CHUNKED + b"10", size=5000)
    talk.session.responses.end_turn(talk.session.responses.end, 9)
    talk.session.step()
    assert [e.request.target for e in talk.heard.ends] == [b"/a"]
    assert trouble(talk) == (Trouble.GAP, False)


def test_bug_of_a_parser_is_kept_for_who_logs(monkeypatch):
    error = ZeroDivisionError("secret")

    def broken(self, stream):
        yield None
        raise error

    monkeypatch.setattr(Http1, "request", broken)
    talk = Talk().asks(b"G").asks(b"E")
    assert trouble(talk) == (Trouble.BUG, True)
    assert talk.session.failure is error
    assert talk.session.name == "http1"


def test_direction_that_ends_between_messages_is_no_trouble():
    talk = Talk().asks(b"\r\n")
    talk.session.requests.close()
    talk.session.step()
    assert trouble(talk) == (None, False)


def test_responses_that_are_paired_by_id_stop_nothing():
    heard = Numbers()
    session = Session(Mongodb(), Role.CLIENT, heard, positions=(0, 0))

    def asks(*numbers: int) -> None:
        data = b"".join(mongo.command(number, {"ping": 1}) for number in numbers)
        session.requests.feed(session.requests.end, data, len(data), 1)
        session.step()

    def answers(*numbers: int, hole: int = 0) -> None:
        data = b"".join(mongo.reply(number, {"ok": 1}) for number in numbers)
        session.responses.feed(session.responses.end, data[: len(data) - hole], len(data), 2)
        session.step()

    asks(1, 2, 3)
    answers(3, 8)
    assert (heard.ends, [each.request.id for each in session.answered]) == ([3], [3])
    assert (session.unasked, session.trouble) == (1, None)
    answers(2, hole=10)  # its end is known: the size says so
    session.responses.end_turn(session.responses.end, 3)
    session.step()
    assert (heard.ends, session.trouble, session.is_idle) == ([3, 2], None, False)
    answers(1)
    assert (heard.ends, session.is_idle) == ([3, 2, 1], True)


class Numbers:
    """Ids of what is over."""

    def __init__(self) -> None:
        self.ends: list[int] = []

    def begun(self, exchange: Exchange, position: int) -> None:
        del exchange, position

    def ended(self, exchange: Exchange) -> None:
        self.ends.append(exchange.request.id)


def piece(stream, data: bytes, size: int = 0) -> None:
    stream.feed(stream.end, data, size or len(data), 1)


def test_a_request_in_a_hole_shows_by_its_response():
    heard = Numbers()
    session = Session(Mongodb(), Role.CLIENT, heard, positions=(0, 0))
    pings = [mongo.command(number, {"ping": 1}) for number in range(9)]
    piece(session.requests, pings[1] + pings[2][:10], len(pings[1] + pings[2] + pings[3]))
    session.step()
    piece(session.requests, pings[4])  # of the same turn: nobody knows whether it is a beginning
    session.step()
    assert (session.trouble, session.is_idle) == (None, False)
    session.requests.end_turn(session.requests.end, 1)
    piece(session.responses, b"".join(mongo.reply(number, {"ok": 1}) for number in (3, 1, 2, 4)))
    session.step()
    assert (heard.ends, session.unasked, session.given_up) == ([1], 3, [])
    piece(session.requests, pings[5][:20])
    session.step()
    piece(session.requests, pings[5][20:])
    piece(session.responses, mongo.reply(5, {"ok": 1}))
    session.step()
    assert (heard.ends, session.trouble, session.is_idle) == ([1, 5], None, True)


def test_a_response_in_a_hole_gives_up_what_is_under_way():
    heard = Numbers()
    session = Session(Mongodb(), Role.CLIENT, heard, positions=(0, 0))
    piece(session.requests, b"".join(mongo.command(number, {"ping": 1}) for number in (1, 2, 3)))
    session.step()
    session.requests.end_turn(session.requests.end, 1)
    answer = mongo.reply(1, {"ok": 1})
    piece(session.responses, answer + answer[:5], 3 * len(answer))
    session.step()
    assert (heard.ends, [each.request.id for each in session.given_up]) == ([1], [2, 3])
    session.responses.end_turn(session.responses.end, 1)
    piece(session.requests, mongo.command(4, {"ping": 1}))
    session.step()
    # Not a beginning; then, in the next turn, one, and what was given up is answered after all.
    piece(session.responses, answer[9:])
    session.step()
    session.responses.end_turn(session.responses.end, 1)
    piece(session.responses, mongo.reply(3, {"ok": 1}) + mongo.reply(4, {"ok": 1}))
    session.step()
    assert (heard.ends, session.unasked, session.trouble) == ([1, 4], 0, None)
    assert session.is_idle
