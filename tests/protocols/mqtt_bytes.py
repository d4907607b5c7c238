"""MQTT's packets, as bytes."""

from __future__ import annotations

TRACEPARENT = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def varint(value: int) -> bytes:
    said = b""
    while True:
        value, low = value >> 7, value & 127
        said += bytes([low | 128 * bool(value)])
        if not value:
            return said


def text(value: bytes) -> bytes:
    return len(value).to_bytes(2, "big") + value


def packet(kind: int, flags: int = 0, rest: bytes = b"") -> bytes:
    return bytes([kind << 4 | flags]) + varint(len(rest)) + rest


def connect(version: int = 4, client: bytes = b"shop-1") -> bytes:
    name = b"MQIsdp" if version == 3 else b"MQTT"
    properties = varint(5) + b"\x11\0\0\0\x3c" if version == 5 else b""
    will = (b"\0" if version == 5 else b"") + text(b"dead") + text(b"hunter2")
    secrets = will + text(b"hunter2-user") + text(b"hunter2")
    rest = text(name) + bytes([version, 0xC6]) + b"\0\x3c" + properties + text(client) + secrets
    return packet(1, rest=rest)


CONNACK = packet(2, rest=b"\0\0")
CONNACK_5 = packet(2, rest=b'\0\0\x06"\0\n!\0\x14')
PINGREQ, PINGRESP = packet(12), packet(13)


def publish(
    topic: bytes = b"sensors/42/t",
    body: bytes = b"hunter2",
    *,
    qos: int = 0,
    number: int = 1,
    properties: bytes | None = None,
) -> bytes:
    """`properties` make it one of version 5."""
    rest = text(topic) + (number.to_bytes(2, "big") if qos else b"")
    if properties is not None:
        rest += varint(len(properties)) + properties
    return packet(3, qos << 1, rest + body)


def user(name: bytes, value: bytes) -> bytes:
    return b"\x26" + text(name) + text(value)


def alias(number: int) -> bytes:
    return b"\x23" + number.to_bytes(2, "big")


def acknowledgement(kind: int, number: int = 1, reason: int | None = None) -> bytes:
    rest = number.to_bytes(2, "big") + (b"" if reason is None else bytes([reason]))
    return packet(kind, 2 * (kind == 6), rest)


PUBACK, PUBREC, PUBREL, PUBCOMP = (acknowledgement(kind) for kind in (4, 5, 6, 7))
SUBSCRIBE = packet(8, 2, b"\0\1" + text(b"sensors/#") + b"\2")
SUBACK = packet(9, 0, b"\0\1\2")
DISCONNECT = packet(14)
