"""MQTT's control packets, versions 3.1, 3.1.1 and 5.

https://docs.oasis-open.org/mqtt/mqtt/v3.1.1/mqtt-v3.1.1.html, https://docs.oasis-open.org/mqtt/mqtt/v5.0/mqtt-v5.0.html

    packet     type and flags (1 byte), remaining length (1 to 4 bytes, 7 bits each), the rest (§2.1)
    PUBLISH    topic, packet identifier if QoS is 1 or 2, in version 5 properties, then the payload (§3.3)
    PUBACK, PUBREC, PUBREL, PUBCOMP    packet identifier, in version 5 perhaps a reason code and properties

Of CONNECT only the version and the client's identifier are read, not what comes behind: the will, user name, password.
Of a PUBLISH's properties only the topic alias and the trace context among the user properties.

No protocol by itself: nothing is registered here.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from agent.errors import Gap, ProtocolError
from agent.protocols import MAX_CLASSIFY, Verdict
from agent.protocols.captured import read_head
from agent.protocols.messaging_semantics import MAX_ID, Carrier

if TYPE_CHECKING:
    from agent.stream import Read, Stream

MAX_PROPERTIES: Final = 16 * 1024
"""Bytes of properties that are looked at: as many as a record can hold."""
MAX_ACKNOWLEDGEMENT: Final = 64 * 1024
"""Bytes of an acknowledgement: it may carry a reason in words and user properties."""
FAILED: Final = 0x80
"""Reason codes from here on are failures (§2.4)."""


class Type(enum.IntEnum):
    """Of a control packet (§2.1.2)."""

    CONNECT = 1
    CONNACK = 2
    PUBLISH = 3
    PUBACK = 4
    PUBREC = 5
    PUBREL = 6
    PUBCOMP = 7
    SUBSCRIBE = 8
    SUBACK = 9
    UNSUBSCRIBE = 10
    UNSUBACK = 11
    PINGREQ = 12
    PINGRESP = 13
    DISCONNECT = 14
    AUTH = 15


_BOTH: Final = frozenset((3, 4, 5, 6, 7, 14, 15))
_SAYS: Final = {False: _BOTH | {1, 8, 10, 12}, True: _BOTH | {2, 9, 11, 13}}
"""Types by whether the server says them; only in version 5 does it disconnect."""
_FLAGS: Final = {Type.PUBREL: 2, Type.SUBSCRIBE: 2, Type.UNSUBSCRIBE: 2}
_LEAST: Final = {4: 2, 5: 2, 6: 2, 7: 2, 2: 2, 8: 5, 9: 3, 10: 4, 11: 2, 1: 10, 3: 2}
"""Bytes behind the fixed header, at least."""

REASONS: Final = {
    0x80: "unspecified_error",
    0x81: "malformed_packet",
    0x82: "protocol_error",
    0x83: "implementation_specific_error",
    0x87: "not_authorized",
    0x89: "server_busy",
    0x8B: "server_shutting_down",
    0x8D: "keep_alive_timeout",
    0x8E: "session_taken_over",
    0x90: "topic_name_invalid",
    0x91: "packet_identifier_in_use",
    0x92: "packet_identifier_not_found",
    0x93: "receive_maximum_exceeded",
    0x94: "topic_alias_invalid",
    0x95: "packet_too_large",
    0x96: "message_rate_too_high",
    0x97: "quota_exceeded",
    0x98: "administrative_action",
    0x99: "payload_format_invalid",
    0x9A: "retain_not_supported",
    0x9B: "qos_not_supported",
}
"""§2.4, those that may concern a message."""

_TOPIC_ALIAS: Final = 0x23
_USER_PROPERTY: Final = 0x26
_FIXED: Final = {0x01: 1, 0x02: 4, _TOPIC_ALIAS: 2}
_TEXTS: Final = frozenset((0x03, 0x08, 0x09))
"""Content type, response topic, correlation data: a length of two bytes and so many bytes."""
_SUBSCRIPTION_IDENTIFIER: Final = 0x0B

_NAMES: Final = {b"\0\4MQTT": (4, 5), b"\0\6MQIsdp": (3,)}
"""Protocol names and levels (§3.1.2)."""
_FIRST: Final = {
    **dict.fromkeys((b"", b"\xc0", b"\xd0"), Verdict.MORE),
    b"\xc0\0": Verdict.REQUEST,
    b"\xd0\0": Verdict.RESPONSE,
}
"""Pings that stand alone: all that is said on an old connection for a while, perhaps."""
_NO_CONNACK: Final = frozenset(range(16)) - {3, 4, 5, 6, 7, 9, 11, 13, 14, 15}
"""Types that no server sends."""
_CONNACK_PROPERTIES: Final = frozenset((0x11, 0x12, 0x13, 0x15, 0x16, 0x1A, 0x1C, 0x1F, 0x21, 0x22, 0x24, 0x25, 0x26, 0x27, 0x28, 0x29, 0x2A))  # fmt: skip


@dataclass(frozen=True, slots=True)
class Packet:
    """A fixed header."""

    type: Type
    flags: int
    size: int
    """Bytes that follow."""

    @property
    def qos(self) -> int:
        """Of a PUBLISH."""
        return self.flags >> 1 & 3


@dataclass(frozen=True, slots=True)
class Publish:
    """What stands before the payload of a PUBLISH."""

    topic: bytes
    """Empty where the alias stands for it."""
    identifier: int
    """0 for QoS 0."""
    alias: int
    """0 without one."""
    carrier: dict[str, str] | None
    size: int
    """Bytes of all this."""
    is_truncated: bool


def classify(head: bytes) -> Verdict:
    """By a CONNECT, a CONNACK, or a ping."""
    head = head[:MAX_CLASSIFY]
    if head in _FIRST:
        return _FIRST[head]
    if head[0] == Type.CONNECT << 4:
        return _classify_connect(head)
    return _classify_connack(head) if head[0] == Type.CONNACK << 4 else Verdict.NO


def _classify_connect(head: bytes) -> Verdict:
    """Protocol name and level, and a bit that is 0 (§3.1.2)."""
    size, at = _length(head, 1)
    if not at:
        return Verdict.MORE if len(head) < 5 and size >= 0 else Verdict.NO
    said = head[at:]
    for name, levels in _NAMES.items():
        level, flags = said[len(name) : len(name) + 1], said[len(name) + 1 : len(name) + 2]
        is_one = name.startswith(said[: len(name)]) and size >= len(name) + 6
        if is_one and (not level or level[0] in levels):
            if not flags:
                return Verdict.MORE
            return Verdict.NO if flags[0] & 1 else Verdict.REQUEST
    return Verdict.NO


def _classify_connack(head: bytes) -> Verdict:
    """Flags, a code and, in version 5, properties (§3.2.2); what follows is a packet that servers send."""
    if len(head) == 1:
        return Verdict.MORE
    size, session, code, behind = (head + bytes(3))[1:5]
    is_old = size == 2
    is_one = session < 2 and (code < 6 if is_old else not code or FAILED <= code < 0xA0)
    if not is_one or size < 2 or size > 127:
        return Verdict.NO
    if len(head) < (4 if is_old else 5 if size == 3 else 6):
        is_fine = len(head) < 5 or behind == size - 3
        return Verdict.MORE if is_fine else Verdict.NO
    if is_old:
        is_one = len(head) == 4 or behind >> 4 not in _NO_CONNACK
    else:
        is_one = behind == size - 3 and (not behind or head[5] in _CONNACK_PROPERTIES)
    return Verdict.RESPONSE if is_one else Verdict.NO


def find(data: bytes, *, is_server: bool) -> int:
    """0 if packets follow one another from the beginning of `data`, as far as it goes; else -1."""
    at = seen = 0
    while at < len(data):
        size, behind = _length(data, at + 1)
        if not behind:
            break
        try:
            packet = _packet(data[at], size, is_server=is_server)
        except ProtocolError:
            return -1
        if packet.type is Type.PUBLISH and not _has_topic(data, behind, packet):
            return -1
        seen += 1
        at = behind + size
    # One that is not all there is too little to tell, unless its topic is.
    is_known = at <= len(data) or data[0] >> 4 == Type.PUBLISH
    return 0 if seen and is_known else -1


def _has_topic(data: bytes, at: int, packet: Packet) -> bool:
    """Whether a PUBLISH, behind its fixed header at `at`, has a topic that may be one."""
    size = int.from_bytes(data[at : at + 2], "big")
    topic = data[at + 2 : at + 2 + size]
    if not size or len(topic) < size or size + 2 > packet.size:
        return False
    return is_topic(topic) and topic.decode("utf-8").isprintable()


def is_topic(topic: bytes) -> bool:
    """§4.7: UTF-8, without wildcards and NUL."""
    try:
        topic.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return not set(b"+#\0") & set(topic)


def read_packet(stream: Stream, *, is_server: bool) -> Read[Packet]:
    """A fixed header."""
    first = yield from stream.read(1)
    length = b""
    while True:
        length += yield from stream.read(1)
        size, end = _length(length, 0)
        if end:
            return _packet(first[0], size, is_server=is_server)
        if size < 0:
            raise ProtocolError("a remaining length of more than four bytes")


def _length(data: bytes, at: int) -> tuple[int, int]:
    """A variable byte integer (§1.5.5), and where it ends; 0 if that has not come; -1 and 0 if it has too many bytes."""
    value = 0
    for index in range(4):
        if at + index >= len(data):
            return 0, 0
        value |= (data[at + index] & 0x7F) << 7 * index
        if not data[at + index] & 0x80:
            return value, at + index + 1
    return -1, 0


def _packet(first: int, size: int, *, is_server: bool) -> Packet:
    number, flags = first >> 4, first & 15
    if number not in _SAYS[is_server] or size < _LEAST.get(number, 0):
        raise ProtocolError("a control packet that this side does not send")
    kind = Type(number)
    is_fine = flags & 6 != 6 if kind is Type.PUBLISH else flags == _FLAGS.get(kind, 0)
    if kind in (Type.PINGREQ, Type.PINGRESP):
        is_fine = is_fine and not size
    elif Type.PUBACK <= kind <= Type.PUBCOMP:
        is_fine = is_fine and size <= MAX_ACKNOWLEDGEMENT
    if not is_fine:
        raise ProtocolError("flags or a length that this control packet cannot have")
    return Packet(kind, flags, size)


def read_connect(stream: Stream, packet: Packet) -> Read[tuple[int, bytes]]:
    """The version and the client's identifier; the rest is walked over."""
    begun = stream.position
    name = yield from _read_text(stream, 6)
    level, _ = yield from stream.read(2)
    if level not in _NAMES.get(len(name).to_bytes(2, "big") + name, ()):
        raise ProtocolError("a protocol name or level that there is not")
    yield from stream.read(2)
    if level == 5:
        size = yield from _read_length(stream)
        yield from stream.skip(size)
    size = int.from_bytes((yield from stream.read(2)), "big")
    identifier = yield from read_head(stream, size, MAX_ID + 1)
    if len(identifier) < min(size, MAX_ID + 1):
        raise Gap("the client's identifier was not captured")
    yield from skip_rest(stream, packet.size, begun)
    return level, identifier


def read_publish(stream: Stream, packet: Packet, version: int) -> Read[Publish]:
    """What stands before the payload. `version`: 0 if it is not known, then properties are taken for payload."""
    begun = stream.position
    size = int.from_bytes((yield from stream.read(2)), "big")
    if size + 2 > packet.size:
        raise ProtocolError("a topic that is longer than its packet")
    topic = yield from stream.read(size)
    if not is_topic(topic):
        raise ProtocolError("a topic that is none")
    identifier = 0
    if packet.qos:
        identifier = int.from_bytes((yield from stream.read(2)), "big")
        if not identifier:
            raise ProtocolError("a packet identifier of 0")
    alias, carrier, is_whole = 0, None, True
    if version == 5:
        size = yield from _read_length(stream)
        if stream.position - begun + size > packet.size:
            raise ProtocolError("properties that are longer than their packet")
        data = yield from read_head(stream, size, MAX_PROPERTIES)
        alias, carrier = properties(data)
        is_whole = len(data) == size
    passed = stream.position - begun
    if passed > packet.size:
        raise ProtocolError("a PUBLISH that is longer than it says")
    if version and not topic and not alias and is_whole:
        raise ProtocolError("a PUBLISH without a topic")
    return Publish(topic, identifier, alias, carrier, passed, not is_whole)


def properties(data: bytes) -> tuple[int, dict[str, str] | None]:
    """The topic alias and the trace context among a PUBLISH's properties (§3.3.2.3)."""
    at, alias = 0, 0
    carrier = Carrier()
    while at < len(data):
        kind = data[at]
        at += 1
        if kind in _FIXED:
            if kind == _TOPIC_ALIAS:
                alias = int.from_bytes(data[at : at + 2], "big")
            at += _FIXED[kind]
        elif kind in _TEXTS:
            _, at = _text(data, at)
        elif kind == _USER_PROPERTY:
            name, at = _text(data, at)
            value, at = _text(data, at)
            if at <= len(data):
                carrier.add(name, value)
        elif kind == _SUBSCRIPTION_IDENTIFIER:
            _, behind = _length(data, at)
            at = behind or len(data)
        else:
            raise ProtocolError("a property that a PUBLISH cannot have")
    return alias, carrier.found()


def _text(data: bytes, at: int) -> tuple[bytes, int]:
    """A string or binary data, and where it ends: beyond `data` if it was cut."""
    end = at + 2 + int.from_bytes(data[at : at + 2], "big")
    return data[at + 2 : end], end


def read_acknowledgement(stream: Stream, packet: Packet) -> Read[tuple[int, int]]:
    """The packet identifier and the reason code, 0 without one."""
    begun = stream.position
    identifier = int.from_bytes((yield from stream.read(2)), "big")
    reason = (yield from stream.read(1))[0] if packet.size > 2 else 0
    yield from skip_rest(stream, packet.size, begun)
    return identifier, reason


def read_reason(stream: Stream, packet: Packet) -> Read[int]:
    """The reason code of a DISCONNECT, 0 without one."""
    reason = (yield from stream.read(1))[0] if packet.size else 0
    yield from stream.skip(max(0, packet.size - 1))
    return reason


def error_of(reason: int) -> str:
    """error.type of a reason code; empty for success."""
    return REASONS.get(reason, f"0x{reason:02x}") if reason >= FAILED else ""


def skip_rest(stream: Stream, size: int, begun: int) -> Read[None]:
    """Walk over what is left of `size` bytes from `begun`."""
    left = begun + size - stream.position
    if left < 0:
        raise ProtocolError("a packet that is shorter than what is in it")
    yield from stream.skip(left)


def _read_text(stream: Stream, limit: int) -> Read[bytes]:
    size = int.from_bytes((yield from stream.read(2)), "big")
    if size > limit:
        raise ProtocolError("a protocol name that is too long")
    return (yield from stream.read(size))


def _read_length(stream: Stream) -> Read[int]:
    """A variable byte integer."""
    data = b""
    while True:
        data += yield from stream.read(1)
        size, end = _length(data, 0)
        if end:
            return size
        if size < 0:
            raise ProtocolError("a length of more than four bytes")
