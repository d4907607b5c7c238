"""What begins and ends a literal in each system, one case at a time."""

from __future__ import annotations

import pytest

from agent.sql import DIALECTS, dialect_of
from agent.sql.literals import without_literals

CASES = {
    "postgresql": [
        ("SELECT 'it''s'", "SELECT ?"),
        (r"SELECT 'a\', b FROM t", "SELECT ?, b FROM t"),
        (r"SELECT E'a\'b', c", "SELECT ?, c"),
        ("SELECT E'a'\n 'b\\'c', d", "SELECT ?, d"),
        ("SELECT E'a' -- it's\n 'b\\'c', d", "SELECT ?, d"),
        (r"SELECT E'a' 'b\' , c", "SELECT ? ? , c"),
        (r"SELECT namee'a\', b", "SELECT namee?, b"),
        ("SELECT N'a', b'01', X'ff', U&'d\\0061', 0xff", "SELECT ?, ?, ?, ?, ?"),
        ("SELECT $$it's$$, $t$ $$ ' $t$, a$b$c", "SELECT ?, ?, a$b$c"),
        ("SELECT $1, $2::text, $123456", "SELECT $1, $2::text, $?"),
        ('SELECT "Col", "it\'s", U&"x"', 'SELECT "Col", ?, U&"x"'),
        ("SELECT a#>b, c -- it's\n, d", "SELECT a#>b, c , d"),
        ("SELECT /* a /* it's */ b */ c", "SELECT c"),
        ("SELECT DATE '2020-01-01', INTERVAL '1 day'", "SELECT DATE ?, INTERVAL ?"),
        ("SELECT a[1], b ? 'k', -5, 1_000, 1.5e-3, .5, 1.", "SELECT a[?], b ? ?, -?, ?, ?, ?, ?"),
        ("SELECT t1.c2 FROM t1", "SELECT t1.c2 FROM t1"),
    ],
    "mysql": [
        (r"SELECT 'a\'b', c", "SELECT ?, c"),
        (r'SELECT "a\"b", "c""d", e', "SELECT ?, ?, e"),
        ("SELECT `it's`, `col`", "SELECT ?, `col`"),
        ("SELECT 5--3, c -- it's", "SELECT ?--?, c"),
        ("SELECT 1 # it's\n, c", "SELECT ? , c"),
        ("/*!40101 SET a = 'x' */", "SET a = ?"),
        ("SELECT /*+ hint('x') */ c", "SELECT c"),
        ("SELECT _utf8'x', n'y', 0x4D, x'4D', 0b1, b'1'", "SELECT _utf8?, ?, ?, ?, ?, ?"),
        ("CREATE USER 'u'@'h' IDENTIFIED BY 'p'", "CREATE USER ?@? IDENTIFIED BY ?"),
        ("SELECT /* /* */ c", "SELECT c"),
    ],
    "cassandra": [
        ("SELECT $$it's$$, 0xAB, c // it's\n, \"d\" -- e's", "SELECT ?, ?, c , \"d\""),
        ("SELECT a FROM t WHERE b = ae79b130-ae79-11e4-ab27-0800200c9a66", "SELECT a FROM t WHERE b = ?"),
        ("SELECT a FROM t WHERE b = ae79b130-ae79-11", "SELECT a FROM t WHERE b = ?"),
        ("SELECT a FROM t USING TTL 1y2mo", "SELECT a FROM t USING TTL ?"),
    ],
    "oracle.db": [
        ("SELECT q'[it's]', Q'{a'b}', nq'!a'b!', c", "SELECT ?, ?, ?, c"),
        ("SELECT :1, :name FROM dual", "SELECT :1, :name FROM dual"),
        (r"SELECT 'a\', b FROM t", "SELECT ?, b FROM t"),
        ("CREATE USER u IDENTIFIED BY hunter2;", "CREATE USER u IDENTIFIED BY ?"),
        ("SELECT q'", "SELECT ?"),
    ],
    "microsoft.sql_server": [
        ("SELECT [it's], [a b], N'x' FROM [dbo].[t]", "SELECT ?, [a b], ? FROM [dbo].[t]"),
        ("SELECT [a]]b], 'c', @1, @p", "SELECT ?, ?, @1, @p"),
        ("SELECT /* /* ' */ */ c FROM #t", "SELECT c FROM #t"),
    ],
    "sqlite": [
        ("SELECT \"a\", `b`, [c], x'ff', ?1, :n, @v, $w", 'SELECT "a", `b`, [c], ?, ?1, :n, @v, $w'),
        ("SELECT 'a' 'b' -- it's", "SELECT ? ?"),
    ],
    "other_sql": [
        ("SELECT 'a' FROM t WHERE b = 5 -- x\n AND c", "SELECT ? FROM t WHERE b = ? AND c"),
        (r"SELECT 'a\nb', c", "SELECT ?, c"),
        (r"SELECT 'a\'b', c", "SELECT ?"),
        (r"SELECT 'a\\', c", "SELECT ?, c"),
        ("SELECT \"a\", c", "SELECT ?, c"),
        ("SELECT a --b\n, c", "SELECT a ?"),
        ("SELECT a # b\n, c", "SELECT a ?"),
        ("SELECT [it's], c", "SELECT ?"),
        ("SELECT a[b], c", "SELECT a[b], c"),
        ("SELECT `it's`, c", "SELECT ?"),
        ("SELECT $$it's$$, c", "SELECT ?"),
        ("SELECT q'[a]', c", "SELECT ?"),
        ("SELECT /* a /* b */ c */ d", "SELECT ?"),
        ("SELECT /* a */ d", "SELECT d"),
        ("SELECT /*! a */ d", "SELECT ?"),
        ("SELECT a -- b\r'c'\n d", "SELECT a ?"),
    ],
}  # fmt: skip


@pytest.mark.parametrize(
    ("system", "text", "expected"),
    [(system, *case) for system, cases in CASES.items() for case in cases],
)
def test_statement(system, text, expected):
    assert without_literals(text, DIALECTS[system]) == expected


@pytest.mark.parametrize("system", DIALECTS)
def test_unfinished_literals_are_literals_to_the_end(system):
    for text in ("SELECT 'a, b", "SELECT a /* b, c", "SELECT a, 'it''"):
        assert without_literals(text, DIALECTS[system]) in ("SELECT ?", "SELECT a", "SELECT a, ?")


def test_a_session_may_say_what_a_backslash_means():
    postgresql = DIALECTS["postgresql"]
    text = r"SELECT 'a\' , 'k' FROM t"
    assert without_literals(text, postgresql) == "SELECT ? , ? FROM t"
    assert without_literals(text, postgresql.with_backslash(escapes=True)) == "SELECT ?k?"
    assert without_literals(text, postgresql.with_unknown_backslash()) == "SELECT ?"
    mysql = DIALECTS["mysql"]
    assert without_literals(text, mysql.with_backslash(escapes=False)) == "SELECT ? , ? FROM t"
    assert mysql.with_backslash(escapes=True) is mysql
    assert mysql.with_backslash(escapes=False) is mysql.with_backslash(escapes=False)
    other = DIALECTS["other_sql"]
    assert other.with_unknown_backslash() is other


def test_unknown_systems_are_read_with_care():
    assert dialect_of("nosuchdb") is DIALECTS["other_sql"]
    assert dialect_of("mariadb").system == "mariadb"
