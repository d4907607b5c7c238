"""A span, its attributes and its resource, as the OpenTelemetry trace data model defines them.

Attributes come in blocks. Most attributes of most spans repeat (method, route, status, peer), so a block is made
once, shared by many spans, and encoded once: an exporter may keep the encoded form in `Attributes.wire`. What only one
span has may come encoded already (`encoded`).
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from agent.spans.wire import read

if TYPE_CHECKING:
    from collections.abc import Iterable

Scalar = str | int | float | bool
Value = Scalar | tuple[Scalar, ...]


class SpanKind(enum.IntEnum):
    """The numbers are those of OTLP's Span.SpanKind."""

    INTERNAL = 1
    SERVER = 2
    CLIENT = 3
    PRODUCER = 4
    CONSUMER = 5


class Status(enum.IntEnum):
    """The numbers are those of OTLP's Status.StatusCode."""

    UNSET = 0
    OK = 1
    ERROR = 2


class Attributes:
    """A block of attributes; shared, never changed."""

    __slots__ = ("_items", "text", "wire")

    def __init__(self, items: Iterable[tuple[str, Value]]) -> None:
        self._items: tuple[tuple[str, Value], ...] | None = tuple(items)
        self.wire: bytes | None = None
        """The block as encoded Span.attributes fields; filled by the OTLP encoder on first use."""
        self.text: str | None = None
        """The same for the encoder of OTLP/JSON."""

    @property
    def items(self) -> tuple[tuple[str, Value], ...]:
        """Names and values."""
        return read(self.wire or b"") if self._items is None else self._items

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Attributes) and self.items == other.items

    def __hash__(self) -> int:
        return hash(self.items)

    def __repr__(self) -> str:
        return f"Attributes({dict(self.items)!r})"


_new: Final = object.__new__


def encoded(wire: bytes) -> Attributes:
    """A block that only one span has, as encoded Span.attributes fields: made by the tables of `agent.spans.wire`."""
    # Of the same class as the others: the encoder's loop over blocks of two took half as long again.
    block = _new(Attributes)
    block._items = block.text = None
    block.wire = wire
    return block


class Resource:
    """Who a span is from: one object per process, compared by identity."""

    __slots__ = ("attributes", "wire")

    def __init__(self, attributes: Iterable[tuple[str, Value]]) -> None:
        self.attributes: tuple[tuple[str, Value], ...] = tuple(attributes)
        self.wire: bytes | None = None
        """As an encoded Resource message; filled by the OTLP encoder on first use."""

    def get(self, key: str) -> Value | None:
        """The attribute's value, None without one."""
        return dict(self.attributes).get(key)


@dataclass(slots=True)
class SpanEvent:
    """Something that happened at one time within a span."""

    name: str
    time_unix_ns: int
    attributes: Attributes | None = None


@dataclass(slots=True)
class Link:
    """Another span that this one has to do with, without being its child."""

    trace_id: bytes
    span_id: bytes
    attributes: Attributes | None = None


# Neither frozen nor with slots, so that defaults are the class's: `traces.build` sets only what differs, which takes a
# third of the time. One is made per exchange.
@dataclass
class Span:
    """One finished operation."""

    trace_id: bytes
    """16 bytes, not all zero."""
    span_id: bytes
    """8 bytes, not all zero."""
    parent_id: bytes | None
    """8 bytes; None for a root."""
    name: str
    kind: SpanKind
    start_unix_ns: int
    end_unix_ns: int
    status: Status
    status_message: str
    attributes: tuple[Attributes, ...]
    """Blocks; a key occurs in one of them at most."""
    resource: Resource
    is_parent_remote: bool = False
    """The parent came from a header: its span is made elsewhere."""
    is_sampled: bool = True
    trace_state: str = ""
    """W3C tracestate, as received."""
    events: tuple[SpanEvent, ...] = ()
    links: tuple[Link, ...] = ()

    def attribute(self, key: str) -> Value | None:
        """One attribute's value, None without it. For people and tests, not for the hot path."""
        for block in self.attributes:
            for name, value in block.items:
                if name == key:
                    return value
        return None
