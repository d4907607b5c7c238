"""Both sides begin exchanges: what ends when, and what becomes of gaps."""

from __future__ import annotations

from dataclasses import dataclass, field

from agent.connections.connection import EGRESS, INGRESS
from agent.connections.dialogue import LOOK, Dialogue
from agent.connections.session import Trouble
from agent.protocols import Role
from agent.protocols.nats import Nats
from agent.protocols.pairing import Exchange
from tests.protocols.test_nats import msg, pub

SUB = b"SUB in.* 1\r\n"


@dataclass
class Heard:
    """What a dialogue tells."""

    begins: list[tuple[bytes, int, int]] = field(default_factory=list)
    ends: list[tuple[bytes, int]] = field(default_factory=list)
    troubles: list[tuple[Trouble, bytes]] = field(default_factory=list)
    left: int = 0

    def begun(self, exchange: Exchange, direction: int, position: int) -> None:
        self.begins.append((exchange.request.destination, direction, position))

    def ended(self, exchange: Exchange, time_ns: int) -> None:
        self.ends.append((exchange.request.destination, time_ns))

    def troubled(self, why: Trouble, exchange: Exchange | None) -> None:
        self.troubles.append((why, exchange.request.destination if exchange else b""))

    def unawaited(self) -> None:
        self.left += 1


class Talk:
    """A client's dialogue at work."""

    def __init__(self) -> None:
        self.heard = Heard()
        self.dialogue = Dialogue(Nats(), Role.CLIENT, self.heard)
        self.time_ns = 0

    def says(self, data: bytes, *, after: int = 0) -> Talk:
        return self._feed(EGRESS, data, after)

    def hears(self, data: bytes, *, after: int = 0) -> Talk:
        return self._feed(INGRESS, data, after)

    def _feed(self, direction: int, data: bytes, after: int) -> Talk:
        """`after`: so many bytes were lost before."""
        self.time_ns += 1
        position = self.dialogue.streams[direction].end + after
        self.dialogue.feed(direction, position, data, len(data), self.time_ns, 0)
        return self


def test_a_message_that_nobody_answers_ends_with_its_last_byte():
    data = pub("a")
    talk = Talk().says(data[:-1])
    assert (talk.heard.begins, talk.heard.ends) == ([(b"a", EGRESS, 0)], [])
    assert [each.request.destination for each in talk.dialogue.pending()] == [b"a"]
    talk.says(data[-1:])
    assert talk.heard.ends == [(b"a", 2)]
    assert talk.dialogue.pending() == []


def test_an_answer_ends_what_it_names():
    talk = Talk().says(SUB + pub("a", reply="in.1")).hears(msg("b"))
    assert talk.heard.ends == [(b"b", 2)]
    (exchange,) = talk.dialogue.pending()
    talk.hears(msg("in.1"))
    assert talk.heard.ends == [(b"b", 2), (b"a", 3)]
    assert (exchange.role, exchange.first_byte_ns) == (Role.CLIENT, 3)
    assert talk.heard.troubles == []


def test_what_comes_in_and_is_not_answered_ended_when_it_was_whole():
    talk = Talk().hears(msg("a", reply="r.1")).hears(msg("b", reply="r.2")).says(pub("r.2"))
    assert talk.heard.ends == [(b"b", 3)]
    talk.dialogue.release_received()
    assert talk.heard.ends == [(b"b", 3), (b"a", 1)]
    assert talk.dialogue.pending() == []


def test_too_many_that_wait():
    talk = Talk()
    for number in range(1025):
        talk.hears(msg(f"a.{number}", reply=f"r.{number}"))
    assert (talk.heard.left, talk.heard.ends) == (1, [(b"a.0", 1)])
    talk.dialogue.forget()
    assert talk.dialogue.pending() == []


def test_reading_goes_on_behind_a_gap():
    talk = Talk().says(pub("a")).says(b"ter2\r\n" + pub("c"), after=30)
    assert [name for name, _ in talk.heard.ends] == [b"a", b"c"]
    assert talk.heard.troubles == [(Trouble.GAP, b"")]
    assert talk.dialogue.garbage == 0


def test_a_message_that_was_begun_is_the_one_that_is_lost():
    talk = Talk().says(b"HPUB a 20 30\r\nNATS/1.0\r\n\r\n").says(pub("b"), after=4)
    assert talk.heard.ends == []
    talk = Talk().says(b"PUB a 5\r\nabcdefghi\r\n" + pub("b"))
    assert talk.heard.troubles == [(Trouble.GARBAGE, b"a")]
    assert [name for name, _ in talk.heard.ends] == [b"b"]


def test_nothing_is_kept_of_what_is_looked_through_in_vain():
    talk = Talk().says(b"HELO\r\n")
    for _ in range(20):
        talk.says(b"x" * LOOK)
        stream = talk.dialogue.streams[EGRESS]
        assert stream.end == stream.position
    talk.says(b"\r\n" + pub("a"))
    assert [name for name, _ in talk.heard.ends] == [b"a"]
    assert (talk.heard.troubles, talk.dialogue.dropped) == ([(Trouble.GARBAGE, b"")], 0)


def test_a_direction_may_be_joined_in_the_middle():
    talk = Talk()
    talk.dialogue.join(EGRESS, 100)
    talk.says(b"ter2\r\n").says(pub("a"))
    assert talk.heard.begins == [(b"a", EGRESS, 106)]
    assert talk.heard.troubles == []


def test_the_end_of_a_direction():
    talk = Talk().says(pub("a")[:-3])
    talk.dialogue.close(EGRESS, talk.dialogue.streams[EGRESS].end, 9)
    assert [each.request.destination for each in talk.dialogue.pending()] == [b"a"]
    talk = Talk().says(pub("a")[:-3])
    talk.dialogue.close(EGRESS, len(pub("a")), 9)
    assert talk.heard.ends == [(b"a", 9)]


def test_a_bug_is_told_and_reading_goes_on():
    talk = Talk()

    def broken(stream):
        yield from stream.skip(6)
        raise ZeroDivisionError

    talk.dialogue._protocol.request = broken  # type: ignore[method-assign]
    talk.says(b"PING\r\n")
    assert isinstance(talk.dialogue.failure, ZeroDivisionError)
    assert talk.heard.troubles == [(Trouble.BUG, b"")]
