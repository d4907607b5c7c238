"""Before and after: which routes got slower, faster, or fail more often, beyond chance.

Two sets of requests (of two time ranges, of two releases) are compared route by route. Durations by the Mann-Whitney U
test; the tail, which that test hardly feels, by how many requests take longer than the 95th percentile of both sets
together, and failures by their number, each by Fisher's exact test. With that many tests some differ by chance, so
the p-values are corrected (Holm). A difference must be sure and also large enough to matter.

The tests take requests to be independent of each other; those of one burst are not quite, so a p-value near the limit
says little. Where a route got slower, the self time on the critical path says in which operation.
"""

from __future__ import annotations

import enum
from collections import defaultdict
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from agent.analysis import all_traces
from agent.analysis import attributes as names
from agent.analysis.critical_path import critical_path
from agent.analysis.finding import MAX_EVIDENCE, Confidence, Evidence, Finding, Level, Severity
from agent.analysis.routes_seen import Route, durations, is_request, route
from agent.analysis.significance import fisher, holm, mann_whitney, quantile, superiority
from agent.analysis.thresholds import Thresholds
from agent.analysis.wording import percent, plain, took
from agent.spans.span import Status

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from agent.analysis.calls import CallTree
    from agent.analysis.finding import Json
    from agent.spans.trace import ReadSpan, Trace

TAIL: Final = 0.95
MAX_PATHS: Final = 200
"""Requests a side whose critical path is looked at for where a change comes from."""
SURE_P: Final = 0.0001


class Aspect(enum.Enum):
    """What changed of a route."""

    MEDIAN = "median"
    TAIL = "tail"
    FAILURES = "failures"


@dataclass(frozen=True, slots=True, eq=False)
class _Request:
    """A request, and the trace that it is part of."""

    span: ReadSpan
    trace: Trace


Requests = dict[Route, list[_Request]]


@dataclass(frozen=True, slots=True, eq=False)
class _Pair:
    """One route on either side."""

    route: Route
    before: list[_Request]
    after: list[_Request]
    sides: tuple[str, str]
    """What to call them: `before` and `after`, or two releases."""

    @property
    def durations_ns(self) -> tuple[list[int], list[int]]:
        """Sorted, of either side."""
        return _durations(self.before), _durations(self.after)

    @property
    def failures(self) -> tuple[int, int]:
        """On either side."""
        return _failures(self.before), _failures(self.after)

    @property
    def in_tail(self) -> tuple[int, int]:
        """Requests beyond the tail's limit on either side."""
        old, new = self.durations_ns
        limit = quantile(sorted(old + new), TAIL)
        return sum(one > limit for one in old), sum(one > limit for one in new)


@dataclass(frozen=True, slots=True)
class _Test:
    """One question about one route, and how likely such an answer is by chance."""

    pair: _Pair
    aspect: Aspect
    p: float


def split(traces: Iterable[Trace], at_unix_ns: int) -> tuple[list[Trace], list[Trace]]:
    """Those that began before a time, and those that began then or later."""
    before: list[Trace] = []
    after: list[Trace] = []
    for trace in traces:
        (before if trace.start_unix_ns < at_unix_ns else after).append(trace)
    return before, after


def compare(
    before: Iterable[Trace], after: Iterable[Trace], thresholds: Thresholds | None = None
) -> list[Finding]:
    """The routes that changed between two sets of traces, the gravest first; their kind is `change`."""
    limits = Thresholds() if thresholds is None else thresholds
    old, new = _by_route(before), _by_route(after)
    pairs = _pairs(old, new, ("before", "after"), limits)
    found = _changes("change", pairs, limits)
    return sorted(found, key=lambda finding: finding.rank)


@all_traces(
    "release_change", "routes that a release made slower, faster, or fail more or less often"
)
def release_change(trees: Sequence[CallTree], thresholds: Thresholds) -> Iterator[Finding]:
    """Each release (service.version) of a service against the one that was first seen before it."""
    releases: dict[str, dict[str, Requests]] = defaultdict(dict)
    for tree in sorted(trees, key=lambda tree: tree.trace.start_unix_ns):
        for span in tree.trace.spans:
            version = span.resource.get(names.SERVICE_VERSION)
            if version is not None and is_request(span):
                of_version = releases[span.service].setdefault(str(version), {})
                of_version.setdefault(route(span), []).append(_Request(span, tree.trace))
    pairs: list[_Pair] = []
    for versions in releases.values():
        order = list(versions)
        for old, new in pairwise(order):
            pairs += _pairs(versions[old], versions[new], (plain(old), plain(new)), thresholds)
    yield from _changes("release_change", pairs, thresholds)


def _by_route(traces: Iterable[Trace]) -> Requests:
    found: Requests = defaultdict(list)
    for trace in traces:
        for span in trace.spans:
            if is_request(span):
                found[route(span)].append(_Request(span, trace))
    return found


def _pairs(
    old: Requests, new: Requests, sides: tuple[str, str], thresholds: Thresholds
) -> list[_Pair]:
    """The routes with enough requests on both sides."""
    least = max(1, thresholds.change_samples)
    return [
        _Pair(of, old[of], new[of], sides)
        for of in sorted(old.keys() & new.keys())
        if len(old[of]) >= least and len(new[of]) >= least
    ]


def _changes(kind: str, pairs: list[_Pair], thresholds: Thresholds) -> Iterator[Finding]:
    tests = [test for pair in pairs for test in _tests(pair)]
    corrected = holm([test.p for test in tests])
    moved: set[_Pair] = set()
    for test, p in zip(tests, corrected, strict=True):
        if p >= thresholds.change_p:
            continue
        if test.aspect is Aspect.TAIL and test.pair in moved:
            continue  # where the whole route moved, so did its tail
        finding = _finding(kind, test, p, thresholds)
        if finding is not None:
            if test.aspect is Aspect.MEDIAN:
                moved.add(test.pair)
            yield finding


def _tests(pair: _Pair) -> list[_Test]:
    """The median's before the tail's."""
    sizes = len(pair.before), len(pair.after)
    tail, failures = pair.in_tail, pair.failures
    return [
        _Test(pair, Aspect.MEDIAN, mann_whitney(*pair.durations_ns)),
        _Test(pair, Aspect.TAIL, fisher(tail[0], sizes[0], tail[1], sizes[1])),
        _Test(pair, Aspect.FAILURES, fisher(failures[0], sizes[0], failures[1], sizes[1])),
    ]


def _finding(kind: str, test: _Test, p: float, thresholds: Thresholds) -> Finding | None:
    """None where the difference is sure but too small to matter."""
    if test.aspect is Aspect.FAILURES:
        return _of_failures(kind, test, p, thresholds)
    share = 0.5 if test.aspect is Aspect.MEDIAN else 0.99
    old, new = (quantile(side, share) for side in test.pair.durations_ns)
    larger, smaller = max(old, new), min(old, new)
    if larger < smaller * thresholds.change_ratio or larger - smaller < thresholds.change_min_ns:
        return None
    is_slower = new > old
    what = "median" if test.aspect is Aspect.MEDIAN else "99th percentile"
    cause = _cause(test.pair) if is_slower else None
    because = "" if cause is None else f", mostly in {cause.where} (+{took(cause.added_ns)})"
    return _make(
        kind,
        test,
        p,
        severity=Severity.WARNING if is_slower else Severity.INFO,
        what=f"got {'slower' if is_slower else 'faster'}: {what} {took(old)}, now {took(new)}{because}",
        saving_ns=int(new - old) if is_slower else None,
        more={} if cause is None else {"cause": cause.where, "cause_added_ns": cause.added_ns},
    )


def _of_failures(kind: str, test: _Test, p: float, thresholds: Thresholds) -> Finding | None:
    failures = test.pair.failures
    old, new = failures[0] / len(test.pair.before), failures[1] / len(test.pair.after)
    if abs(new - old) < thresholds.change_failures:
        return None
    is_worse = new > old
    return _make(
        kind,
        test,
        p,
        severity=Severity.CRITICAL if is_worse else Severity.INFO,
        what=f"fails {'more' if is_worse else 'less'} often: {percent(old)} of requests, now {percent(new)}",
        saving_ns=None,
        more={},
    )


def _make(  # noqa: PLR0913  # one place where the parts of a finding meet
    kind: str,
    test: _Test,
    p: float,
    *,
    severity: Severity,
    what: str,
    saving_ns: int | None,
    more: Mapping[str, Json],
) -> Finding:
    pair = test.pair
    service, name = pair.route
    shown = sorted(
        pair.after,
        key=lambda one: (
            (one.span.status is not Status.ERROR, -one.span.duration_ns)
            if test.aspect is Aspect.FAILURES
            else (False, -one.span.duration_ns)
        ),
    )
    return Finding(
        kind=kind,
        severity=severity,
        title=(
            f"`{plain(name)}` of {plain(service)} {what} "
            f"({pair.sides[0]}: {len(pair.before)} requests, {pair.sides[1]}: {len(pair.after)})"
        ),
        subject=(service, name, test.aspect.value),
        evidence=tuple(Evidence.of([one.span]) for one in shown[:MAX_EVIDENCE]),
        confidence=Confidence(
            Level.HIGH if p < SURE_P else Level.MEDIUM,
            f"by chance such a difference has a probability of {p:.2g}, corrected for the number of tests",
        ),
        saving_ns=saving_ns,
        details={
            "service": service,
            "route": name,
            "aspect": test.aspect.value,
            "p": p,
            "superiority": round(superiority(*pair.durations_ns), 4),
            "before": _side(pair.sides[0], pair.before),
            "after": _side(pair.sides[1], pair.after),
            **more,
        },
    )


def _side(label: str, requests: list[_Request]) -> dict[str, Json]:
    ordered = _durations(requests)
    return {
        "label": label,
        "requests": len(requests),
        "failures": _failures(requests),
        "p50_ns": quantile(ordered, 0.5),
        "p90_ns": quantile(ordered, 0.9),
        "p99_ns": quantile(ordered, 0.99),
    }


@dataclass(frozen=True, slots=True)
class _Cause:
    """The operation whose self time on the critical path grew most."""

    where: str
    added_ns: int
    """On average over the requests."""


def _cause(pair: _Pair) -> _Cause | None:
    old, new = _self_times(pair.before), _self_times(pair.after)
    added = {what: spent - old.get(what, 0) for what, spent in new.items()}
    service, name = max(added, key=lambda what: added[what], default=("", ""))
    most = int(added.get((service, name), 0))
    return _Cause(f"`{plain(name)}` of {plain(service)}", most) if most > 0 else None


def _self_times(requests: list[_Request]) -> dict[Route, float]:
    """Mean self time on the critical paths below some of the requests, spread evenly over them, by operation."""
    step = -(-len(requests) // MAX_PATHS)
    chosen = requests[::step]
    found: dict[Route, float] = defaultdict(float)
    for one in chosen:
        for segment in critical_path(one.trace, one.span):
            found[route(segment.span)] += segment.duration_ns / len(chosen)
    return found


def _durations(requests: list[_Request]) -> list[int]:
    return durations(one.span for one in requests)


def _failures(requests: list[_Request]) -> int:
    return sum(one.span.status is Status.ERROR for one in requests)
