"""For whom an event loop's thread works, where it is known in which callback it is: conversations of a Node.js process."""

from __future__ import annotations

from typing import Any

import pytest

from agent.traces.loops import Loops
from agent.traces.overlaps import Overlaps
from tests.scenario import Host, Socket, play, request, response
from tests.traces.test_correlate import family

LOOP = 7
BACKEND = ("10.9.9.9", 80)


class Loop:
    """Its one thread, and what the kernel side knows of it: what it received last, until `returns`."""

    def __init__(self) -> None:
        self.host = Host()
        self.host.process(10, "node")
        self.ports = 41000
        self.returns()

    def returns(self) -> Loop:
        """The callback is over; what runs from here on is called back for something else."""
        self.now = {"cause": LOOP, "cause_socket": 0, "cause_turn": 0, "task": 0}
        return self

    def accept(self) -> Socket:
        self.ports += 1
        return self.host.accept(client=("10.0.0.8", self.ports))

    def connect(self, path: str = "") -> Socket:
        """Open a connection in the callback that runs; with a path, also ask, which the loop does in a later turn."""
        self.ports += 1
        socket = self.host.connect(
            process=10, thread=10, server=BACKEND, port=self.ports, origin=self.now
        )
        return self.returns().ask(socket, path) if path else socket

    def receive(self, socket: Socket, data: bytes, **more) -> Loop:
        """A callback begins."""
        turn = socket.turn + (socket.direction != 0 or not socket.turn)
        self.now = {"cause": LOOP, "cause_socket": socket.number, "cause_turn": turn}
        self.now["task"] = socket.positions[0] + len(data)
        socket.received(data, origin=self.now, **more)
        return self

    def serve(self, path: str) -> Socket:
        """Receive a request on a new connection."""
        socket = self.accept()
        self.receive(socket, request(path))
        return socket

    def ask(self, socket: Socket, path: str) -> Socket:
        return socket.sent(request(path), origin=self.now)

    def answer(self, socket: Socket) -> Loop:
        socket.sent(response(), origin=self.now)
        return self

    def parents(self) -> dict[str, tuple[str, str | None]]:
        """Rule and parent of each call."""
        run = play(self.host)
        told = family(run)
        return {path[7:]: found for path, found in told.items() if path.startswith("client ")}


@pytest.fixture
def loop() -> Loop:
    return Loop()


def pool(loop: Loop, size: int) -> list[Socket]:
    """Connections that were used before, each for a request."""
    sockets = []
    for _ in range(size):
        front = loop.serve("/before")
        sockets.append(loop.connect("/before/x"))
        loop.receive(sockets[-1], response()).answer(front).returns()
    return sockets


def test_requests_that_overlap(loop):
    """Each calls when it comes; the answers come in another order, and each is followed by another call."""
    sockets = pool(loop, 6)
    fronts = []
    for n in range(3):
        fronts.append(loop.serve(f"/{n}"))
        loop.ask(sockets[n], f"/{n}/a")
        loop.returns()
    for n in (2, 0, 1):
        loop.receive(sockets[n], response())
        loop.ask(sockets[3 + n], f"/{n}/b")
        loop.returns()
    for n in (1, 2, 0):
        loop.receive(sockets[3 + n], response()).answer(fronts[n]).returns()
    told = loop.parents()
    assert {path: told[path] for path in told if path != "/before/x"} == {
        f"/{n}/{call}": ("callback", f"server /{n}") for n in range(3) for call in "ab"
    }


def test_the_connection_that_is_free_again_is_used_again(loop):
    """By the same request: every other one has a call under way, so none waits for a connection."""
    (one, two) = pool(loop, 2)
    first = loop.serve("/1")
    loop.ask(one, "/1/a")
    second = loop.serve("/2")
    loop.ask(two, "/2/a")
    loop.receive(one, response())
    loop.ask(one, "/1/b")
    loop.receive(one, response()).answer(first)
    loop.receive(two, response()).answer(second)
    assert loop.parents()["/1/b"] == ("callback", "server /1")


def test_the_connection_that_is_free_again_may_have_been_waited_for(loop):
    (one,) = pool(loop, 1)
    first, second = loop.serve("/1"), loop.serve("/2")
    third = loop.serve("/3")
    loop.ask(one, "/3/a")
    loop.receive(one, response()).answer(third)
    loop.ask(one, "/1/a")  # one of two that waited
    loop.receive(one, response()).answer(first).returns().answer(second)
    assert loop.parents()["/1/a"] == ("refused:loop", None)


@pytest.mark.parametrize(("others", "rule"), [(0, "refused:loop"), (1, "callback")])
def test_in_a_program_that_makes_several_calls_at_once_who_calls_may_wait_too(loop, others, rule):
    """For its second connection. Not if another connection is free, which it would have taken."""
    sockets = pool(loop, 3 + others)
    second = loop.serve("/2")
    loop.ask(sockets[0], "/2/a")
    loop.ask(sockets[1], "/2/b")
    loop.returns()
    first = loop.serve("/1")
    loop.ask(sockets[2], "/1/a")
    loop.receive(sockets[2], response())
    loop.ask(sockets[2], "/1/b")
    loop.receive(sockets[2], response()).answer(first).returns()
    for socket in sockets[:2]:
        loop.receive(socket, response())
    loop.answer(second)
    assert loop.parents()["/1/b"][0] == rule


def test_a_connection_that_is_closed_is_not_free(loop):
    sockets = pool(loop, 4)
    sockets[3].close()
    second = loop.serve("/2")
    for n in range(2):
        loop.ask(sockets[n], f"/2/{n}")
    first = loop.serve("/1")
    loop.ask(sockets[2], "/1/a")
    loop.receive(sockets[2], response())
    loop.ask(sockets[2], "/1/b")
    loop.receive(sockets[2], response()).answer(first)
    for socket in sockets[:2]:
        loop.receive(socket, response())
    loop.answer(second)
    assert loop.parents()["/1/b"][0] == "refused:loop"


def test_a_request_that_has_called_may_wait_again(loop):
    (one, two) = pool(loop, 2)
    first, second = loop.serve("/1"), loop.serve("/2")
    loop.ask(two, "/2/a")
    loop.receive(two, response()).receive(first, b"")
    loop.ask(one, "/1/a")
    loop.receive(one, response())
    loop.ask(one, "/2/b")
    loop.receive(one, response()).answer(first).returns().answer(second)
    assert loop.parents()["/2/b"] == ("refused:loop", None)


def test_a_connection_is_opened_for_a_request_that_does_not_wait_for_another_one(loop):
    (one,) = pool(loop, 1)
    first = loop.serve("/1")
    loop.ask(one, "/1/a")
    second = loop.serve("/2")
    opened = loop.connect()
    loop.receive(one, response())
    loop.ask(one, "/1/b")
    loop.returns().ask(opened, "/2/a")
    loop.receive(one, response()).answer(first)
    loop.receive(opened, response())
    loop.ask(opened, "/2/b")
    loop.receive(opened, response()).answer(second)
    told = loop.parents()
    assert told["/1/b"] == ("callback", "server /1")
    assert told["/2/a"] == ("opener", "server /2")
    assert told["/2/b"] == ("callback", "server /2")


def test_outside_of_such_callbacks_nothing_is_known(loop):
    """A timer, though the request that was received last, directly before, would be a guess."""
    (one,) = pool(loop, 1)
    fronts = [loop.serve("/1"), loop.serve("/2")]
    loop.returns().ask(one, "/1/a")
    loop.receive(one, response())
    for front in fronts:
        loop.answer(front)
    assert loop.parents()["/1/a"] == ("refused:loop", None)


def test_a_connection_that_a_timer_opens(loop):
    fronts = [loop.serve("/1"), loop.serve("/2")]
    loop.returns()
    back = loop.connect("/1/a")
    loop.receive(back, response())
    for front in fronts:
        loop.answer(front)
    assert loop.parents() == {"/1/a": ("refused:loop", None)}


def test_what_follows_an_answer_to_nobodys_call_is_nobodys(loop):
    (one, two) = pool(loop, 2)
    loop.serve("/0")
    fronts = [loop.serve("/1"), loop.serve("/2")]
    loop.returns().ask(one, "/1/a")
    loop.receive(one, response())
    loop.ask(two, "/1/b")
    loop.receive(two, response())
    for front in fronts:
        loop.answer(front)
    assert loop.parents()["/1/b"] == ("refused:loop", None)


def test_the_only_request_is_taken_for_it(loop):
    (one,) = pool(loop, 1)
    front = loop.serve("/1")
    loop.returns().ask(one, "/1/a")
    loop.receive(one, response()).answer(front)
    assert loop.parents()["/1/a"] == ("alone", "server /1")


def test_not_in_a_program_that_calls_behind_its_responses(loop):
    """Nor for the call before, as it is found out."""
    (one,) = pool(loop, 1)
    front = loop.serve("/1")
    loop.returns().ask(one, "/0/late")
    loop.receive(one, response()).answer(front).returns()
    loop.ask(one, "/1/late")
    loop.receive(one, response()).returns()
    front = loop.serve("/2")
    loop.returns().ask(one, "/2/a")
    loop.receive(one, response()).answer(front)
    told = loop.parents()
    assert told["/0/late"] == ("refused:loop", None)
    assert told["/1/late"] == ("none", None)
    assert told["/2/a"] == ("refused:loop", None)


def test_what_a_program_calls_before_it_serves_is_no_such_sign(loop):
    early = loop.connect("/early")
    loop.receive(early, response()).returns()
    front = loop.serve("/1")
    loop.returns().ask(early, "/1/a")
    loop.receive(early, response()).answer(front)
    assert loop.parents() == {"/early": ("none", None), "/1/a": ("alone", "server /1")}


def test_behind_the_response_in_the_same_callback(loop):
    (one,) = pool(loop, 1)
    front = loop.serve("/1")
    loop.answer(front)
    loop.host.wait(10_000_000)
    loop.ask(one, "/1/late")
    loop.serve("/2")
    loop.receive(one, response())
    assert loop.parents()["/1/late"] == ("link", None)


def test_a_connection_that_calls_of_several_requests_share(loop):
    """An answer may be any one's."""
    (shared, one) = pool(loop, 2)
    fronts = []
    for n in range(2):
        fronts.append(loop.serve(f"/{n}"))
        loop.ask(shared, f"/{n}/a")
    loop.receive(shared, response() + response())
    loop.ask(one, "/0/b")
    loop.receive(one, response())
    for front in fronts:
        loop.answer(front)
    told = loop.parents()
    assert told["/0/a"] == ("callback", "server /0")
    assert told["/1/a"] == ("callback", "server /1")
    assert told["/0/b"] == ("refused:loop", None)


def test_a_shared_connection_whose_answers_come_one_by_one(loop):
    """In the turn behind the third call, and with waiting requests, which do not wait for a connection that all share."""
    (shared, one) = pool(loop, 2)
    fronts = []
    for n in range(2):
        fronts.append(loop.serve(f"/{n}"))
        loop.ask(shared, f"/{n}/a")
    loop.receive(shared, response())
    loop.ask(one, "/0/b")
    fronts.append(loop.serve("/2"))
    loop.ask(shared, "/2/a")
    fronts.append(loop.serve("/waits"))
    loop.receive(shared, response())
    loop.ask(shared, "/1/b")
    loop.receive(shared, response()).receive(one, response()).receive(shared, response())
    loop.returns()
    for front in fronts:
        loop.answer(front)
    told = loop.parents()
    assert told["/0/b"] == ("callback", "server /0")
    assert told["/2/a"] == ("callback", "server /2")
    assert told["/1/b"] == ("callback", "server /1")


def test_a_receipt_on_a_shared_connection_that_made_no_record(loop):
    """Whose answer it was is not known, though the one before it is."""
    (shared, one) = pool(loop, 2)
    fronts = []
    for n in range(2):
        fronts.append(loop.serve(f"/{n}"))
        loop.ask(shared, f"/{n}/a")
    loop.receive(shared, response()).receive(shared, response(), is_silent=True)
    loop.ask(one, "/1/b")
    loop.receive(one, response())
    for front in fronts:
        loop.answer(front)
    assert loop.parents()["/1/b"] == ("refused:loop", None)


def test_a_request_that_was_lost_is_not_taken_for_the_one_before(loop):
    (one,) = pool(loop, 1)
    other = loop.serve("/other")
    front = loop.serve("/1")
    loop.answer(front).receive(front, request("/2"), is_lost=True)
    loop.ask(one, "/2/a")
    loop.receive(one, response()).answer(front).returns().answer(other)
    assert loop.parents()["/2/a"] == ("refused:loop", None)


def test_a_response_of_which_only_the_beginning_is_captured(loop):
    """The last callback for it has no record; meanwhile others had."""
    (one, two, three) = pool(loop, 3)
    first = loop.serve("/1")
    loop.ask(one, "/1/a")
    second = loop.serve("/2")
    loop.ask(two, "/2/a")
    whole = response(body=b"x" * 100_000)
    loop.receive(one, whole[:60_000])
    loop.receive(two, response()).answer(second)
    loop.receive(one, whole[60_000:])
    loop.ask(three, "/1/b")
    loop.receive(three, response()).answer(first)
    assert loop.parents()["/1/b"] == ("callback", "server /1")


def test_a_body_that_comes_in_later_turns(loop):
    """100 Continue: what follows is for the request all the same, while it is under way."""
    (one,) = pool(loop, 1)
    front = loop.accept()
    head = b"POST /1 HTTP/1.1\r\nHost: shop\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n"
    loop.receive(front, head)
    front.sent(b"HTTP/1.1 100 Continue\r\n\r\n")
    other = loop.serve("/2")
    loop.receive(front, b"abc")
    loop.ask(one, "/1/a")
    loop.receive(one, response()).answer(front).returns().answer(other)
    assert loop.parents()["/1/a"] == ("callback", "server /1")


def test_a_job_that_starts_when_another_one_is_over(loop):
    """A limiter: the second request's call is made in the callback for the first one's, and the second is answered behind it."""
    (one, two) = pool(loop, 2)
    first = loop.serve("/1")
    loop.ask(one, "/1/a")
    second = loop.serve("/2")
    loop.receive(one, response()).answer(first)
    loop.ask(two, "/2/a")
    loop.receive(two, response()).answer(second)
    told = loop.parents()
    assert told["/1/a"] == ("callback", "server /1")
    assert told["/2/a"] == ("refused:loop", None)


def test_a_request_whose_answer_has_begun_waits_for_no_connection(loop):
    (one,) = pool(loop, 1)
    stream = loop.serve("/stream")
    stream.sent(response(body=b"x" * 30)[:-20], origin=loop.now)
    front = loop.serve("/1")
    loop.ask(one, "/1/a")
    loop.receive(one, response())
    loop.ask(one, "/1/b")
    loop.receive(one, response()).answer(front)
    assert loop.parents()["/1/b"] == ("callback", "server /1")


def test_parts_of_an_answer_are_sent_whoever_has_them(loop):
    """A stream of events, to which other requests add theirs."""
    (one,) = pool(loop, 1)
    stream = loop.serve("/stream")
    whole = response(body=b"x" * 30)
    stream.sent(whole[:-20], origin=loop.now)
    front = loop.serve("/1")
    loop.ask(one, "/1/a")
    loop.receive(one, response())
    stream.sent(whole[-20:], origin=loop.now)
    loop.answer(front)
    assert loop.parents()["/1/a"] == ("callback", "server /1")


def test_pipelined_requests_are_not_told_apart(loop):
    (one,) = pool(loop, 1)
    front = loop.accept()
    loop.receive(front, request("/1") + request("/2"))
    loop.ask(one, "/1/a")
    loop.receive(one, response()).answer(front).answer(front)
    assert loop.parents()["/1/a"] == ("refused:loop", None)


def test_what_is_kept_is_bounded(monkeypatch):
    monkeypatch.setattr("agent.traces.loops.MAX_SOCKETS", 4)
    monkeypatch.setattr("agent.traces.loops.MAX_UNDER_WAY", 4)
    monkeypatch.setattr("agent.traces.loops.MAX_PROCESSES", 4)
    loops = Loops(Overlaps())

    class Connection:
        turn = 1

        def __init__(self, number: int) -> None:
            self.socket = self.tgid = number

    class Exchange:
        end_ns = 0

        def __init__(self, number: int) -> None:
            self.connection = Connection(number)

    served: list[Any] = [Exchange(number) for number in range(1, 9)]
    for each in served:
        loops.serves(each)
    assert [loops.owner(number, 1, 0) in served for number in range(1, 9)] == [False] * 4 + [
        True
    ] * 4
    assert len(loops._under_way) == 4
