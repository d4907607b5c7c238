"""What a statement does, in the words of the conventions."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.sql.summary import MAX_SUMMARY, Summary, summarize

SUMMARIES = {
    # The examples of the conventions.
    "SELECT * FROM wuser_table WHERE username = ?": "SELECT wuser_table",
    "INSERT INTO shipping_details (order_id, address) SELECT order_id, address FROM orders WHERE order_id = ?": "INSERT shipping_details SELECT orders",
    "SELECT * FROM songs, artists WHERE songs.artist_id == artists.id": "SELECT songs artists",
    "SELECT order_date FROM (SELECT * FROM orders o JOIN customers c ON o.customer_id = c.customer_id)": "SELECT SELECT orders customers",
    'SELECT * FROM "song list", b': 'SELECT "song list" b',
    "call some_stored_procedure": "call some_stored_procedure",
    "EXECUTE some_stored_procedure": "EXECUTE some_stored_procedure",
    # Lists of tables.
    "select count(*) from a left join b using (id) where x = ?": "select a b",
    "SELECT * FROM a CROSS JOIN (b JOIN c ON b.x = c.x), d": "SELECT a b c d",
    "SELECT * FROM a x, b AS y, LATERAL (SELECT ? FROM c) z, d": "SELECT a b SELECT c d",
    "SELECT * FROM generate_series(?, ?) g, t": "SELECT t",
    "SELECT * FROM public.users, `db`.`t`, [dbo].[x]": "SELECT public.users `db`.`t` [dbo].[x]",
    "SELECT a FROM t GROUP BY a, b ORDER BY c, d LIMIT ?, ?": "SELECT t",
    "SELECT EXTRACT(YEAR FROM ts), SUBSTRING(a FROM ? FOR ?) FROM t WHERE a IS DISTINCT FROM b": "SELECT t",
    "SELECT (SELECT max(x) FROM b) FROM a": "SELECT SELECT b a",
    "SELECT * FROM a WHERE id IN (SELECT id FROM b) FOR UPDATE": "SELECT a SELECT b",
    "(SELECT a FROM b) UNION ALL (SELECT c FROM d)": "SELECT b SELECT d",
    "SELECT ?": "SELECT",
    "SELECT a INTO b FROM c": "SELECT b c",
    # Common table expressions.
    "WITH a AS (SELECT x FROM t), b (y) AS MATERIALIZED (DELETE FROM q RETURNING *) UPDATE u SET x = a.x FROM a, b": "SELECT t DELETE q UPDATE u",
    "WITH RECURSIVE r AS (SELECT ? UNION ALL SELECT n + ? FROM r) SELECT n FROM r": "SELECT SELECT SELECT",
    "INSERT INTO t WITH x AS (SELECT a FROM b) SELECT * FROM x": "INSERT t SELECT b SELECT",
    # Writing.
    "UPDATE ONLY users SET a = ? FROM b WHERE id = $1": "UPDATE users b",
    "UPDATE a, b SET a.x = b.x, a.y = ?": "UPDATE a b",
    "UPDATE OR IGNORE t SET a = ?": "UPDATE t",
    "DELETE FROM t USING u WHERE t.id = u.id": "DELETE t u",
    "DELETE FROM ONLY t": "DELETE t",
    "INSERT t VALUES (?)": "INSERT t",
    "INSERT OR REPLACE INTO t VALUES (?)": "INSERT t",
    "INSERT INTO t (a) VALUES (?) ON CONFLICT (a) DO UPDATE SET a = ?": "INSERT t",
    "INSERT INTO t SET a = ? ON DUPLICATE KEY UPDATE a = ?": "INSERT t",
    "REPLACE INTO t VALUES (?)": "REPLACE t",
    "MERGE INTO t USING s ON t.id = s.id WHEN MATCHED THEN UPDATE SET a = ?": "MERGE t s",
    "TRUNCATE TABLE a, b": "TRUNCATE a b",
    "COPY users (a, b) FROM STDIN": "COPY users",
    "COPY (SELECT * FROM t) TO STDOUT": "COPY SELECT t",
    "LOAD DATA LOCAL INFILE ? INTO TABLE t": "LOAD t",
    # Procedures, definitions, the session.
    "EXEC @r = dbo.p @a = ?": "EXEC dbo.p",
    "EXECUTE IMMEDIATE ?": "EXECUTE",
    "CREATE TABLE IF NOT EXISTS foo (id int, x date DEFAULT now())": "CREATE TABLE foo",
    "CREATE TEMP TABLE foo AS SELECT * FROM bar": "CREATE TABLE foo SELECT bar",
    "CREATE UNIQUE INDEX CONCURRENTLY i ON t (a)": "CREATE INDEX i",
    "CREATE INDEX ON t (a)": "CREATE INDEX",
    "ALTER TABLE t ADD COLUMN a int": "ALTER TABLE t",
    "DROP TABLE IF EXISTS a": "DROP TABLE a",
    "CREATE OR REPLACE FUNCTION f() RETURNS int AS ?": "CREATE FUNCTION f",
    "ALTER FOO bar": "ALTER",
    "EXPLAIN (ANALYZE, BUFFERS) SELECT * FROM t": "EXPLAIN SELECT t",
    "EXPLAIN ANALYZE UPDATE t SET a = ?": "EXPLAIN UPDATE t",
    "PREPARE p AS SELECT * FROM t": "PREPARE SELECT t",
    "PREPARE p FROM ?": "PREPARE",
    "DECLARE c CURSOR FOR SELECT * FROM t": "DECLARE SELECT t",
    "FETCH ? FROM c": "FETCH",
    "SAVEPOINT s140123_x5": "SAVEPOINT",
    "START TRANSACTION READ ONLY": "START TRANSACTION",
    "SET NAMES utf8": "SET",
    "VALUES (?)": "VALUES",
    "TABLE t": "TABLE t",
    # Several.
    "BEGIN; UPDATE a SET x = ?; COMMIT": "BEGIN UPDATE a COMMIT",
    "INSERT INTO t VALUES (?);INSERT INTO t VALUES (?)": "INSERT t",
    # No statement.
    "hunter2 FROM t": "",
    "": "",
    ";;": "",
    "((": "",
    "SELECT * FROM": "SELECT",
    "WITH": "",
    "EXPLAIN": "EXPLAIN",
    "EXPLAIN (": "EXPLAIN",
}  # fmt: skip


@pytest.mark.parametrize(("text", "summary"), SUMMARIES.items())
def test_summary(text, summary):
    assert summarize(text).text == summary


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("SELECT * FROM t", Summary("SELECT t", "SELECT", "t")),
        ("SELECT * FROM t a, T b", Summary("SELECT t T", "SELECT", "t")),
        ("SELECT * FROM a, b", Summary("SELECT a b", "SELECT")),
        ("INSERT INTO a SELECT * FROM b", Summary("INSERT a SELECT b")),
        ("CALL p(?)", Summary("CALL p", "CALL", "", "p")),
        ("DROP TABLE t", Summary("DROP TABLE t", "DROP TABLE", "t")),
        ("DROP ROLE r", Summary("DROP ROLE r", "DROP ROLE")),
        ("INSERT INTO t VALUES (?); insert into t values (?)", Summary("INSERT t insert t", "BATCH INSERT", "t", "", 2)),
        ("DELETE FROM t; COMMIT", Summary("DELETE t COMMIT", "BATCH", "", "", 2)),
        ("SELECT 1;", Summary("SELECT", "SELECT")),
    ],
)  # fmt: skip
def test_operation_and_collection(text, expected):
    assert summarize(text) == expected


def test_a_summary_ends_with_a_whole_word():
    names = [f"table_{number:04}" for number in range(100)]
    text = summarize(f"SELECT * FROM {', '.join(names)}").text
    assert MAX_SUMMARY - 12 < len(text) <= MAX_SUMMARY
    assert text.split()[1:] == names[: len(text.split()) - 1]


WORDS = st.sampled_from(
    ["SELECT", "FROM", "t", "u", "(", ")", ",", ";", "WITH", "AS", "JOIN", "INSERT", "INTO", "UPDATE", "EXPLAIN", "CREATE", "TABLE",
     "VALUES", "?", "CALL", "@x", "=", "PREPARE", "START", "IF", "INDEX", "ON", "DECLARE", "a.b", '"q"', "*", "DISTINCT", ":"]
)  # fmt: skip


@given(st.lists(WORDS, max_size=40).map(" ".join))
def test_any_words_are_taken(text):
    summary = summarize(text)
    assert len(summary.text) <= MAX_SUMMARY
    assert set(summary.text.split()) <= set(text.split())


@given(st.text(max_size=200))
def test_any_text_is_taken(text):
    assert len(summarize(text).text) <= MAX_SUMMARY
