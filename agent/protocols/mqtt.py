"""MQTT 3.1, 3.1.1 and 5: messages published to a broker and delivered by it.

https://docs.oasis-open.org/mqtt/mqtt/v5.0/mqtt-v5.0.html

The packets are read in `mqtt_messages.py`; here is what ends the exchange that a PUBLISH of either side begins:

    QoS 0    its last byte
    QoS 1    PUBACK
    QoS 2    PUBCOMP, which answers the PUBREL that answers the PUBREC; or a PUBREC that refuses it

They have the packet identifier in common. In version 5 they carry a reason code: from 0x80 on it is an error, as in a
DISCONNECT, which fails whatever waits. A program that takes a message acknowledges it when it has worked for it, or
before: that is up to its client.

A topic alias stands for the topic that it was given with on this connection. CONNECT tells the version; on a connection
that is older than zerospan, which is recognised by its pings, it is not known, so neither is where the payload begins.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from agent.protocols import (
    CAPTURE_ALL,
    About,
    Description,
    Protocol,
    Verdict,
    Wire,
    register,
)
from agent.protocols.answers import Answer, Scope
from agent.protocols.messaging_semantics import (
    MAX_DESTINATION,
    Message,
    client_id,
    describe,
)
from agent.protocols.mqtt_messages import (
    FAILED,
    Packet,
    Type,
    classify,
    error_of,
    find,
    read_acknowledgement,
    read_connect,
    read_packet,
    read_publish,
    read_reason,
)
from agent.spans import semconv
from agent.spans.span import Attributes, Value

if TYPE_CHECKING:
    from agent.protocols.pairing import Exchange
    from agent.stream import Stream

MAX_ALIASES: Final = 1024
"""Topic aliases of each side that are known."""
_ACKNOWLEDGEMENTS: Final = frozenset((Type.PUBACK, Type.PUBREC, Type.PUBREL, Type.PUBCOMP))
_PROTOCOL: Final = {
    version: Attributes(
        ((semconv.NETWORK_PROTOCOL_NAME, "mqtt"), (semconv.NETWORK_PROTOCOL_VERSION, name))
    )
    for version, name in ((3, "3.1"), (4, "3.1.1"), (5, "5"))
}


@register
class Mqtt(Protocol):
    """One connection."""

    name = "mqtt"
    is_stateful = True
    is_database = True
    is_duplex = True
    capture = CAPTURE_ALL
    about = About(
        title="MQTT 3.1, 3.1.1 and 5",
        captured="messages sent and received, until their acknowledgement at QoS 1 and 2: topic, size, client identifier, trace context in user properties, reason codes",
        omitted="what lies beyond the first 16 KB of one call, but for the rest of a payload; payloads, wills, user names, passwords, other properties; subscriptions; of connections that are older than zerospan, which are recognized by their pings, properties and sizes; WebSocket",
        tested="Mosquitto 2.0 with paho-mqtt 2, 3.1.1 and 5, as a proxy recorded them; 5 also in the kernel's sight (6.1)",
        roles="producer, consumer, broker",
    )

    def __init__(self) -> None:
        super().__init__()
        self._version = 0
        """0: not known."""
        self._facts: tuple[tuple[str, Value], ...] = ()
        self._aliases: tuple[dict[int, bytes], dict[int, bytes]] = ({}, {})
        """By whether the server gave them."""

    @classmethod
    def classify(cls, head: bytes) -> Verdict:
        """A CONNECT, or a ping."""
        return classify(head)

    @classmethod
    def find(cls, data: bytes, *, is_server: bool) -> int:
        """Packets that follow one another."""
        return find(data, is_server=is_server)

    def request(self, stream: Stream) -> Wire[Message | Answer]:
        """A packet of the client's."""
        return (yield from self._read(stream, is_server=False))

    def response(self, stream: Stream) -> Wire[Message | Answer]:
        """A packet of the server's."""
        return (yield from self._read(stream, is_server=True))

    @staticmethod
    def describe(exchange: Exchange) -> Description:
        """By the conventions for messaging."""
        return describe(exchange, "mqtt")

    def _read(self, stream: Stream, *, is_server: bool) -> Wire[Message | Answer]:
        yield from stream.wait()
        stream.begin()
        packet = yield from read_packet(stream, is_server=is_server)
        if packet.type is Type.PUBLISH:
            return (yield from self._published(stream, packet, is_server=is_server))
        answer: Answer | None = None
        if packet.type is Type.CONNECT:
            self._version, name = yield from read_connect(stream, packet)
            self._facts = client_id(name).items
        elif packet.type in _ACKNOWLEDGEMENTS:
            identifier, reason = yield from read_acknowledgement(stream, packet)
            is_end = packet.type in (Type.PUBACK, Type.PUBCOMP) or (
                packet.type is Type.PUBREC and reason >= FAILED
            )
            if is_end:
                answer = Answer((identifier,), error_of(reason))
        elif packet.type is Type.DISCONNECT:
            reason = yield from read_reason(stream, packet)
            if reason >= FAILED:
                answer = Answer((), error_of(reason), Scope.CHANNEL)
        else:
            yield from stream.skip(packet.size)
        if answer is not None:
            yield answer
        return answer

    def _published(self, stream: Stream, packet: Packet, *, is_server: bool) -> Wire[Message]:
        said = yield from read_publish(stream, packet, self._version)
        aliases = self._aliases[is_server]
        topic = said.topic
        if not topic:
            topic = aliases.get(said.alias, b"")
        elif said.alias and (said.alias in aliases or len(aliases) < MAX_ALIASES):
            aliases[said.alias] = topic[: MAX_DESTINATION + 1]
        message = Message(
            topic[: MAX_DESTINATION + 1],
            packet.size - said.size if self._version else None,
            key=(said.identifier,) if packet.qos else None,
            carrier=said.carrier,
            facts=self._facts,
            blocks=(_PROTOCOL[self._version],) if self._version else (),
            is_truncated=said.is_truncated,
        )
        yield message
        yield from stream.skip(packet.size - said.size)
        return message
