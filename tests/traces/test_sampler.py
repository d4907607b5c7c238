"""OpenTelemetry's samplers, by their names."""

from __future__ import annotations

import random

import pytest

from agent.errors import ConfigError
from agent.traces.sampler import NAMES, sampler

LOW, HIGH = bytes(16), b"\xff" * 16


@pytest.mark.parametrize(
    ("name", "root", "sampled", "unsampled"),
    [
        ("always_on", True, True, True),
        ("always_off", False, False, False),
        ("parentbased_always_on", True, True, False),
        ("parentbased_always_off", False, True, False),
    ],
)
def test_always(name, root, sampled, unsampled):
    decide = sampler(name)
    assert (decide(LOW, None), decide(LOW, True), decide(LOW, False)) == (root, sampled, unsampled)


@pytest.mark.parametrize(
    ("ratio", "low", "high"),
    [("0", False, False), ("0.5", False, True), ("1", True, True), ("", True, True)],
)
def test_ratio_asks_the_trace_id(ratio, low, high):
    decide = sampler("traceidratio", ratio)
    assert (decide(LOW, None), decide(HIGH, None)) == (low, high)
    assert decide(HIGH, False) is high


def test_ratio_asks_the_random_part_only():
    decide = sampler("traceidratio", "0.5")
    assert not decide(b"\xff" * 9 + bytes(7), None)
    assert decide(bytes(9) + b"\x80" + bytes(6), None)


def test_ratio_keeps_its_share_and_larger_ratios_keep_what_smaller_ones_do():
    draw = random.Random(3).randbytes
    ids = [draw(16) for _ in range(20_000)]
    before: set[bytes] = set()
    for ratio in (0.01, 0.1, 0.25, 0.75):
        decide = sampler("traceidratio", str(ratio))
        kept = {trace_id for trace_id in ids if decide(trace_id, None)}
        assert abs(len(kept) / len(ids) - ratio) < 0.012
        assert before <= kept
        before = kept


def test_parent_rules_over_the_ratio():
    decide = sampler("parentbased_traceidratio", "0")
    assert (decide(HIGH, None), decide(HIGH, True), decide(HIGH, False)) == (False, True, False)


@pytest.mark.parametrize("name", ["", "always", "ALWAYS_ON", "parentbased_"])
def test_unknown_sampler(name):
    with pytest.raises(ConfigError, match="OTEL_TRACES_SAMPLER=") as caught:
        sampler(name)
    assert all(known in str(caught.value) for known in NAMES)


@pytest.mark.parametrize("ratio", ["x", "-0.1", "1.1", "nan", "inf"])
def test_ratio_that_is_none(ratio):
    with pytest.raises(ConfigError, match=r"OTEL_TRACES_SAMPLER_ARG=.* is no number from 0 to 1"):
        sampler("parentbased_traceidratio", ratio)
