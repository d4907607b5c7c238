"""Durations on the command line, as queries write them: 500ms, 5s, 1h30m."""

from __future__ import annotations

from typing import Any

import click

from agent.errors import QueryError
from agent.query.lexer import tokens_of


class Duration(click.ParamType):  # type: ignore[type-arg]  # generic in newer versions only
    """A duration on the command line: 500ms, 5s, 1h30m."""

    name = "duration"

    def convert(self, value: Any, param: Any, ctx: Any) -> int:
        """Nanoseconds."""
        if isinstance(value, int):
            return value
        try:
            token, *_ = tokens_of(value)
        except QueryError:
            token = None
        literal = token.literal if token is not None and token.text == value else None
        if type(literal) is not int or value.isdigit() or literal < 0:
            self.fail(f"{value!r} is no duration, such as 500ms, 5s or 1h30m", param, ctx)
        return literal
