"""Rates count spans that were encoded, and slices hold whole exchanges."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from agent.export.otlp import encode
from agent.spans.span import Span
from bench.__main__ import SDK, rows, table
from bench.throughput import Fed, Rate, Row, rates, slices
from bench.traffic import records


def test_slices_hold_whole_exchanges_and_as_many_each() -> None:
    row = Row("", [b""] * (5 + 7 * 10), per_exchange=7, unmeasured=5)
    assert slices(row, 3) == [(5, 26), (26, 47), (47, 68)]


def test_fewer_exchanges_than_rounds_are_refused() -> None:
    with pytest.raises(ValueError, match="fewer exchanges"):
        slices(Row("few", [b""] * 4), 3)


def test_what_was_encoded_is_what_was_fed() -> None:
    batches: list[bytes] = []

    def kept(spans: Sequence[Span]) -> bytes:
        batches.append(encode(spans))
        return batches[-1]

    run = Fed(records(700, connections=10), kept)
    run.go(0, 10)
    assert run.spans == 0
    assert run.go(10, 10 + 1400) > 0
    assert run.spans == 700
    decoded = [
        span
        for batch in batches
        for resource in ExportTraceServiceRequest.FromString(batch).resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    ]
    assert len(decoded) == 700
    assert run.bytes == sum(map(len, batches))


def test_all_rows_are_measured_and_each_stands_beside_the_stock_way() -> None:
    chosen = rows(300, [10, 50])
    found = rates(chosen, rounds=2)
    assert list(found) == [row.name for row in chosen]
    assert all(rate.best >= rate.median > 0 for rate in found.values())
    lines = table(found)
    assert len(lines) == 1 + len(chosen)
    (stock,) = (line for line in lines if line.endswith(SDK))
    assert "    1.0  " in stock


def test_table() -> None:
    told = {"ours": Rate(best=50_000.0, median=40_000.0), SDK: Rate(best=10_000.0, median=9_000.0)}
    assert table(told)[1].split() == ["50,000", "40,000", "20.0", "5.0", "ours"]
