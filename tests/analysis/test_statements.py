"""Statements, keys and paths without their values."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.analysis.statements import (
    MAX_TEXT,
    key_pattern,
    normalized,
    path_of,
    path_template,
    path_values,
    verb,
)


@pytest.mark.parametrize(
    ("statement", "text"),
    [
        ("SELECT * FROM users WHERE id = 4711", "SELECT * FROM users WHERE id = ?"),
        ("SELECT * FROM users\n  WHERE id = $1;", "SELECT * FROM users WHERE id = ?"),
        ("SELECT a FROM t WHERE n = 'O''Brien' AND x > -1.5e3", "SELECT a FROM t WHERE n = ? AND x > ?"),
        ("SELECT a FROM t WHERE id IN (1, 2,3)", "SELECT a FROM t WHERE id IN (?)"),
        ("SELECT a FROM t WHERE id IN (?)", "SELECT a FROM t WHERE id IN (?)"),
        ("INSERT INTO t (a, b) VALUES (1, 'x'), (2, 'y')", "INSERT INTO t (a, b) VALUES (?)"),
        ("SELECT a::text FROM t2 WHERE b = :name", "SELECT a::text FROM t2 WHERE b = ?"),
        ("SELECT %s, %(id)s, @p1, 0xff /* trace */ -- done", "SELECT ?, ?, ?, ?"),
    ],
)  # fmt: skip
def test_values_are_taken_out_of_statements(statement: str, text: str) -> None:
    assert normalized(statement) == text


@given(st.text(alphabet="'\\a1 ,()?-/*", max_size=80))
def test_normalizing_twice_is_normalizing_once_or_less(statement: str) -> None:
    once = normalized(statement)
    assert len(normalized(once)) <= len(once)


def test_long_statements_are_cut_first() -> None:
    assert len(normalized("'" * 50_000)) <= MAX_TEXT
    assert len(normalized("x" * 50_000)) == MAX_TEXT


@pytest.mark.parametrize(
    ("command", "text"),
    [
        ("GET user:4711:cart", "GET user:?:cart"),
        ("GET session:5d41402abc4b2a76b9719d911017c592", "GET session:?"),
        ("MGET a:1 a:2", "MGET a:? a:?"),
        ("GET user:?", "GET user:?"),
    ],
)
def test_values_are_taken_out_of_keys(command: str, text: str) -> None:
    assert key_pattern(command) == text


@pytest.mark.parametrize(
    ("statement", "word"),
    [
        ("select 1", "SELECT"),
        ("  COMMIT; ", "COMMIT"),
        ("(SELECT 1)", "SELECT"),
        ("WITH x AS (SELECT 1) SELECT * FROM x", "SELECT"),
        ("WITH x AS (SELECT 1) insert into t select * from x", "INSERT"),
        ("", ""),
    ],
)
def test_a_statements_verb(statement: str, word: str) -> None:
    assert verb(statement) == word


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("http://a:80/b/c?d=/e", "/b/c"),
        ("http://a", "/"),
        ("/b#c", "/b"),
        ("", "/"),
    ],
)
def test_the_path_of_a_url(url: str, path: str) -> None:
    assert path_of(url) == path


def test_a_paths_values_and_its_template() -> None:
    path = "/api/v1/users/4711/orders/5d41402abc4b2a76/2024-05-01/REDACTED"
    assert path_template(path) == "/api/v1/users/{id}/orders/{id}/{id}/{id}"
    assert path_values(path) == {"4711", "5d41402abc4b2a76", "2024-05-01", "REDACTED"}
