"""A span is a shape and values: what makes a million spans small, and questions about them fast.

A shape holds what many spans have in common: name, kind, status, and the attributes that hardly vary (method, route,
status code). What does vary (path, sizes, ports) are the span's own values, in the columns v0 to v7; the shape says which
attribute each of them is, and of which type. So a condition on attributes is decided once per shape, by Python, or is a
comparison of a column, by SQLite; nobody has to unpack a million maps.

Which attributes vary is learnt, per family (spans of the same name, kind and status): an attribute with more than
MAX_VALUES values varies from then on; when a family has MAX_SHAPES shapes, the attribute with the most values does, and
counting begins again; and what varies in HINT_FAMILIES families is taken to vary in the others. A wrong guess costs some
bytes, never a fact. This is a function of the spans alone: no input, no output, no time.
"""

from __future__ import annotations

import functools
import json
import math
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from agent.store.values import (
    INT64_MAX,
    INT64_MIN,
    Stored,
    Type,
    attributes_from_json,
    clean,
    clean_text,
    to_json,
    type_of,
)

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Sequence

    from agent.spans.span import Span, SpanKind, Status, Value

MAX_VALUES: Final = 8
MAX_SHAPES: Final = 16
HINT_FAMILIES: Final = 4
MAX_FAMILIES: Final = 4096
"""Beyond it everything learnt is forgotten: names should be of low cardinality."""
MAX_KNOWN: Final = 1024
"""Shapes and keys of one family that are remembered; only keys that never repeat make so many."""


@dataclass(frozen=True, slots=True)
class Slot:
    """What one of a span's values is."""

    key: str
    type: Type


@dataclass(frozen=True, slots=True, eq=False)
class Shape:
    """A row of the table `shapes`, but for its id."""

    name: str
    kind: int
    status: int
    attributes: dict[str, Value]
    slots: tuple[Slot, ...]

    def row(self) -> tuple[str, int, int, str, str]:
        """name, kind, status, attributes, slots, as they are stored."""
        slots = to_json([[slot.key, slot.type] for slot in self.slots])
        return (self.name, self.kind, self.status, to_json(self.attributes), slots)

    @classmethod
    def from_row(cls, row: tuple[str, int, int, str, str]) -> Shape:
        """What `row` gave."""
        name, kind, status, attributes, slots = row
        return cls(
            name,
            kind,
            status,
            attributes_from_json(attributes),
            _slots(slots),
        )


@functools.lru_cache(maxsize=4096)
def _slots(text: str) -> tuple[Slot, ...]:
    return tuple(Slot(key, Type(letter)) for key, letter in json.loads(text))


@dataclass(slots=True)
class Known:
    """A shape that the writer has met, and its id once it is written."""

    shape: Shape
    id: int = 0
    """0: not written."""


@dataclass(slots=True)
class _Family:
    """Spans of the same name, kind and status."""

    varying: set[str] = field(default_factory=set)
    seen: dict[str, set[Hashable]] = field(default_factory=dict)
    """The values of each attribute that does not vary so far."""
    known: dict[tuple[Hashable, Hashable], Known] = field(default_factory=dict)
    """By the attributes that do not vary, and the slots."""
    recent: int = 0
    """Shapes made since an attribute was found to vary."""


class Shaper:
    """Splits spans. One per writer."""

    def __init__(self) -> None:
        self._families: dict[tuple[str, SpanKind, Status], _Family] = {}
        self._votes: Counter[str] = Counter()
        """Attributes by the families in which they vary."""

    def split(self, span: Span) -> tuple[Known, list[Stored]]:
        """The span's shape, and its values in the order of the shape's slots."""
        name = (span.name, span.kind, span.status)
        family = self._families.get(name)
        if family is None:
            family = self._start(name)
        while True:
            constants, slots, values = _split(span, family.varying)
            known = family.known.get((constants, slots))
            if known is not None:
                return known, values
            if not self._learn(family, constants):
                if len(family.known) >= MAX_KNOWN or len(family.seen) >= MAX_KNOWN:
                    family.known.clear()
                    family.seen.clear()
                family.recent += 1
                shape = _shape(span, constants, slots)
                known = family.known[constants, slots] = Known(shape)
                return known, values

    def remember(self, shape: Shape, id_: int) -> None:
        """A shape that was written before, by an earlier run."""
        # An IntEnum's member equals its number, and hashes alike.
        name: tuple[str, SpanKind, Status] = (shape.name, shape.kind, shape.status)  # type: ignore[assignment]
        family = self._families.get(name)
        if family is None:
            family = self._start(name)
        self._found(family, {slot.key for slot in shape.slots})
        constants = tuple(
            (key, value) if value.__class__ is str else (key, value, _class(value))
            for key, value in shape.attributes.items()
        )
        slots = tuple((slot.key, slot.type) for slot in shape.slots)
        family.known[constants, slots] = Known(shape, id_)

    def forget(self) -> None:
        """Everything learnt."""
        self._families.clear()
        self._votes.clear()

    def _learn(self, family: _Family, constants: Sequence[tuple[object, ...]]) -> bool:
        """Note the values of a shape that is not known; whether an attribute is found to vary."""
        varying = set()
        for name, *value in constants:
            key = str(name)
            seen = family.seen.setdefault(key, set())
            seen.add(tuple(value))
            if len(seen) > MAX_VALUES or self._votes[key] >= HINT_FAMILIES:
                varying.add(key)
        if not varying and family.recent >= MAX_SHAPES:
            key = max((str(name) for name, *_ in constants), key=lambda key: len(family.seen[key]))
            if len(family.seen[key]) > 1:
                varying.add(key)
        self._found(family, varying)
        return bool(varying)

    def _found(self, family: _Family, keys: set[str]) -> None:
        """These attributes vary."""
        for key in keys - family.varying:
            family.varying.add(key)
            family.seen.pop(key, None)
            family.recent = 0
            if self._votes[key] or len(self._votes) < MAX_KNOWN:
                self._votes[key] += 1

    def _start(self, name: tuple[str, SpanKind, Status]) -> _Family:
        if len(self._families) >= MAX_FAMILIES:
            self.forget()
        family = self._families[name] = _Family()
        return family


def _split(
    span: Span, varying: set[str]
) -> tuple[tuple[tuple[object, ...], ...], tuple[tuple[str, Type], ...], list[Stored]]:
    """Attributes that do not vary, slots, values. The hot path: 3 µs a span."""
    constants: list[tuple[object, ...]] = []
    slots: list[tuple[str, Type]] = []
    values: list[Stored] = []
    for block in span.attributes:
        for item in block.items:
            key, value = item
            kind = value.__class__
            if key not in varying:
                # True equals 1 equals 1.0: only with its class is a value itself.
                constants.append(item if kind is str else (key, value, _class(value)))
            elif kind is str:
                slots.append((key, Type.TEXT))
                values.append(clean_text(value))  # type: ignore[arg-type]  # `kind` tells
            elif kind is int and INT64_MIN <= value <= INT64_MAX:  # type: ignore[operator]  # `kind` tells
                slots.append((key, Type.INTEGER))
                values.append(value)  # type: ignore[arg-type]  # `kind` tells
            else:
                _add(slots, values, key, clean(value))
    return tuple(constants), tuple(slots), values


def _class(value: Value) -> object:
    """The classes of a list's items are part of its own."""
    return tuple(map(type, value)) if isinstance(value, tuple) else type(value)


def _add(slots: list[tuple[str, Type]], values: list[Stored], key: str, value: Value) -> None:
    """The rarer kinds of values."""
    slots.append((key, type_of(value)))
    if isinstance(value, tuple):
        values.append(to_json(value))
    elif isinstance(value, float) and math.isnan(value):
        values.append(None)
    else:
        values.append(value)


def _shape(
    span: Span, constants: Iterable[tuple[object, ...]], slots: Iterable[tuple[str, Type]]
) -> Shape:
    attributes: dict[str, Value] = {}
    for key, value, *_ in constants:
        attributes.setdefault(clean_text(str(key)), clean(value))  # type: ignore[arg-type]  # a Value
    return Shape(
        clean_text(span.name),
        int(span.kind),
        int(span.status),
        attributes,
        tuple(Slot(clean_text(key), kind) for key, kind in slots),
    )
