"""Bytes as text that disturbs nothing."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from agent.redaction.clean import clean, text, utf8


@given(st.text())
def test_clean_can_be_encoded_and_prints_in_one_line(raw):
    result = clean(raw)
    result.encode()
    assert result.splitlines() in ([result], [])


def test_lone_surrogates():
    assert clean("a\ud800b") == "a?b"


def test_text_is_cut():
    assert text(b"abc", 2) == "ab"


def test_utf8():
    assert utf8("é".encode()) == "é"
    assert utf8(b"a" + "é".encode()[:1]) == "a"
    assert utf8(b"\xff") is None
    assert utf8(b"\xe9 a") is None
