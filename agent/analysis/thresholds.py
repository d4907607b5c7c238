"""From when on something is trouble: every limit of every analysis, with its default.

docs/analysis.md has the same table for readers; a test compares the two.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Final

from agent.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

MS: Final = 1_000_000
"""Nanoseconds."""
S: Final = 1_000 * MS


@dataclass(frozen=True, slots=True, kw_only=True)
class Thresholds:
    """Names end in the unit: `_ns` are nanoseconds, `_share` and `_ratio` are plain ratios."""

    slow_trace_ns: int = S
    """A trace from this duration on is slow, as tail sampling usually has it."""
    dominant_share: float = 0.5
    """Share of a slow trace's critical path that makes one operation the place to look."""

    n_plus_one_calls: int = 5
    """The same statement or route so often one after another under one parent."""
    n_plus_one_min_saving_ns: int = MS
    """Less is not worth anybody's time."""

    sequential_calls: int = 3
    """Independent calls one after another. Two are too often a check and then the work."""
    sequential_max_gap_ns: int = 5 * MS
    """Between two calls; in a longer pause the answer of the first was probably worked with."""
    sequential_min_saving_ns: int = 20 * MS
    sequential_min_share: float = 0.2
    """Of the parent's duration that would be saved."""

    cache_lookups: int = 20
    """Of one key pattern, before its hit ratio says anything."""
    cache_hit_ratio: float = 0.5
    """Below it a cache is in the way."""
    cache_miss_cost_ns: int = 100 * MS
    """Database time behind one miss that is reported whatever the ratio."""

    retry_storm_attempts: int = 20
    """Calls of one target, first attempts included."""
    retry_storm_ratio: float = 1.5
    """Calls per call that was wanted."""

    patience_ns: int = S
    """A call that its own program broke off after so long counts as given up."""
    dns_slow_ns: int = 100 * MS
    """A look-up on a local network takes 1 ms, one that leaves it 10 to 50."""

    churn_calls: int = 20
    """Calls of one service to one target, before their connections say anything."""
    churn_share: float = 0.9
    """Of the calls that were the first on their connection."""
    churn_max_idle_ns: int = 10 * S
    """Usual time between calls; where it is longer, closing in between is good manners."""
    pool_wait_ns: int = 10 * MS
    """Waiting for a free connection that counts as a wait."""
    pool_waits: int = 5
    """Waits of one service for one target."""

    outlier_history: int = 30
    """Requests of a route, before one of them can be an outlier."""
    outlier_ratio: float = 5.0
    """Times the route's median."""
    outlier_deviations: float = 5.0
    """Robust standard deviations of the durations' logarithm above the median."""
    outlier_min_excess_ns: int = 100 * MS

    change_samples: int = 20
    """Requests of a route on either side of a comparison."""
    change_p: float = 0.01
    """Probability of a chance result, after correction for the number of tests."""
    change_ratio: float = 1.2
    """Of the medians, in either direction."""
    change_min_ns: int = 2 * MS
    """Difference of the medians."""
    change_failures: float = 0.01
    """Difference of the failure rates."""


def overridden(base: Thresholds, changes: Mapping[str, str | float]) -> Thresholds:
    """`base` with some limits as a person wrote them: text, or numbers of a file. Raises ConfigError for a name or a number that is none."""
    kinds = {field.name: type(getattr(base, field.name)) for field in fields(base)}
    values: dict[str, int | float] = {}
    for name, text in changes.items():
        if name not in kinds:
            raise ConfigError(f"there is no threshold {name!r}; there are {', '.join(kinds)}")
        try:
            value = kinds[name](text)
        except (ValueError, OverflowError):
            raise ConfigError(f"threshold {name}: {text!r} is no {kinds[name].__name__}") from None
        if not value >= 0:
            raise ConfigError(f"threshold {name}: {text} is below 0")
        values[name] = value
    return replace(base, **values)  # type: ignore[arg-type]  # each value is of its field's own type
