"""Retry storms: retries that multiply the load on a target that is in trouble already.

Two forms. Over many traces: a target gets many more calls than were wanted. Within one trace: a caller tries again what
in itself tries again, so that three attempts at each of two layers are nine.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from agent.analysis import all_traces
from agent.analysis.attempts import Sequence, sequences
from agent.analysis.calls import Sort
from agent.analysis.finding import MAX_EVIDENCE, Confidence, Evidence, Finding, Level, Severity
from agent.analysis.wording import operation, plain

if TYPE_CHECKING:
    import collections.abc
    from collections.abc import Iterator

    from agent.analysis.calls import CallTree
    from agent.analysis.thresholds import Thresholds

Key = tuple[str, Sort, str, str]
"""Service, and what it calls."""


@dataclass(slots=True)
class _Load:
    """What one service asked of one target."""

    calls: int = 0
    repeated: int = 0
    """Of the calls, those that were tries after the first."""
    failed: int = 0
    evidence: list[Evidence] = field(default_factory=list)


@all_traces("retry_storm", "retries that multiply the load on a target")
def retry_storm(
    trees: collections.abc.Sequence[CallTree], thresholds: Thresholds
) -> Iterator[Finding]:
    """One finding per service and target, and one per trace in which layers multiply."""
    loads: dict[Key, _Load] = defaultdict(_Load)
    for tree in trees:
        for call in tree.calls:
            load = loads[call.span.service, *call.key]
            load.calls += 1
            load.failed += call.is_failed
        found = list(sequences(tree))
        for sequence in found:
            # Only spans of the same key: a look-up's attempts may have gone to several resolvers.
            load = loads[sequence.first.span.service, *sequence.first.key]
            load.repeated += len(sequence.attempts) - 1
            if len(load.evidence) < MAX_EVIDENCE:
                spans = [call.span for one in sequence.attempts for call in one.calls]
                load.evidence.append(Evidence.of(spans))
        yield from _layers(tree, found)
    for key, load in loads.items():
        wanted = load.calls - load.repeated
        ratio = load.calls / max(1, wanted)
        is_many = load.calls >= thresholds.retry_storm_attempts
        if load.repeated and is_many and ratio >= thresholds.retry_storm_ratio:
            yield _storm(key, load, ratio)


def _storm(key: Key, load: _Load, ratio: float) -> Finding:
    service, _, target, what = key
    return Finding(
        kind="retry_storm",
        severity=Severity.CRITICAL,
        title=(
            f"{plain(service)} calls `{plain(what)}` at {plain(target) or 'its target'} {ratio:.1f} times as often as "
            f"it needs to: {load.repeated} of {load.calls} calls are retries, {load.failed} failed"
        ),
        subject=(service, target, what),
        evidence=tuple(load.evidence),
        confidence=Confidence(Level.HIGH, f"counted over {load.calls} calls"),
        details={
            "target": target,
            "operation": what,
            "calls": load.calls,
            "retries": load.repeated,
            "failed": load.failed,
            "ratio": round(ratio, 3),
        },
    )


def _layers(tree: CallTree, found: list[Sequence]) -> Iterator[Finding]:
    """The sequences that are made again and again because a sequence above them is."""
    attempt_of = {
        call.span.span_id: sequence
        for sequence in found
        for one in sequence.attempts
        for call in one.calls
    }
    # For each span the innermost sequence that it is made for. Parents come before children.
    above: dict[str, Sequence | None] = {}
    for _, span in tree.trace.walk():
        parent = tree.trace.parent(span)
        inherited = None if parent is None else above[parent.span_id]
        above[span.span_id] = attempt_of.get(span.span_id, inherited)
    inner: dict[tuple[int, object], list[Sequence]] = defaultdict(list)
    outer: dict[int, Sequence] = {}
    for sequence in found:
        cause = above[sequence.owner.span_id]
        if cause is not None:
            outer[id(cause)] = cause
            inner[id(cause), sequence.first.key].append(sequence)
    for (cause_id, _), group in inner.items():
        if len(group) > 1:
            yield _multiplied(outer[cause_id], group)


def _multiplied(cause: Sequence, group: list[Sequence]) -> Finding:
    target, what = group[0].first.target, group[0].first.operation
    calls = sum(len(sequence.attempts) for sequence in group)
    spans = [call.span for one in group for attempt in one.attempts for call in attempt.calls]
    return Finding(
        kind="retry_storm",
        severity=Severity.CRITICAL,
        title=(
            f"retries multiply: {operation(cause.owner)} tries `{plain(cause.first.operation)}` {len(cause.attempts)} "
            f"times, each of which tries `{plain(what)}` at {plain(target) or 'its target'} again: {calls} calls"
        ),
        subject=(cause.owner.service, cause.owner.name, target, what),
        evidence=(Evidence.of(spans),),
        confidence=Confidence(Level.HIGH, "the attempts below lie within the attempts above"),
        saving_ns=sum(sequence.cost_ns for sequence in group[1:]),
        details={
            "target": target,
            "operation": what,
            "calls": calls,
            "outer_operation": cause.first.operation,
            "outer_attempts": len(cause.attempts),
        },
    )
