"""Independent calls one after another, which could run at the same time.

Independence cannot be seen from outside, only doubted, hence the caution. A run of calls counts if all of them
succeeded and change nothing, each began within a short pause after the one before (its answer was hardly worked with;
look-ups of names in between are no pause), and any two of them either go to different targets or to one route with
different values. Two statements to one database do not count: one connection does one thing at a time, and the
second mostly uses what the first found. Caches do not count: what follows depends on the answer. And if a run is too
short or would save little, nothing is said.

How sure: values in the later calls' paths that the owner's own path does not have came from somewhere, perhaps from
an answer within the run: then LOW, else MEDIUM. Never HIGH: an answer may decide whether the next call is made at all.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from agent.analysis import each_trace
from agent.analysis.calls import Call, Sort
from agent.analysis.finding import Confidence, Evidence, Finding, Level, Severity
from agent.analysis.statements import path_of, path_values
from agent.analysis.wording import operation, plain, took
from agent.spans import semconv

if TYPE_CHECKING:
    from collections.abc import Iterator

    from agent.analysis.calls import CallTree
    from agent.analysis.thresholds import Thresholds
    from agent.spans.trace import ReadSpan

SHOWN = 5
"""Calls that a title names."""


@each_trace("sequential_calls", "calls one after another that do not depend on each other")
def sequential(tree: CallTree, thresholds: Thresholds) -> Iterator[Finding]:
    """One finding per run."""
    for owner, calls in tree.by_owner():
        for run in _runs(calls, thresholds):
            if len(run) < max(2, thresholds.sequential_calls) or _is_n_plus_one(run, thresholds):
                continue
            whole_ns = run[-1].interval.end_ns - run[0].interval.start_ns
            saving_ns = whole_ns - max(call.interval.length_ns for call in run)
            least_ns = thresholds.sequential_min_share * owner.duration_ns
            if saving_ns >= max(least_ns, thresholds.sequential_min_saving_ns):
                yield _finding(owner, run, whole_ns=whole_ns, saving_ns=saving_ns)


def _runs(calls: list[Call], thresholds: Thresholds) -> Iterator[list[Call]]:
    """The longest runs of calls that look independent, each call in one of them at most."""
    run: list[Call] = []
    seen = _Seen()
    free_ns = 0
    for call in calls:
        if call.sort is Sort.DNS:
            free_ns = max(free_ns, call.interval.end_ns)
            continue
        gap_ns = call.interval.start_ns - free_ns
        is_next = run and _is_candidate(call) and call.interval.start_ns >= run[-1].interval.end_ns
        if is_next and gap_ns <= thresholds.sequential_max_gap_ns and seen.is_independent(call):
            run.append(call)
        else:
            yield run
            run, seen = ([call] if _is_candidate(call) else []), _Seen()
        seen.add(call)
        free_ns = max(free_ns, call.interval.end_ns)
    yield run


def _is_candidate(call: Call) -> bool:
    return not call.is_failed and call.is_read and call.sort in (Sort.HTTP, Sort.DATABASE)


class _Seen:
    """The calls of a run, as far as the next one must be independent of all of them."""

    def __init__(self) -> None:
        self._routes: dict[str, str] = {}
        self._exact: set[str | None] = set()

    def add(self, call: Call) -> None:
        """Put a call into the run."""
        self._routes[call.target] = call.operation
        self._exact.add(call.exact)

    def is_independent(self, call: Call) -> bool:
        """A new target; or a route that the run asks that target for, with other values."""
        if not call.target:
            return False
        route = self._routes.get(call.target)
        if route is None:
            return True
        is_other = call.exact is not None and call.exact not in self._exact
        return call.sort is Sort.HTTP and route == call.operation and is_other


def _is_n_plus_one(run: list[Call], thresholds: Thresholds) -> bool:
    """One route so often that the other analysis has it."""
    return len(run) >= thresholds.n_plus_one_calls and len({call.key for call in run}) == 1


def _finding(owner: ReadSpan, run: list[Call], *, whole_ns: int, saving_ns: int) -> Finding:
    times = Counter(f"`{plain(call.operation)}` at {plain(call.target)}" for call in run)
    names = [f"{name} {count} times" if count > 1 else name for name, count in times.items()]
    if len(names) > SHOWN:
        names[SHOWN:] = [f"{len(names) - SHOWN} more"]
    distinct = list(dict.fromkeys(f"{call.target} {call.operation}" for call in run))
    return Finding(
        kind="sequential_calls",
        severity=Severity.WARNING,
        title=(
            f"{operation(owner)} makes {len(run)} calls one after another that look independent "
            f"({', '.join(names)}): at the same time they would take {took(whole_ns - saving_ns)} "
            f"instead of {took(whole_ns)}"
        ),
        subject=(owner.service, owner.name, *distinct),
        evidence=(Evidence.of([owner, *(call.span for call in run)]),),
        confidence=_confidence(owner, run),
        saving_ns=saving_ns,
        details={
            "owner_span_id": owner.span_id,
            "count": len(run),
            "calls": [f"{call.target} {call.operation}" for call in run[:SHOWN]],
            "total_ns": whole_ns,
        },
    )


def _confidence(owner: ReadSpan, run: list[Call]) -> Confidence:
    known = path_values(_path(owner))
    new = [call for call in run[1:] if path_values(_path(call.span)) - known]
    if new:
        reason = "later calls have values in their paths that the request's own path does not have: an earlier answer may have given them"
        return Confidence(Level.LOW, reason)
    reason = "no value of a later call can be seen to come from an earlier answer; whether an answer decides if the next call is made cannot be seen"
    return Confidence(Level.MEDIUM, reason)


def _path(span: ReadSpan) -> str:
    path = span.attributes.get(semconv.URL_PATH) or span.attributes.get(semconv.URL_FULL) or ""
    return path_of(str(path))
