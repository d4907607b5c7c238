"""Whether two samples differ by more than chance: two tests without assumptions about the distribution."""

from __future__ import annotations

from math import erfc, exp, lgamma, sqrt
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def mann_whitney(before: Sequence[float], after: Sequence[float]) -> float:
    """Two-sided p-value of the Mann-Whitney U test: that values of one sample tend to be larger than the other's.

    The normal approximation with corrections for ties and continuity, good from about 10 values a side on. 1.0 where a
    sample is empty or all values are equal.
    """
    sizes = len(before), len(after)
    total = sum(sizes)
    values = sorted([(value, 0) for value in before] + [(value, 1) for value in after])
    ranks, ties, index = 0.0, 0, 0
    while index < total:
        end = index
        while end < total and values[end][0] == values[index][0]:
            end += 1
        rank = (index + 1 + end) / 2  # the mean of the ranks index + 1 … end
        ranks += rank * sum(1 for _, sample in values[index:end] if sample)
        ties += (end - index) ** 3 - (end - index)
        index = end
    product = sizes[0] * sizes[1]
    if not product or total < 2:
        return 1.0
    statistic = ranks - sizes[1] * (sizes[1] + 1) / 2
    variance = product / 12 * (total + 1 - ties / (total * (total - 1)))
    if variance <= 0:
        return 1.0
    distance = max(0.0, abs(statistic - product / 2) - 0.5)
    return min(1.0, erfc(distance / sqrt(2 * variance)))


def superiority(before: Sequence[float], after: Sequence[float]) -> float:
    """The probability that a value of `after` is larger than one of `before`, ties by half; both not empty."""
    ordered = sorted(before)
    count, below, equal = 0.0, 0, 0
    for value in sorted(after):
        while below < len(ordered) and ordered[below] < value:
            below += 1
        equal = max(equal, below)
        while equal < len(ordered) and ordered[equal] == value:
            equal += 1
        count += below + (equal - below) / 2
    return count / (len(before) * len(after))


def fisher(hits_before: int, before: int, hits_after: int, after: int) -> float:
    """Two-sided p-value of Fisher's exact test: that the share of hits differs. `hits` are at most the totals."""
    hits = hits_before + hits_after
    lowest, highest = max(0, hits - before), min(hits, after)

    def log_chance(count: int) -> float:
        return _log_choose(after, count) + _log_choose(before, hits - count)

    total = _log_choose(before + after, hits)
    seen = log_chance(hits_after)
    # As likely as what was seen, or less; the margin is for rounding.
    chances = (log_chance(count) for count in range(lowest, highest + 1))
    return min(1.0, sum(exp(chance - total) for chance in chances if chance <= seen + 1e-7))


def _log_choose(total: int, chosen: int) -> float:
    return lgamma(total + 1) - lgamma(chosen + 1) - lgamma(total - chosen + 1)


def quantile(ordered: Sequence[float], share: float) -> float:
    """The nearest-rank quantile of a sorted sample that is not empty."""
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def holm(values: Sequence[float]) -> list[float]:
    """p-values of several tests, each corrected for there being several (Holm 1979), in the order given."""
    order = sorted(range(len(values)), key=lambda index: values[index])
    corrected = [1.0] * len(values)
    highest = 0.0
    for place, index in enumerate(order):
        highest = max(highest, min(1.0, values[index] * (len(values) - place)))
        corrected[index] = highest
    return corrected
