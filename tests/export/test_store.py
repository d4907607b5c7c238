"""The store as a destination: through the queue, and when the disk or a reader stands in the way."""

from __future__ import annotations

import json
import logging
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from agent.counters import Delivery
from agent.errors import ConfigError, ExportError
from agent.export.batch import Exports
from agent.export.exporter import Outcome
from agent.export.settings import Store
from agent.export.store import StoreExporter
from agent.store import writer as writer_module
from agent.store.reader import Listing, Reader
from tests.store.made import span

CHECKOUT = Path(__file__).resolve().parents[2]


def recent(trace: int, number: int):
    return span(trace, number, start_unix_ns=time.time_ns())


def test_spans_arrive_by_way_of_the_queue(tmp_path):
    setting = Store(tmp_path / "traces.db")
    deliveries: dict[str, Delivery] = {}
    exports = Exports([StoreExporter(setting)], deliveries=deliveries)
    for number in range(1, 1000):
        exports.emit(recent(number // 10, number))
    exports.close(30)
    delivery = deliveries[f"store:{tmp_path}/traces.db"]
    assert (delivery.emitted, delivery.exported, delivery.pending) == (999, 999, 0)
    with Reader(setting.path) as reader:
        assert sum(one.spans for one in reader.summaries(Listing(limit=200))) == 999
        assert reader.runs()[0].ended_unix_ns is not None


def test_a_store_that_cannot_be_used_is_a_wrong_setting(tmp_path):
    (tmp_path / "traces.db").write_text("x" * 5000)
    with pytest.raises(ConfigError, match=r"traces\.db"):
        StoreExporter(Store(tmp_path / "traces.db"))


def test_spans_that_were_lost_by_a_kill_are_told(tmp_path, caplog):
    setting = Store(tmp_path / "traces.db")
    StoreExporter(setting).close()
    with sqlite3.connect(setting.path) as store:
        store.execute("UPDATE runs SET ended = NULL, taken = 40")
    store.close()
    with caplog.at_level(logging.WARNING):
        StoreExporter(setting).close()
    assert "40 spans of its last batch are lost" in caplog.text


def failing(tmp_path: Path, **pragmas: int) -> tuple[StoreExporter, ExportError]:
    exporter = StoreExporter(Store(tmp_path / "traces.db"))
    connection = exporter._writer._connection
    for name, value in pragmas.items():
        connection.execute(f"PRAGMA {name} = {value}")
    batch = exporter.prepare([recent(1, n) for n in range(1, 3000)])
    with pytest.raises(ExportError) as caught:
        exporter.send(batch, timeout_s=1)
    return exporter, caught.value


def test_a_full_disk_is_tried_again(tmp_path):
    exporter, error = failing(tmp_path, max_page_count=1)
    assert (error.cause, error.retry) == ("disk_full", True)
    exporter._writer._connection.execute("PRAGMA max_page_count = 100000")
    batch = exporter.prepare([recent(1, 1)])
    assert exporter.send(batch, timeout_s=1) == Outcome(exported=1)
    exporter.close()


def test_a_store_that_may_not_be_written_is_given_up(tmp_path):
    exporter, error = failing(tmp_path, query_only=1)
    assert (error.cause, error.retry) == ("write_failed", False)
    exporter._writer._connection.execute("PRAGMA query_only = 0")
    exporter.close()


def test_a_store_that_somebody_else_holds_is_tried_again(tmp_path, monkeypatch):
    exporter = StoreExporter(Store(tmp_path / "traces.db"))
    exporter._writer._connection.execute("PRAGMA busy_timeout = 1")
    other = sqlite3.connect(tmp_path / "traces.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    batch = exporter.prepare([recent(1, 1)])
    with pytest.raises(ExportError) as caught:
        exporter.send(batch, timeout_s=1)
    assert (caught.value.cause, caught.value.retry) == ("store_busy", True)
    other.execute("ROLLBACK")
    other.close()
    assert exporter.send(batch, timeout_s=1) == Outcome(exported=1)
    monkeypatch.setattr(writer_module, "MAX_LOG_BYTES", -1)
    with pytest.raises(ExportError) as caught:
        exporter.send(batch, timeout_s=1)
    assert (caught.value.cause, caught.value.retry) == ("store_busy", True)
    exporter.close()


def test_spans_beyond_a_traces_bound_are_dropped_and_counted(tmp_path, monkeypatch):
    monkeypatch.setattr(writer_module, "MAX_TRACE_SPANS", 2)
    exporter = StoreExporter(Store(tmp_path / "traces.db"))
    exporter.send(exporter.prepare([recent(1, 1), recent(1, 2)]), timeout_s=1)
    outcome = exporter.send(exporter.prepare([recent(1, 3), recent(2, 1)]), timeout_s=1)
    assert (outcome.exported, outcome.dropped, outcome.cause) == (1, 1, "trace_full")
    assert exporter.poll() == Outcome()
    exporter.close()


FILLS = """
import json, resource, sys, time
from pathlib import Path
from agent.counters import Ledger
from agent.export.batch import Exports
from agent.export.retry import Retry
from agent.export.settings import Store
from agent.export.store import StoreExporter
from tests.store.made import span

ledger = Ledger()
exporter = StoreExporter(Store(Path(sys.argv[1])))
exports = Exports([exporter], deliveries=ledger.exporters, retry=Retry(first_s=0.01, longest_s=0.01, total_s=0.05))
(delivery,) = ledger.exporters.values()

def emit(first):
    for number in range(first, first + 3000):
        ledger.captured += 1
        ledger.built += 1
        ledger.emitted += 1
        exports.emit(span(number // 10, number, start_unix_ns=time.time_ns(), attributes={"path": str(number) * 9}))
    exports.flush()
    while delivery.pending:
        time.sleep(0.01)

emit(1)
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, resource.RLIM_INFINITY))
emit(5001)
dropped = delivery.dropped.total()
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
emit(10001)
exports.close(30)
print(json.dumps({"ledger": ledger.as_json(), "dropped": dropped}))
"""


def test_a_disk_that_is_full_for_a_while(tmp_path):
    """By the limit on a file's size, which SQLite meets as a write that fails."""
    path = tmp_path / "traces.db"
    done = subprocess.run(
        [sys.executable, "-c", FILLS, str(path)], cwd=CHECKOUT, capture_output=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    found = told["ledger"]["exporters"][f"store:{path}"]
    assert told["ledger"]["balanced"]
    assert found["emitted"] == 9000
    assert found["dropped"] == {"disk_full": told["dropped"]}
    assert 2000 < told["dropped"] <= 3000
    with Reader(path) as reader:
        assert reader.connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        stored = reader.connection.execute("SELECT count(*) FROM spans").fetchone()
        assert stored == (found["exported"],)
        assert reader.runs()[0].ended_unix_ns is not None
