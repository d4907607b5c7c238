"""AMQP 0-9-1, as RabbitMQ speaks it: messages published, delivered and fetched.

https://www.rabbitmq.com/resources/specs/amqp0-9-1.pdf, https://www.rabbitmq.com/docs/confirms

The frames are read in `amqp_messages.py`; here is what becomes of methods and their content.

    Publish     sent, and over with its last byte; after Confirm.Select, with the server's Ack or Nack, which number the
                messages of a channel from 1. Return fails a message that was `mandatory`
    Deliver     comes in: over with its last byte where its consumer said `no-ack`, else with the client's Ack, Nack or Reject
    Get         asks for a message: over with Get-Ok and the message, or Get-Empty
    Channel.Close, Connection.Close by the server, with a reply code: fails what waits, and the last message if it was that
                which the server did not like

An Ack may be for all messages up to its own. A destination is the exchange, the routing key and, of what is delivered,
the queue, with colons between: those that are not empty, each once.

A message is known when its last frame is: frames of several channels may alternate.

AMQP 1.0 is another protocol, and not recognised. What is spoken behind a gap is: but whether the server confirms is not
known there, and a message ends with its last byte.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from agent import redaction
from agent.errors import ProtocolError
from agent.protocols import (
    CAPTURE_ALL,
    About,
    Description,
    Protocol,
    Verdict,
    Wire,
    register,
)
from agent.protocols.amqp_messages import (
    PREFACE,
    Arguments,
    Frame,
    Head,
    Method,
    classify,
    find,
    read_content,
    read_frame_end,
    read_frame_head,
    read_method,
)
from agent.protocols.answers import Answer, Key, Scope
from agent.protocols.messaging_semantics import RECEIVE, Message, describe
from agent.spans import semconv
from agent.spans.span import Attributes

if TYPE_CHECKING:
    from agent.protocols.pairing import Exchange
    from agent.stream import Read, Stream

MAX_CHANNELS: Final = 2048
"""RabbitMQ's channel_max by default is 2047; beyond, nothing is known of a channel."""
MAX_CONSUMERS: Final = 4096
"""Of a connection, whose queues are known."""
MAX_MANDATORY: Final = 64
"""Messages that may be returned."""
SUCCESS: Final = 200
DEFAULT_EXCHANGE: Final = b"amq.default"
_TEMPORARY: Final = b"amq.gen-"
_VERSION: Final = (
    Attributes(
        ((semconv.NETWORK_PROTOCOL_NAME, "amqp"), (semconv.NETWORK_PROTOCOL_VERSION, "0-9-1"))
    ),
)


@dataclass(slots=True)
class Consumer:
    """Somebody who messages are delivered to."""

    queue: bytes
    is_acknowledging: bool


@dataclass(slots=True)
class Begun:
    """A message of which not all frames have come."""

    message: Message | Answer | None
    """None for one that is no exchange."""
    at: int
    """Where it began."""
    at_ns: int
    left: int = -1
    """Bytes of its body; -1 before the content header."""


@dataclass(slots=True)
class Channel:
    """What was said on a channel."""

    consumers: OrderedDict[bytes, Consumer] = field(default_factory=OrderedDict)
    unnamed: deque[Consumer] = field(default_factory=deque)
    """Consumers that the server names."""
    confirmed: int | None = None
    """The number of the last message, where the server confirms them."""
    asked: int = 0
    """Gets, and answers to them."""
    answered: int = 0
    last: Message | None = None
    begun: list[Begun | None] = field(default_factory=lambda: [None, None])
    """By whether the server says it."""


@register
class Amqp(Protocol):
    """One connection."""

    name = "amqp"
    is_stateful = True
    is_database = True
    is_duplex = True
    capture = CAPTURE_ALL
    about = About(
        title="AMQP 0-9-1 (RabbitMQ)",
        captured="messages published (until their confirmation), delivered (until their acknowledgement) and fetched: exchange, routing key, queue, size, trace context; returns, rejections and reply codes",
        omitted="what lies beyond the first 16 KB of one call, but for the rest of a payload; payloads, other properties and headers, authentication; declarations; transactions; the trace context of fetched messages; AMQP 1.0; TLS",
        tested="RabbitMQ 3.10 with pika 1, as a proxy recorded them; not yet in the kernel's sight",
        roles="producer, consumer, broker",
    )

    def __init__(self) -> None:
        super().__init__()
        self._channels: dict[int, Channel] = {}
        self._mandatory: deque[tuple[int, Message]] = deque(maxlen=MAX_MANDATORY)
        """With their channels."""

    @classmethod
    def classify(cls, head: bytes) -> Verdict:
        """By the preface or a method."""
        return classify(head)

    @classmethod
    def find(cls, data: bytes, *, is_server: bool) -> int:
        """A method's frame that is all there; both sides' look alike."""
        del is_server
        return find(data)

    def missed(self, *, is_server: bool) -> None:
        """Messages that were begun are lost, and how many there were is not known."""
        for channel in self._channels.values():
            channel.begun[is_server] = None
            if not is_server:
                channel.confirmed = None

    def request(self, stream: Stream) -> Wire[Message | Answer]:
        """A frame of the client's."""
        return (yield from self._read(stream, is_server=False))

    def response(self, stream: Stream) -> Wire[Message | Answer]:
        """A frame of the server's."""
        return (yield from self._read(stream, is_server=True))

    @staticmethod
    def describe(exchange: Exchange) -> Description:
        """By the conventions for messaging."""
        return describe(exchange, "rabbitmq")

    def _read(self, stream: Stream, *, is_server: bool) -> Wire[Message | Answer]:
        yield from stream.wait()
        stream.begin()
        if stream.peek(1) == PREFACE[:1]:
            preface = yield from stream.read(len(PREFACE))
            if preface != PREFACE and not is_server:
                raise ProtocolError("another version of AMQP")
            return None
        head = yield from read_frame_head(stream)
        channel = self._channel(head.channel)
        begun = channel.begun[is_server]
        if head.type is Frame.METHOD:
            said = yield from self._read_method(stream, head, channel, is_server=is_server)
        else:
            said = None
            yield from _read_part(stream, head, begun)
        yield from read_frame_end(stream)
        if begun is not None and begun is channel.begun[is_server] and begun.left == 0:
            channel.begun[is_server] = None
            said = begun.message
            stream.begun_at, stream.begun_ns = begun.at, begun.at_ns
        if said is not None:
            yield said
        return said

    def _read_method(
        self, stream: Stream, head: Head, channel: Channel, *, is_server: bool
    ) -> Read[Message | Answer | None]:
        """A method; gives what it says if that is all, without content behind it."""
        method, arguments = yield from read_method(stream, head)
        if method is None:
            return None
        say = self._serve if is_server else self._ask
        said = say(method, arguments, channel, head.channel)
        if method not in _WITH_CONTENT:
            return said
        channel.begun[is_server] = Begun(said, stream.begun_at, stream.begun_ns)
        return None

    def _channel(self, number: int) -> Channel:
        found = self._channels.get(number)
        if found is None:
            found = Channel()
            if len(self._channels) < MAX_CHANNELS:
                self._channels[number] = found
        return found

    def _ask(
        self, method: Method, arguments: Arguments, channel: Channel, number: int
    ) -> Message | Answer | None:
        """What the client says."""
        if method is Method.PUBLISH:
            return self._published(arguments, channel, number)
        if method is Method.GET:
            arguments.number(2)
            channel.asked += 1
            return _message(
                b"", b"", arguments.text(), key=(number, "get", channel.asked), operation=RECEIVE
            )
        if method in (Method.ACK, Method.NACK, Method.REJECT):
            return _acknowledged(method, arguments, number)
        if method is Method.CONSUME:
            self._consume(arguments, channel)
        elif method is Method.CANCEL:
            channel.consumers.pop(arguments.text(), None)
        elif method is Method.CONFIRM_SELECT:
            channel.confirmed = channel.confirmed or 0
        elif method in (Method.CHANNEL_OPEN, Method.CHANNEL_CLOSE_OK):
            self._channels.pop(number, None)
        return None

    def _serve(
        self, method: Method, arguments: Arguments, channel: Channel, number: int
    ) -> Message | Answer | None:
        """What the server says."""
        if method is Method.DELIVER:
            return _delivered(arguments, channel, number)
        if method in (Method.GET_OK, Method.GET_EMPTY):
            channel.answered += 1
            return Answer((number, "get", channel.answered), count=int(method is Method.GET_OK))
        if method in (Method.ACK, Method.NACK):
            return _acknowledged(method, arguments, number)
        if method is Method.RETURN:
            self._returned(arguments, number)
        elif method is Method.CONSUME_OK:
            if channel.unnamed:
                channel.consumers[arguments.text()] = channel.unnamed.popleft()
        elif method is Method.CANCEL:
            channel.consumers.pop(arguments.text(), None)
        elif method in (Method.CHANNEL_CLOSE, Method.CONNECTION_CLOSE):
            return _closed(method, arguments, channel, number)
        elif method is Method.CHANNEL_CLOSE_OK:
            self._channels.pop(number, None)
        return None

    def _published(self, arguments: Arguments, channel: Channel, number: int) -> Message:
        arguments.number(2)
        exchange, routing_key = arguments.text(), arguments.text()
        key = None
        if channel.confirmed is not None:
            channel.confirmed += 1
            key = (number, channel.confirmed)
        message = channel.last = _message(exchange, routing_key, key=key)
        if arguments.number(1) & 1:
            self._mandatory.append((number, message))
        return message

    def _returned(self, arguments: Arguments, number: int) -> None:
        """A message could not be delivered: the last one of that name which is not known to be such."""
        code = arguments.number(2)
        arguments.text()
        destination = _message(arguments.text(), arguments.text(), key=None).destination
        for channel, message in reversed(self._mandatory):
            if (channel, message.destination, message.error) == (number, destination, ""):
                message.error = str(code)
                return

    def _consume(self, arguments: Arguments, channel: Channel) -> None:
        arguments.number(2)
        queue, tag = arguments.text(), arguments.text()
        consumer = Consumer(queue, not arguments.number(1) & 2)
        known = sum(len(each.consumers) + len(each.unnamed) for each in self._channels.values())
        if known >= MAX_CONSUMERS:
            return
        if tag:
            channel.consumers[tag] = consumer
        else:
            channel.unnamed.append(consumer)


_WITH_CONTENT: Final = frozenset((Method.PUBLISH, Method.DELIVER, Method.RETURN, Method.GET_OK))


def _read_part(stream: Stream, head: Head, begun: Begun | None) -> Read[None]:
    """A frame that is no method: of the message that was begun on its channel, if there is one."""
    if begun is None or head.type is Frame.HEARTBEAT:
        yield from stream.skip(head.size)
    elif head.type is Frame.HEADER:
        content = yield from read_content(stream, head)
        begun.left = content.body_size
        message = begun.message
        if message is not None:
            message.body_size = content.body_size
        if isinstance(message, Message):
            message.carrier = content.carrier
            message.is_truncated = content.is_truncated
    else:
        if begun.left < head.size:
            raise ProtocolError("a body that is longer than its header says")
        yield from stream.skip(head.size)
        begun.left -= head.size


def _message(
    exchange: bytes,
    routing_key: bytes,
    queue: bytes = b"",
    *,
    key: Key | None,
    **more: Any,
) -> Message:
    parts = dict.fromkeys(part for part in (exchange, routing_key, queue) if part)
    message = Message(b":".join(parts) or DEFAULT_EXCHANGE, None, key=key, blocks=_VERSION, **more)
    message.is_temporary = any(part.startswith(_TEMPORARY) for part in parts)
    if routing_key:
        shown = redaction.key(routing_key)
        message.facts = ((semconv.MESSAGING_RABBITMQ_ROUTING_KEY, shown),)
    return message


def _delivered(arguments: Arguments, channel: Channel, number: int) -> Message:
    consumer = channel.consumers.get(arguments.text())
    tag = arguments.number(8)
    arguments.number(1)
    exchange, routing_key = arguments.text(), arguments.text()
    is_over = consumer is not None and not consumer.is_acknowledging
    queue = consumer.queue if consumer is not None else b""
    return _message(exchange, routing_key, queue, key=None if is_over else (number, tag))


def _acknowledged(method: Method, arguments: Arguments, number: int) -> Answer:
    tag = arguments.number(8)
    is_multiple = method is not Method.REJECT and arguments.number(1) & 1
    error = {Method.ACK: "", Method.NACK: "nack", Method.REJECT: "reject"}[method]
    if is_multiple and not tag:
        return Answer((number,), error, Scope.CHANNEL)
    return Answer((number, tag), error, Scope.UP_TO if is_multiple else Scope.ONE)


def _closed(method: Method, arguments: Arguments, channel: Channel, number: int) -> Answer | None:
    code = arguments.number(2)
    arguments.text()
    cause = (arguments.number(2), arguments.number(2))
    if code == SUCCESS:
        return None
    if cause == Method.PUBLISH.value and channel.last is not None and channel.last.key is None:
        channel.last.error = str(code)
    return Answer((number,) if method is Method.CHANNEL_CLOSE else (), str(code), Scope.CHANNEL)
