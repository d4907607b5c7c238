"""N+1: the same statement (or the same route) again and again for one request, where one would do.

Counted are calls that differ in values only, under one owner, none failed (those are retries), and only those that come
strictly one after another: a pipeline or a parallel fan-out asks often, too, but waits once. Statements of which nothing is
known but that there were some may all be different. What one call instead
would take is not known; it is taken to be as long as the longest of them, which the saving leaves out.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Final

from agent.analysis import each_trace
from agent.analysis.calls import Call, Sort
from agent.analysis.finding import Confidence, Evidence, Finding, Level, Severity
from agent.analysis.intervals import covered_ns, rounds
from agent.analysis.wording import operation, plain, took

if TYPE_CHECKING:
    from collections.abc import Iterator

    from agent.analysis.calls import CallTree
    from agent.analysis.thresholds import Thresholds
    from agent.spans.trace import ReadSpan

SORTS: Final = (Sort.DATABASE, Sort.CACHE, Sort.HTTP, Sort.RPC)
GRAVE_SHARE: Final = 0.2
"""Of the owner's duration: users notice."""

HINTS: Final = {
    "SELECT": "one JOIN, or one WHERE … IN (…) over all ids,",
    "INSERT": "one INSERT of many rows",
    "UPDATE": "one UPDATE over all rows",
    "DELETE": "one DELETE over all rows",
    "GET": "one MGET",
    "HGET": "one HMGET",
    "SET": "one MSET or a pipeline",
}


@each_trace(
    "n_plus_one", "the same statement or route many times one after another under one parent"
)
def n_plus_one(tree: CallTree, thresholds: Thresholds) -> Iterator[Finding]:
    """One finding per owner and statement."""
    for owner, calls in tree.by_owner():
        groups: dict[tuple[Sort, str, str], list[Call]] = defaultdict(list)
        for call in calls:
            if call.sort in SORTS and call.is_known and not call.is_failed and not call.is_control:
                groups[call.key].append(call)
        for group in groups.values():
            if len(group) < thresholds.n_plus_one_calls:
                continue
            if rounds(call.interval for call in group) < thresholds.n_plus_one_calls:
                continue
            total_ns = covered_ns(call.interval for call in group)
            saving_ns = total_ns - max(call.interval.length_ns for call in group)
            if saving_ns >= thresholds.n_plus_one_min_saving_ns:
                yield _finding(owner, group, total_ns=total_ns, saving_ns=saving_ns)


def _finding(owner: ReadSpan, group: list[Call], *, total_ns: int, saving_ns: int) -> Finding:
    first = group[0]
    is_same = _is_same(group)
    hint = "asking once and keeping the answer" if is_same else _hint(first)
    is_grave = saving_ns >= GRAVE_SHARE * owner.duration_ns
    return Finding(
        kind="n_plus_one",
        severity=Severity.WARNING if is_grave else Severity.INFO,
        title=(
            f"{operation(owner)} asks {plain(first.target) or 'for'} `{plain(first.operation)}` {len(group)} times, "
            f"one after another, {took(total_ns)} of {took(owner.duration_ns)}: "
            f"{hint} would save about {took(saving_ns)}"
        ),
        subject=(owner.service, owner.name, first.target, first.operation),
        evidence=(Evidence.of([owner, *(call.span for call in group)]),),
        confidence=_confidence(first),
        saving_ns=saving_ns,
        details={
            "owner_span_id": owner.span_id,
            "sort": first.sort.value,
            "target": first.target,
            "statement": first.operation,
            "count": len(group),
            "total_ns": total_ns,
            "hint": hint.rstrip(","),
            "is_same_question": is_same,
        },
    )


def _is_same(group: list[Call]) -> bool:
    """Whether nothing differs between the calls, not even a value."""
    first = group[0]
    if not first.is_read:
        return False
    if first.sort is Sort.DATABASE:
        return first.exact is not None and "?" not in first.operation
    # "REDACTED" and "?" stand where values were, which may well have differed.
    exact = first.exact or "?"
    is_known = "?" not in exact and "REDACTED" not in exact
    return is_known and all(call.exact == exact for call in group)


def _hint(call: Call) -> str:
    if call.sort in (Sort.HTTP, Sort.RPC):
        return "one request for all of them"
    if call.sort is Sort.CACHE and call.verb not in HINTS:
        return "a pipeline"
    return HINTS.get(call.verb, "one statement for all of them")


def _confidence(call: Call) -> Confidence:
    if call.sort is Sort.DATABASE:
        if call.exact is None:
            reason = "the statements' text is not known, only what they begin with"
            return Confidence(Level.MEDIUM, reason)
        return Confidence(Level.HIGH, "the same statement but for its values")
    if call.sort is Sort.CACHE:
        return Confidence(Level.HIGH, "the same command but for its values")
    return Confidence(Level.MEDIUM, "the service that is asked may have no way to ask for several")
