"""Figures as people and programs read them."""

from __future__ import annotations

import json
from collections import Counter

from tests.accuracy.report import (
    as_json,
    figures,
    from_json,
    markdown,
    percent,
    reasons,
    rows,
    terminal,
)
from tests.accuracy.score import Cell, Score


def cell(
    shape: str, concurrency: int, work: Score, *, failed: int = 0, hops: Score | None = None
) -> Cell:
    return Cell("go", shape, concurrency, 10, failed, work, hops or Score(right=10))


REFUSED = Score(right=5, none=Counter({"refused:goroutine": 4}), unseen=1)
MISTAKEN = Score(right=9, wrong=Counter({"thread": 1}))


def test_percent_never_rounds_to_all_or_nothing() -> None:
    told = [percent(count, 10_000) for count in (0, 1, 10, 5000, 9999, 10_000)]
    assert told == ["0", "0.1", "0.1", "50.0", "99.9", "100"]
    assert percent(0, 0) == "-"


def test_what_was_not_seen_is_without_parent() -> None:
    assert figures(REFUSED) == "50.0 / 50.0 / 0"
    assert figures(MISTAKEN) == "90.0 / 0 / 10.0"


def test_reasons_add_up_and_what_is_wrong_stands_out() -> None:
    assert reasons([REFUSED, REFUSED, MISTAKEN]) == (
        "refused:goroutine 8, unseen 2, WRONG thread 1"
    )


def test_a_row_has_every_concurrency() -> None:
    cells = [cell("one", 1, Score(right=10)), cell("one", 64, MISTAKEN, failed=1)]
    assert rows(cells) == [
        ["go", "one", "100 / 0 / 0", "", "90.0 / 0 / 10.0", "WRONG thread 1, 1 requests failed"]
    ]


def test_hops_have_a_row_only_where_something_is_not_right() -> None:
    cells = [cell("one", 1, Score(right=10), hops=Score(right=9, unseen=1))]
    assert [row[1] for row in rows(cells)] == ["one", "one (hops)"]


def test_shapes_that_fared_alike_share_a_row_and_add_up() -> None:
    cells = [cell("one", 1, REFUSED), cell("fan", 1, MISTAKEN), cell("hops", 1, REFUSED)]
    assert [[row[1], row[-1]] for row in rows(cells)] == [
        ["one, hops", "refused:goroutine 8, unseen 2"],
        ["fan", "WRONG thread 1"],
    ]


def test_table_in_markdown() -> None:
    assert markdown([cell("one", 1, Score(right=10))]).splitlines() == [
        "| service | shape | at 1 | at 8 | at 64 | not right, by rule, in all three |",
        "|---|---|---|---|---|---|",
        "| go | one | 100 / 0 / 0 |  |  |  |",
    ]


def test_table_for_a_terminal_is_aligned() -> None:
    cells = [cell("one", 1, Score(right=10)), cell("sequence", 1, REFUSED)]
    heading, *lines = terminal(cells).splitlines()
    assert {line.index("/") for line in lines} == {
        heading.index("at 1") + 4,
        heading.index("at 1") + 5,
    }
    assert lines[1].endswith("refused:goroutine 4, unseen 1")


def test_cells_are_read_again_as_they_were_written() -> None:
    for each in (cell("one", 1, REFUSED, failed=2), cell("fan", 64, MISTAKEN)):
        assert from_json(json.loads(json.dumps(as_json(each)))) == each
