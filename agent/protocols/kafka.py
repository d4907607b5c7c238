"""Kafka and what speaks like it (Redpanda, Event Hubs): requests to brokers and their responses.

https://kafka.apache.org/protocol.html

The messages are in `kafka_messages.py`; here is which belong together. A response has the correlation id of its request.

    Produce with acks=0     nothing answers it: it ends with itself
    Fetch                   a consumer's poll: what came is told by its response; topics that have only an id are known by
                            the responses to Metadata, on all connections to one port
    ApiVersions, Sasl…      are part of no exchange; nothing of an authentication is kept

Attributes are the conventions' for messaging. Records' trace contexts are links: a batch has many records, and a
request's parent is who made it.

https://opentelemetry.io/docs/specs/semconv/messaging/kafka/
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from agent import redaction
from agent.errors import Gap, ProtocolError
from agent.protocols import About, Description, Protocol, Role, Verdict, Wire, register
from agent.protocols.db_semantics import server_at
from agent.protocols.kafka_heads import classify
from agent.protocols.kafka_messages import (
    API_VERSIONS,
    APIS,
    ERRORS,
    FETCH,
    MAX_BODY,
    OFFSET_COMMIT,
    PRODUCE,
    SASL_AUTHENTICATE,
    SASL_HANDSHAKE,
    TXN_OFFSET_COMMIT,
    Batches,
    Request,
    Response,
    read_message,
    request_of,
    response_of,
)
from agent.protocols.messaging_semantics import AF_UNIX, client_id
from agent.protocols.pairing import ById, Exchange, Failure
from agent.spans import semconv
from agent.spans.span import Attributes, SpanKind, Value

if TYPE_CHECKING:
    from agent.stream import Stream

CAPTURE: Final = 16 * 1024
"""Bytes of a turn that are wanted: requests are pipelined, and records' headers lie behind their values."""
MAX_ASIDE: Final = 64
MAX_TOPICS: Final = 4096
"""Ids of topics that are kept, of all connections to one port."""
MAX_BLOCKS: Final = 4096
_ASIDE: Final = frozenset((API_VERSIONS, SASL_HANDSHAKE, SASL_AUTHENTICATE))
_OPERATIONS: Final = {
    PRODUCE: ("send", "send", SpanKind.PRODUCER),
    FETCH: ("poll", "receive", None),
    OFFSET_COMMIT: ("commit", "settle", None),
    TXN_OFFSET_COMMIT: ("commit", "settle", None),
}
"""messaging.operation.name and type, and the span's kind where it is not CLIENT; others go by the API's name."""


@register
class Kafka(Protocol):
    """One connection."""

    name = "kafka"
    is_stateful = True
    is_database = True
    capture = CAPTURE
    about = About(
        title="Kafka",
        captured="Produce and Fetch with topic, partition, how many records, errors, and the `traceparent` of uncompressed records as links; commits with their group; all other APIs by name; client's id; flexible versions, requests without acknowledgement",
        omitted="keys, values and other headers of records; authentication; compressed records' contexts; the topic of a Fetch by an id that no Metadata told; SASL handshakes of version 0 (muted)",
        tested="kafka-python 3.0 against a scripted broker (produce, acks=0, consume, commit, errors), and its schemas of all versions; not tried against a real broker, nor in the kernel's sight",
    )
    pairing: ById

    def __init__(self) -> None:
        super().__init__()
        self.pairing = ById()
        self._aside: dict[int, None] = {}

    @classmethod
    def classify(cls, head: bytes) -> Verdict:
        """As messages look."""
        return classify(head)

    def request(self, stream: Stream) -> Wire[Request]:
        """Read one request, or a step of a handshake."""
        yield from stream.wait()
        stream.begin()
        size, data = yield from read_message(stream, 10)
        request = request_of(data, self.shared)
        request.size = size + 4
        request.is_truncated |= len(data) < min(size, MAX_BODY)
        if request.api in _ASIDE:
            self._aside[request.id] = None
            if len(self._aside) > MAX_ASIDE:
                del self._aside[next(iter(self._aside))]
            if request.api == SASL_HANDSHAKE and request.version == 0:
                # Bare tokens follow.
                self.is_opaque, self.opaque_cause = True, "authentication"
            yield from stream.skip(size - len(data))
            return None
        if self.pairing.is_pending(request.id):
            raise ProtocolError(f"request {request.id} comes twice")
        yield request
        yield from stream.skip(size - len(data))
        return request

    def response(self, stream: Stream) -> Wire[Response]:
        """Read one response."""
        yield from stream.wait()
        stream.begin()
        size, data = yield from read_message(stream, 4)
        if len(data) < 4:
            raise Gap("a response's beginning was not captured")
        number = int.from_bytes(data[:4], "big", signed=True)
        if number in self._aside or not self.pairing.choose(number):
            self._aside.pop(number, None)
            yield from stream.skip(size - len(data))
            return None
        exchange = self.pairing.answering()
        if exchange is None:
            response = Response(number, Batches())
        else:
            response = response_of(data, exchange.request, self.shared)
            while len(self.shared) > MAX_TOPICS:
                self.shared.popitem(last=False)
        response.size = size + 4
        response.is_truncated |= len(data) < min(size, MAX_BODY)
        yield response
        yield from stream.skip(size - len(data))
        return response

    @staticmethod
    def is_answered(request: Request) -> bool:
        """Not where a producer wants no acknowledgement."""
        return request.is_answered

    @staticmethod
    def describe(exchange: Exchange) -> Description:
        """By the conventions for messaging."""
        request: Request = exchange.request
        response: Response | None = exchange.response
        connection: Any = exchange.connection
        is_broker = exchange.role is Role.SERVER
        about = request.batches
        if request.api == FETCH and response is not None and response.batches.topics:
            about = response.batches
        place = _place(request.api, about.topics[0] if len(about.topics) == 1 else b"", is_broker)
        blocks: tuple[Attributes, ...] = (place[1],)
        if request.client:
            blocks += (client_id(request.client),)
        if connection.family != AF_UNIX:
            here = (connection.local_address, connection.local_port)
            there = (connection.remote_address, connection.remote_port)
            blocks += server_at(*(here if is_broker else there)).attributes
        items = _facts(request, response, about)
        if items:
            blocks += (Attributes(items),)
        error = None
        failure = exchange.failure
        if response is not None and response.error:
            error = ERRORS.get(response.error, str(response.error))
        elif failure is not None and failure is not Failure.AGENT_EXIT:
            error = failure.value
        links = about.links
        kind = None if is_broker else _OPERATIONS.get(request.api, (None, None, None))[2]
        return Description(place[0], blocks, error, kind=kind, links=links)


def _facts(
    request: Request, response: Response | None, about: Batches
) -> tuple[tuple[str, Value], ...]:
    """What is told of this one exchange."""
    items: tuple[tuple[str, Value], ...] = ()
    if about.partitions == 1:
        items += ((semconv.MESSAGING_DESTINATION_PARTITION_ID, str(about.partition)),)
    count = None
    if request.api == PRODUCE:
        count = about.records
    elif request.api == FETCH and response is not None:
        count = response.batches.records
    if count is not None:
        items += ((semconv.MESSAGING_BATCH_MESSAGE_COUNT, count),)
    if request.group:
        items += ((semconv.MESSAGING_CONSUMER_GROUP_NAME, redaction.key(request.group)),)
    return items


@lru_cache(MAX_BLOCKS)
def _place(api: int, topic: bytes, is_broker: bool) -> tuple[str, Attributes]:  # noqa: FBT001  # a part of the key
    """A span's name, and what all spans of it have in common."""
    operation, kind, _ = _OPERATIONS.get(api, (APIS[api][0], "", None))
    items: tuple[tuple[str, Value], ...] = (
        (semconv.MESSAGING_SYSTEM, "kafka"),
        (semconv.MESSAGING_OPERATION_NAME, operation),
    )
    if kind and not is_broker:
        items += ((semconv.MESSAGING_OPERATION_TYPE, kind),)
    pattern = redaction.key(topic)
    if pattern and pattern.encode() == topic:
        items += ((semconv.MESSAGING_DESTINATION_NAME, pattern),)
    elif pattern:
        items += ((semconv.MESSAGING_DESTINATION_TEMPLATE, pattern),)
    return f"{operation} {pattern}".rstrip(), Attributes(items)
