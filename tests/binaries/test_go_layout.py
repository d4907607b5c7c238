"""Layouts by version; tests/binaries/test_go_functions.py compares the installed Go's with its debug information."""

from __future__ import annotations

import pytest

from agent.binaries.go_layout import LAYOUTS, Goroutine, goroutine_of


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        ("1.21.13", Goroutine(152, 272, 296)),
        ("1.24", Goroutine(160, 280, 304)),
        ("1.26.6", Goroutine(152, 280, 304)),
        ("1.27rc1", Goroutine(152, 280, 304)),
        ("1.25.5 X:nocoverageredesign", Goroutine(152, 272, 296)),
        ("1.20.14", None),
        ("1.99.1", None),
        ("1.271", None),
        ("2.21", None),
        ("", None),
    ],
)
def test_by_version(version: str, expected: Goroutine | None):
    assert goroutine_of(version) == expected


def test_what_follows_the_parent_is_in_the_same_order_everywhere():
    assert {g.start_pc - g.parent_goid for g in LAYOUTS.values()} == {24}
