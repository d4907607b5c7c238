"""The traffic of the bench is what the rows of its tables say."""

from __future__ import annotations

from collections import Counter

import pytest

from agent.kernel.layout import enum, structs
from bench.kinds import CONNECTIONS, by_connections, kinds
from bench.throughput import Row
from bench.traffic import passing, requests, short_connections
from tests.scenario import Run

HEADER = structs("events.h")["event_header"]
KIND = {number: name for name, number in enum("events.h", "event_kind").items()}


def kinds_of(records: list[bytes]) -> list[str]:
    return [KIND[HEADER.unpack(record)["kind"]].removeprefix("EVENT_") for record in records]


def test_a_short_connection_is_five_records() -> None:
    records = short_connections(3)
    one = ["OPEN", "DATA", "DATA", "DATA", "CLOSE"]
    assert kinds_of(records) == 3 * one
    run = Run().take(records).finish()
    assert len(run.lines) == 3
    assert run.ledger.as_json()["connections"] == {"opened": 3, "closed": 3}


@pytest.mark.parametrize("row", kinds(600), ids=lambda row: row.name)
def test_every_exchange_of_a_row_becomes_a_span(row: Row) -> None:
    assert (len(row.records) - row.unmeasured) == row.per_exchange * 600
    assert kinds_of(row.records[: row.unmeasured]) == ["OPEN"] * row.unmeasured
    run = Run().take(row.records).finish()
    assert run.counts == {"captured": 600, "spans": 600}


@pytest.mark.parametrize("opens", [10, 300])
def test_open_connections_have_had_an_exchange(opens: int) -> None:
    (row,) = by_connections(600, [opens])
    assert kinds_of(row.records) == ["OPEN"] * opens + ["DATA"] * 2 * (opens + 600)
    run = Run().take(row.records[: row.unmeasured])
    run.pipeline.settle(everything=True)
    assert run.counts == {"captured": opens, "spans": opens}
    assert run.ledger.as_json()["connections"] == {"opened": opens}


def test_repeated_heads_repeat_and_the_others_do_not() -> None:
    repeated, small, big, *_ = kinds(600)
    asked = [
        [record[HEADER.size :] for record in row.records[row.unmeasured :: 2]]
        for row in (repeated, small, big)
    ]
    heads = [{record.partition(b" HTTP/1.1")[2] for record in row} for row in asked]
    assert [len(found) for found in heads] == [CONNECTIONS, 600, 600]


def test_heads_are_as_large_as_is_said() -> None:
    sizes = sorted(map(len, requests(2000)))
    assert sizes[0] < 300
    assert 1000 < sizes[-1] < 3500


def test_passing_connections_are_given_one_by_one_and_come_to_an_end() -> None:
    lists = list(passing(150, per_connection=64, mix=100))
    assert [len(records) for records in lists] == [130, 130, 46]
    run = Run()
    for records in lists:
        run.take(records)
    run.finish()
    assert run.counts == {"captured": 150, "spans": 150}
    assert run.ledger.as_json()["connections"] == {"opened": 3, "closed": 3}
    sockets = Counter(kind for records in lists for kind in kinds_of(records))
    assert sockets == {"OPEN": 3, "DATA": 300, "CLOSE": 3}
