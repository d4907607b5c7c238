"""What a request's parameters mean: numbers, durations and times within their bounds, or an error in words."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from agent.errors import AgentError, QueryError
from agent.query.lexer import tokens_of

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_TRACES: Final = 5_000
"""In one answer."""
ID_DIGITS: Final = 32


class BadRequest(AgentError):  # noqa: N818  # what it is
    """A parameter is wrong."""


class NotFound(AgentError):  # noqa: N818  # what it is
    """What is asked for is not there."""


def whole(parameters: Mapping[str, str], name: str, default: int, most: int = MAX_TRACES) -> int:
    """A number from 0, not above `most`."""
    text = parameters.get(name) or str(default)
    if not (text.isascii() and text.isdigit() and len(text) < 20):
        raise BadRequest(f"{name}: {text[:40]!r} is no whole number")
    return min(most, int(text))


def span_of_time(parameters: Mapping[str, str], name: str) -> int:
    """A duration such as 500ms, in nanoseconds; 0 without one."""
    text = parameters.get(name, "")
    if text in ("", "0"):
        return 0
    try:
        token, *_ = tokens_of(text)
    except QueryError:
        token = None
    literal = token.literal if token is not None and token.text == text else None
    if type(literal) is not int or text.isdigit() or literal < 0:
        raise BadRequest(f"{name}: {text[:40]!r} is no duration, such as 500ms, 5s or 1h30m")
    return literal


def since(parameters: Mapping[str, str], default: str = "") -> int:
    """`since`, as a duration before now, in Unix nanoseconds; 0 for all time."""
    ago = span_of_time({"since": parameters.get("since") or default}, "since")
    return time.time_ns() - ago if ago else 0


def trace_id(text: str) -> str:
    """32 lower-case digits; shorter ids, as Tempo and Jaeger allow, have zeros before them."""
    if not 0 < len(text) <= ID_DIGITS or not set(text.lower()) <= set("0123456789abcdef"):
        raise BadRequest(f"{text[:40]!r} is no trace id")
    return text.lower().rjust(ID_DIGITS, "0")
