"""The file: whose it is, which version, and who may read it."""

from __future__ import annotations

import re
import sqlite3
import stat
from contextlib import closing
from pathlib import Path

import pytest

from agent.errors import StoreError
from agent.store.schema import VERSION, connect_reader, connect_writer

DOCUMENT = Path(__file__).parent.parent.parent / "docs/store.md"


def test_a_new_store_is_its_owners_alone(tmp_path):
    path = tmp_path / "var" / "zerospan" / "traces.db"
    with closing(connect_writer(path)) as writer, closing(connect_reader(path)):
        writer.execute("INSERT INTO runs (started) VALUES (1)")
        modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
    assert modes == {"traces.db": 0o600, "traces.db-wal": 0o600, "traces.db-shm": 0o600}
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_a_newer_schema_is_refused(tmp_path):
    path = tmp_path / "traces.db"
    with closing(connect_writer(path)) as writer:
        writer.execute(f"PRAGMA user_version = {VERSION + 1}")
    for connect in (connect_writer, connect_reader):
        with pytest.raises(StoreError, match=f"has schema version {VERSION + 1}, this zerospan"):
            connect(path)


@pytest.mark.parametrize("content", [b"no database" * 500, None])
def test_what_is_no_store_of_ours_is_refused_and_left_alone(tmp_path, content):
    path = tmp_path / "other.db"
    if content is None:
        with closing(sqlite3.connect(path)) as other:
            other.execute("CREATE TABLE theirs (x)")
    else:
        path.write_bytes(content)
    before = path.read_bytes()
    for connect in (connect_writer, connect_reader):
        with pytest.raises(StoreError, match=r"other\.db"):
            connect(path)
    assert path.read_bytes() == before


def test_a_store_that_is_not_there(tmp_path):
    with pytest.raises(StoreError, match="there is no store"):
        connect_reader(tmp_path / "none.db")
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match=r"Not a directory|File exists"):
        connect_writer(tmp_path / "file" / "traces.db")


def test_an_empty_file_becomes_a_store(tmp_path):
    path = tmp_path / "traces.db"
    path.touch()
    connect_writer(path).close()
    connect_reader(path).close()


def test_every_table_and_column_is_documented(tmp_path):
    sections = re.split(r"^### `(\w+)`$", DOCUMENT.read_text(), flags=re.MULTILINE)
    documented = {
        name: re.findall(r"^\| `(\w+)`", text, re.MULTILINE)
        for name, text in zip(sections[1::2], sections[2::2], strict=True)
    }
    with closing(connect_writer(tmp_path / "traces.db")) as store:
        tables = [
            name
            for (name,) in store.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
            if not name.startswith("sqlite_")
        ]
        columns = {
            table: [row[1] for row in store.execute(f"PRAGMA table_info({table})")]
            for table in tables
        }
    slots = [f"v{number}" for number in range(1, 8)]
    columns["spans"] = [name for name in columns["spans"] if name not in slots]
    assert documented == columns
