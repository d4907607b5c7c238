"""Cells as people read them."""

from __future__ import annotations

from agent.query.evaluate import Match, evaluate
from agent.query.parser import parse
from agent.query.red import Operation
from agent.show import tables
from agent.store.reader import TraceSummary
from tests.show.made import EVIL, EVIL_EDGE, EVIL_TRACE, RED, TRACE
from tests.store.made import MS, NOW_NS


def found(text: str, trace=TRACE) -> list[Match]:
    match = evaluate(parse(text), trace)
    assert match is not None
    return [match]


def test_traces():
    summary = TraceSummary("ab" * 16, NOW_NS + 7 * MS, 30_000 * MS, 12, 0, "GET /", "front")
    assert tables.traces([summary]).rows == [
        ("ab" * 16, "2025-11-03 12:00:00.007", "30.00 s", "12", "", "front", "GET /")
    ]


def test_matches_show_the_slowest_span_and_the_numbers():
    table = tables.matches(found("{ duration > 1ms } | count() > 1 | avg(duration) | max(.x)"))
    assert table.headings[6:] == ("count()", "avg(duration)", "max(.x)")
    assert table.rows == [
        (f"{1:032x}", "2025-11-03 12:00:00.000", "front", "GET /", "100.0 ms", "3 of 4", "3", "60.0 ms", "-")
    ]  # fmt: skip


def test_selected_fields_have_a_row_per_span():
    table = tables.matches(
        found("{ duration > 40ms } | select(status, kind, duration, .http.response.status_code)")
    )
    assert table.headings[6:] == ("status", "kind", "duration", ".http.response.status_code")
    assert [row[6:] for row in table.rows] == [
        ("unset", "server", "100.0 ms", "-"),
        ("unset", "client", "50.0 ms", "-"),
    ]
    assert tables.matches([]).rows == []


def test_red():
    rows = tables.operations([Operation("front", "", RED), Operation("front", "GET /", RED)]).rows
    numbers = ("0.50/s", "10.0 %", "2.0 ms", "90.0 ms", "2.00 s")
    assert rows == [("front", "", *numbers), ("", "GET /", *numbers)]


def test_no_cell_can_act_on_a_terminal():
    summary = TraceSummary("ab" * 16, NOW_NS, 1, 1, 1, EVIL, EVIL)
    shown = [
        tables.traces([summary]),
        tables.matches(found('{ } | select(name, .error.type, span."a b")', EVIL_TRACE)),
        tables.operations([Operation(EVIL, EVIL, RED), Operation(EVIL, "", RED)]),
        tables.edges([EVIL_EDGE]),
    ]
    for table in shown:
        assert all(cell.isprintable() for row in [*table.rows, table.headings] for cell in row)
        assert {len(row) for row in table.rows} == {len(table.headings)}
