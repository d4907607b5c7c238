"""The store's file: its tables, its version, and how it is opened.

docs/store.md describes every column. A newer version is refused, an older one is not known yet; what is no store of
ours is never touched.

Settings of SQLite that the rest relies on: WAL, so that readers and the one writer do not wait for each other;
`synchronous=NORMAL`, so that a commit costs no fsync: a killed process loses nothing that was committed, a host that
loses power loses the last seconds, and neither damages the file (https://sqlite.org/wal.html, https://sqlite.org/pragma.html#pragma_synchronous).
"""

from __future__ import annotations

import os
import sqlite3
import urllib.parse
from contextlib import closing
from typing import TYPE_CHECKING, Final

from agent.errors import StoreError

if TYPE_CHECKING:
    from pathlib import Path

VERSION: Final = 1
"""PRAGMA user_version."""
APPLICATION_ID: Final = 0x7A65726F
"""PRAGMA application_id: "zero". It tells our files from other programs' databases."""
PAGE_BYTES: Final = 8192
"""Measured over 4096: ingest a quarter faster, scans a fifth."""
WAL_PAGES: Final = 1000
"""The log is brought into the file when it has this many pages: 8 MB."""
SLOTS: Final = 8
"""Columns v0 to v7 of `spans`; a span of ours has five values of its own."""
BUSY_S: Final = 5.0

TABLES: Final = f"""
CREATE TABLE resources (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    service TEXT NOT NULL,
    attributes TEXT NOT NULL
);
CREATE TABLE shapes (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL,
    kind INTEGER NOT NULL,
    status INTEGER NOT NULL,
    attributes TEXT NOT NULL,
    slots TEXT NOT NULL
);
CREATE TABLE traces (
    id INTEGER PRIMARY KEY,
    trace_id BLOB NOT NULL UNIQUE,
    start INTEGER NOT NULL,
    "end" INTEGER NOT NULL,
    spans INTEGER NOT NULL,
    errors INTEGER NOT NULL,
    root_shape INTEGER NOT NULL,
    root_resource INTEGER NOT NULL,
    is_kept INTEGER NOT NULL
);
CREATE INDEX ordinary_traces ON traces (id) WHERE NOT is_kept;
CREATE TABLE spans (
    trace INTEGER NOT NULL,
    span_id BLOB NOT NULL,
    shape INTEGER NOT NULL,
    resource INTEGER NOT NULL,
    duration INTEGER NOT NULL,
    start INTEGER NOT NULL,
    parent_id BLOB,
    {", ".join(f"v{number}" for number in range(SLOTS))},
    more TEXT,
    PRIMARY KEY (trace, span_id)
) WITHOUT ROWID;
CREATE TABLE runs (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    started INTEGER NOT NULL,
    ended INTEGER,
    taken INTEGER NOT NULL DEFAULT 0,
    finished INTEGER NOT NULL DEFAULT 0,
    lost INTEGER NOT NULL DEFAULT 0,
    evicted_traces INTEGER NOT NULL DEFAULT 0,
    evicted_spans INTEGER NOT NULL DEFAULT 0
);
"""


def names(path: Path) -> tuple[str, str]:
    """How a store's file is named by those who open it: to write, to read."""
    return str(path), _uri(path)


def connect_writer(path: Path) -> sqlite3.Connection:
    """Open the store for writing, make it if there is none. StoreError if that cannot be.

    The connection may be used by one thread at a time, whichever it is.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # SQLite gives its other files (-wal, -shm) the mode of this one.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    except OSError as error:
        raise StoreError(f"store {path}: {error.strerror}") from error
    connection = sqlite3.connect(
        path, timeout=BUSY_S, isolation_level=None, check_same_thread=False
    )
    try:
        _prepare(connection, path)
    except sqlite3.Error as error:
        connection.close()
        raise StoreError(f"store {path}: {_reason(error)}") from error
    except StoreError:
        connection.close()
        raise
    return connection


def connect_reader(path: Path) -> sqlite3.Connection:
    """Open a store for reading, beside its writer. StoreError if there is none or it cannot be read.

    The connection may be used by one thread at a time, whichever it is.
    """
    try:
        os.stat(path)
    except FileNotFoundError:
        raise StoreError(
            f"there is no store {path}; `zerospan run` keeps traces, --store says where"
        ) from None
    except OSError as error:
        raise StoreError(f"store {path}: {error.strerror}; try sudo") from error
    try:
        connection = sqlite3.connect(
            f"{_uri(path)}?mode=ro",
            uri=True,
            timeout=BUSY_S,
            isolation_level=None,
            check_same_thread=False,
        )
        try:
            # Nothing ever truncates the file, which is what makes mapping it safe.
            connection.execute("PRAGMA mmap_size = 1073741824")
            _check(connection, path)
        except BaseException:
            connection.close()
            raise
    except sqlite3.Error as error:
        raise StoreError(f"store {path}: {_reason(error)}") from error
    return connection


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    with closing(connection.execute("SELECT count(*) FROM sqlite_master")) as found:
        is_new = found.fetchone()[0] == 0
    if not is_new:
        _check(connection, path)
    else:
        connection.execute(f"PRAGMA page_size = {PAGE_BYTES}")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute(f"PRAGMA wal_autocheckpoint = {WAL_PAGES}")
    connection.execute(f"PRAGMA journal_size_limit = {WAL_PAGES * PAGE_BYTES}")
    # What is evicted is overwritten where that takes no extra writing.
    connection.execute("PRAGMA secure_delete = FAST")
    connection.execute("PRAGMA cache_size = -8192")
    if is_new:
        connection.executescript(
            f"BEGIN; {TABLES} PRAGMA application_id = {APPLICATION_ID};"
            f"PRAGMA user_version = {VERSION}; COMMIT;"
        )


def _check(connection: sqlite3.Connection, path: Path) -> None:
    (application_id,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if application_id != APPLICATION_ID:
        raise StoreError(f"{path} is no store of zerospan")
    if version != VERSION:
        raise StoreError(
            f"store {path} has schema version {version}, this zerospan knows {VERSION}: "
            "use the zerospan that wrote it, or another --store"
        )


def _reason(error: sqlite3.Error) -> str:
    if getattr(error, "sqlite_errorcode", 0) == sqlite3.SQLITE_CANTOPEN:
        return "it cannot be opened; it is its owner's alone, try sudo"
    return str(error)


def _uri(path: Path) -> str:
    return f"file:{urllib.parse.quote(str(path))}"
