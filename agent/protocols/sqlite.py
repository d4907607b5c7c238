"""SQLite: statements that a process executes in itself, by calls of a library. No bytes of it pass on any socket.

https://sqlite.org/c3ref/intro.html

The kernel side tells of calls (probes/sqlite.c), connections/statements.py makes exchanges of them; here is what one says. A
statement runs from its first `sqlite3_step` to the one that gives no row, or to where it is reset or finalized.

`db.namespace` is the file's name as the program gave it, without the parameters of a URI, among which may be a key. Result
codes are told by their names, extended ones where the program asks for those: https://sqlite.org/rescode.html
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from agent.errors import ProtocolError
from agent.protocols import About, Description, Protocol, Verdict, Wire, register
from agent.protocols.db_semantics import block, describe, operation, sql_operation
from agent.redaction import mask
from agent.redaction import text as readable
from agent.spans import semconv
from agent.sql import DIALECTS

if TYPE_CHECKING:
    from agent.protocols.pairing import Exchange
    from agent.spans.span import Attributes
    from agent.stream import Stream

SYSTEM: Final = "sqlite"
UNREADABLE: Final = "unreadable"
"""The text of a statement could not be read."""
MAX_NAME: Final = 255

OK, ROW, DONE = 0, 100, 101
_FINE: Final = frozenset((OK, ROW, DONE))

# The numbers of sqlite3.h, in its order from 1 on.
_PRIMARY: Final = (
    *("ERROR", "INTERNAL", "PERM", "ABORT", "BUSY", "LOCKED", "NOMEM", "READONLY", "INTERRUPT"),
    *("IOERR", "CORRUPT", "NOTFOUND", "FULL", "CANTOPEN", "PROTOCOL", "EMPTY", "SCHEMA"),
    *("TOOBIG", "CONSTRAINT", "MISMATCH", "MISUSE", "NOLFS", "AUTH", "FORMAT", "RANGE", "NOTADB"),
)
# Extended codes: the second byte, from 1 on. Those that programs meet; others are told by the code they extend.
_EXTENDED: Final = {
    "ERROR": ("MISSING_COLLSEQ", "RETRY", "SNAPSHOT"),
    "ABORT": ("", "ROLLBACK"),
    "BUSY": ("RECOVERY", "SNAPSHOT", "TIMEOUT"),
    "LOCKED": ("SHAREDCACHE", "VTAB"),
    "READONLY": ("RECOVERY", "CANTLOCK", "ROLLBACK", "DBMOVED", "CANTINIT", "DIRECTORY"),
    "IOERR": (
        *("READ", "SHORT_READ", "WRITE", "FSYNC", "DIR_FSYNC", "TRUNCATE", "FSTAT", "UNLOCK"),
        *("RDLOCK", "DELETE", "BLOCKED", "NOMEM", "ACCESS", "CHECKRESERVEDLOCK", "LOCK", "CLOSE"),
    ),
    "CORRUPT": ("VTAB", "SEQUENCE", "INDEX"),
    "CANTOPEN": ("NOTEMPDIR", "ISDIR", "FULLPATH", "CONVPATH", "DIRTYWAL", "SYMLINK"),
    "CONSTRAINT": (
        *("CHECK", "COMMITHOOK", "FOREIGNKEY", "FUNCTION", "NOTNULL", "PRIMARYKEY", "TRIGGER"),
        *("UNIQUE", "VTAB", "ROWID", "PINNED", "DATATYPE"),
    ),
    "AUTH": ("USER",),
}


@dataclass(frozen=True, slots=True)
class Query:
    """A statement."""

    text: bytes
    """Without its trace context."""
    database: str
    """The file's name as the program gave it; empty where that was not seen."""
    carrier: dict[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """How its execution ended."""

    rows: int
    result: int
    """The library's result code."""


@register
class Sqlite(Protocol):
    """What a statement says; there is nothing on a wire."""

    name = SYSTEM
    is_database = True
    about = About(
        title="SQLite",
        roles="client",
        captured="statements that a process executes by SQLite's library, without their values; those that cannot be prepared; rows returned, the result code's name, the database's file",
        omitted="values, rows, error messages; what the library executes within a call (virtual tables, the schema) or without a statement (backups, blobs); libraries without symbols, and those that were mapped late under an unusual name; files that were opened before zerospan came; processors but x86_64, kernels before 5.15",
        tested="SQLite 3.40 (Debian 12) with Python's sqlite3 in threads and the sqlite3 shell, in the kernel's sight (6.1 and 6.12)",
    )

    @classmethod
    def classify(cls, head: bytes) -> Verdict:
        """No connection speaks it."""
        del head
        return Verdict.NO

    def request(self, stream: Stream) -> Wire[object]:
        """There is none on a wire."""
        yield from stream.wait()
        raise ProtocolError("SQLite has no wire")

    response = request

    @staticmethod
    def describe(exchange: Exchange) -> Description:
        """By the conventions for databases."""
        query: Query = exchange.request
        outcome: Outcome | None = exchange.response
        extra: tuple[Attributes, ...] = ()
        if query.text:
            asked = sql_operation(query.text, DIALECTS[SYSTEM], query.database)
        else:
            asked = operation(SYSTEM, namespace=query.database)
            extra = (block((semconv.DB_QUERY_MISSING, UNREADABLE)),)
        if outcome is None:
            return describe(exchange, asked, extra=extra)
        is_error = outcome.result not in _FINE
        return describe(
            exchange,
            asked,
            rows=None if is_error else outcome.rows,
            status_code=code_name(outcome.result) if is_error else "",
            is_error=is_error,
            extra=extra,
        )


def code_name(result: int) -> str:
    """`SQLITE_CONSTRAINT_UNIQUE`; of an extended code that is not known, the one that it extends; else the number."""
    number, further = result & 0xFF, result >> 8
    if not 1 <= number <= len(_PRIMARY):
        return str(result)
    name = _PRIMARY[number - 1]
    known = _EXTENDED.get(name, ())
    extension = known[further - 1] if 1 <= further <= len(known) else ""
    return f"SQLITE_{name}_{extension}" if extension else f"SQLITE_{name}"


def database_name(raw: bytes) -> str:
    """A file's name as it is told: of a URI without its parameters, and without what looks like a secret."""
    is_uri = raw.startswith(b"file:")
    named = raw.partition(b"?")[0].partition(b"#")[0] if is_uri else raw
    return mask(readable(named[:MAX_NAME]))
