"""Parts of a query, and how they are written."""

from __future__ import annotations

from agent.query.parser import parse
from agent.query.syntax import Field, Scope, filters_of


def test_filters_come_from_left_to_right():
    query = parse("({ .a = 1 } > { .b = 1 }) || { .c = 1 }")
    names = [one.condition.field.name for one in filters_of(query.spanset)]  # type: ignore[union-attr]
    assert names == ["a", "b", "c"]


def test_fields_are_written_as_they_are_read():
    assert [str(Field(scope, "x")) for scope in Scope] == ["x", "span.x", "resource.x", ".x"]
