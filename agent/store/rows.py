"""A span as a row of the table `spans`, and back."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from agent.spans.span import Attributes, SpanKind, Status
from agent.spans.trace import ReadEvent, ReadLink, ReadSpan
from agent.store.schema import SLOTS
from agent.store.values import Stored, attributes_from, clean, clean_text, from_slot, to_json

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from agent.spans.span import Span, Value
    from agent.store.shapes import Shape

Row = tuple[Any, ...]
"""In the order of COLUMNS."""

COLUMNS: Final = (
    "trace, span_id, shape, resource, duration, start, parent_id, "
    + ", ".join(f"v{number}" for number in range(SLOTS))
    + ", more"
)
INSERT: Final = f"INSERT OR IGNORE INTO spans ({COLUMNS}) VALUES ({', '.join('?' * (8 + SLOTS))})"

TIME_MAX: Final = (1 << 63) - 1
"""What a column can hold: the year 2262."""

_EMPTY: Final = tuple([None] * (SLOTS + 1))


class Owner(NamedTuple):
    """Rows of other tables that a span's row names."""

    trace: int
    shape: int
    resource: int


def to_row(span: Span, owner: Owner, values: Sequence[Stored]) -> Row:
    """The row. `values` are those of the shape's slots."""
    start = span.start_unix_ns
    duration = span.end_unix_ns - start
    if not 0 <= start <= TIME_MAX or not 0 <= duration <= TIME_MAX - start:
        start = min(max(start, 0), TIME_MAX)
        duration = max(0, min(span.end_unix_ns, TIME_MAX) - start)
    count = len(values)
    more = None
    if count > SLOTS or span.events or span.links or span.status_message or span.trace_state:
        more = _more(span, values)
    return (
        owner.trace,
        span.span_id,
        owner.shape,
        owner.resource,
        duration,
        start,
        span.parent_id,
        *values[:SLOTS],
        *_EMPTY[count + 1 :],
        more,
    )


def from_row(row: Row, trace_id: str, shape: Shape, resource: Mapping[str, Value]) -> ReadSpan:
    """The span that `to_row` was given."""
    _, span_id, _, _, duration, start, parent_id, *stored, more = row
    rest = json.loads(more) if more is not None else {}
    attributes = dict(shape.attributes)
    values = stored[: len(shape.slots)] + rest.get("values", [])
    for slot, value in zip(shape.slots, values, strict=True):
        attributes[slot.key] = from_slot(value, slot.type)
    return ReadSpan(
        trace_id=trace_id,
        span_id=span_id.hex(),
        parent_id=parent_id.hex() if parent_id is not None else None,
        name=shape.name,
        kind=SpanKind(shape.kind),
        start_unix_ns=start,
        end_unix_ns=start + duration,
        status=Status(shape.status),
        status_message=rest.get("message", ""),
        attributes=attributes,
        resource=resource,
        trace_state=rest.get("state", ""),
        events=tuple(
            ReadEvent(event["name"], event["time"], attributes_from(event["attributes"]))
            for event in rest.get("events", ())
        ),
        links=tuple(
            ReadLink(link["trace"], link["span"], attributes_from(link["attributes"]))
            for link in rest.get("links", ())
        ),
    )


def _more(span: Span, values: Sequence[Stored]) -> str:
    """What has no column, as a JSON object; what is empty is left out."""
    table: dict[str, object] = {
        "values": values[SLOTS:],
        "message": clean_text(span.status_message),
        "state": clean_text(span.trace_state),
        "events": [
            {
                "name": clean_text(event.name),
                "time": event.time_unix_ns,
                "attributes": _block(event.attributes),
            }
            for event in span.events
        ],
        "links": [
            {
                "trace": link.trace_id.hex(),
                "span": link.span_id.hex(),
                "attributes": _block(link.attributes),
            }
            for link in span.links
        ],
    }
    return to_json({name: value for name, value in table.items() if value})


def _block(block: Attributes | None) -> dict[str, Value]:
    if block is None:
        return {}
    found: dict[str, Value] = {}
    for key, value in block.items:
        found.setdefault(clean_text(key), clean(value))
    return found
