"""Names of strangers and times, fit for a sentence."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.analysis.wording import operation, percent, plain, took
from tests.analysis.story import Story


@given(st.text(), st.integers(1, 50))
def test_plain_text_is_one_printable_line_of_bounded_length(text: str, limit: int) -> None:
    shown = plain(text, limit)
    assert shown.isprintable()
    assert len(shown) == min(len(text), limit)


def test_what_a_terminal_would_act_upon_is_replaced() -> None:
    assert plain("a\x1b[2Jb\n\u202ec") == "a\ufffd[2Jb\ufffd\ufffdc"
    assert plain("x" * 200) == "x" * 119 + "…"


def test_an_operation_is_named_with_its_service() -> None:
    assert operation(Story().server(0, 1, name="GET /\n")) == "`GET /\ufffd` of shop"


@pytest.mark.parametrize(
    ("duration_ns", "text"),
    [
        (0, "0 ns"),
        (999, "999 ns"),
        (1_500, "1.5 µs"),
        (999_400, "999 µs"),
        (999_900, "1 ms"),
        (27_120_000, "27.1 ms"),
        (999_400_000, "999 ms"),
        (999_900_000, "1 s"),
        (27_120_000_000, "27.1 s"),
        (600_000_000_000, "10.0 min"),
    ],
)
def test_durations_have_three_digits(duration_ns: int, text: str) -> None:
    assert took(duration_ns) == text


@pytest.mark.parametrize(
    ("share", "text"),
    [(0, "0 %"), (0.004, "below 1 %"), (0.5, "50 %"), (0.996, "over 99 %"), (1, "100 %")],
)
def test_shares_are_never_rounded_to_none_or_all(share: float, text: str) -> None:
    assert percent(share) == text
