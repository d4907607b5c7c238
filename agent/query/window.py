"""Which traces the figures of services and of the map are made of: those since a time, and of those the newest.

A full store holds millions of spans, and figures look at each; so there is a bound, and whoever shows figures says what it left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from agent.store.reader import Reader

MAX_SPANS: Final = 300_000
"""Well below a second for any of the figures."""


@dataclass(frozen=True, slots=True)
class Window:
    """Traces from number `first` on."""

    first: int
    seconds: float
    """From the first start to the last end; at least 1."""
    spans: int
    """In these traces."""
    left_out: int
    """Spans of older traces that were asked for, too."""


def window(reader: Reader, *, since_unix_ns: int = 0) -> Window:
    """The traces that began then or later; of those, the newest with MAX_SPANS spans at most."""
    with reader.view():
        first = reader.first_since(since_unix_ns)
        asked = _spans_from(reader, first)
        spans = asked
        if asked > MAX_SPANS:
            (first,) = reader.connection.execute(
                "SELECT ifnull(min(id), 9223372036854775807) FROM "
                "(SELECT id, sum(spans) OVER (ORDER BY id DESC) AS so_far FROM traces WHERE id >= ?) WHERE so_far <= ?",
                (first, MAX_SPANS),
            ).fetchone()
            spans = _spans_from(reader, first)
        start, end = reader.connection.execute(
            'SELECT min(start), max("end") FROM traces WHERE id >= ?', (first,)
        ).fetchone()
    seconds = max(1.0, (end - start) / 1e9) if start is not None else 1.0
    return Window(first, seconds, spans, asked - spans)


def _spans_from(reader: Reader, first: int) -> int:
    (spans,) = reader.connection.execute(
        "SELECT ifnull(sum(spans), 0) FROM traces WHERE id >= ?", (first,)
    ).fetchone()
    return int(spans)
