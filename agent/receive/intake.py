"""A request's way through the server, whatever transport brought it: decoded, checked, redacted, handed over, answered.

taken      every span that is right is queued in the agent; `rejected` of them were wrong (OTLP's partial success)
garbage    the request cannot be read: to be sent again as little as to be believed
full       the agent has no room: the sender is to come back, and to bring all of it again. What was taken of it
           already is known by its ids then
"""

from __future__ import annotations

import enum
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from agent.errors import SpanFileError
from agent.export import otlp_read
from agent.receive import protobuf
from agent.receive.carry import encode
from agent.receive.redact import attributes, redacted

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from agent.redaction import Policy
    from agent.spans.span import Value
    from agent.spans.trace import ReadSpan

MAX_REQUEST: Final = 8 * 1024 * 1024
"""Bytes, uncompressed. SDKs send 512 spans at once, some 300 KB; collectors up to 8192 spans."""
PARCEL_SPANS: Final = 1024
"""More are handed over in parts."""
_GZIP: Final = 31
"""zlib: a gzip header, the largest window."""


class Fate(enum.Enum):
    """What became of a request."""

    TAKEN = enum.auto()
    GARBAGE = enum.auto()
    FULL = enum.auto()


@dataclass(frozen=True, slots=True)
class Answer:
    """What its sender is told."""

    fate: Fate
    rejected: int = 0
    message: str = ""


class TooLarge(Exception):  # noqa: N818  # what it is
    """A body is, or unfolds to be, beyond MAX_REQUEST."""


def unzip(body: bytes) -> bytes:
    """A gzip member's content, not more of it than allowed. ValueError if it is none."""
    stream = zlib.decompressobj(_GZIP)
    try:
        content = stream.decompress(body, MAX_REQUEST)
    except zlib.error as error:
        raise ValueError("it is no gzip") from error
    if stream.unconsumed_tail:
        raise TooLarge
    if not stream.eof:
        raise ValueError("the gzip stream is cut off")
    return content


class Intake:
    """`deliver` hands a parcel to the agent, and says whether it was taken."""

    def __init__(self, deliver: Callable[[bytes], bool], policy: Policy) -> None:
        self._deliver = deliver
        self._policy = policy

    def take_protobuf(self, body: bytes) -> Answer:
        """An ExportTraceServiceRequest in protobuf's binary form."""
        return self._take(body, protobuf.read_request)

    def take_json(self, body: bytes) -> Answer:
        """The same as JSON."""
        return self._take(body, otlp_read.read_request)

    def refuse(self, cause: str) -> None:
        """A request that is not even read is counted. Whether the agent hears of it changes nothing for the sender."""
        self._deliver(encode([], refused=cause))

    def _take(
        self, body: bytes, read: Callable[[bytes], tuple[list[ReadSpan], list[str]]]
    ) -> Answer:
        try:
            spans, wrong = read(body)
        except SpanFileError as error:
            self.refuse("not_otlp")
            return Answer(Fate.GARBAGE, message=str(error))
        kept = []
        resources: dict[int, Mapping[str, Value]] = {}
        for span in spans:
            if reason := _invalid(span):
                wrong.append(reason)
                continue
            resource = resources.get(id(span.resource))
            if resource is None:
                resource = resources[id(span.resource)] = attributes(span.resource, self._policy)
            kept.append(redacted(span, resource, self._policy))
        rejected = len(wrong)
        for at in range(0, max(len(kept), 1), PARCEL_SPANS):
            # What was wrong goes with the first part, so that it is counted once.
            parcel = encode(kept[at : at + PARCEL_SPANS], rejected=0 if at else rejected)
            if not self._deliver(parcel):
                self.refuse("queue_full")
                return Answer(Fate.FULL, message="the queue of the store is full")
        return Answer(Fate.TAKEN, rejected, wrong[0] if wrong else "")


def _invalid(span: ReadSpan) -> str:
    """https://opentelemetry.io/docs/specs/otel/trace/api/#spancontext: ids of zeros are invalid."""
    if not span.trace_id.strip("0"):
        return "traceId is all zeros"
    if not span.span_id.strip("0"):
        return "spanId is all zeros"
    return ""
