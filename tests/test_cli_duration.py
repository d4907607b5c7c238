"""Durations on the command line."""

from __future__ import annotations

import click
import pytest

from agent.cli_duration import Duration


@pytest.mark.parametrize(
    ("text", "ns"), [("500ms", 500_000_000), ("5s", 5_000_000_000), ("1h30m", 5_400_000_000_000)]
)
def test_duration_is_read_as_in_queries(text: str, ns: int) -> None:
    assert Duration().convert(text, None, None) == ns


@pytest.mark.parametrize("text", ["", "5", "-5s", "5 s", "soon", '"5s"', "5s 1m"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(click.BadParameter, match="is no duration"):
        Duration().convert(text, None, None)
