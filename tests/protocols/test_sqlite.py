"""What is said of a statement of SQLite."""

from __future__ import annotations

import sqlite3

import pytest

from agent.connections.connection import Connection
from agent.protocols import Description, Role
from agent.protocols.pairing import Exchange, Failure
from agent.protocols.sqlite import DONE, Outcome, Query, Sqlite, code_name, database_name
from tests.wire import Sample

SAMPLES: list[Sample] = []
"""It has no wire."""


class Process:
    """As much as a connection looks at."""

    routes = None


def described(
    text: bytes = b"SELECT name FROM users WHERE id = 7",
    outcome: Outcome | None = None,
    *,
    database: str = "",
    failure: Failure | None = None,
) -> Description:
    exchange = Exchange(Sqlite, Role.CLIENT, Query(text, database), 5)
    exchange.connection = Connection(0, 10, Process())
    exchange.response = outcome
    exchange.failure = failure
    return Sqlite.describe(exchange)


def facts(description: Description) -> dict[str, object]:
    return {key: value for block in description.attributes for key, value in block.items}


def test_a_statement():
    told = described(outcome=Outcome(3, DONE), database="/var/lib/app.db")
    assert (told.name, told.error_type) == ("SELECT users", None)
    assert facts(told) == {
        "db.system.name": "sqlite",
        "db.namespace": "/var/lib/app.db",
        "db.operation.name": "SELECT",
        "db.collection.name": "users",
        "db.query.summary": "SELECT users",
        "db.query.text": "SELECT name FROM users WHERE id = ?",
        "db.response.returned_rows": 3,
    }


def test_an_error_is_told_by_its_name():
    told = described(b"INSERT INTO t VALUES (1)", Outcome(0, 2067))
    assert (told.name, told.error_type) == ("INSERT t", "SQLITE_CONSTRAINT_UNIQUE")
    assert facts(told)["db.response.status_code"] == "SQLITE_CONSTRAINT_UNIQUE"
    assert "db.response.returned_rows" not in facts(told)


def test_a_text_that_could_not_be_read():
    told = described(b"", Outcome(0, DONE))
    assert told.name == "sqlite"
    assert facts(told)["zerospan.db.query.missing"] == "unreadable"


def test_a_statement_without_an_end():
    assert described(failure=Failure.PROCESS_EXIT).error_type == "process_exit"
    assert described(failure=Failure.AGENT_EXIT).error_type is None


NAMED = [
    (name, number)
    for name, number in vars(sqlite3).items()
    if name.startswith("SQLITE_") and isinstance(number, int)
]
CODES = [
    (name, number)
    for name, number in NAMED
    if number & 0xFF in range(1, 27)
    and code_name(number).split("_")[:2] == name.split("_")[:2]
    and not name.startswith(("SQLITE_LIMIT", "SQLITE_OK"))
]


@pytest.mark.parametrize(("name", "number"), CODES)
def test_codes_have_the_names_that_python_gives_them(name: str, number: int):
    assert name.startswith(code_name(number))


def test_python_knows_most_of_them():
    exact = [name for name, number in CODES if code_name(number) == name]
    assert len(exact) > 60
    assert "SQLITE_CONSTRAINT_FOREIGNKEY" in exact


@pytest.mark.parametrize(
    ("number", "name"),
    [(1, "SQLITE_ERROR"), (26, "SQLITE_NOTADB"), (0xFF13, "SQLITE_CONSTRAINT"), (77, "77")],
)
def test_codes_that_are_not_known(number: int, name: str):
    assert code_name(number) == name


@pytest.mark.parametrize(
    ("raw", "name"),
    [
        (b"app.db", "app.db"),
        (b":memory:", ":memory:"),
        (b"", ""),
        (b"file:app.db?mode=ro&key=hunter2", "file:app.db"),
        (b"file:app.db#part?key=hunter2", "file:app.db"),
        (b"a?b.db", "a?b.db"),
        (b"/home/x\n", "/home/x\ufffd"),
        (b"x" * 300, "x" * 255),
    ],
)
def test_names_of_databases(raw: bytes, name: str):
    assert database_name(raw) == name
