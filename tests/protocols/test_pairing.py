"""Requests and responses meet."""

from __future__ import annotations

from agent.protocols import Role
from agent.protocols.http1 import Http1
from agent.protocols.pairing import MAX_GIVEN_UP, ById, Exchange, InOrder
from tests.protocols.test_http_semantics import exchange, get


def test_responses_come_in_the_order_of_their_requests():
    pairing = InOrder()
    assert pairing.answering() is None
    first, second = (exchange(Role.SERVER, get(b"/%d" % number)) for number in range(2))
    pairing.begin(first)
    pairing.begin(second)
    assert pairing.answering() is first
    assert pairing.end() is first
    assert pairing.answering() is second
    assert pairing.end() is second
    assert pairing.answering() is None


def test_a_new_exchange_knows_its_request_only():
    protocol = Http1()
    made = exchange(Role.CLIENT, get())
    assert (made.request, made.response, made.failure) == (get(), None, None)
    assert protocol.pairing.answering() is None


class Numbered:
    """A request with an id."""

    def __init__(self, number: int) -> None:
        self.id = number


def numbered(number: int) -> Exchange:
    return Exchange(Http1, Role.CLIENT, Numbered(number), 0)


def test_responses_say_which_request_they_answer():
    pairing = ById()
    first, second, third = (numbered(number) for number in (7, 8, 9))
    for made in (first, second, third):
        pairing.begin(made)
    assert list(pairing.pending) == [first, second, third]
    assert (pairing.is_pending(8), pairing.is_pending(5)) == (True, False)
    assert pairing.answering() is None
    assert pairing.choose(8)
    assert pairing.answering() is second
    assert pairing.end() is second
    assert pairing.answering() is None
    assert pairing.end_unanswered() is third
    assert pairing.end_unanswered() is None
    assert list(pairing.pending) == [first]


def test_answers_to_what_was_given_up_are_nobodys_once():
    pairing = ById()
    pairing.begin(numbered(1))
    pairing.begin(numbered(2))
    pairing.clear()
    assert not pairing.pending
    assert not pairing.choose(1)
    assert pairing.choose(1)
    assert pairing.answering() is None
    pairing.begin(numbered(2))  # the id is in use again
    assert pairing.choose(2)


def test_what_was_given_up_is_bounded():
    pairing = ById()
    for number in range(3 * MAX_GIVEN_UP):
        pairing.begin(numbered(number))
        pairing.clear()
    assert pairing.choose(0)
    assert not pairing.choose(2 * MAX_GIVEN_UP)
    assert len(pairing._given_up) == MAX_GIVEN_UP - 1
