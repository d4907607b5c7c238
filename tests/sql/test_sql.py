"""agent/sql/__init__.py: from bytes to what may be told."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.redaction import MAX_TEXT
from agent.sql import DIALECTS, Statement, Summary, statement

POSTGRESQL = DIALECTS["postgresql"]


def test_statement():
    raw = b"SELECT  name\n  FROM users WHERE id = 42 AND mail = 'joe@example.com'"
    assert statement(raw, POSTGRESQL) == Statement(
        "SELECT name FROM users WHERE id = ? AND mail = ?",
        Summary("SELECT users", "SELECT", "users"),
    )


def test_statements_of_one_shape_share_what_was_found():
    first = statement(b"SELECT a FROM t WHERE b = 1", POSTGRESQL)
    assert statement(b"SELECT a FROM t WHERE b = 'two'", POSTGRESQL) is first
    assert statement(b"SELECT a FROM t WHERE b = 1", POSTGRESQL) is first
    long = b"SELECT a FROM t WHERE b = '" + b"x" * 2000 + b"'"
    assert statement(long, POSTGRESQL) is first


def test_the_same_bytes_mean_what_their_system_means():
    raw = b'SELECT "a" FROM t'
    assert statement(raw, POSTGRESQL).text == 'SELECT "a" FROM t'
    assert statement(raw, DIALECTS["mysql"]).text == "SELECT ? FROM t"


def test_what_is_no_utf8_may_hide_a_backslash():
    # In GBK, bf 5c is one character: the string ends with the quote after it, or does not.
    raw = b"SELECT '\xbf\\' , 'hunter2' , ' FROM t"
    assert statement(raw, DIALECTS["mysql"]).text == "SELECT ?"
    assert statement("SELECT 'é', b".encode("latin-1"), POSTGRESQL).text == "SELECT ?, b"


def test_a_character_cut_at_the_end_is_left_out():
    assert statement("SELECT a FROM é".encode()[:-1], POSTGRESQL).text == "SELECT a FROM"


def test_secrets_in_names_are_masked():
    raw = b'SELECT "AKIAIOSFODNN7EXAMPLE" FROM ghp_abcdefghijklmnopqrstuvwxyz0123456789'
    result = statement(raw, POSTGRESQL)
    assert result.text == 'SELECT "REDACTED" FROM REDACTED'
    assert result.summary.text == "SELECT REDACTED"
    assert statement(b"SELECT a\x07 FROM t WHERE password = 'x'", POSTGRESQL).text == (
        "SELECT a\ufffd FROM t WHERE password = ?"
    )


def test_output_is_bounded():
    names = b", ".join(b"column_%d" % number for number in range(3000))
    text = statement(b"SELECT " + names, POSTGRESQL).text
    assert len(text) == MAX_TEXT
    assert text.endswith("…")


@pytest.mark.parametrize("system", DIALECTS)
@given(raw=st.binary(max_size=300))
def test_any_bytes_are_taken(system, raw):
    result = statement(raw, DIALECTS[system])
    result.text.encode()
    result.summary.text.encode()
    assert not any(ord(char) < 32 for char in result.text)
