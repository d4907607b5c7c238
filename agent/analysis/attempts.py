"""Which calls are attempts at the same thing: what retries and retry storms have in common.

An attempt is one call, or several of the same that overlap (a look-up asks for both kinds of addresses at once). A
sequence is attempts under one owner, to the same target for the same thing, each but the last failed in a way that
trying again may mend. It is known that attempts are the same by the URL with its values; where a statement's values
are redacted, by the statement. A second question about a name goes to the next resolver, so there the target is left out.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from agent.analysis.calls import Call, Sort, error_type
from agent.analysis.intervals import Interval

if TYPE_CHECKING:
    from collections.abc import Iterator

    from agent.analysis.calls import CallTree
    from agent.spans.trace import ReadSpan

MENDABLE_STATUS: Final = frozenset(("408", "421", "423", "425", "429"))
"""Client errors of RFC 9110, 8470, 6585 and 4918 after which trying again makes sense."""
LASTING_SQLSTATES: Final = ("0A", "22", "23", "26", "28", "2F", "3D", "42")
"""Classes of SQLSTATE that trying again does not mend: data, constraints, access, syntax."""
LASTING_REPLIES: Final = frozenset(("ERR", "NOAUTH", "NOPERM", "NOPROTO", "WRONGPASS", "WRONGTYPE"))
"""First words of Redis' errors that trying again does not mend: an unknown command, rights, another type of value."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try."""

    calls: tuple[Call, ...]
    """At least one; they overlap."""

    @property
    def interval(self) -> Interval:
        """From the first start to the last end."""
        return Interval(
            min(call.interval.start_ns for call in self.calls),
            max(call.interval.end_ns for call in self.calls),
        )

    @property
    def failure(self) -> Call | None:
        """A call that failed; None if any succeeded."""
        failed = [call for call in self.calls if call.is_failed]
        return failed[-1] if len(failed) == len(self.calls) else None


@dataclass(frozen=True, slots=True)
class Sequence:
    """Attempts at the same thing, each but the last failed."""

    owner: ReadSpan
    attempts: tuple[Attempt, ...]
    """At least two."""

    @property
    def first(self) -> Call:
        """What was tried."""
        return self.attempts[0].calls[0]

    @property
    def has_succeeded(self) -> bool:
        """At last."""
        return self.attempts[-1].failure is None

    @property
    def pauses_ns(self) -> list[int]:
        """Between one attempt's end and the next one's start."""
        return [
            after.interval.start_ns - before.interval.end_ns
            for before, after in pairwise(self.attempts)
        ]

    @property
    def cost_ns(self) -> int:
        """Time lost: up to the attempt that succeeded, or all of it."""
        last = self.attempts[-1].interval
        end_ns = last.start_ns if self.has_succeeded else last.end_ns
        return end_ns - self.attempts[0].interval.start_ns

    @property
    def failures(self) -> list[str]:
        """How the failed attempts failed."""
        failed = (attempt.failure for attempt in self.attempts)
        return [error_type(call.span) or "error" for call in failed if call is not None]


def sequences(tree: CallTree) -> Iterator[Sequence]:
    """All of a trace."""
    for owner, calls in tree.by_owner():
        groups: dict[object, list[Call]] = defaultdict(list)
        for call in calls:
            if call.is_known:
                groups[same(call)].append(call)
        for group in groups.values():
            if any(call.is_failed for call in group):
                yield from _sequences(owner, _attempts(group))


def same(call: Call) -> object:
    """Equal for calls that are attempts at the same thing."""
    target = "" if call.sort is Sort.DNS else call.target
    return (call.sort, target, call.exact or call.operation)


def _attempts(calls: list[Call]) -> list[Attempt]:
    found: list[list[Call]] = []
    end_ns = 0
    for call in calls:
        if found and call.interval.start_ns < end_ns:
            found[-1].append(call)
        else:
            found.append([call])
        end_ns = max(end_ns, call.interval.end_ns)
    return [Attempt(tuple(group)) for group in found]


def _sequences(owner: ReadSpan, attempts: list[Attempt]) -> Iterator[Sequence]:
    run: list[Attempt] = []
    for attempt in attempts:
        run.append(attempt)
        failure = attempt.failure
        if failure is None or not _may_mend(failure):
            if len(run) > 1:
                yield Sequence(owner, tuple(run))
            run = []
    if len(run) > 1:
        yield Sequence(owner, tuple(run))


def _may_mend(call: Call) -> bool:
    """Whether a program that tries again hopes with reason."""
    kind = error_type(call.span)
    if call.sort is Sort.DATABASE:
        return not (len(kind) == 5 and kind.startswith(LASTING_SQLSTATES))
    if call.sort is Sort.CACHE:
        return kind not in LASTING_REPLIES
    is_client_error = len(kind) == 3 and kind.isdecimal() and kind[0] == "4"
    return not is_client_error or kind in MENDABLE_STATUS
