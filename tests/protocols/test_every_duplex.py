"""What every protocol owes in which both sides begin exchanges, through the whole pipeline: its tests give CONVERSATIONS.

A conversation is what was said in order; what begins with `<` the server said.
"""

from __future__ import annotations

import importlib
from collections import Counter
from collections.abc import Iterator
from itertools import takewhile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.protocols import load_all
from tests.protocols.brokers import wire
from tests.scenario import Host, Run, play

DUPLEX = [name for name, protocol in sorted(load_all().items()) if protocol.is_duplex]
Said = list[tuple[bool, bytes]]
Played = list[tuple[bool, bytes, dict]]


def conversations() -> Iterator[tuple[str, Said, int]]:
    """Name, what was said, and the first turn that is not as in the one before: the others were cut there already."""
    for name in DUPLEX:
        before: Said = []
        for what, words in importlib.import_module(f"tests.protocols.test_{name}").WHOLE.items():
            said = wire(words)
            same = takewhile(lambda pair: pair[0] == pair[1], zip(said, before, strict=False))
            yield f"{name} {what}", said, len(list(same))
            before = said


every_conversation = pytest.mark.parametrize(
    ("said", "first"), [pytest.param(said, first, id=name) for name, said, first in conversations()]
)
BIG = (1 << 20, 1 << 20)


def plain(said: Said) -> Played:
    """As it was said."""
    return [(by_server, data, {}) for by_server, data in said]


def played(said: Played, *, is_server: bool = False) -> Run:
    host = Host()
    socket = host.accept(budgets=BIG) if is_server else host.connect(budgets=BIG)
    for by_server, data, how in said:
        (socket.answers if by_server else socket.asks)(data, **how)
    return fine(play(socket.close().host))


def fine(run: Run) -> Run:
    """`play` has seen that the ledger balances."""
    assert "bug" not in run.ledger.unparsed
    for span in run.spans:
        assert "hunter2" not in repr(span)
    return run


def names(run: Run) -> Counter[str]:
    return Counter(span.name for span in run.spans)


@every_conversation
@pytest.mark.parametrize("is_server", [False, True])
def test_cut_at_every_byte(said: Said, first: int, is_server):
    whole = names(played(plain(said), is_server=is_server))
    for turn, (by_server, data) in list(enumerate(said))[first:]:
        for at in range(1, min(len(data), 400)):
            cut: Played = [(by_server, data[:at], {}), (by_server, data[at:], {})]
            before, after = plain(said[:turn]), plain(said[turn + 1 :])
            assert names(played(before + cut + after, is_server=is_server)) == whole


@every_conversation
def test_a_hole_makes_no_message_up(said: Said, first: int):
    whole = names(played(plain(said)))
    for turn, (by_server, data) in list(enumerate(said))[first:]:
        for at in range(0, min(len(data), 400), 3):
            for size in (1, 7, 60):
                lost = (by_server, data[at : at + size], {"is_lost": True})
                holed: Played = [(by_server, data[:at], {})] * bool(at)
                holed += [lost, (by_server, data[at + size :], {})][: 2 if data[at + size :] else 1]
                before, after = plain(said[:turn]), plain(said[turn + 1 :])
                told = names(played(before + holed + after))
                # Where it was not seen that a message awaits an answer, both stand for themselves.
                assert told.total() <= 2 * whole.total(), (turn, at, size)


@every_conversation
def test_the_end_may_come_at_any_byte(said: Said, first: int):
    for turn, (by_server, data) in list(enumerate(said))[first:]:
        for at in range(0, len(data), 5):
            before = plain(said[:turn])
            played([*before, (by_server, data[:at], {})] if at else before)


@every_conversation
@pytest.mark.parametrize("is_server", [False, True])
def test_a_connection_may_be_joined_at_any_byte(said: Said, first: int, is_server):
    for turn, (_, data) in list(enumerate(said))[first:]:
        for at in range(0, len(data), 5):
            host = Host()
            socket = host.join(budgets=BIG)
            for by_server, part in [(said[turn][0], data[at:]), *said[turn + 1 :]]:
                is_egress = by_server is is_server
                (socket.sent if is_egress else socket.received)(part)
            fine(play(socket.close().host))


@every_conversation
@given(st.data())
def test_damage_raises_nothing_and_the_ledger_balances(said: Said, first: int, data):
    damaged: Said = []
    for by_server, part in said:
        changed = bytearray(part)
        for _ in range(data.draw(st.integers(0, 3))):
            changed[data.draw(st.integers(0, len(part) - 1))] = data.draw(st.integers(0, 255))
        damaged.append((by_server, bytes(changed)))
    host = Host()
    socket = host.connect(budgets=BIG)
    for by_server, part in damaged:
        (socket.answers if by_server else socket.asks)(part)
    run = play(socket.close().host)
    assert "bug" not in run.ledger.unparsed
