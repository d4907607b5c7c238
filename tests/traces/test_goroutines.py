"""Whose work a goroutine does."""

from __future__ import annotations

import pytest

from agent.traces.goroutines import Goroutines


class Connection:
    def __init__(self, tgid: int, turn: int) -> None:
        self.tgid, self.turn = tgid, turn


class Exchange:
    """What the module reads of one."""

    def __init__(self, turn: int = 1, tgid: int = 7) -> None:
        self.connection = Connection(tgid, turn)
        self.end_ns = 0


@pytest.fixture
def goroutines() -> Goroutines:
    return Goroutines(limit=4)


def test_the_goroutine_that_received(goroutines):
    first, second = Exchange(), Exchange(turn=3)
    goroutines.serves(first, 20)
    assert goroutines.owner(7, (20, 1)) is first
    first.end_ns = 5
    assert goroutines.owner(7, (20, 1)) is first, "a call after the response is its consequence"
    goroutines.serves(second, 20)
    assert goroutines.owner(7, (20, 1)) is second


def test_other_goroutines_and_other_processes(goroutines):
    goroutines.serves(Exchange(), 20)
    assert goroutines.owner(7, (21, 1)) is None
    assert goroutines.owner(8, (20, 1)) is None
    assert goroutines.owner(7, (0, 20)) is None


def test_children_and_their_children(goroutines):
    first = Exchange()
    goroutines.serves(first, 20)
    assert goroutines.owner(7, (30, 20)) is first
    assert goroutines.owner(7, (31, 30)) is first


def test_a_child_that_is_seen_after_the_response(goroutines):
    first = Exchange()
    goroutines.serves(first, 20)
    first.end_ns = 5
    assert goroutines.owner(7, (30, 20)) is first, "a link, as the times tell"
    assert goroutines.owner(7, (30, 20)) is None, "by now it may serve others"


@pytest.mark.parametrize("seen", [True, False])
def test_children_of_a_goroutine_that_had_other_requests(goroutines, seen):
    if seen:
        goroutines.serves(Exchange(), 20)
    goroutines.serves(Exchange(turn=3), 20)
    assert goroutines.owner(7, (30, 20)) is None


def test_what_a_child_was_made_for_is_kept_while_it_is_under_way(goroutines):
    first = Exchange()
    goroutines.serves(first, 20)
    goroutines.owner(7, (30, 20))
    goroutines.serves(Exchange(turn=3), 20)
    assert goroutines.owner(7, (30, 20)) is first
    first.end_ns = 9
    assert goroutines.owner(7, (30, 20)) is None


def test_the_least_recently_used_are_forgotten(goroutines):
    for number in range(20, 25):
        goroutines.serves(Exchange(), number)
    assert goroutines.owner(7, (20, 1)) is None
    assert goroutines.owner(7, (24, 1)) is not None
