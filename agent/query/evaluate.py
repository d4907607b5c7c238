"""What a query means, over one trace. The store's SQL (plan.py) must agree with it; a property test compares them.

A comparison holds only where the field is there and of the literal's type: `.n != 5` does not hold for spans without `n`, nor where
`n` is text. `= nil` holds where the field is missing. A list satisfies `=`, `=~` and the orders if one of its items of the
literal's type does, `!=` and `!~` if it has some and none satisfies their opposite. A pattern must match the whole text.
"""

from __future__ import annotations

import operator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeVar

from agent.query.syntax import (
    Aggregate,
    All,
    Comparison,
    Condition,
    Either,
    Field,
    Filter,
    Function,
    Intrinsic,
    Operator,
    Query,
    Relation,
    Scope,
    Select,
    Spanset,
    filters_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Mapping, Sequence

    from agent.spans.span import Scalar, SpanKind, Status, Value
    from agent.spans.trace import ReadSpan, Trace

K = TypeVar("K", bound="Hashable")

Number = int | float


@dataclass(frozen=True, slots=True)
class Match:
    """A trace that a query found."""

    trace: Trace
    spans: tuple[ReadSpan, ...]
    """Those that satisfy the query, in order of their start."""
    numbers: tuple[tuple[str, Number | None], ...] = ()
    """What the aggregates came to, each with its text; None where no span had a number."""
    fields: tuple[Field, ...] = ()
    """What `select` asks for."""


def evaluate(query: Query, trace: Trace) -> Match | None:
    """What the query finds in the trace, None if nothing."""
    sets = {
        one: {span.span_id for span in trace.spans if satisfies(one.condition, span, trace)}
        for one in filters_of(query.spanset)
    }
    parents = {span.span_id: _parent_id(trace, span) for span in trace.spans}
    found = combine(query.spanset, sets, parents)
    if not found:
        return None
    spans = tuple(span for span in trace.spans if span.span_id in found)
    numbers = []
    fields: tuple[Field, ...] = ()
    for stage in query.stages:
        if isinstance(stage, Select):
            fields += stage.fields
            continue
        number = _aggregate(stage, spans, trace)
        if stage.operator is not None and (
            number is None or not COMPARE[stage.operator](number, stage.literal)
        ):
            return None
        numbers.append((str(stage), number))
    return Match(trace, spans, tuple(numbers), fields)


def satisfies(condition: Condition | None, span: ReadSpan, trace: Trace) -> bool:
    """Whether the condition holds for the span."""
    if isinstance(condition, Comparison):
        return holds(condition, value_of(condition.field, span, trace))
    if isinstance(condition, All):
        return all(satisfies(part, span, trace) for part in condition.parts)
    if isinstance(condition, Either):
        return any(satisfies(part, span, trace) for part in condition.parts)
    return True


def value_of(field: Field, span: ReadSpan, trace: Trace) -> Value | Status | SpanKind | None:
    """What the field is for the span, None if it has none."""
    match field.scope:
        case Scope.SPAN:
            return span.attributes.get(field.name)
        case Scope.RESOURCE:
            return span.resource.get(field.name)
        case Scope.ANY:
            found = span.attributes.get(field.name)
            return span.resource.get(field.name) if found is None else found
        case Scope.INTRINSIC:
            return _INTRINSICS[Intrinsic(field.name)](span, trace)


_INTRINSICS: Final[dict[Intrinsic, Callable[[ReadSpan, Trace], Value | Status | SpanKind]]] = {
    Intrinsic.NAME: lambda span, _: span.name,
    Intrinsic.STATUS: lambda span, _: span.status,
    Intrinsic.STATUS_MESSAGE: lambda span, _: span.status_message,
    Intrinsic.KIND: lambda span, _: span.kind,
    Intrinsic.DURATION: lambda span, _: span.duration_ns,
    Intrinsic.ROOT_NAME: lambda _, trace: trace.root.name,
    Intrinsic.ROOT_SERVICE_NAME: lambda _, trace: trace.root.service,
    Intrinsic.TRACE_DURATION: lambda _, trace: trace.duration_ns,
}


def holds(comparison: Comparison, value: Value | None) -> bool:
    """Whether a field of this value satisfies the comparison."""
    literal = comparison.literal
    if literal is None:
        return (value is None) is (comparison.operator is Operator.EQUAL)
    if isinstance(value, tuple):
        return _holds_for_list(comparison, value)
    return _kind(value) is _kind(literal) and _test(comparison.operator, value, comparison)


def _holds_for_list(comparison: Comparison, value: tuple[Scalar, ...]) -> bool:
    """An empty list is one of texts."""
    kind = _kind(comparison.literal)
    items = [item for item in value if _kind(item) is kind]
    if not items and (value or kind is not str):
        return False
    opposite = _OPPOSITE.get(comparison.operator)
    if opposite is not None:
        return not any(_test(opposite, item, comparison) for item in items)
    return any(_test(comparison.operator, item, comparison) for item in items)


COMPARE: Final[dict[Operator, Callable[[Any, Any], bool]]] = {
    Operator.EQUAL: operator.eq,
    Operator.NOT_EQUAL: operator.ne,
    Operator.LESS: operator.lt,
    Operator.AT_MOST: operator.le,
    Operator.GREATER: operator.gt,
    Operator.AT_LEAST: operator.ge,
}
_OPPOSITE: Final = {
    Operator.NOT_EQUAL: Operator.EQUAL,
    Operator.MATCHES_NOT: Operator.MATCHES,
}


def _test(how: Operator, value: Any, comparison: Comparison) -> bool:
    if comparison.pattern is not None:
        is_match = comparison.pattern.fullmatch(value) is not None
        return is_match is (how is Operator.MATCHES)
    return COMPARE[how](value, comparison.literal)


def _kind(value: object) -> type:
    """Integers and floats are one kind; truth is not a number. A status and a kind are numbers."""
    if isinstance(value, bool):
        return bool
    return int if isinstance(value, int | float) else type(value)


def combine(
    spanset: Spanset, sets: Mapping[Filter, set[K]], parents: Mapping[K, K | None]
) -> set[K]:
    """The spans of a trace that a set of spans comes to.

    `sets`: those that satisfy each filter; `parents`: the parent of every span, None for a root.
    """
    if isinstance(spanset, Filter):
        return sets[spanset]
    left = combine(spanset.left, sets, parents)
    right = combine(spanset.right, sets, parents)
    match spanset.relation:
        case Relation.AND:
            return left | right if left and right else set()
        case Relation.OR:
            return left | right
        case Relation.CHILD:
            return {span for span in right if parents[span] in left}
        case Relation.DESCENDANT:
            return _below(left, right, parents)
        case Relation.SIBLING:
            return _beside(left, right, parents)


def _below(left: set[K], right: set[K], parents: Mapping[K, K | None]) -> set[K]:
    """Those on the right with an ancestor on the left; every span is walked over once."""
    is_below: dict[K, bool] = {}
    for span in right:
        path = []
        at: K | None = span
        while at is not None and at not in is_below:
            path.append(at)
            is_below[at] = False  # ends a cycle, which only damaged data has
            at = parents[at]
        answer = at is not None and (is_below[at] or at in left)
        for one in reversed(path):
            is_below[one] = answer
            answer = answer or one in left
    return {span for span in right if is_below[span]}


def _beside(left: set[K], right: set[K], parents: Mapping[K, K | None]) -> set[K]:
    families: dict[K, list[K]] = {}
    for span in left:
        parent = parents[span]
        if parent is not None:
            families.setdefault(parent, []).append(span)
    found = set()
    for span in right:
        parent = parents[span]
        others = families.get(parent, []) if parent is not None else []
        if len(others) > 1 or (others and others[0] != span):
            found.add(span)
    return found


def _parent_id(trace: Trace, span: ReadSpan) -> str | None:
    parent = trace.parent(span)
    return None if parent is None else parent.span_id


def _aggregate(stage: Aggregate, spans: Sequence[ReadSpan], trace: Trace) -> Number | None:
    if stage.field is None:
        return len(spans)
    field = stage.field
    numbers = [
        value
        for span in spans
        if isinstance(value := value_of(field, span, trace), int | float) and _is_number(value)
    ]
    if not numbers:
        return None
    match stage.function:
        case Function.AVG:
            return sum(numbers) / len(numbers)
        case Function.MIN:
            return min(numbers)
        case Function.MAX:
            return max(numbers)
        case _:
            return sum(numbers)


def _is_number(value: Number) -> bool:
    """A status is no number here, although Python's enum says so."""
    return type(value) in (int, float)
