"""Batches are whole or not there, whatever happens to the process or the disk."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.errors import StoreError
from agent.spans.span import Span
from agent.store import writer as writer_module
from agent.store.reader import Listing, Reader
from agent.store.writer import Busy, Writer
from tests.store.made import NOW_NS, any_spans, as_read, fields, span

CHECKOUT = Path(__file__).resolve().parent.parent.parent


def opened(path: Path) -> Writer:
    return Writer(path, clock=lambda: NOW_NS)


@settings(max_examples=40, deadline=None)
@given(st.lists(any_spans(), min_size=1, max_size=8))
def test_every_span_can_be_read_back(spans):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "traces.db"
        writer = opened(path)
        writer.write(spans)
        with Reader(path) as reader:
            first: dict[tuple[str, str], Span] = {}
            for one in spans:
                first.setdefault((one.trace_id.hex(), one.span_id.hex()), one)
            for (trace_id, span_id), one in first.items():
                trace = reader.trace(trace_id)
                assert trace is not None
                assert fields(trace.by_id[span_id]) == fields(as_read(one))
        writer.close()


def test_a_store_goes_on_where_it_was_left(tmp_path):
    path = tmp_path / "traces.db"
    for run in range(3):
        writer = opened(path)
        writer.write([span(1, 10 * run + n, 1 if run or n > 1 else None) for n in range(1, 6)])
        writer.close()
    with Reader(path) as reader:
        (listed,) = reader.summaries(Listing())
        assert (listed.spans, len(reader.shapes), len(reader.resources)) == (15, 1, 1)
        assert [(run.taken, run.finished, run.lost) for run in reader.runs()] == [(5, 5, 0)] * 3


def test_there_is_one_writer(tmp_path):
    path = tmp_path / "traces.db"
    writer = opened(path)
    with pytest.raises(StoreError, match="another zerospan is writing it"):
        opened(path)
    writer.close()
    opened(path).close()


def test_a_trace_without_end_is_cut_and_the_caller_told(tmp_path, monkeypatch):
    monkeypatch.setattr(writer_module, "MAX_TRACE_SPANS", 10)
    writer = opened(tmp_path / "traces.db")
    assert writer.write([span(1, number) for number in range(1, 9)]) == 0
    assert writer.write([span(1, number) for number in range(9, 15)] + [span(2, 1)]) == 4
    with Reader(tmp_path / "traces.db") as reader:
        assert {one.trace_id[-1]: one.spans for one in reader.summaries(Listing())} == {
            "1": 10,
            "2": 1,
        }
    writer.close()


def test_a_full_disk_costs_the_batch_and_nothing_else(tmp_path):
    path = tmp_path / "traces.db"
    writer = opened(path)
    writer.write([span(1, 1)])
    connection = writer._connection
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    connection.execute(f"PRAGMA max_page_count = {pages}")
    big = [span(2, n, name=f"new {n}", attributes={"k": "x" * 900}) for n in range(1, 400)]
    for _ in range(2):
        with pytest.raises(sqlite3.OperationalError, match="full"):
            writer.write(big)
    with Reader(path) as reader:
        assert [one.spans for one in reader.summaries(Listing())] == [1]
    connection.execute("PRAGMA max_page_count = 1000000")
    assert writer.write(big) == 0
    with Reader(path) as reader:
        assert sorted(one.spans for one in reader.summaries(Listing())) == [1, 399]
        trace = reader.trace(f"{2:032x}")
        assert trace is not None
        assert {one.name for one in trace.spans} == {one.name for one in big}
        (run,) = reader.runs()
        assert (run.taken, run.finished) == (400, 400)
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    writer.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a small file system")
def test_a_file_system_without_room(tmp_path):
    small = tmp_path / "small"
    small.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(small)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("may not mount")
    try:
        path = small / "traces.db"
        writer = opened(path)
        failed = stored = 0
        for trace in range(1, 60):
            spans = [span(trace, n, attributes={"k": f"{trace} {n}" * 60}) for n in range(1, 200)]
            try:
                writer.write(spans)
                stored += 1
            except sqlite3.Error:
                failed += 1
        assert failed > 10
        with Reader(path) as reader:
            assert [one.spans for one in reader.summaries(Listing(limit=100))] == [199] * stored
            assert reader.connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        writer.close()
    finally:
        subprocess.run(["umount", str(small)], check=True)


def write_without_end(writer: Writer) -> None:
    for trace in range(2, 500):
        writer.write([span(trace, n, attributes={"k": "x" * 500}) for n in range(100)])


def test_a_reader_that_holds_its_view_stops_the_log_from_growing(tmp_path, monkeypatch):
    monkeypatch.setattr(writer_module, "MAX_LOG_BYTES", 1024 * 1024)
    path = tmp_path / "traces.db"
    writer = opened(path)
    writer._connection.execute("PRAGMA busy_timeout = 1")
    writer.write([span(1, 1)])
    with Reader(path) as reader:
        with reader.view():
            with pytest.raises(Busy):
                write_without_end(writer)
            assert len(reader.summaries(Listing())) == 1
        assert (tmp_path / "traces.db-wal").stat().st_size < 2 * 1024 * 1024
        writer.write([span(1000, 1)])
        assert reader.summaries(Listing(limit=1))[0].trace_id == f"{1000:032x}"
    writer.close()


KILLED = """
import sys
from pathlib import Path
from agent.store.writer import Writer
from tests.store.made import NOW_NS, span

writer = Writer(Path(sys.argv[1]), clock=lambda: NOW_NS)
trace = 0
while True:
    trace += 1
    writer.write([span(trace, n, attributes={"path": f"/{trace}/{n}"}) for n in range(1, 101)])
    print(trace, flush=True)
"""


def killed_after(path: Path, batches: int) -> int:
    """Write until so many batches are done, and be killed anywhere after; how many were reported."""
    with subprocess.Popen(
        [sys.executable, "-c", KILLED, str(path)], cwd=CHECKOUT, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        done = 0
        while done < batches:
            done = int(child.stdout.readline())
        time.sleep(0.0002 * batches)
        child.send_signal(signal.SIGKILL)
        return int((child.stdout.read().split() or [str(done).encode()])[-1])


def test_kill_during_ingest_loses_at_most_the_batch_under_way_and_counts_it(tmp_path):
    for seen_before in (3, 17, 40):
        path = tmp_path / f"{seen_before}.db"
        done = killed_after(path, seen_before)
        writer = opened(path)
        with Reader(path) as reader:
            listed = reader.summaries(Listing(limit=10_000))
            assert {one.spans for one in listed} == {100}
            assert done <= len(listed) <= done + 1
            killed = reader.runs()[1]
            assert killed.finished == 100 * len(listed)
            assert killed.lost == killed.taken - killed.finished == writer.lost_before
            assert killed.lost in (0, 100)
            assert reader.connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert writer.write([span(10_000, 1)]) == 0
        writer.close()


def test_a_batch_that_a_kill_interrupted_is_counted(tmp_path):
    path = tmp_path / "traces.db"
    writer = opened(path)
    writer.write([span(1, 1)])
    # As kill -9 leaves it between the two transactions of a batch.
    writer._connection.execute("UPDATE runs SET taken = finished + 512")
    writer._connection.close()
    os.close(writer._lock)
    writer = opened(path)
    assert writer.lost_before == 512
    writer.close()
    writer = opened(path)
    assert writer.lost_before == 0
    writer.close()


def test_readers_and_the_writer_do_not_wait_for_each_other(tmp_path):
    path = tmp_path / "traces.db"
    writer = opened(path)
    writer._connection.execute("PRAGMA busy_timeout = 0")
    readers = [Reader(path) for _ in range(3)]
    for trace in range(1, 30):
        with readers[0].view():
            writer.write([span(trace, n) for n in range(1, 20)])
            assert len(readers[0].summaries(Listing(limit=100))) == trace - 1
            assert len(readers[1].summaries(Listing(limit=100))) == trace
    for reader in readers:
        reader.close()
    writer.close()
