"""Which requests are alone in their process."""

from __future__ import annotations

from agent.protocols import Role
from agent.protocols.http1 import Http1
from agent.protocols.pairing import Exchange
from agent.traces import overlaps
from agent.traces.overlaps import Overlaps


class Place:
    def __init__(self, tgid: int) -> None:
        self.tgid = tgid


def begun(found: Overlaps, tgid: int = 7) -> Exchange:
    made = Exchange(Http1, Role.SERVER, None, 1)
    made.connection = Place(tgid)
    found.begun(made)
    return made


def test_one_after_the_other():
    found = Overlaps()
    first = begun(found)
    assert found.was_alone(first, 7)
    found.ended(first)
    second = begun(found)
    assert found.was_alone(second, 7)
    assert found.was_alone(first, 7), "what is done for it later is still its own"


def test_two_at_once_are_never_alone_again():
    found = Overlaps()
    first, second = begun(found), begun(found)
    found.ended(second)
    assert not found.was_alone(first, 7)
    assert not found.was_alone(second, 7)
    found.ended(first)
    third = begun(found)
    assert found.was_alone(third, 7)
    assert not found.was_alone(first, 7)


def test_processes_do_not_disturb_one_another():
    found = Overlaps()
    first, other = begun(found), begun(found, 8)
    assert found.was_alone(first, 7)
    assert found.was_alone(other, 8)
    assert not found.was_alone(first, 8)


def test_what_is_forgotten_is_not_claimed(monkeypatch):
    monkeypatch.setattr(overlaps, "MAX_PROCESSES", 1)
    found = Overlaps()
    first = begun(found)
    other = begun(found, 8)
    assert not found.was_alone(first, 7)
    assert found.was_alone(other, 8)
    found.ended(first)
    again = begun(found)
    assert found.was_alone(again, 7)
    assert not found.was_alone(first, 7)


def test_the_oldest_under_way():
    found = Overlaps()
    assert found.oldest(7) is None
    first, second = begun(found), begun(found)
    assert found.oldest(7) is first
    found.ended(first)
    assert found.oldest(7) is second
    found.ended(second)
    found.ended(second)
    assert found.oldest(7) is None
