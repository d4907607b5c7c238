"""A store for many threads, and the limit of time."""

from __future__ import annotations

import threading

import pytest

from agent.errors import StoreError
from agent.query.parser import parse
from agent.query.search import search
from agent.store.writer import Writer
from agent.web.readers import Readers, TooLong
from tests.store.made import span


def test_time_is_over_in_a_statement(store):
    with (
        pytest.raises(TooLong),
        Readers(store, 0.05).reader() as reader,
    ):
        reader.connection.execute(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n"
        ).fetchone()


def test_time_is_over_between_statements(store):
    with pytest.raises(TooLong), Readers(store, 0.0).reader() as reader:
        search(reader, parse("{}"))


def test_readers_take_turns(store):
    readers = Readers(store, 0.2)
    with readers.reader() as reader:
        caught = []

        def other() -> None:
            try:
                with readers.reader():
                    pass
            except TooLong as error:
                caught.append(error)

        thread = threading.Thread(target=other)
        thread.start()
        thread.join(30)
        assert len(caught) == 1
    with readers.reader() as again:
        assert again is reader


def test_a_store_that_was_replaced(tmp_path):
    path = tmp_path / "traces.db"
    readers = Readers(path)
    with pytest.raises(StoreError), readers.reader():
        pass
    for trace in (1, 2):
        writer = Writer(path)
        writer.write([span(trace, 1)])
        writer.close()
        with readers.reader() as reader:
            assert reader.trace(f"{trace:032x}") is not None
        for one in tmp_path.iterdir():
            one.unlink()
