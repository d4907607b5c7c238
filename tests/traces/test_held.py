"""Exchanges that wait for others."""

from __future__ import annotations

from collections import Counter

import pytest

from agent.protocols import Role
from agent.protocols.http1 import Http1
from agent.protocols.pairing import Exchange
from agent.traces.held import HOLD_NS, Held


def some(count: int) -> list[Exchange]:
    return [Exchange(Http1, Role.CLIENT, None, 1) for _ in range(count)]


@pytest.fixture
def limits() -> Counter[str]:
    return Counter()


def test_they_are_released_together_and_may_wait_again(limits):
    held = Held(limits)
    first, second, one, two = some(4)
    assert all(held.hold(each, first, 0) for each in (one, two))
    assert held.release(second) == []
    assert held.release(first) == [one, two]
    assert held.release(first) == []
    assert len(held) == 0
    assert held.hold(one, second, 0)
    assert held.release(second) == [one]
    assert not limits


def test_they_do_not_wait_for_ever(limits):
    held = Held(limits)
    blocker, one, two, three = some(4)
    for time_ns, each in enumerate((one, two, three)):
        held.hold(each, blocker, time_ns)
    assert held.expire(HOLD_NS - 1) == []
    assert held.expire(HOLD_NS + 1) == [one, two]
    assert held.release(blocker) == [three]
    held.hold(one, blocker, 0)
    assert held.expire(HOLD_NS) == [one]
    assert held.release(blocker) == []
    assert limits == {"held_too_long": 3}


def test_they_are_bounded(limits):
    held = Held(limits, limit=1)
    blocker, one, two = some(3)
    assert held.hold(one, blocker, 0)
    assert not held.hold(two, blocker, 0)
    assert held.release(blocker) == [one]
    assert not held.hold(one, one, 0)
    assert limits == {"held_full": 2}


def test_the_end_gives_all(limits):
    held = Held(limits)
    blocker, one, two = some(3)
    held.hold(one, blocker, 0)
    held.hold(two, one, 0)
    assert held.empty() == [one, two]
    assert held.empty() == held.release(blocker) == held.release(one) == []
