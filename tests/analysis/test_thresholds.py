"""Limits as a person sets them, and as the documents have them."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest

from agent.analysis.thresholds import Thresholds, overridden
from agent.errors import ConfigError

DOCUMENT = Path(__file__).resolve().parents[2] / "docs/analysis.md"


def test_single_limits_are_set_by_name() -> None:
    base = Thresholds()
    changed = overridden(base, {"n_plus_one_calls": "9", "cache_hit_ratio": "0.8"})
    assert changed == Thresholds(n_plus_one_calls=9, cache_hit_ratio=0.8)
    assert overridden(base, {}) == base


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("n_plus_one", "9", "there is no threshold 'n_plus_one'"),
        ("n_plus_one_calls", "many", "threshold n_plus_one_calls: 'many' is no int"),
        ("n_plus_one_calls", "2.5", "is no int"),
        ("cache_hit_ratio", "-0.1", "is below 0"),
        ("cache_hit_ratio", "nan", "is below 0"),
    ],
)
def test_nonsense_is_refused_by_name(name: str, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        overridden(Thresholds(), {name: text})


def test_every_limit_is_documented_with_its_default() -> None:
    rows = re.findall(r"^\| `(\w+)` \| ([\d_.]+) \|", DOCUMENT.read_text(), re.MULTILINE)
    documented = {name: float(default.replace("_", "")) for name, default in rows}
    assert documented == {
        field.name: float(getattr(Thresholds(), field.name)) for field in fields(Thresholds)
    }
