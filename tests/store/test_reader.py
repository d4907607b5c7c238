"""What a store says, and what it says when there is nothing."""

from __future__ import annotations

import pytest

from agent.errors import StoreError
from agent.spans.span import Status
from agent.store.reader import Listing, Order, Reader, TraceSummary
from agent.store.writer import Writer
from tests.store.made import BACK, MS, NOW_NS, span


@pytest.fixture
def reader(tmp_path):
    path = tmp_path / "traces.db"
    writer = Writer(path, clock=lambda: NOW_NS)
    writer.write(
        [
            span(0xABCD << 112, 1, name="GET /a", duration_ns=50 * MS),
            span(0xABCD << 112, 2, 1, resource=BACK, status=Status.ERROR),
            span(0xABCE << 112, 30, name="GET /b", duration_ns=80 * MS),
            span(0xFF, 60, name="POST /b", duration_ns=2 * MS),
        ]
    )
    with Reader(path) as opened:
        yield opened
    writer.close()


def names(listed: list[TraceSummary]) -> list[str]:
    return [one.root_name for one in listed]


def test_a_row_of_the_list(reader):
    assert reader.summaries(Listing(only_errors=True)) == [
        TraceSummary("abcd" + "0" * 28, NOW_NS + MS, 50 * MS, 2, 1, "GET /a", "front")
    ]


def test_lists(reader):
    assert names(reader.summaries(Listing())) == ["POST /b", "GET /b", "GET /a"]
    assert names(reader.summaries(Listing(order=Order.SLOWEST, limit=2))) == ["GET /b", "GET /a"]
    assert names(reader.summaries(Listing(min_duration_ns=80 * MS))) == ["GET /b"]
    assert names(reader.summaries(Listing(since_unix_ns=NOW_NS + 30 * MS))) == [
        "POST /b",
        "GET /b",
    ]
    assert names(reader.summaries(Listing(service="back"))) == ["GET /a"]
    assert names(reader.summaries(Listing(service="none"))) == []
    assert names(reader.summaries(Listing(name="GET"))) == ["GET /b", "GET /a"]


def test_a_trace_is_found_by_the_beginning_of_its_id(reader):
    assert reader.find("ABCD") == ["abcd" + "0" * 28]
    assert len(reader.find("0000")) == 1
    for wrong in ("abc", "", "zzzz", "abcd" * 9, "abcf"):
        assert reader.find(wrong) == []
    assert reader.trace("0" * 32) is None


def test_one_view_is_of_one_moment(tmp_path):
    writer = Writer(tmp_path / "t.db", clock=lambda: NOW_NS)
    with Reader(tmp_path / "t.db") as reader:
        with reader.view():
            writer.write([span(1, 1)])
            assert reader.summaries(Listing()) == []
            assert reader.first_since(0) == 2**63 - 1
        assert len(reader.summaries(Listing())) == 1
        assert reader.first_since(0) == 1
    writer.close()


def test_a_store_that_breaks_is_one_sentence(tmp_path):
    writer = Writer(tmp_path / "t.db", clock=lambda: NOW_NS)
    writer.write([span(1, 1)])
    with Reader(tmp_path / "t.db") as reader:
        writer._connection.execute("DROP TABLE spans")
        with pytest.raises(StoreError, match="no such table: spans"):
            reader.trace(f"{1:032x}")
        assert not reader.connection.in_transaction
    writer.close()
