"""Conditions as SQL over the store's tables (docs/store.md).

What depends on shapes or resources alone is decided here, by `evaluate.holds`, once for each of them; SQL only asks whether a
span's shape is one of those. What depends on a span's own values becomes a comparison of a column, for the shapes
that have the attribute in that column.

The SQL never misses a span for which the condition holds. Where it may also find others (a value beyond the columns, a
list, a status message) it is not exact, and says so.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from agent.query.evaluate import holds
from agent.query.syntax import (
    All,
    Comparison,
    Condition,
    Either,
    Field,
    Filter,
    Intrinsic,
    Operator,
    Relation,
    Scope,
    Spanset,
)
from agent.spans.span import SpanKind, Status
from agent.store.schema import SLOTS
from agent.store.values import Type

if TYPE_CHECKING:
    import re
    from collections.abc import Callable, Iterable, Mapping

    from agent.spans.span import Value
    from agent.store.reader import Process
    from agent.store.shapes import Shape

_SQL: Final = {
    Operator.EQUAL: "=",
    Operator.NOT_EQUAL: "IS NOT",  # a NULL is NaN, which differs from everything
    Operator.LESS: "<",
    Operator.AT_MOST: "<=",
    Operator.GREATER: ">",
    Operator.AT_LEAST: ">=",
}


@dataclass(frozen=True, slots=True)
class Sql:
    """A condition on a row of `spans`."""

    text: str
    parameters: tuple[str | int | float, ...] = ()
    is_exact: bool = True


DURATION: Final = Field(Scope.INTRINSIC, Intrinsic.DURATION.value)

_TRUE: Final = Sql("1")
_FALSE: Final = Sql("0")


@dataclass(slots=True)
class Planner:
    """Makes SQL for one state of a store."""

    shapes: Mapping[int, Shape]
    resources: Mapping[int, Process]
    functions: dict[str, Callable[[Any], Any]] = field(default_factory=dict)
    """What the SQL calls: functions of one argument that the connection must be given before."""

    def condition(self, condition: Condition | None) -> Sql:
        """The rows of `spans` for which it holds."""
        match condition:
            case None:
                return _TRUE
            case All(parts):
                return _join(" AND ", [self.condition(part) for part in parts], _TRUE, _FALSE)
            case Either(parts):
                return _join(" OR ", [self.condition(part) for part in parts], _FALSE, _TRUE)
            case Comparison():
                return self._comparison(condition)

    def candidates(self, spanset: Spanset) -> Sql:
        """A SELECT of the traces in which the spanset may find something."""
        if isinstance(spanset, Filter):
            found = self.condition(spanset.condition)
            return Sql(
                f"SELECT trace FROM spans WHERE {found.text}",
                found.parameters,
            )
        left, right = self.candidates(spanset.left), self.candidates(spanset.right)
        how = "UNION" if spanset.relation is Relation.OR else "INTERSECT"
        return Sql(
            f"SELECT trace FROM ({left.text}) {how} SELECT trace FROM ({right.text})",
            left.parameters + right.parameters,
        )

    def slot_value(self, key: str) -> Sql:
        """What a span has in a column under this key; NULL where the key is not in a column."""
        slots: dict[int, list[int]] = defaultdict(list)
        is_exact = True
        for id_, shape in self.shapes.items():
            place = _place(shape, key)
            if place is not None:
                is_exact = is_exact and place < SLOTS
                slots[place].append(id_)
        arms = [
            f"WHEN {_in('shape', ids, -1).text} THEN v{place}"
            for place, ids in slots.items()
            if place < SLOTS
        ]
        return Sql(f"CASE {' '.join(arms)} END" if arms else "NULL", is_exact=is_exact)

    def whole_number(self, of: Field) -> Sql | None:
        """A field's value as a number; None if SQL cannot give it, or not as exactly as Python would."""
        if of == DURATION:
            return Sql("duration")
        if of.scope is not Scope.SPAN and not (
            of.scope is Scope.ANY
            and not any(of.name in process.attributes for process in self.resources.values())
        ):
            return None
        constants: dict[int, int] = {}
        for id_, shape in self.shapes.items():
            place = _place(shape, of.name)
            kind = shape.slots[place].type if place is not None else None
            value = shape.attributes.get(of.name)
            if kind not in (None, Type.INTEGER) or isinstance(value, float):
                return None
            if type(value) is int:
                constants[id_] = value
        slots = self.slot_value(of.name)
        if not slots.is_exact:
            return None
        if not constants:
            return slots
        name = f"constant_{len(self.functions)}"
        self.functions[name] = constants.get
        return Sql(f"ifnull({slots.text}, {name}(shape))")

    def _comparison(self, comparison: Comparison) -> Sql:
        match comparison.field.scope:
            case Scope.INTRINSIC:
                return self._intrinsic(comparison)
            case Scope.SPAN:
                return self._attribute(comparison)
            case Scope.RESOURCE:
                return self._of_resource(comparison)
            case Scope.ANY:
                return self._anywhere(comparison)

    def _intrinsic(self, comparison: Comparison) -> Sql:
        intrinsic = Intrinsic(comparison.field.name)
        match intrinsic:
            case Intrinsic.NAME | Intrinsic.KIND | Intrinsic.STATUS:
                of = _OF_SHAPE[intrinsic]
                return self._shapes(lambda shape: holds(comparison, of(shape)))
            case Intrinsic.STATUS_MESSAGE:
                # Most spans have none, and then there is nothing in `more` either.
                return Sql("1" if holds(comparison, "") else "more IS NOT NULL", is_exact=False)
            case Intrinsic.DURATION:
                return Sql(f"duration {_SQL[comparison.operator]} ?", (_number(comparison),))
            case Intrinsic.TRACE_DURATION:
                return _of_trace(
                    f'"end" - start {_SQL[comparison.operator]} ?', _number(comparison)
                )
            case Intrinsic.ROOT_NAME:
                found = self._shapes(lambda shape: holds(comparison, shape.name))
                return _of_trace(found.text.replace("shape", "root_shape"))
            case Intrinsic.ROOT_SERVICE_NAME:
                found = self._resources(lambda process: holds(comparison, process.service))
                return _of_trace(found.text.replace("resource", "root_resource"))

    def _attribute(self, comparison: Comparison) -> Sql:
        key = comparison.field.name
        if comparison.literal is None:
            is_wanted = comparison.operator is not Operator.EQUAL
            return self._shapes(lambda shape: _has(shape, key) is is_wanted)
        decided: list[int] = []
        slots: dict[tuple[int, Type], list[int]] = defaultdict(list)
        for id_, shape in self.shapes.items():
            place = _place(shape, key)
            if place is not None:
                slots[place, shape.slots[place].type].append(id_)
            elif holds(comparison, shape.attributes.get(key)):
                decided.append(id_)
        parts = [_in("shape", decided, len(self.shapes))]
        for (place, kind), ids in slots.items():
            value = self._slot(comparison, place, kind)
            parts.append(
                _join(" AND ", [_in("shape", ids, len(self.shapes)), value], _TRUE, _FALSE)
            )
        return _join(" OR ", parts, _FALSE, _TRUE)

    def _slot(self, comparison: Comparison, place: int, kind: Type) -> Sql:
        """The comparison of a span's own value."""
        literal = comparison.literal
        if place >= SLOTS or kind is Type.LIST:
            return Sql("1", is_exact=False)
        if kind is not _SLOT_TYPES.get(type(literal)) and not (
            (kind is Type.FLOAT and type(literal) is int)
            or (kind is Type.INTEGER and type(literal) is float)
        ):
            return _FALSE
        if comparison.pattern is not None:
            name = f"matches_{len(self.functions)}"
            self.functions[name] = _matcher(comparison.pattern)
            return Sql(f"{name}(v{place}) = {int(comparison.operator is Operator.MATCHES)}")
        assert isinstance(literal, str | int | float)
        return Sql(f"v{place} {_SQL[comparison.operator]} ?", (literal,))

    def _of_resource(self, comparison: Comparison) -> Sql:
        key = comparison.field.name
        return self._resources(lambda process: holds(comparison, process.attributes.get(key)))

    def _anywhere(self, comparison: Comparison) -> Sql:
        key = comparison.field.name
        lacks = self._shapes(lambda shape: not _has(shape, key))
        elsewhere = _join(" AND ", [lacks, self._of_resource(comparison)], _TRUE, _FALSE)
        if comparison.literal is None and comparison.operator is Operator.EQUAL:
            return elsewhere
        return _join(" OR ", [self._attribute(comparison), elsewhere], _FALSE, _TRUE)

    def _shapes(self, is_wanted: Callable[[Shape], bool]) -> Sql:
        found = [id_ for id_, shape in self.shapes.items() if is_wanted(shape)]
        return _in("shape", found, len(self.shapes))

    def _resources(self, is_wanted: Callable[[Process], bool]) -> Sql:
        found = [id_ for id_, process in self.resources.items() if is_wanted(process)]
        return _in("resource", found, len(self.resources))


_OF_SHAPE: Final[dict[Intrinsic, Callable[[Shape], Value]]] = {
    Intrinsic.NAME: lambda shape: shape.name,
    Intrinsic.KIND: lambda shape: SpanKind(shape.kind),
    Intrinsic.STATUS: lambda shape: Status(shape.status),
}
_SLOT_TYPES: Final = {str: Type.TEXT, bool: Type.BOOLEAN, int: Type.INTEGER, float: Type.FLOAT}


def _matcher(pattern: re.Pattern[str]) -> Callable[[object], bool]:
    # SQLite is free to ask before it looks at the shape, and then the value may be of any type.
    return lambda value: isinstance(value, str) and pattern.fullmatch(value) is not None


def _number(comparison: Comparison) -> int | float:
    assert isinstance(comparison.literal, int | float)
    return comparison.literal


def _has(shape: Shape, key: str) -> bool:
    return key in shape.attributes or _place(shape, key) is not None


def _place(shape: Shape, key: str) -> int | None:
    for place, slot in enumerate(shape.slots):
        if slot.key == key:
            return place
    return None


def _of_trace(text: str, *parameters: int | float) -> Sql:
    if text in ("0", "1"):
        return Sql(text)
    return Sql(f"trace IN (SELECT id FROM traces WHERE {text})", parameters)


def _in(column: str, ids: Iterable[int], total: int) -> Sql:
    ids = list(ids)
    if not ids:
        return _FALSE
    if len(ids) == total:
        return _TRUE
    return Sql(f"{column} IN ({','.join(map(str, ids))})")


def _join(how: str, parts: list[Sql], neutral: Sql, ruling: Sql) -> Sql:
    """Parts joined, without those that change nothing; one that rules alone decides."""
    if ruling in parts:
        return ruling
    left = [part for part in parts if part != neutral]
    if not left:
        return neutral
    return Sql(
        f"({how.join(part.text for part in left)})",
        tuple(parameter for part in left for parameter in part.parameters),
        all(part.is_exact for part in left),
    )
