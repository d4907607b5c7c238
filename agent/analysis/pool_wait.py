"""Waiting for a free connection: a pool that is smaller than what is asked of it.

`zerospan.connection.wait_time` says it outright, where somebody knows. Else it is inferred from `zerospan.connection.id`
and `zerospan.connection.requests`: a call waited if it began right after the exchange before it on its connection had
ended, while its owner had been doing no other call for a while, and if during that while every connection that its
process had to the target was busy. One such case may be chance, so several are asked for.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Final

from agent.analysis import all_traces
from agent.analysis import attributes as names
from agent.analysis.calls import Call, seconds_ns
from agent.analysis.finding import MAX_EVIDENCE, Confidence, Evidence, Finding, Level, Severity
from agent.analysis.intervals import Interval, merged
from agent.analysis.wording import plain, took
from agent.spans import semconv

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from agent.analysis.calls import CallTree
    from agent.analysis.thresholds import Thresholds
    from agent.spans.span import Value

HAND_OVER_NS: Final = 2_000_000
"""From the end of one exchange to the start of the next on its connection, when somebody waits for it."""
RARE_SHARE: Final = 0.1
"""Of the calls: fewer inferred waits are chance."""


@dataclass(frozen=True, slots=True)
class _Wait:
    """A call, and how long it waited for its connection."""

    call: Call
    wait_ns: int


@dataclass(frozen=True, slots=True)
class _Ready:
    """A call, and since when its owner had nothing else under way."""

    call: Call
    since_ns: int


@all_traces("pool_wait", "calls that waited for a free connection of their pool")
def pool_wait(trees: Sequence[CallTree], thresholds: Thresholds) -> Iterator[Finding]:
    """One finding per service and target."""
    told: dict[tuple[str, str], list[_Wait]] = defaultdict(list)
    pools: dict[tuple[str, str, Value], list[_Ready]] = defaultdict(list)
    for one in _ready(trees):
        span, target = one.call.span, one.call.target
        wait_ns = seconds_ns(span, names.CONNECTION_WAIT_TIME)
        if wait_ns is not None:
            if wait_ns >= thresholds.pool_wait_ns:
                told[span.service, target].append(_Wait(one.call, wait_ns))
        elif target and names.CONNECTION_ID in span.attributes:
            instance = span.resource.get(semconv.SERVICE_INSTANCE_ID, "")
            pools[span.service, target, instance].append(one)
    inferred: dict[tuple[str, str], list[_Wait]] = defaultdict(list)
    for (service, target, _), calls in pools.items():
        waits = _inferred(calls, thresholds)
        if len(waits) >= RARE_SHARE * len(calls):
            inferred[service, target] += waits
    for key in told.keys() | inferred.keys():
        waits = told[key] + inferred[key]
        if len(waits) >= thresholds.pool_waits:
            yield _finding(key, waits, is_told=bool(told[key]))


def _ready(trees: Sequence[CallTree]) -> Iterator[_Ready]:
    for tree in trees:
        for owner, calls in tree.by_owner():
            free_ns = owner.start_unix_ns
            for call in calls:
                yield _Ready(call, free_ns)
                free_ns = max(free_ns, call.interval.end_ns)


def _inferred(ready: list[_Ready], thresholds: Thresholds) -> list[_Wait]:
    """The calls of one process to one target that waited, judging by its connections."""
    connections: dict[Value, list[Interval]] = defaultdict(list)
    for one in ready:
        connections[one.call.span.attributes[names.CONNECTION_ID]].append(one.call.interval)
    busy = _all_busy(list(connections.values()))
    starts = [one.start_ns for one in busy]
    ends = {
        connection: sorted(one.end_ns for one in own) for connection, own in connections.items()
    }
    waits: list[_Wait] = []
    for one in ready:
        start_ns = one.call.interval.start_ns
        before = ends[one.call.span.attributes[names.CONNECTION_ID]]
        index = bisect_right(before, start_ns) - 1
        if index < 0 or start_ns - before[index] > HAND_OVER_NS:
            continue
        freed_ns = before[index]
        found = bisect_right(starts, one.since_ns) - 1
        is_busy = found >= 0 and busy[found].end_ns >= freed_ns
        if is_busy and freed_ns - one.since_ns >= thresholds.pool_wait_ns:
            waits.append(_Wait(one.call, freed_ns - one.since_ns))
    return waits


def _all_busy(connections: list[list[Interval]]) -> list[Interval]:
    """When every connection is in use; between two exchanges that follow at once it stays in use."""
    edges: list[tuple[int, int]] = []
    for own in connections:
        for one in merged(Interval(use.start_ns, use.end_ns + HAND_OVER_NS) for use in own):
            edges += ((one.start_ns, 1), (one.end_ns, -1))
    found: list[Interval] = []
    used, since_ns = 0, 0
    for time_ns, step in sorted(edges, key=lambda edge: (edge[0], -edge[1])):
        if used == len(connections) and step < 0:
            found.append(Interval(since_ns, time_ns))
        used += step
        if used == len(connections) and step > 0:
            since_ns = time_ns
    return found


def _finding(key: tuple[str, str], waits: list[_Wait], *, is_told: bool) -> Finding:
    service, target = key
    waits = sorted(waits, key=lambda wait: -wait.wait_ns)
    usual_ns = int(median(wait.wait_ns for wait in waits))
    return Finding(
        kind="pool_wait",
        severity=Severity.WARNING,
        title=(
            f"{plain(service)} waited for a free connection to {plain(target)} in {len(waits)} calls, usually "
            f"{took(usual_ns)}, at worst {took(waits[0].wait_ns)}: the pool is too small or connections are held too long"
        ),
        subject=key,
        evidence=tuple(Evidence.of([wait.call.span]) for wait in waits[:MAX_EVIDENCE]),
        confidence=(
            Confidence(Level.HIGH, "the calls' spans say how long they waited")
            if is_told
            else Confidence(
                Level.LOW,
                "inferred: all connections were busy, and the calls began as one came free",
            )
        ),
        saving_ns=usual_ns,
        details={
            "target": target,
            "waits": len(waits),
            "usual_ns": usual_ns,
            "worst_ns": waits[0].wait_ns,
            "is_inferred": not is_told,
        },
    )
