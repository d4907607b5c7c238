"""Which request a connection and a turn name."""

from __future__ import annotations

from agent.protocols import Role
from agent.protocols.http1 import Http1
from agent.protocols.pairing import Exchange
from agent.traces import served
from agent.traces.served import KEPT, Served


class Place:
    def __init__(self, socket: int, turn: int) -> None:
        self.socket, self.turn = socket, turn


def request(found: Served, socket: int, turn: int) -> Exchange:
    made = Exchange(Http1, Role.SERVER, None, 1)
    made.connection = Place(socket, turn)
    found.add(made)
    return made


def test_the_last_ones_are_known():
    found = Served()
    turns = range(1, 2 * KEPT + 2, 2)
    requests = [request(found, 5, turn) for turn in turns]
    assert [found.last(5, turn) for turn in (1, turns[-2], turns[-1])] == [None, None, requests[-1]]
    assert [found.recent(5, turn) for turn in turns] == [None, *requests[1:]]
    assert found.recent(5, turns[-1] + 2) is found.recent(5, 4) is None
    assert found.last(6, 5) is found.recent(6, 5) is None


def test_requests_that_share_a_turn_are_not_told_apart():
    found = Served()
    first = request(found, 5, 1)
    for _ in range(2):
        request(found, 5, 3)
    assert found.last(5, 3) is found.recent(5, 3) is None
    assert found.recent(5, 1) is first


def test_connections_are_bounded(monkeypatch):
    monkeypatch.setattr(served, "MAX_SERVED", 1)
    found = Served()
    request(found, 5, 1)
    second = request(found, 6, 1)
    assert found.last(5, 1) is None
    assert found.last(6, 1) is second
