"""Programs of Node.js played at random: whatever comes first, a call has the request for which it was made as its parent, or none.

A request is a row of steps, and the loop runs them as Node does: what follows from a receipt runs in its callback, what
follows from a timer or a connect in one of its own.
"""

from __future__ import annotations

import random
from collections import deque
from dataclasses import dataclass, field
from typing import TypeVar

import pytest

from tests.scenario import Socket, response
from tests.traces.test_loops import Loop

T = TypeVar("T")
STEPS = ("call", "call", "fan", "timer")


@dataclass
class Request:
    """One that is under way."""

    front: Socket
    name: str
    steps: list[str]
    calls: int = 0
    """So many are under way."""
    made: int = 0


@dataclass
class Program:
    """A service, and all that may happen to it next."""

    random: random.Random
    limit: int
    """Connections to the backend; calls beyond wait for one."""
    loop: Loop = field(default_factory=Loop)
    free: list[Socket] = field(default_factory=list)
    connecting: list[tuple[Socket, Request]] = field(default_factory=list)
    asked: list[tuple[Socket, Request]] = field(default_factory=list)
    timers: list[Request] = field(default_factory=list)
    queue: deque[Request] = field(default_factory=deque)
    sockets: int = 0
    truth: dict[str, str] = field(default_factory=dict)

    def go_on(self, request: Request) -> None:
        """Run a request until it waits for something, or is answered."""
        if request.calls:
            return
        if not request.steps:
            self.loop.answer(request.front)
            return
        step = request.steps.pop(0)
        if step == "timer":
            self.timers.append(request)
            return
        request.calls = 1 if step == "call" else 3
        for _ in range(request.calls):
            self.call(request)

    def call(self, request: Request) -> None:
        if self.free:
            self.ask(self.free.pop(), request)
        elif self.sockets < self.limit:
            self.sockets += 1
            self.connecting.append((self.loop.connect(), request))
        else:
            self.queue.append(request)

    def ask(self, socket: Socket, request: Request) -> None:
        path = f"/{request.name}/{request.made}"
        request.made += 1
        self.truth[path] = f"server /{request.name}"
        self.loop.ask(socket, path)
        self.asked.append((socket, request))

    def release(self, socket: Socket) -> None:
        """Nobody uses a connection any more: who has waited for longest does."""
        if self.queue:
            self.ask(socket, self.queue.popleft())
        else:
            self.free.append(socket)

    def happen(self, arrivals: list[Request]) -> bool:
        """One of the things that may be next; False when nothing is left."""
        what = [*("arrive" for _ in arrivals[:1]), *("connected" for _ in self.connecting)]
        what += [*("response" for _ in self.asked), *("timer" for _ in self.timers)]
        if not what:
            return False
        match self.random.choice(what):
            case "arrive":
                request = arrivals.pop()
                request.front = self.loop.serve(f"/{request.name}")
                self.go_on(request)
            case "connected":
                socket, request = self.take(self.connecting)
                self.loop.returns()
                self.ask(socket, request)
            case "response":
                socket, request = self.take(self.asked)
                self.loop.receive(socket, response(body=b"x" * self.random.choice((3, 5000))))
                request.calls -= 1
                if self.random.random() < 0.5:
                    self.release(socket)
                    self.go_on(request)
                else:
                    self.go_on(request)
                    self.release(socket)
            case _:
                request = self.take(self.timers)
                self.loop.returns()
                self.go_on(request)
        self.loop.returns()
        return True

    def take(self, waiting: list[T]) -> T:
        return waiting.pop(self.random.randrange(len(waiting)))


def play(seed: int, steps: tuple[str, ...], limit: int) -> tuple[int, int, int]:
    """Right, without, and wrong parents."""
    choose = random.Random(seed)
    program = Program(choose, limit)
    arrivals = [
        Request(None, str(n), choose.choices(steps, k=choose.randint(1, 4)))  # type: ignore[arg-type]  # when it comes
        for n in range(30)
    ]
    while program.happen(arrivals):
        pass
    told = program.loop.parents()
    assert told.keys() == program.truth.keys()
    found = {path: parent for path, (_, parent) in told.items()}
    right = sum(found[path] == parent for path, parent in program.truth.items())
    without = sum(parent is None for parent in found.values())
    return right, without, len(found) - right - without


def played(steps: tuple[str, ...], limit: int) -> tuple[int, int, int]:
    """The same of many programs."""
    each = [play(seed, steps, limit) for seed in range(20)]
    right, without, wrong = (sum(counts) for counts in zip(*each, strict=True))
    return right, without, wrong


def test_awaiting_the_network_alone_nothing_is_missing() -> None:
    right, without, wrong = played(("call",), 1000)
    assert (without, wrong) == (0, 0)
    assert right > 1000


def test_with_several_calls_at_once_little_is_missing() -> None:
    """What follows on the same connection while no other one is free."""
    right, without, wrong = played(("call", "fan"), 1000)
    assert (wrong, without < right / 50) == (0, True)


@pytest.mark.parametrize("limit", [1, 8, 1000])
def test_with_timers_and_queues_nothing_is_wrong(limit: int) -> None:
    right, _, wrong = played(STEPS, limit)
    assert wrong == 0
    assert right > 0


def test_where_connections_are_fewer_than_calls_at_once_little_is_wrong() -> None:
    """A request of which one call alone is under way and others wait is not known to wait."""
    right, without, wrong = played(STEPS, 3)
    assert wrong * 500 < right + without
