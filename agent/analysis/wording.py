"""How findings speak: names from traced programs made fit for one line, times for people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from agent.spans.trace import ReadSpan

MAX_QUOTE: Final = 120
"""Characters of a name or statement within a title."""


def plain(text: str, limit: int = MAX_QUOTE) -> str:
    """`text` on one line: what could move a cursor or turn the reading direction around is replaced, a long one cut."""
    if len(text) > limit:
        text = text[: limit - 1] + "…"
    return "".join(c if c.isprintable() else "\ufffd" for c in text)


def operation(span: ReadSpan) -> str:
    """A span in a title: what it does, and of which service."""
    return f"`{plain(span.name)}` of {plain(span.service)}"


def took(duration_ns: float) -> str:
    """A duration for people, three digits or so."""
    if duration_ns < 1e3:
        return f"{duration_ns:.0f} ns"
    if duration_ns < 1e6:
        return f"{duration_ns / 1e3:.3g} µs" if duration_ns < 999_500 else "1 ms"
    if duration_ns < 999.5e6:
        return f"{duration_ns / 1e6:.3g} ms"
    if duration_ns < 100e9:
        return f"{duration_ns / 1e9:.3g} s"
    return f"{duration_ns / 60e9:.1f} min"


def percent(share: float) -> str:
    """A ratio for people; never 0 % or 100 % of what is only nearly so."""
    if 0 < share < 0.01:
        return "below 1 %"
    if 0.99 < share < 1:
        return "over 99 %"
    return f"{share * 100:.0f} %"
