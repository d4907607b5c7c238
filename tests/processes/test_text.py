"""Hostile text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.processes.text import clean, clean_text


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"nginx", "nginx"),
        (b"a\x1b[31mred\n", "a[31mred"),
        ("müller".encode(), "müller"),
        (b"\xff\xfeok", "\ufffd\ufffdok"),
        ("user\u202egnp.exe".encode(), "usergnp.exe"),
        (b"0123456789abc", "0123456789"),
    ],
)
def test_clean(raw: bytes, text: str) -> None:
    assert clean(raw, limit=10 if raw[:1] == b"0" else 64) == text


@given(st.binary(max_size=200))
def test_cleaned_text_is_printable_and_bounded(raw: bytes) -> None:
    text = clean(raw, limit=50)
    assert len(text) <= 50
    assert not any(ord(character) < 32 or 0x7F <= ord(character) < 0xA0 for character in text)
    assert clean_text(text, limit=50) == text
    text.encode()
