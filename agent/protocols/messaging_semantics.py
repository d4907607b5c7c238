"""What message brokers share: a message as an exchange, described by the conventions for messaging spans.

https://opentelemetry.io/docs/specs/semconv/messaging/messaging-spans/ (1.37, in development)

A private sibling of their protocols, and no protocol itself: it registers nothing.

    a program sends a message                kind PRODUCER, type `send`, operation `publish`, or `request` if it waits for a reply
    a message comes in to a program          kind CONSUMER, type `process`
    a program asks for a message             kind CLIENT, type `receive`
    the broker takes one, hands one on       kinds SERVER and CLIENT, operations `publish` and `deliver`, no type

So producers and consumers count each message once, whether or not its broker is traced as well. A span's name is the
operation and the destination's pattern, in which words stay and everything else is `{id}` (agent/redaction): of a
destination that has such parts only the template is told, of others the name.

The trace context that came with a message is the producer's, and its span the consumer's parent: one span, one message.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from agent import redaction
from agent.protocols import Description, Role
from agent.protocols.db_semantics import server_at
from agent.protocols.http1_head import CONTEXT_FIELDS
from agent.protocols.pairing import Exchange, Failure
from agent.spans import semconv
from agent.spans.span import Attributes, SpanKind, Value

if TYPE_CHECKING:
    from agent.protocols.answers import Answer, Key

MAX_BLOCKS: Final = 4096
"""Destinations that are kept, at about 1 KB each."""
MAX_DESTINATION: Final = 128
"""Bytes of a destination that are looked at; NATS advises to stay far below, AMQP and MQTT allow 255 and 65 535."""
MAX_ID: Final = 128
"""Characters of a client's name that leave."""
MAX_CONTEXT: Final = 512
"""Bytes of a header with a trace context that are kept, as `tracestate` has (W3C Trace Context §3.3.1.5)."""
AF_UNIX: Final = 1

PUBLISH: Final = "publish"
REQUEST: Final = "request"
PROCESS: Final = "process"
DELIVER: Final = "deliver"
RECEIVE: Final = "receive"

_TYPES: Final = {PUBLISH: "send", REQUEST: "send", PROCESS: "process", RECEIVE: "receive"}
_KINDS: Final = {
    PUBLISH: SpanKind.PRODUCER,
    REQUEST: SpanKind.PRODUCER,
    PROCESS: SpanKind.CONSUMER,
    RECEIVE: SpanKind.CLIENT,
}


@dataclass(slots=True)
class Message:
    """What one side sent to the other; its payload is nowhere."""

    destination: bytes
    """Its name, whole or cut to more than MAX_DESTINATION."""
    body_size: int | None
    """Bytes; None if not known."""
    key: Key | None = None
    """What its answer will name; None if nothing answers it."""
    carrier: dict[str, str] | None = None
    operation: str = PUBLISH
    """PUBLISH, REQUEST or RECEIVE."""
    error: str = ""
    """error.type, where the other side complained of it without an answer."""
    facts: tuple[tuple[str, Value], ...] = ()
    """More attributes, redacted."""
    is_temporary: bool = False
    """The destination was made for one connection."""
    blocks: tuple[Attributes, ...] = ()
    """Those that many messages share."""
    is_truncated: bool = False
    """Its headers were not captured whole."""


@dataclass(slots=True)
class Carrier:
    """Collects the trace context of a message from its headers."""

    fields: dict[str, str] = field(default_factory=dict)

    def add(self, name: bytes, value: bytes) -> None:
        """A header, of any name; in case of several of a name the first one counts."""
        low = name.lower()
        if low in CONTEXT_FIELDS and len(value) <= MAX_CONTEXT:
            self.fields.setdefault(low.decode("ascii"), value.decode("latin-1"))

    def found(self) -> dict[str, str] | None:
        """None without a context."""
        return self.fields or None


def describe(exchange: Exchange, system: str, *, temporary: tuple[bytes, ...] = ()) -> Description:
    """An exchange whose request is a Message and whose response an Answer, if there was one.

    `temporary`: how names begin that are made for one connection; names that are empty are, too.
    """
    message: Message = exchange.request
    answer: Answer | None = exchange.response
    connection: Any = exchange.connection
    is_broker = connection.role is Role.SERVER
    is_received = exchange.role is Role.SERVER
    operation = message.operation
    if is_received is not is_broker:
        operation = DELIVER if is_broker else PROCESS
    is_temporary = (
        message.is_temporary or not message.destination or message.destination.startswith(temporary)
    )
    place = _place(
        system, operation, message.destination[: MAX_DESTINATION + 1], is_temporary, is_broker
    )
    blocks = (place.attributes, *message.blocks)
    if connection.family != AF_UNIX:
        here = (connection.local_address, connection.local_port)
        server = server_at(*here) if is_broker else server_at(connection.remote_address, connection.remote_port)  # fmt: skip
        blocks += server.attributes
    items = message.facts
    size = message.body_size
    if operation == RECEIVE and answer is not None:
        size = answer.body_size
    if size is not None:
        items += ((semconv.MESSAGING_MESSAGE_BODY_SIZE, size),)
    if answer is not None and answer.count is not None:
        items += ((semconv.MESSAGING_BATCH_MESSAGE_COUNT, answer.count),)
    if items:
        blocks += (Attributes(items),)
    error = message.error or (answer.error if answer is not None else "")
    failure = exchange.failure
    if not error and failure is not None and failure is not Failure.AGENT_EXIT:
        error = failure.value
    kind = None if is_broker else _KINDS[operation]
    return Description(place.name, blocks, error or None, kind=kind)


@dataclass(frozen=True, slots=True)
class Place:
    """What is done with messages of one destination."""

    name: str
    """The span's."""
    attributes: Attributes


@lru_cache(MAX_BLOCKS)
def _place(
    system: str,
    operation: str,
    destination: bytes,
    is_temporary: bool,  # noqa: FBT001  # a part of the key, not a switch of behaviour
    is_broker: bool,  # noqa: FBT001  # likewise
) -> Place:
    pattern = redaction.key(destination)
    items: tuple[tuple[str, Value], ...] = (
        (semconv.MESSAGING_SYSTEM, system),
        (semconv.MESSAGING_OPERATION_NAME, operation),
    )
    if not is_broker:
        items += ((semconv.MESSAGING_OPERATION_TYPE, _TYPES[operation]),)
    if pattern.encode() == destination and pattern:
        items += ((semconv.MESSAGING_DESTINATION_NAME, pattern),)
    elif pattern:
        items += ((semconv.MESSAGING_DESTINATION_TEMPLATE, pattern),)
    if is_temporary:
        items += ((semconv.MESSAGING_DESTINATION_TEMPORARY, True),)
    return Place(f"{operation} {pattern}" if pattern else operation, Attributes(items))


@lru_cache(MAX_BLOCKS)
def client_id(raw: bytes) -> Attributes:
    """The name that a client gave itself, if it is not too long, and not a secret by its looks."""
    named = redaction.mask(redaction.text(raw)) if len(raw) <= MAX_ID else redaction.REDACTED
    shown = redaction.REDACTED if redaction.is_secret(named) else named
    return Attributes(((semconv.MESSAGING_CLIENT_ID, shown),) if shown else ())
