"""Exchanges that either side of a connection begins, and how they are answered: by a key, in any order, or not at all.

For duplex protocols (connections/dialogue.py). A message that has a key waits for the `Answer` of the other side that
names it; one answer may be for several messages.

No protocol by itself: nothing is registered here.
"""

from __future__ import annotations

import enum
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

    from agent.protocols.pairing import Exchange

Key = tuple[Any, ...]
"""What a message and its answer have in common: the channel it is on, if there are such, then its number or name."""

MAX_WAITING: Final = 1024
"""Messages of one side of a connection that wait for an answer; the oldest one beyond is not waited for."""
MAX_EARLY: Final = 64
"""Answers that came before what they answer: two threads of a program send and receive, and the later record may be first."""


class Scope(enum.Enum):
    """Which of the exchanges that wait an answer is for."""

    ONE = enum.auto()
    UP_TO = enum.auto()
    """Also all that have the same channel and a lower number."""
    CHANNEL = enum.auto()
    """All whose key begins with this one."""


@dataclass(slots=True)
class Answer:
    """Ends exchanges that the other side began: an acknowledgement, a reply."""

    key: Key
    error: str = ""
    """error.type, where it says that something failed."""
    scope: Scope = Scope.ONE
    body_size: int | None = None
    """Bytes that came with it; None: it is of a kind that has none, or how many is not known."""
    count: int | None = None
    """Messages that came with it, where it answers a question for some."""
    is_truncated: ClassVar[bool] = False


@dataclass(slots=True)
class Waiting:
    """An exchange that may be answered."""

    exchange: Exchange
    whole_ns: int
    """When its message was whole."""


class ByKey:
    """Exchanges that one side began and the other may answer, in any order."""

    __slots__ = ("_early", "_waiting")

    def __init__(self) -> None:
        self._waiting: OrderedDict[Key, Waiting] = OrderedDict()
        self._early: OrderedDict[Key, tuple[Answer, int]] = OrderedDict()
        """Answers to nothing that is known, and when they came."""

    def __iter__(self) -> Iterator[Waiting]:
        return iter(self._waiting.values())

    def begin(self, key: Key, waiting: Waiting) -> tuple[Waiting | None, tuple[Answer, int] | None]:
        """A message that will be answered is whole. Gives the one that is not waited for any more, and an answer that came before."""
        gone = self._waiting.pop(key, None)
        early = self._early.pop(key, None)
        if early is not None and early[1] >= waiting.exchange.start_ns:
            return gone, early
        if gone is None and len(self._waiting) >= MAX_WAITING:
            gone = self._waiting.popitem(last=False)[1]
        self._waiting[key] = waiting
        return gone, None

    def answered(self, answer: Answer, time_ns: int) -> list[Waiting]:
        """The exchanges that an answer ends, oldest first."""
        key, waiting = answer.key, self._waiting
        if answer.scope is Scope.ONE:
            found = waiting.pop(key, None)
            if found is not None:
                return [found]
            self._early[key] = (answer, time_ns)
            if len(self._early) > MAX_EARLY:
                self._early.popitem(last=False)
            return []
        if answer.scope is Scope.UP_TO:
            keys = [one for one in waiting if one[:-1] == key[:-1] and one[-1] <= key[-1]]
        else:
            keys = [one for one in waiting if one[: len(key)] == key]
        return [waiting.pop(one) for one in keys]

    def clear(self) -> None:
        """Nothing is waited for any more."""
        self._waiting.clear()
        self._early.clear()
