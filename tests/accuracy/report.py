"""Cells → JSON, and tables for people. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from tests.accuracy.cases import CONCURRENCIES
from tests.accuracy.score import Cell, Score

HEADINGS = (
    "service",
    "shape",
    *(f"at {n}" for n in CONCURRENCIES),
    "not right, by rule, in all three",
)

HOPS: Final = " (hops)"


def as_json(cell: Cell) -> dict[str, Any]:
    """Give all that is known of a cell, in counts."""
    return {
        "runtime": cell.runtime,
        "shape": cell.shape,
        "concurrency": cell.concurrency,
        "requests": cell.requests,
        "failed": cell.failed,
        "work": _score_as_json(cell.work),
        "hops": _score_as_json(cell.hops),
    }


def _score_as_json(score: Score) -> dict[str, Any]:
    return {
        "right": score.right,
        "none": dict(score.none),
        "wrong": dict(score.wrong),
        "unseen": score.unseen,
    }


def from_json(data: dict[str, Any]) -> Cell:
    """Read a cell again."""
    return Cell(**{**data, "work": _score(data["work"]), "hops": _score(data["hops"])})


def _score(data: dict[str, Any]) -> Score:
    none, wrong = Counter(data["none"]), Counter(data["wrong"])
    return Score(right=data["right"], none=none, wrong=wrong, unseen=data["unseen"])


def percent(count: int, total: int) -> str:
    """Round toward the unwelcome side: 100 is all, 0 is none, and one of many is not nothing."""
    if not total:
        return "-"
    share = 100 * count / total
    if share in (0, 100):
        return f"{share:.0f}"
    return f"{min(max(share, 0.1), 99.9):.1f}"


def figures(score: Score) -> str:
    """Right, without and wrong, in percent."""
    without = score.none.total() + score.unseen
    each = (score.right, without, score.wrong.total())
    return " / ".join(percent(count, score.total) for count in each)


def reasons(scores: Iterable[Score]) -> str:
    """Give why parents are missing or wrong, with counts."""
    none: Counter[str] = Counter()
    wrong: Counter[str] = Counter()
    unseen = 0
    for score in scores:
        none += score.none
        wrong += score.wrong
        unseen += score.unseen
    parts = [f"{rule} {count}" for rule, count in none.most_common()]
    parts += [f"unseen {unseen}"] if unseen else []
    parts += [f"WRONG {rule} {count}" for rule, count in wrong.most_common()]
    return ", ".join(parts)


def rows(cells: Sequence[Cell]) -> list[list[str]]:
    """Give a row per service and figures: shapes that fared alike share it.

    What is between services has rows only where not all of it is right.
    """
    groups: dict[tuple[str, str], dict[int, Cell]] = {}
    for cell in cells:
        groups.setdefault((cell.runtime, cell.shape), {})[cell.concurrency] = cell
    alike: dict[tuple[str, ...], _Row] = {}
    for (runtime, shape), group in groups.items():
        work = {n: cell.work for n, cell in group.items()}
        hops = {n: cell.hops for n, cell in group.items()}
        row = alike.setdefault((runtime, *_columns(work)), _Row())
        row.add(shape, work.values(), failed=sum(cell.failed for cell in group.values()))
        if any(score.right != score.total for score in hops.values()):
            alike.setdefault((runtime, *_columns(hops), HOPS), _Row(HOPS)).add(shape, hops.values())
    return [
        [runtime, row.shapes, *columns[: len(CONCURRENCIES)], row.reasons]
        for (runtime, *columns), row in alike.items()
    ]


@dataclass(slots=True)
class _Row:
    """Shapes of a service with the same figures."""

    suffix: str = ""
    names: list[str] = field(default_factory=list)
    scores: list[Score] = field(default_factory=list)
    failed: int = 0

    def add(self, shape: str, scores: Iterable[Score], *, failed: int = 0) -> None:
        """Let another shape share the row."""
        self.names.append(shape + self.suffix)
        self.scores += scores
        self.failed += failed

    @property
    def shapes(self) -> str:
        return ", ".join(self.names)

    @property
    def reasons(self) -> str:
        said = [reasons(self.scores)] if reasons(self.scores) else []
        return ", ".join(said + ([f"{self.failed} requests failed"] if self.failed else []))


def _columns(scores: dict[int, Score]) -> list[str]:
    return [figures(scores[n]) if n in scores else "" for n in CONCURRENCIES]


def markdown(cells: Sequence[Cell]) -> str:
    """Give a table in Markdown."""
    lines = [f"| {' | '.join(HEADINGS)} |", "|---" * len(HEADINGS) + "|"]
    lines += [f"| {' | '.join(row)} |" for row in rows(cells)]
    return "\n".join(lines) + "\n"


def terminal(cells: Sequence[Cell]) -> str:
    """Give a table in columns."""
    table = [list(HEADINGS), *rows(cells)]
    widths = [max(len(row[n]) for row in table) for n in range(len(HEADINGS))]
    lines = (
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in table
    )
    return "\n".join(lines) + "\n"
