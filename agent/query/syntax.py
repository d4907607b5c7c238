"""What a query says, as values. The parser makes them, `evaluate` says what they mean, `plan` makes SQL of them."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING

from agent.spans.span import SpanKind, Status

if TYPE_CHECKING:
    import re

Literal = str | int | float | bool | Status | SpanKind | None
"""Durations are integers, in nanoseconds; None is `nil`."""


class Scope(enum.Enum):
    """Where an attribute is looked for; the values are written before its name."""

    INTRINSIC = ""
    SPAN = "span."
    RESOURCE = "resource."
    ANY = "."
    """In the span, else in its resource."""


class Intrinsic(enum.StrEnum):
    """What a span has besides attributes."""

    NAME = "name"
    STATUS = "status"
    STATUS_MESSAGE = "statusMessage"
    KIND = "kind"
    DURATION = "duration"
    ROOT_NAME = "rootName"
    ROOT_SERVICE_NAME = "rootServiceName"
    TRACE_DURATION = "traceDuration"


@dataclass(frozen=True, slots=True)
class Field:
    """Something a span can be asked for. `name` is an attribute's key, or an Intrinsic's value."""

    scope: Scope
    name: str

    def __str__(self) -> str:
        return self.scope.value + self.name


class Operator(enum.Enum):
    """How a field is compared."""

    EQUAL = "="
    NOT_EQUAL = "!="
    LESS = "<"
    AT_MOST = "<="
    GREATER = ">"
    AT_LEAST = ">="
    MATCHES = "=~"
    MATCHES_NOT = "!~"


@dataclass(frozen=True, slots=True)
class Comparison:
    """A field compared with a literal."""

    field: Field
    operator: Operator
    literal: Literal
    pattern: re.Pattern[str] | None = None
    """Of MATCHES and MATCHES_NOT."""


@dataclass(frozen=True, slots=True)
class All:
    """Every part holds."""

    parts: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class Either:
    """A part holds."""

    parts: tuple[Condition, ...]


Condition = Comparison | All | Either


@dataclass(frozen=True, slots=True, eq=False)
class Filter:
    """`{ condition }`: the spans of a trace for which it holds, all of them without one. Compared by identity."""

    condition: Condition | None


class Relation(enum.Enum):
    """How two sets of spans of a trace are joined."""

    AND = "&&"
    """All of both, if neither is empty."""
    OR = "||"
    CHILD = ">"
    """Those on the right whose parent is on the left."""
    DESCENDANT = ">>"
    """Those on the right with an ancestor on the left."""
    SIBLING = "~"
    """Those on the right that have a parent in common with another span on the left."""


@dataclass(frozen=True, slots=True, eq=False)
class Joined:
    """Two sets of spans joined."""

    relation: Relation
    left: Spanset
    right: Spanset


Spanset = Filter | Joined


class Function(enum.Enum):
    """What is made of a set of spans."""

    COUNT = "count"
    AVG = "avg"
    MIN = "min"
    MAX = "max"
    SUM = "sum"


@dataclass(frozen=True, slots=True)
class Aggregate:
    """A number made of the spans found; with an operator, a condition that the trace must satisfy."""

    function: Function
    field: Field | None
    """None for COUNT."""
    operator: Operator | None = None
    literal: int | float = 0

    def __str__(self) -> str:
        return f"{self.function.value}({self.field or ''})"


@dataclass(frozen=True, slots=True)
class Select:
    """Fields to show."""

    fields: tuple[Field, ...]


@dataclass(frozen=True, slots=True)
class Query:
    """A whole query."""

    spanset: Spanset
    stages: tuple[Aggregate | Select, ...] = ()


def filters_of(spanset: Spanset) -> list[Filter]:
    """The filters in it, from left to right."""
    if isinstance(spanset, Filter):
        return [spanset]
    return filters_of(spanset.left) + filters_of(spanset.right)
