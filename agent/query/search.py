"""Finds traces in a store: SQL says which may be meant, the newest first; `evaluate` decides.

Three ways, by what the query asks:

- one filter: SQL gives the traces that have such a span, and, where the condition is exact, checks the numbers too
- sets of spans joined: SQL gives the traces that have spans of both sides, and for each of their spans which filters
  it satisfies; the relation is decided on that skeleton, without reading a span whole
- then the traces found are read and evaluated, until there are as many as wanted
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Final

from agent.query.evaluate import COMPARE, Match, combine, evaluate
from agent.query.plan import Planner, Sql
from agent.query.syntax import (
    Aggregate,
    Filter,
    Function,
    Operator,
    Query,
    Select,
    filters_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from agent.store.reader import Reader

BATCH: Final = 16
"""Traces read at a time."""
MAX_UNIX_NS: Final = (1 << 63) - 1
_SQL_OPERATORS: Final[dict[Operator, str]] = {
    operator: "<>" if operator is Operator.NOT_EQUAL else operator.value
    for operator in Operator
    if operator not in (Operator.MATCHES, Operator.MATCHES_NOT)
}
_SQL_FUNCTIONS: Final = {
    Function.AVG: "avg",
    Function.MIN: "min",
    Function.MAX: "max",
    Function.SUM: "total",
}


def search(
    reader: Reader,
    query: Query,
    *,
    limit: int = 20,
    since_unix_ns: int = 0,
    until_unix_ns: int = MAX_UNIX_NS,
) -> list[Match]:
    """The newest traces that the query finds, of those that began at `since_unix_ns` or later and not after `until_unix_ns`."""
    found: list[Match] = []
    with reader.view():
        ids = _ids(reader, query, reader.first_since(since_unix_ns))
        while batch := list(itertools.islice(ids, BATCH)):
            for trace in reader.traces(batch):
                is_in_time = since_unix_ns <= trace.start_unix_ns <= until_unix_ns
                match = evaluate(query, trace) if is_in_time else None
                if match is not None:
                    found.append(match)
                if len(found) >= limit:
                    return found
    return found


def _ids(reader: Reader, query: Query, first: int) -> Iterator[int]:
    """Numbers of traces that may be meant, the newest first."""
    planner = Planner(reader.shapes, reader.resources)
    if isinstance(query.spanset, Filter):
        condition = planner.condition(query.spanset.condition)
        sql = _by_filter(planner, condition, query, first)
        _install(reader, planner)
        yield from (id_ for (id_,) in reader.connection.execute(sql.text, sql.parameters))
        return
    filters = filters_of(query.spanset)
    candidates = planner.candidates(query.spanset)
    conditions = [planner.condition(one.condition) for one in filters]
    _install(reader, planner)
    rows = reader.connection.execute(
        f"SELECT trace, span_id, parent_id, {', '.join(one.text for one in conditions)} FROM spans "
        f"WHERE trace >= ? AND trace IN ({candidates.text}) ORDER BY trace DESC",
        (
            *(parameter for one in conditions for parameter in one.parameters),
            first,
            *candidates.parameters,
        ),
    )
    is_exact = all(one.is_exact for one in conditions)
    for id_, spans in itertools.groupby(rows, key=lambda row: row[0]):
        sets: dict[Filter, set[bytes]] = {one: set() for one in filters}
        parents: dict[bytes, bytes | None] = {}
        rows_of_trace = 0
        for _, span_id, parent_id, *bits in spans:
            rows_of_trace += 1
            parents[span_id] = parent_id
            for one, bit in zip(filters, bits, strict=True):
                if bit:
                    sets[one].add(span_id)
        for span_id, parent_id in parents.items():
            if parent_id not in parents or parent_id == span_id:
                parents[span_id] = None
        # Where ids repeat or parents form a circle, only `Trace` says who is whose child.
        if rows_of_trace != len(parents) or _has_circle(parents):
            yield id_
            continue
        found = combine(query.spanset, sets, parents)
        if found and (not is_exact or _has_count(query, len(found))):
            yield id_


def _has_circle(parents: Mapping[bytes, bytes | None]) -> bool:
    """Whether somebody is among those above it."""
    settled: set[bytes] = set()
    for span_id in parents:
        path: set[bytes] = set()
        at: bytes | None = span_id
        while at is not None and at not in settled:
            if at in path:
                return True
            path.add(at)
            at = parents[at]
        settled |= path
    return False


def _by_filter(planner: Planner, condition: Sql, query: Query, first: int) -> Sql:
    having: list[str] = []
    parameters: list[str | int | float] = []
    for stage in query.stages if condition.is_exact else ():
        if isinstance(stage, Select) or stage.operator is None:
            continue
        number = Sql("*") if stage.field is None else planner.whole_number(stage.field)
        if number is not None:
            function = "count" if stage.field is None else _SQL_FUNCTIONS[stage.function]
            having.append(f"{function}({number.text}) {_SQL_OPERATORS[stage.operator]} ?")
            parameters.append(stage.literal)
    text = f"SELECT trace FROM spans WHERE trace >= ? AND {condition.text} GROUP BY trace"
    if having:
        text += f" HAVING {' AND '.join(having)}"
    return Sql(f"{text} ORDER BY trace DESC", (first, *condition.parameters, *parameters))


def _has_count(query: Query, count: int) -> bool:
    """Whether that many spans satisfy the stages that count them."""
    return all(
        COMPARE[stage.operator](count, stage.literal)
        for stage in query.stages
        if isinstance(stage, Aggregate) and stage.field is None and stage.operator is not None
    )


def _install(reader: Reader, planner: Planner) -> None:
    for name, function in planner.functions.items():
        reader.connection.create_function(name, 1, function, deterministic=True)
