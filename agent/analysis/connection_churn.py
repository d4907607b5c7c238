"""Connection churn: a new connection for each request, where one could serve many.

Reads `zerospan.connection.requests`, the ordinal of an exchange on its connection; spans without it do not count. A
service churns if nearly all of its calls to a target are the first on their connection, though there were more such
connections than calls at the same time would have needed, and the target is called often enough for a connection to be
worth keeping. `zerospan.connection.setup_time`, where it is there, says what each of them cost.
"""

from __future__ import annotations

from collections import defaultdict
from itertools import pairwise
from statistics import median
from typing import TYPE_CHECKING, Final

from agent.analysis import all_traces
from agent.analysis import attributes as names
from agent.analysis.calls import Call, seconds_ns
from agent.analysis.finding import MAX_EVIDENCE, Confidence, Evidence, Finding, Level, Severity
from agent.analysis.intervals import peak
from agent.analysis.wording import percent, plain, took

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from agent.analysis.calls import CallTree
    from agent.analysis.thresholds import Thresholds

NEEDED_TWICE: Final = 2
"""New connections per call at the same time, from which they were not needed: a pool that warms up makes one each."""


@all_traces("connection_churn", "a new connection for each request instead of a pool")
def connection_churn(trees: Sequence[CallTree], thresholds: Thresholds) -> Iterator[Finding]:
    """One finding per service and target."""
    groups: dict[tuple[str, str], list[Call]] = defaultdict(list)
    for tree in trees:
        for call in tree.calls:
            if call.target and _ordinal(call) is not None:
                groups[call.span.service, call.target].append(call)
    for (service, target), calls in groups.items():
        first = [call for call in calls if _ordinal(call) == 1]
        if len(calls) < thresholds.churn_calls or len(first) < thresholds.churn_share * len(calls):
            continue
        if len(first) <= NEEDED_TWICE * peak(call.interval for call in calls):
            continue
        if _usual_idle_ns(calls) <= thresholds.churn_max_idle_ns:
            yield _finding(service, target, calls, first)


def _ordinal(call: Call) -> int | None:
    value = call.span.attributes.get(names.CONNECTION_REQUESTS)
    return value if isinstance(value, int) and value > 0 else None


def _usual_idle_ns(calls: list[Call]) -> float:
    """Median time from one call's start to the next one's."""
    starts = sorted(call.interval.start_ns for call in calls)
    gaps = [after - before for before, after in pairwise(starts)]
    return median(gaps) if gaps else 0


def _finding(service: str, target: str, calls: list[Call], first: list[Call]) -> Finding:
    costs = [cost for call in first if (cost := seconds_ns(call.span, names.CONNECTION_SETUP_TIME))]
    cost_ns = int(median(costs)) if costs else None
    each = "" if cost_ns is None else f", {took(cost_ns)} each"
    spans: dict[str, list[Call]] = defaultdict(list)
    for call in first:
        spans[call.span.trace_id].append(call)
    shown = sorted(spans.values(), key=lambda group: -len(group))[:MAX_EVIDENCE]
    return Finding(
        kind="connection_churn",
        severity=Severity.WARNING,
        title=(
            f"{plain(service)} opens a new connection to {plain(target)} for {percent(len(first) / len(calls))} of "
            f"its calls ({len(first)} of {len(calls)}{each}): a pool or keep-alive would spare them"
        ),
        subject=(service, target),
        evidence=tuple(Evidence.of(call.span for call in group) for group in shown),
        confidence=Confidence(
            Level.HIGH if len(calls) >= 100 else Level.MEDIUM, f"counted over {len(calls)} calls"
        ),
        saving_ns=cost_ns,
        details={
            "target": target,
            "calls": len(calls),
            "connections": len(first),
            "setup_ns": cost_ns,
            "most_at_once": peak(call.interval for call in calls),
        },
    )
