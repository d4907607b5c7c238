"""Received spans on their way from the server to the agent: MessagePack, checked against these types when it is read.

Resources go as their own encoded blocks: the agent knows one again by its bytes, so that all spans of a process share
one object (`Resource` is compared by identity).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from agent.spans.span import Attributes, Link, Resource, Scalar, Span, SpanEvent, SpanKind, Status
from agent.store.values import clean, clean_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from agent.spans.span import Value
    from agent.spans.trace import ReadSpan

MAX_RESOURCES: Final = 1024
"""Processes that are known again."""

Block = dict[str, Scalar | tuple[Scalar, ...]]


class CarriedSpan(msgspec.Struct, array_like=True, gc=False):
    """A span; `resource` is its number in `Parcel.resources`."""

    resource: int
    trace_id: bytes
    span_id: bytes
    parent_id: bytes | None
    name: str
    kind: int
    start_unix_ns: int
    end_unix_ns: int
    status: int
    status_message: str
    trace_state: str
    attributes: Block
    events: list[tuple[str, int, Block]]
    links: list[tuple[bytes, bytes, Block]]


class Parcel(msgspec.Struct, array_like=True):
    """What the server hands over at once."""

    resources: list[bytes] = []
    """Each an encoded Block."""
    spans: list[CarriedSpan] = []
    rejected: int = 0
    """Spans of the same request that were wrong, and were left out."""
    refused: str = ""
    """Why a whole request was not read; empty: it was."""


def encode(spans: Sequence[ReadSpan], *, rejected: int = 0, refused: str = "") -> bytes:
    """A parcel."""
    numbers: dict[int, int] = {}
    resources: list[bytes] = []
    carried: list[CarriedSpan] = []
    for span in spans:
        number = numbers.get(id(span.resource))
        if number is None:
            number = numbers[id(span.resource)] = len(resources)
            resources.append(msgspec.msgpack.encode(_block(span.resource)))
        carried.append(_carried(span, number))
    return msgspec.msgpack.encode(Parcel(resources, carried, rejected, refused))


def _carried(span: ReadSpan, resource: int) -> CarriedSpan:
    return CarriedSpan(
        resource,
        bytes.fromhex(span.trace_id),
        bytes.fromhex(span.span_id),
        bytes.fromhex(span.parent_id) if span.parent_id is not None else None,
        clean_text(span.name),
        int(span.kind),
        span.start_unix_ns,
        span.end_unix_ns,
        int(span.status),
        clean_text(span.status_message),
        clean_text(span.trace_state),
        _block(span.attributes),
        [
            (clean_text(event.name), event.time_unix_ns, _block(event.attributes))
            for event in span.events
        ],
        [
            (bytes.fromhex(link.trace_id), bytes.fromhex(link.span_id), _block(link.attributes))
            for link in span.links
        ],
    )


def _block(block: Mapping[str, Value]) -> Block:
    return {clean_text(key): clean(value) for key, value in block.items()}


class Unpacker:
    """Parcels → spans."""

    def __init__(self) -> None:
        self._parcels = msgspec.msgpack.Decoder(Parcel)
        self._blocks = msgspec.msgpack.Decoder(Block)
        self._resources: dict[bytes, Resource] = {}

    def parcel(self, data: bytes) -> Parcel:
        """Read one. ValueError if it is none."""
        return self._parcels.decode(data)

    def spans(self, parcel: Parcel) -> list[Span]:
        """Its spans. ValueError or IndexError if it is not what `encode` makes."""
        resources = [self._resource(block) for block in parcel.resources]
        return [_span(one, resources[one.resource]) for one in parcel.spans]

    def _resource(self, block: bytes) -> Resource:
        known = self._resources.get(block)
        if known is None:
            if len(self._resources) >= MAX_RESOURCES:
                self._resources.clear()
            known = self._resources[block] = Resource(self._blocks.decode(block).items())
        return known


def _span(one: CarriedSpan, resource: Resource) -> Span:
    return Span(
        one.trace_id,
        one.span_id,
        one.parent_id,
        one.name,
        SpanKind(one.kind),
        one.start_unix_ns,
        one.end_unix_ns,
        Status(one.status),
        one.status_message,
        (Attributes(one.attributes.items()),),
        resource,
        trace_state=one.trace_state,
        events=tuple(
            SpanEvent(name, time, Attributes(block.items())) for name, time, block in one.events
        ),
        links=tuple(
            Link(trace_id, span_id, Attributes(block.items()))
            for trace_id, span_id, block in one.links
        ),
    )
