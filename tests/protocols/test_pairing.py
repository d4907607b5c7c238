"""Requests and responses meet."""

from __future__ import annotations

from agent.protocols import Role
from agent.protocols.http1 import Http1
from agent.protocols.pairing import InOrder
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
