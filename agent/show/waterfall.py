"""A trace on the terminal: its spans as a tree, and beside it when each of them ran.

    NAME                     SERVICE   DURATION
    GET /orders/{id}         front     596.8 ms  ▐██████████████████████████▌
    ├─ GET /users/{id}       users      12.0 ms   ▐▌
    └─ GET /items/{id}       stock     412.0 ms          ▐████████████▌        500

Where a critical path is given, its stretches are drawn full and all else of the bars is light; its spans carry a `*`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from agent.export.text import printable
from agent.export.tree import duration
from agent.spans import semconv
from agent.spans.span import Status

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from agent.spans.trace import ReadSpan, Trace

MAX_DEPTH: Final = 24
"""Deeper spans are not indented further."""
MAX_NAME: Final = 60
MAX_SERVICE: Final = 24
MIN_BAR: Final = 10
FULL: Final = "█"
LIGHT: Final = "░"

Stretch = tuple[int, int]
"""From and to, in Unix nanoseconds."""


@dataclass(frozen=True, slots=True)
class Line:
    """A line of the waterfall, in the parts that a terminal colors."""

    name: str
    service: str
    duration: str
    bar: str
    result: str
    is_error: bool = False
    is_critical: bool = False

    def __str__(self) -> str:
        mark = "*" if self.is_critical else " "
        text = f"{mark}{self.name}  {self.service}  {self.duration}  {self.bar}  {self.result}"
        return text.rstrip()


def heading(trace: Trace) -> str:
    """What the trace is, in a line."""
    errors = sum(span.status == Status.ERROR for span in trace.spans)
    services = len({span.service for span in trace.spans})
    parts = [
        f"trace {trace.trace_id}",
        _counted(len(trace.spans), "span"),
        _counted(services, "service"),
        duration(trace.duration_ns),
    ]
    if errors:
        parts.append(_counted(errors, "error"))
    return "  ".join(parts)


def draw(
    trace: Trace, *, width: int, critical: Mapping[str, Iterable[Stretch]] | None = None
) -> list[Line]:
    """The lines, the heading of the columns first, to fit into `width` where that is possible.

    `critical`: the stretches of the critical path by span id, if it is known.
    """
    named = [
        (printable(lead + span.name, max_length=MAX_NAME), span) for lead, span in _tree(trace)
    ]
    services = [printable(span.service, max_length=MAX_SERVICE) for _, span in named]
    times = [duration(span.duration_ns) for _, span in named]
    results = [result_of(span) for _, span in named]
    name_width = max(len("NAME"), *(len(name) for name, _ in named))
    service_width = max(len("SERVICE"), *map(len, services))
    time_width = max(len("DURATION"), *map(len, times))
    taken = name_width + service_width + time_width + max(map(len, results)) + 9
    bar_width = max(MIN_BAR, width - taken)
    lines = [
        Line(
            "NAME".ljust(name_width),
            "SERVICE".ljust(service_width),
            "DURATION".rjust(time_width),
            " " * bar_width,
            "",
        )
    ]
    scale = _Scale(trace.start_unix_ns, max(1, trace.duration_ns), bar_width)
    for (name, span), service, time, result in zip(named, services, times, results, strict=True):
        stretches = None if critical is None else list(critical.get(span.span_id, ()))
        lines.append(
            Line(
                name.ljust(name_width),
                service.ljust(service_width),
                time.rjust(time_width),
                scale.bar(span, stretches),
                result,
                is_error=span.status == Status.ERROR,
                is_critical=bool(stretches),
            )
        )
    return lines


def result_of(span: ReadSpan) -> str:
    """How it went, in few words: the name that was looked up, status code, kind of error, message. Empty if there is nothing to say."""
    parts = [
        span.attributes.get(semconv.DNS_QUESTION_NAME),
        span.attributes.get(semconv.HTTP_RESPONSE_STATUS_CODE),
        span.attributes.get(semconv.ERROR_TYPE),
        span.status_message,
    ]
    texts = dict.fromkeys(printable(str(part), max_length=60) for part in parts if part)
    return " ".join(texts) or ("error" if span.status == Status.ERROR else "")


@dataclass(frozen=True, slots=True)
class _Scale:
    """Times as places in a bar."""

    start: int
    duration: int
    width: int

    def bar(self, span: ReadSpan, stretches: list[Stretch] | None) -> str:
        cells = [" "] * self.width
        self._fill(
            cells, (span.start_unix_ns, span.end_unix_ns), FULL if stretches is None else LIGHT
        )
        for stretch in stretches or ():
            self._fill(cells, stretch, FULL)
        return "".join(cells)

    def _fill(self, cells: list[str], stretch: Stretch, mark: str) -> None:
        """At least one cell, however short it was."""
        first, last = (
            min(self.width, max(0, (at - self.start) * self.width // self.duration))
            for at in stretch
        )
        first = min(first, self.width - 1)
        for cell in range(first, max(first + 1, last)):
            cells[cell] = mark


def _tree(trace: Trace) -> Iterator[tuple[str, ReadSpan]]:
    """Every span with the branches before its name, in the order in which it is drawn."""
    waiting = [("", "", root) for root in reversed(trace.roots)]
    while waiting:
        indent, branch, span = waiting.pop()
        yield indent + branch, span
        if branch and len(indent) < 3 * MAX_DEPTH:
            indent += "   " if branch.startswith("└") else "│  "
        children = trace.children(span)
        waiting.extend(
            (indent, "└─ " if child is children[-1] else "├─ ", child)
            for child in reversed(children)
        )


def _counted(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
