"""Which traces figures are made of."""

from __future__ import annotations

import pytest

from agent.query import window as window_module
from agent.query.dependencies import dependencies
from agent.query.red import services
from agent.query.window import Window, window
from agent.store.reader import Reader
from agent.store.writer import Writer
from tests.store.made import MS, NOW_NS, span


@pytest.fixture
def reader(tmp_path):
    """Ten traces of three spans, a second apart."""
    writer = Writer(tmp_path / "t.db", clock=lambda: NOW_NS)
    for trace in range(1, 11):
        start = NOW_NS + trace * 1000 * MS
        writer.write([span(trace, number, start_unix_ns=start) for number in (1, 2, 3)])
    with Reader(tmp_path / "t.db") as reader:
        yield reader
    writer.close()


def test_all_and_since(reader):
    assert window(reader) == Window(1, 9.01, 30, 0)
    assert window(reader, since_unix_ns=NOW_NS + 9000 * MS) == Window(9, 1.01, 6, 0)
    assert window(reader, since_unix_ns=NOW_NS + 11000 * MS) == Window(2**63 - 1, 1.0, 0, 0)


@pytest.mark.parametrize(("most", "first", "spans"), [(30, 1, 30), (29, 2, 27), (3, 10, 3)])
def test_the_newest_count(reader, monkeypatch, most, first, spans):
    monkeypatch.setattr(window_module, "MAX_SPANS", most)
    found = window(reader)
    assert (found.first, found.spans, found.left_out) == (first, spans, 30 - spans)
    assert services(reader)[0].red.count == spans
    assert dependencies(reader)[0].red.count == spans
