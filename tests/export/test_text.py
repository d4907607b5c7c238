"""Nothing that a terminal acts upon comes through."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.export.text import printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("GET /orders/{id}", "GET /orders/{id}"),
        ("é → 漢字", "é → 漢字"),
        ("a\x1b[2Jb", "a\\x1b[2Jb"),
        ("a\r\nb\tc\x00", "a\\r\\nb\\tc\\x00"),
        ("\x9b31m", "\\x9b31m"),  # the one-byte CSI
        ("\u202egnp.exe", "\\u202egnp.exe"),  # right-to-left override
        ("\u2028\udcff", "\\u2028\\udcff"),
        ("x" * 250, "x" * 199 + "…"),
    ],
)
def test_printable(text, shown):
    assert printable(text) == shown


@given(st.text(st.characters(), max_size=300))
def test_whatever_comes_is_printable_and_short(text):
    shown = printable(text, max_length=50)
    assert shown.isprintable()
    assert len(shown) <= 50 * len("\\U0010ffff")
