"""Attribute values as the store keeps them.

Text becomes valid UTF-8 and integers beyond 64 bits become text, exactly as on the OTLP wire (agent/export/otlp.py), so
what is read back is what a receiver would have got. A slot is a column of SQLite, which knows no booleans, no lists and no NaN;
the slot's type, kept with the shape, says what its content stands for.
"""

from __future__ import annotations

import enum
import json
import math
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from agent.spans.span import Scalar, Value

INT64_MIN: Final = -(1 << 63)
INT64_MAX: Final = (1 << 63) - 1

Stored = str | int | float | None


class Type(enum.StrEnum):
    """What a slot holds; the letters stand in the file."""

    TEXT = "s"
    INTEGER = "i"
    FLOAT = "f"
    """NULL is NaN: SQLite has none."""
    BOOLEAN = "b"
    """0 or 1."""
    LIST = "l"
    """A JSON array of texts, numbers and booleans."""


def clean_text(text: str) -> str:
    """`text` without halves of surrogate pairs, which UTF-8 cannot hold."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def clean(value: Value) -> Value:
    """`value` as it will be read back."""
    return tuple(map(_clean, value)) if isinstance(value, tuple) else _clean(value)


def _clean(value: Scalar) -> Scalar:
    if isinstance(value, str):
        return clean_text(value)
    if isinstance(value, bool | float):
        return value
    return value if INT64_MIN <= value <= INT64_MAX else str(value)


def type_of(value: Value) -> Type:
    """The type of a slot that holds it."""
    if isinstance(value, str):
        return Type.TEXT
    if isinstance(value, bool):
        return Type.BOOLEAN
    if isinstance(value, int):
        return Type.INTEGER
    return Type.FLOAT if isinstance(value, float) else Type.LIST


def to_slot(value: Value) -> Stored:
    """A clean value, for a column."""
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, tuple):
        return to_json(list(value))
    if isinstance(value, float) and math.isnan(value):
        return None
    return value


def from_slot(stored: Stored, kind: Type) -> Value:
    """What `to_slot` was given."""
    if kind is Type.FLOAT:
        return math.nan if stored is None else float(stored)
    if kind is Type.BOOLEAN:
        return bool(stored)
    if kind is Type.LIST:
        return tuple(json.loads(str(stored)))
    assert stored is not None
    return stored


def to_json(value: object) -> str:
    """Compact JSON; NaN and the infinities in Python's spelling."""
    return _ENCODER.encode(value)


_ENCODER: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))


def attributes_from_json(text: str) -> dict[str, Value]:
    """Attributes that `to_json` was given as a mapping."""
    return attributes_from(json.loads(text))


def attributes_from(table: dict[str, object]) -> dict[str, Value]:
    """JSON's arrays become tuples again."""
    return {
        key: tuple(value) if isinstance(value, list) else value  # type: ignore[misc]  # written by to_json
        for key, value in table.items()
    }
