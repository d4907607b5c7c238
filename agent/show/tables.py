"""Lists for people: headings and cells, every cell fit for a terminal."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from agent.export.text import printable
from agent.export.tree import duration
from agent.query.evaluate import value_of
from agent.spans.span import SpanKind, Status

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from agent.query.dependencies import Edge
    from agent.query.evaluate import Match
    from agent.query.red import Operation, Red
    from agent.query.syntax import Field
    from agent.store.reader import TraceSummary


@dataclass(frozen=True, slots=True)
class Table:
    """What is shown as a table; `right` are the columns that are aligned to the right."""

    headings: tuple[str, ...]
    rows: list[tuple[str, ...]]
    right: frozenset[str] = frozenset({"SPANS", "ERRORS", "RATE", "P50", "P90", "P99", "DURATION"})


def traces(summaries: Iterable[TraceSummary]) -> Table:
    """A list of traces."""
    return Table(
        ("TRACE", "START", "DURATION", "SPANS", "ERRORS", "SERVICE", "NAME"),
        [
            (
                one.trace_id,
                time(one.start_unix_ns),
                duration(one.duration_ns),
                str(one.spans),
                str(one.errors or ""),
                printable(one.root_service),
                printable(one.root_name),
            )
            for one in summaries
        ],
    )


def matches(found: Sequence[Match]) -> Table:
    """What a query found: a row per trace with the slowest of its spans; with `select`, a row per span."""
    numbers = tuple(printable(name) for name, _ in found[0].numbers) if found else ()
    fields = found[0].fields if found else ()
    headings = ("TRACE", "START", "SERVICE", "NAME", "DURATION", "SPANS", *numbers)
    rows = []
    for match in found:
        shown = match.spans if fields else (max(match.spans, key=lambda span: span.duration_ns),)
        for span in shown:
            cells = [
                match.trace.trace_id,
                time(span.start_unix_ns),
                printable(span.service),
                printable(span.name),
                duration(span.duration_ns),
                f"{len(match.spans)} of {len(match.trace.spans)}",
            ]
            cells += [_number(name, number) for name, number in match.numbers]
            cells += [_value(field, value_of(field, span, match.trace)) for field in fields]
            rows.append(tuple(cells))
    return Table((*headings, *(printable(str(field)) for field in fields)), rows)


def operations(found: Iterable[Operation]) -> Table:
    """RED per service and operation; a service's own row comes before its operations."""
    return Table(
        ("SERVICE", "OPERATION", "RATE", "ERRORS", "P50", "P90", "P99"),
        [
            (
                "" if one.name else printable(one.service),
                printable(one.name),
                *red(one.red),
            )
            for one in found
        ],
    )


def edges(found: Iterable[Edge]) -> Table:
    """RED per edge of the service map."""
    return Table(
        ("FROM", "TO", "RATE", "ERRORS", "P50", "P90", "P99"),
        [(printable(one.caller.name), printable(one.callee.name), *red(one.red)) for one in found],
    )


def red(numbers: Red) -> tuple[str, str, str, str, str]:
    """Rate, share of errors, quantiles."""
    share = f"{100 * numbers.error_share:.1f} %" if numbers.errors else ""
    return (
        f"{numbers.rate_per_s:.2f}/s",
        share,
        duration(numbers.p50_ns),
        duration(numbers.p90_ns),
        duration(numbers.p99_ns),
    )


def time(unix_ns: int) -> str:
    """In UTC, to the millisecond."""
    moment = datetime.fromtimestamp(unix_ns // 1_000_000_000, tz=UTC)
    return f"{moment:%Y-%m-%d %H:%M:%S}.{unix_ns // 1_000_000 % 1000:03d}"


def _number(name: str, number: int | float | None) -> str:
    if number is None:
        return "-"
    is_time = "duration" in name.lower() and not name.startswith("count")
    return duration(round(number)) if is_time else f"{number:g}"


def _value(field: Field, value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, Status | SpanKind):
        return value.name.lower()
    if field.name in ("duration", "traceDuration") and isinstance(value, int):
        return duration(value)
    return printable(", ".join(map(str, value)) if isinstance(value, tuple) else str(value))
