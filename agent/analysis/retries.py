"""Retries: how often something was tried, how long the pauses were, and what it cost the request.

Also where an SDK's span says by http.request.resend_count that it was not the first, and the earlier ones are not there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from agent.analysis import attributes as names
from agent.analysis import each_trace
from agent.analysis.attempts import Sequence, sequences
from agent.analysis.calls import Sort
from agent.analysis.finding import Confidence, Evidence, Finding, Level, Severity
from agent.analysis.wording import operation, plain, took

if TYPE_CHECKING:
    from collections.abc import Iterator

    from agent.analysis.calls import Call, CallTree
    from agent.analysis.thresholds import Thresholds

NO_PAUSE_NS: Final = 10_000_000
"""A shorter pause gives the other side no time to recover."""
GRAVE_COST_NS: Final = 1_000_000_000
MIN_RESENDS: Final = 2
"""Of http.request.resend_count alone: redirects count there too, and one of them is nothing."""
SHOWN: Final = 20
"""Pauses that `details` lists."""


@each_trace("retries", "attempts at the same call, their pauses and their cost")
def retries(tree: CallTree, thresholds: Thresholds) -> Iterator[Finding]:
    """One finding per sequence."""
    del thresholds
    seen: set[str] = set()
    for sequence in sequences(tree):
        seen.update(call.span.span_id for one in sequence.attempts for call in one.calls)
        yield _finding(sequence)
    for call in tree.calls:
        count = call.span.attributes.get(names.HTTP_REQUEST_RESEND_COUNT)
        if call.span.span_id in seen or not isinstance(count, int):
            continue
        if count >= MIN_RESENDS:
            yield _of_count(tree, call, count)


def _finding(sequence: Sequence) -> Finding:
    first, attempts = sequence.first, sequence.attempts
    pauses, failures = sequence.pauses_ns, sequence.failures
    if max(pauses) < NO_PAUSE_NS:
        paused = "without a pause"
    else:
        shortest, longest = took(min(pauses)), took(max(pauses))
        range_of = shortest if shortest == longest else f"{shortest} to {longest}"
        paused = f"with pauses of {range_of}"
    outcome = "until it succeeded" if sequence.has_succeeded else "in vain"
    is_grave = not sequence.has_succeeded or sequence.cost_ns >= GRAVE_COST_NS
    kinds = ", ".join(plain(kind) for kind in dict.fromkeys(failures))
    return Finding(
        kind="retries",
        severity=Severity.WARNING if is_grave else Severity.INFO,
        title=(
            f"{operation(sequence.owner)} {_what(first)} {len(attempts)} times {paused}, {outcome} "
            f"({kinds}): {took(sequence.cost_ns)} of {took(sequence.owner.duration_ns)} lost"
        ),
        subject=(sequence.owner.service, sequence.owner.name, first.target, first.operation),
        evidence=(Evidence.of(call.span for one in attempts for call in one.calls),),
        confidence=(
            Confidence(Level.HIGH, "the same call to the same target right after it had failed")
            if first.exact
            else Confidence(Level.MEDIUM, "calls of the same name; their values are not known")
        ),
        saving_ns=sequence.cost_ns,
        details={
            "owner_span_id": sequence.owner.span_id,
            "target": first.target,
            "operation": first.operation,
            "attempts": len(attempts),
            "has_succeeded": sequence.has_succeeded,
            "failures": list(dict.fromkeys(failures)),
            "pauses_ns": pauses[:SHOWN],
            "cost_ns": sequence.cost_ns,
        },
    )


def _of_count(tree: CallTree, call: Call, count: int) -> Finding:
    owner = tree.owner(call)
    return Finding(
        kind="retries",
        severity=Severity.INFO,
        title=f"{operation(owner or call.span)} sent `{plain(call.operation)}` at {plain(call.target) or 'its target'} {count + 1} times",
        subject=(call.span.service, (owner or call.span).name, call.target, call.operation),
        evidence=(Evidence.of([call.span]),),
        confidence=Confidence(
            Level.LOW, "told by http.request.resend_count, in which redirects count too"
        ),
        details={
            "target": call.target,
            "operation": call.operation,
            "attempts": count + 1,
            "has_succeeded": not call.is_failed,
        },
    )


def _what(call: Call) -> str:
    if call.sort is Sort.DNS:  # each attempt may have asked another resolver
        return f"tried to resolve {plain(call.operation)}"
    return f"tried `{plain(call.operation)}`" + (f" at {plain(call.target)}" if call.target else "")
