"""Cache misses and the database work behind them, with the hit ratio of each key pattern.

A look-up is a reading call to a cache (db.system.name redis, valkey, memcached). Whether it hit is told by
`zerospan.cache.hit`, else by db.response.returned_rows (0 is a miss); without either it does not count. Behind a miss
lie the calls to databases that the same owner makes between it and its next look-up of another pattern.

Trouble is a pattern that misses mostly, over enough look-ups, or a single miss that costs much.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from statistics import median
from typing import TYPE_CHECKING

from agent.analysis import all_traces
from agent.analysis import attributes as names
from agent.analysis.calls import Call, Sort
from agent.analysis.finding import MAX_EVIDENCE, Confidence, Evidence, Finding, Level, Severity
from agent.analysis.intervals import covered_ns
from agent.analysis.wording import percent, plain, took

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from agent.analysis.calls import CallTree
    from agent.analysis.thresholds import Thresholds


@dataclass(frozen=True, slots=True)
class _Miss:
    """A look-up that missed, with what followed it."""

    lookup: Call
    behind: list[Call]
    """To databases; may be empty."""

    @property
    def cost_ns(self) -> int:
        """Time in the databases."""
        return covered_ns(call.interval for call in self.behind)


@dataclass(slots=True)
class _Pattern:
    """The look-ups of one key pattern by one service."""

    hits: int = 0
    misses: list[_Miss] = field(default_factory=list)

    @property
    def lookups(self) -> int:
        """Of known outcome."""
        return self.hits + len(self.misses)


@all_traces("cache_miss", "cache misses and the database time behind them, by key pattern")
def cache_miss(trees: Sequence[CallTree], thresholds: Thresholds) -> Iterator[Finding]:
    """One finding per service, cache and key pattern."""
    patterns: dict[tuple[str, str, str], _Pattern] = defaultdict(_Pattern)
    for tree in trees:
        for owner, calls in tree.by_owner():
            _count(owner.service, calls, patterns)
    for key, pattern in patterns.items():
        costly = [miss for miss in pattern.misses if miss.cost_ns]
        if not costly:
            continue
        is_useless = (
            pattern.lookups >= thresholds.cache_lookups
            and pattern.hits < thresholds.cache_hit_ratio * pattern.lookups
        )
        worst_ns = max(miss.cost_ns for miss in costly)
        if is_useless or worst_ns >= thresholds.cache_miss_cost_ns:
            yield _finding(key, pattern, costly, is_useless=is_useless)


def _count(service: str, calls: list[Call], patterns: dict[tuple[str, str, str], _Pattern]) -> None:
    open_miss: _Miss | None = None
    for call in calls:
        if call.sort is Sort.DATABASE:
            if open_miss is not None and call.interval.start_ns >= open_miss.lookup.interval.end_ns:
                open_miss.behind.append(call)
            continue
        if call.sort is not Sort.CACHE or not call.is_read or call.is_failed:
            continue
        is_hit = hit(call)
        if is_hit is None:
            continue
        pattern = patterns[service, call.target, call.operation]
        if is_hit:
            pattern.hits += 1
            open_miss = None
        else:
            open_miss = _Miss(call, [])
            pattern.misses.append(open_miss)


def hit(call: Call) -> bool | None:
    """Whether a cache had what it was asked for; None if nothing says so."""
    told = call.span.attributes.get(names.CACHE_HIT)
    if isinstance(told, bool):
        return told
    rows = call.span.attributes.get(names.DB_RESPONSE_RETURNED_ROWS)
    return rows > 0 if isinstance(rows, int) else None


def _finding(
    key: tuple[str, str, str], pattern: _Pattern, costly: list[_Miss], *, is_useless: bool
) -> Finding:
    service, target, command = key
    costly = sorted(costly, key=lambda miss: -miss.cost_ns)
    usual_ns = int(median(miss.cost_ns for miss in costly))
    ratio = pattern.hits / pattern.lookups
    worst = costly[0]
    return Finding(
        kind="cache_miss",
        severity=Severity.WARNING if is_useless else Severity.INFO,
        title=(
            f"{plain(service)}: `{plain(command)}` hit the cache {pattern.hits} of {pattern.lookups} times "
            f"({percent(ratio)}), and behind a miss lie {took(usual_ns)} in {plain(worst.behind[0].target)}"
        ),
        subject=key,
        evidence=tuple(
            Evidence.of([miss.lookup.span, *(call.span for call in miss.behind)])
            for miss in costly[:MAX_EVIDENCE]
        ),
        confidence=_confidence(pattern, is_useless=is_useless),
        saving_ns=usual_ns,
        details={
            "cache": target,
            "key_pattern": command,
            "lookups": pattern.lookups,
            "hits": pattern.hits,
            "hit_ratio": round(ratio, 4),
            "misses_with_database": len(costly),
            "database_ns": sum(miss.cost_ns for miss in costly),
            "worst_ns": worst.cost_ns,
            "statements": sorted({call.operation for call in worst.behind})[:MAX_EVIDENCE],
        },
    )


def _confidence(pattern: _Pattern, *, is_useless: bool) -> Confidence:
    if not is_useless:
        return Confidence(Level.LOW, "a miss now and then is what caches do; this one was dear")
    if pattern.lookups >= 100:
        return Confidence(Level.HIGH, f"counted over {pattern.lookups} look-ups")
    return Confidence(
        Level.MEDIUM, f"{pattern.lookups} look-ups: the cache may not have been warm yet"
    )
