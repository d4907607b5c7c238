"""The tests of significance, against counting all ways that chance could have it."""

from __future__ import annotations

from itertools import combinations
from math import comb

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.analysis.significance import fisher, holm, mann_whitney, quantile, superiority

SAMPLE = st.lists(st.integers(0, 20), min_size=1, max_size=30)


def exact_mann_whitney(before: list[int], after: list[int]) -> float:
    """How many ways of dealing the same values are at least as uneven; two-sided."""
    values = before + after
    middle = len(before) * len(after) / 2

    def distance(chosen: tuple[int, ...]) -> float:
        picked = [values[index] for index in chosen]
        rest = [values[index] for index in range(len(values)) if index not in chosen]
        return abs(sum((a > b) + (a == b) / 2 for a in picked for b in rest) - middle)

    seen = distance(tuple(range(len(before), len(values))))
    ways = [distance(chosen) for chosen in combinations(range(len(values)), len(after))]
    return sum(one >= seen - 1e-9 for one in ways) / len(ways)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ([1, 2, 3, 4, 5, 6, 7, 8], [5, 6, 7, 8, 9, 10, 11, 12]),
        ([1, 1, 2, 2, 3, 3, 4], [2, 3, 3, 4, 4, 5, 5, 6]),
        ([1, 3, 5, 7, 9, 11], [2, 4, 6, 8, 10, 12]),
        ([1, 2, 3, 4, 5, 6, 7], [8, 9, 10, 11, 12, 13, 14]),
    ],
)
def test_the_approximation_is_near_the_count_of_all_ways(
    before: list[int], after: list[int]
) -> None:
    assert mann_whitney(before, after) == pytest.approx(exact_mann_whitney(before, after), abs=0.02)


@given(SAMPLE, SAMPLE)
def test_mann_whitney_is_a_probability_and_knows_no_sides(
    before: list[int], after: list[int]
) -> None:
    p = mann_whitney(before, after)
    assert 0 <= p <= 1
    assert p == pytest.approx(mann_whitney(after, before))
    assert mann_whitney(before, before) == pytest.approx(1)


def test_without_values_nothing_differs() -> None:
    assert mann_whitney([], [1, 2]) == mann_whitney([], []) == mann_whitney([3] * 9, [3] * 9) == 1


@given(SAMPLE, SAMPLE)
def test_superiority_is_the_share_of_pairs(before: list[int], after: list[int]) -> None:
    pairs = [(a > b) + (a == b) / 2 for a in after for b in before]
    assert superiority(before, after) == pytest.approx(sum(pairs) / len(pairs))


@given(st.integers(0, 12), st.integers(0, 12), st.data())
def test_fisher_is_the_count_of_all_ways(before: int, after: int, data: st.DataObject) -> None:
    hits_before = data.draw(st.integers(0, before))
    hits_after = data.draw(st.integers(0, after))
    hits = hits_before + hits_after
    ways = [comb(after, count) * comb(before, hits - count) for count in range(hits + 1)]
    expected = sum(way for way in ways if way <= ways[hits_after]) / comb(before + after, hits)
    assert fisher(hits_before, before, hits_after, after) == pytest.approx(expected)


def test_a_known_result_of_fishers_test() -> None:
    # Fisher's tea: all four of four cups told right.
    assert fisher(0, 4, 4, 4) == pytest.approx(2 / 70)


def test_quantiles_are_values_of_the_sample() -> None:
    assert [quantile([1, 2, 3, 4], share) for share in (0, 0.5, 0.99, 1)] == [1, 3, 4, 4]


def test_holm_corrects_the_smallest_most() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.9, 0.8]) == pytest.approx([1.0, 1.0])
    assert holm([]) == []
