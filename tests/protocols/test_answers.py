"""Messages and what answers them."""

from __future__ import annotations

from agent.protocols import Role
from agent.protocols.answers import (
    MAX_EARLY,
    MAX_WAITING,
    Answer,
    ByKey,
    Scope,
    Waiting,
)
from agent.protocols.http1 import Http1
from agent.protocols.pairing import Exchange


def waiting(start_ns: int = 1) -> Waiting:
    return Waiting(Exchange(Http1, Role.CLIENT, None, start_ns), start_ns + 1)


def test_answers_find_what_they_name_in_any_order():
    pairing = ByKey()
    first, second = waiting(), waiting()
    assert pairing.begin((1, 1), first) == (None, None)
    assert pairing.begin((1, 2), second) == (None, None)
    assert pairing.answered(Answer((1, 2)), 5) == [second]
    assert list(pairing) == [first]
    assert pairing.answered(Answer((1, 2)), 5) == []


def test_an_answer_may_be_for_all_up_to_it_or_for_a_channel():
    pairing = ByKey()
    kept = {key: waiting() for key in ((1, 1), (1, 2), (1, 3), (2, 1))}
    for key, each in kept.items():
        pairing.begin(key, each)
    up_to = Answer((1, 2), scope=Scope.UP_TO)
    assert pairing.answered(up_to, 5) == [kept[1, 1], kept[1, 2]]
    assert pairing.answered(Answer((1,), scope=Scope.CHANNEL), 5) == [kept[1, 3]]
    assert list(pairing) == [kept[2, 1]]
    pairing.clear()
    assert list(pairing) == []


def test_an_answer_may_come_first_but_not_from_before():
    pairing = ByKey()
    answer = Answer((7,))
    assert pairing.answered(answer, 100) == []
    assert pairing.begin((7,), waiting(90)) == (None, (answer, 100))
    pairing.answered(answer, 100)
    assert pairing.begin((7,), waiting(101)) == (None, None)
    for number in range(2 * MAX_EARLY):
        pairing.answered(Answer((1, number)), 100)
    assert pairing.begin((1, 0), waiting(90)) == (None, None)


def test_a_key_that_is_used_again_and_too_many_let_go_of_the_oldest():
    pairing = ByKey()
    first, again = waiting(), waiting()
    pairing.begin((0,), first)
    assert pairing.begin((0,), again) == (first, None)
    for number in range(1, MAX_WAITING):
        assert pairing.begin((number,), waiting()) == (None, None)
    assert pairing.begin((-1,), waiting()) == (again, None)
