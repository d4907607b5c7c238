"""What is forgotten, and in which order."""

from __future__ import annotations

import os

import pytest

from agent.spans.span import Status
from agent.store import retention
from agent.store.reader import Listing, Reader
from agent.store.retention import Limits
from agent.store.writer import Writer
from tests.store.made import NOW_NS, span

HOUR_NS = 3600 * 10**9
LIMIT = 2 * 1024 * 1024


def fill(writer: Writer, first: int, count: int, **changes) -> None:
    """Traces of five spans; the number of a trace is its id, its time grows with it."""
    for begin in range(first, first + count, 100):
        writer.write(
            [
                span(
                    trace,
                    number,
                    start_unix_ns=NOW_NS + trace * 1000,
                    attributes={"path": f"/{trace}/{number}" + "x" * 60},
                    **changes,
                )
                for trace in range(begin, min(begin + 100, first + count))
                for number in range(1, 6)
            ]
        )
        writer.sweep()


def kept(path) -> list[int]:
    with Reader(path) as reader:
        return sorted(int(one.trace_id, 16) for one in reader.summaries(Listing(limit=1_000_000)))


def test_the_oldest_traces_go_and_the_file_stays_within_its_size(tmp_path):
    path = tmp_path / "traces.db"
    writer = Writer(path, Limits(size_bytes=LIMIT), clock=lambda: NOW_NS)
    fill(writer, 1, 5000)
    left = kept(path)
    assert 100 < len(left) < 4900
    assert left == list(range(5001 - len(left), 5001))
    run = writer_run(path)
    assert (run.evicted_traces, run.evicted_spans) == (5000 - len(left), 5 * (5000 - len(left)))
    writer.close()
    assert os.path.getsize(path) <= LIMIT


def writer_run(path):
    with Reader(path) as reader:
        return reader.runs()[0]


@pytest.mark.parametrize(
    "changes", [{"status": Status.ERROR}, {"duration_ns": 1_000_000_000}], ids=["error", "slow"]
)
def test_errors_and_slow_traces_go_last(tmp_path, changes):
    path = tmp_path / "traces.db"
    writer = Writer(path, Limits(size_bytes=LIMIT), clock=lambda: NOW_NS)
    fill(writer, 1, 100, **changes)
    fill(writer, 101, 4000)
    left = kept(path)
    assert left[:100] == list(range(1, 101))
    assert left[100] > 200
    writer.close()


def test_where_everything_fails_new_traces_are_seen_all_the_same(tmp_path):
    path = tmp_path / "traces.db"
    writer = Writer(path, Limits(size_bytes=LIMIT), clock=lambda: NOW_NS)
    fill(writer, 1, 3000, status=Status.ERROR)
    fill(writer, 3001, 300)
    fill(writer, 3301, 1500, status=Status.ERROR)
    left = kept(path)
    assert left[-1] == 4800
    ordinary = [trace for trace in left if 3001 <= trace <= 3300]
    assert ordinary == list(range(3301 - len(ordinary), 3301))
    assert len(ordinary) > 200
    assert left[0] > 1000
    writer.close()


def test_what_is_too_old_goes_whatever_it_is(tmp_path):
    path = tmp_path / "traces.db"
    now = NOW_NS
    writer = Writer(path, Limits(age_ns=HOUR_NS), clock=lambda: now)
    fill(writer, 1, 10, status=Status.ERROR)
    fill(writer, 11, 10)
    now += HOUR_NS // 2
    writer.write([span(100, 1, start_unix_ns=now)])
    now += HOUR_NS
    writer.sweep()
    assert kept(path) == [100]
    writer.close()


def test_a_span_that_comes_late_begins_its_trace_anew(tmp_path):
    path = tmp_path / "traces.db"
    now = NOW_NS
    writer = Writer(path, Limits(age_ns=HOUR_NS), clock=lambda: now)
    writer.write([span(1, 1)])
    now += 2 * HOUR_NS
    writer.sweep()
    writer.write([span(1, 2, 1, start_unix_ns=now)])
    with Reader(path) as reader:
        (listed,) = reader.summaries(Listing())
        assert (listed.spans, listed.start_unix_ns) == (1, now)
    writer.close()


def test_shapes_and_processes_that_nobody_uses_go_too(tmp_path, monkeypatch):
    monkeypatch.setattr(retention, "FREE_SHAPES_AFTER", 100)
    path = tmp_path / "traces.db"
    now = NOW_NS
    writer = Writer(path, Limits(age_ns=HOUR_NS), clock=lambda: now)
    with Reader(path) as reader:
        for number in range(1, 200):
            writer.write([span(number, 1, name=f"old {number}")])
        with reader.view():
            assert len(reader.shapes) == 199
        now += 2 * HOUR_NS
        writer.write([span(1000, 1, name="new", start_unix_ns=now)])
        writer.sweep()
        assert [name for (name,) in reader.connection.execute("SELECT name FROM shapes")] == ["new"]
        # What was known before its row was deleted is written again.
        writer.write([span(1001, 1, name="old 1", start_unix_ns=now)])
        found = reader.trace(f"{1001:032x}")
        assert found is not None
        assert found.root.name == "old 1"
    writer.close()
