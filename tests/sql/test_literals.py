"""Nothing that a statement holds as a value is left, wherever it stands and wherever the statement is cut."""

from __future__ import annotations

import time
from dataclasses import fields

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from agent.sql import DIALECTS, Dialect, statement
from agent.sql.literals import is_simple, without_literals

MARK = "hunterzebra"
"""A word that no statement below has outside of values and comments."""
PARTS = [MARK[:size] for size in range(5, len(MARK) + 1)]


def quoted(text: str, quote: str = "'") -> str:
    return quote + text.replace(quote, quote * 2) + quote


def escaped(text: str, quote: str = "'") -> str:
    return quote + text.replace("\\", "\\\\").replace(quote, "\\" + quote) + quote


def values(text: str) -> st.SearchStrategy[str]:
    """Text with the mark in it, among what could end a literal."""
    noise = st.text(text, max_size=6)
    return st.tuples(noise, noise).map(lambda pair: f"{pair[0]}{MARK}{pair[1]}")


ANYTHING = values("'\"`\\$#-/*[](){}!qQeEnN;,? \n\r:@%x19")


def dollar(value: str) -> str:
    return f"$q1${value}$q1$"


def bracketed(value: str) -> str:
    return f"q'[{value}]'"


NUMBERS = st.sampled_from(["4111111111111111", "-1.5e10", "0xff", ".5", "12345678"])
PLAIN = ANYTHING.map(quoted)
ESCAPED = ANYTHING.map(escaped)
LINE = values("'\"`\\$#-/*[]( qE").map(lambda value: f"-- {value}\n")
BLOCK = values("'\"`\\$#-([ qE").map(lambda value: f"/* {value} */")

LITERALS: dict[str, st.SearchStrategy[str]] = {
    "postgresql": st.one_of(
        PLAIN,
        ESCAPED.map("E{},".format),
        ESCAPED.map("e{} \n 'more\\'s',".format),
        PLAIN.map("N{}".format),
        ANYTHING.filter(lambda value: "$q1$" not in value).map(dollar),
        LINE,
        BLOCK,
        values("'\"").map(lambda value: f"/* /* {value} */ {value} */"),
    ),
    "mysql": st.one_of(
        ESCAPED,
        PLAIN.filter(lambda literal: "\\" not in literal),
        ANYTHING.map(lambda value: escaped(value, '"')),
        values("'\"`\\$#-/*[]( qE").map(lambda value: f"# {value}\n"),
        LINE,
        BLOCK,
        values("'").map(lambda value: f"`{value}'`"),
    ),
    "cassandra": st.one_of(
        PLAIN, LINE, BLOCK, values("'\"-/*").map(lambda value: f"$${value}$$"), values("'\"").map(lambda value: f"// {value}\n")
    ),
    "oracle.db": st.one_of(
        PLAIN,
        ANYTHING.filter(lambda value: "]'" not in value).map(bracketed),
        ANYTHING.filter(lambda value: "!" not in value).map(lambda value: f"Nq'!{value}!'"),
        LINE,
        BLOCK,
    ),
    "microsoft.sql_server": st.one_of(
        PLAIN,
        PLAIN.map("N{}".format),
        LINE,
        BLOCK,
        values("'\"").map(lambda value: f"['{value}]"),
    ),
    "sqlite": st.one_of(PLAIN, LINE, BLOCK, values("'").map(lambda value: f"[{value}']")),
    "other_sql": st.one_of(PLAIN, ESCAPED, ANYTHING.map(dollar), ANYTHING.map(bracketed), LINE, BLOCK,
                           ANYTHING.map(lambda value: quoted(value, '"'))),
}  # fmt: skip
COPIED = st.sampled_from(
    ["SELECT", " a ", "FROM t", " WHERE ", "x = ", ", ", "(", ")", "IN (", "VALUES (", "\n", "t1.c", "u2", " e ", "q", "n",
     ";", "::int", " || ", "AND", "_", "é"]
)  # fmt: skip


def statements(system: str) -> st.SearchStrategy[str]:
    """Pieces that stand apart, as a program writes them: a literal begins where no name ends."""
    pieces = st.one_of(COPIED, st.one_of(NUMBERS, LITERALS[system]).map(" {} ".format))
    return st.lists(pieces, min_size=1, max_size=12).map("".join)


@pytest.mark.parametrize("system", LITERALS)
@given(data=st.data())
def test_no_value_is_left_whole_or_cut(system, data):
    text = data.draw(statements(system))
    places = data.draw(st.lists(st.integers(0, len(text)), max_size=4))
    for size in (len(text), *places):
        masked = without_literals(text[:size], DIALECTS[system])
        assert not any(part in masked for part in PARTS), text[:size]
        assert "41111" not in masked
        assert "12345" not in masked


@pytest.mark.parametrize("system", LITERALS)
@given(data=st.data())
def test_whatever_the_session_says_of_backslashes(system, data):
    """A dialect that is told nothing shows no more than either of the two that were told."""
    text = data.draw(statements(system))
    careful = DIALECTS[system].with_unknown_backslash()
    assert MARK not in without_literals(text, careful)


@pytest.mark.parametrize("system", LITERALS)
@given(data=st.data())
def test_glued_to_names_too(system, data):
    text = data.draw(st.lists(st.one_of(COPIED, PLAIN), max_size=8).map("".join))
    if "\\" not in text and "#" not in text and "--" not in text and "/*" not in text:
        text = text.replace("$", "").replace("q'", "k'")
        assert MARK not in without_literals(text, DIALECTS[system])


@given(st.text("ab1 .,'()eE+-*/=<>;\n\t_", max_size=40))
@example("t.5 .5 a1 1a 1.e5")
def test_the_short_way_gives_what_the_long_one_gives(text):
    if not is_simple(text):
        return
    for system in (
        "postgresql",
        "mysql",
        "oracle.db",
        "microsoft.sql_server",
        "sqlite",
        "cassandra",
    ):
        careful = Careful(**{at.name: getattr(DIALECTS[system], at.name) for at in fields(Dialect)})
        assert without_literals(text, DIALECTS[system]) == without_literals(text, careful)


class Careful(Dialect):
    """A dialect that never takes the short way."""

    is_plain = False


@given(st.text(max_size=200))
def test_any_text_is_taken(text):
    for dialect in DIALECTS.values():
        assert len(without_literals(text, dialect)) <= 2 * len(text) + 1


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a IN (1, 2, 3)", "a IN (?)"),
        ("a IN ($1, $2, NULL)", "a IN (?)"),
        ("a in ('x','y'", "a in (?"),
        ("a = ANY(ARRAY[1,2,3])", "a = ANY(ARRAY[?])"),
        ("VALUES (1, 'a'), (2, 'b'), (3, 'c')", "VALUES (?)"),
        ("VALUES (1, now(), 2), (3, now(), 4) RETURNING id", "VALUES (?, now(), ?) RETURNING id"),
        ("VALUES (1, 2), (3, f(4", "VALUES (?)"),
        ("VALUES (1, f((2)), (3", "VALUES (?, f((?)), (?"),
        ("(a, b) IN ((1, 2), (3, 4))", "(a, b) IN ((?))"),
        ("f(1, 2)", "f(?, ?)"),
        ("LIMIT 10, 20", "LIMIT ?, ?"),
        ("a = VALUES(a), b = VALUES(b)", "a = VALUES(a), b = VALUES(b)"),
        ("SELECT 1 ; ", "SELECT ?"),
    ],
)
def test_lists_of_values_are_one(text, expected):
    assert without_literals(text, DIALECTS["postgresql"]) == expected


HOSTILE = [
    "'", '"', "`", "[", "[a", "(", "VALUES (", "VALUES (1),", "/*", "/* */", "--", "-- \n", "$a$", "$", "#", "E'a' ", "e'", "q'[",
    "1", "a", " ", "\\", "'\\", "''", "1e", "a.", "IN (1,", "IDENTIFIED BY ", "x@", "x@y.", "://", "://a@", "-----BEGIN ",
    "eyJ.", "password=", "4 ", "4", "{", "@", "\x00", "é",
]  # fmt: skip


@pytest.mark.parametrize("piece", HOSTILE)
def test_time_is_linear(piece):
    """Four times the text takes about four times the time, not sixteen."""
    for system in ("postgresql", "mysql", "oracle.db", "other_sql"):
        short, long = (timed(piece * (size // len(piece)), system) for size in (4096, 16384))
        assert long < 9 * short + 0.004, (system, short, long)


def timed(text: str, system: str) -> float:
    """Seconds of processor time, the least of three."""
    raw = text.encode()
    times = []
    for number in range(3):
        begun = time.thread_time()
        statement(raw + b" " * number, DIALECTS[system])
        times.append(time.thread_time() - begun)
    return min(times)
