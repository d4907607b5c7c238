"""A trace as it is read back: finished spans, joined by their parents.

The writing side has `Span`, made to be encoded fast; this is the reading side's view of the same data, made to be
asked: ids as hex text, attributes as one mapping. Store, query, analysis and page all speak of these.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from agent.spans.span import Attributes, Span, SpanKind, Status, Value


@dataclass(slots=True, frozen=True)
class ReadEvent:
    """Something that happened at one time within a span."""

    name: str
    time_unix_ns: int
    attributes: Mapping[str, Value] = field(default_factory=dict)


@dataclass(slots=True, frozen=True)
class ReadLink:
    """Another span that this one has to do with."""

    trace_id: str
    span_id: str
    attributes: Mapping[str, Value] = field(default_factory=dict)


@dataclass(slots=True, frozen=True, eq=False)
class ReadSpan:
    """One finished operation. Compared by identity."""

    trace_id: str
    """32 lower-case hex digits."""
    span_id: str
    """16 lower-case hex digits."""
    parent_id: str | None
    name: str
    kind: SpanKind
    start_unix_ns: int
    end_unix_ns: int
    status: Status
    status_message: str = ""
    attributes: Mapping[str, Value] = field(default_factory=dict)
    resource: Mapping[str, Value] = field(default_factory=dict)
    trace_state: str = ""
    events: tuple[ReadEvent, ...] = ()
    links: tuple[ReadLink, ...] = ()

    @classmethod
    def of(cls, span: Span) -> ReadSpan:
        """What a reader would get of a span that is written."""
        return cls(
            trace_id=span.trace_id.hex(),
            span_id=span.span_id.hex(),
            parent_id=span.parent_id.hex() if span.parent_id is not None else None,
            name=span.name,
            kind=span.kind,
            start_unix_ns=span.start_unix_ns,
            end_unix_ns=span.end_unix_ns,
            status=span.status,
            status_message=span.status_message,
            attributes={key: value for block in span.attributes for key, value in block.items},
            resource=dict(span.resource.attributes),
            trace_state=span.trace_state,
            events=tuple(
                ReadEvent(one.name, one.time_unix_ns, _mapping(one.attributes))
                for one in span.events
            ),
            links=tuple(
                ReadLink(one.trace_id.hex(), one.span_id.hex(), _mapping(one.attributes))
                for one in span.links
            ),
        )

    @property
    def duration_ns(self) -> int:
        """Never negative."""
        return max(0, self.end_unix_ns - self.start_unix_ns)

    @property
    def service(self) -> str:
        """service.name; `unknown_service` without one, as the resource conventions have it."""
        return str(self.resource.get("service.name", "unknown_service"))


def _mapping(block: Attributes | None) -> dict[str, Value]:
    return {} if block is None else dict(block.items)


class Trace:
    """Spans of one trace id as a forest: a span whose parent is not among them is a root, and so is one of a cycle.

    Of spans that have the same id, the first counts. Children and roots are in order of their start.
    """

    def __init__(self, spans: Iterable[ReadSpan]) -> None:
        """`spans`: at least one, all of one trace id, in any order."""
        by_id: dict[str, ReadSpan] = {}
        for span in spans:
            by_id.setdefault(span.span_id, span)
        self.spans = sorted(by_id.values(), key=lambda span: (span.start_unix_ns, span.span_id))
        """In order of their start."""
        self.trace_id = self.spans[0].trace_id
        self.by_id = by_id
        self._children: dict[str, list[ReadSpan]] = defaultdict(list)
        self.roots: list[ReadSpan] = []
        for span in self.spans:
            if span.parent_id in by_id and span.parent_id != span.span_id:
                self._children[span.parent_id].append(span)
            else:
                self.roots.append(span)
        self._break_cycles()

    @property
    def root(self) -> ReadSpan:
        """The root that began first."""
        return self.roots[0]

    @property
    def start_unix_ns(self) -> int:
        """When its first span began."""
        return self.spans[0].start_unix_ns

    @property
    def duration_ns(self) -> int:
        """From the first span's start to the last one's end."""
        return max(0, max(span.end_unix_ns for span in self.spans) - self.start_unix_ns)

    def children(self, span: ReadSpan) -> list[ReadSpan]:
        """Those whose parent it is, in order of their start."""
        return self._children.get(span.span_id, [])

    def parent(self, span: ReadSpan) -> ReadSpan | None:
        """Its parent in this trace; None for a root."""
        return None if span in self._root_set else self.by_id[str(span.parent_id)]

    def walk(self) -> Iterable[tuple[int, ReadSpan]]:
        """Every span once with its depth (0 for roots), each before its children."""
        waiting = [(0, root) for root in reversed(self.roots)]
        while waiting:
            depth, span = waiting.pop()
            yield depth, span
            waiting.extend((depth + 1, child) for child in reversed(self.children(span)))

    def _break_cycles(self) -> None:
        """What no root leads to hangs in a cycle: its earliest span becomes a root."""
        self._root_set = set(self.roots)
        reached = {span for _, span in self.walk()}
        for span in self.spans:
            if span in reached:
                continue
            self._children[str(span.parent_id)].remove(span)
            self.roots.append(span)
            self._root_set.add(span)
            waiting = [span]
            while waiting:
                found = waiting.pop()
                reached.add(found)
                waiting.extend(self.children(found))
        self.roots.sort(key=lambda span: (span.start_unix_ns, span.span_id))
