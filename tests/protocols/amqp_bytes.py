"""AMQP 0-9-1's frames, as bytes."""

from __future__ import annotations

TRACEPARENT = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
PREFACE = b"AMQP\0\0\x09\1"
HEARTBEAT = b"\x08\0\0\0\0\0\0\xce"


def number(value: int, size: int = 2) -> bytes:
    return value.to_bytes(size, "big")


def text(value: bytes) -> bytes:
    return bytes([len(value)]) + value


def frame(kind: int, channel: int, rest: bytes) -> bytes:
    return bytes([kind]) + number(channel) + number(len(rest), 4) + rest + b"\xce"


def method(class_: int, number_: int, rest: bytes = b"", *, channel: int = 1) -> bytes:
    return frame(1, channel, number(class_) + number(number_) + rest)


def table(**fields: bytes) -> bytes:
    rest = b"".join(text(name.encode()) + b"S" + number(len(value), 4) + value for name, value in fields.items())  # fmt: skip
    return number(len(rest), 4) + rest


def content(body: bytes = b"hunter2", *, channel: int = 1, headers: bytes = b"", split: int = 0) -> bytes:  # fmt: skip
    flags = 0x8000 | (0x2000 if headers else 0)
    properties = number(flags) + text(b"text/plain") + headers
    head = frame(2, channel, number(60) + number(0) + number(len(body), 8) + properties)
    parts = [body[:split], body[split:]] if split else [body] if body else []
    return head + b"".join(frame(3, channel, part) for part in parts)


def publish(
    exchange: bytes = b"shop", key: bytes = b"orders.created", *, channel: int = 1, is_mandatory: bool = False, **more
) -> bytes:  # fmt: skip
    rest = number(0) + text(exchange) + text(key) + bytes([is_mandatory])
    return method(60, 40, rest, channel=channel) + content(channel=channel, **more)


def deliver(tag: int = 1, exchange: bytes = b"shop", key: bytes = b"orders.created", *, consumer: bytes = b"c1", channel: int = 1, **more) -> bytes:  # fmt: skip
    rest = text(consumer) + number(tag, 8) + b"\0" + text(exchange) + text(key)
    return method(60, 60, rest, channel=channel) + content(channel=channel, **more)


def consume(queue: bytes = b"jobs", consumer: bytes = b"c1", *, no_ack: bool = False, channel: int = 1) -> bytes:  # fmt: skip
    rest = number(0) + text(queue) + text(consumer) + bytes([2 * no_ack]) + table()
    return method(60, 20, rest, channel=channel)


def consume_ok(consumer: bytes = b"c1", *, channel: int = 1) -> bytes:
    return method(60, 21, text(consumer), channel=channel)


def ack(tag: int = 1, *, multiple: bool = False, channel: int = 1) -> bytes:
    return method(60, 80, number(tag, 8) + bytes([multiple]), channel=channel)


def nack(tag: int = 1, *, multiple: bool = False, channel: int = 1) -> bytes:
    return method(60, 120, number(tag, 8) + bytes([multiple | 2]), channel=channel)


def reject(tag: int = 1) -> bytes:
    return method(60, 90, number(tag, 8) + b"\0")


def get(queue: bytes = b"jobs") -> bytes:
    return method(60, 70, number(0) + text(queue) + b"\1")


def get_ok(tag: int = 1) -> bytes:
    rest = number(tag, 8) + b"\0" + text(b"shop") + text(b"orders.created") + number(0, 4)
    return method(60, 71, rest) + content()


GET_EMPTY = method(60, 72, b"\0")
CONFIRM, CONFIRMED = method(85, 10, b"\0"), method(85, 11)


def returned(key: bytes = b"nowhere") -> bytes:
    return method(60, 50, number(312) + text(b"NO_ROUTE") + text(b"shop") + text(key)) + content()


def close(code: int = 404, cause: tuple[int, int] = (60, 40), *, channel: int = 1) -> bytes:
    rest = number(code) + text(b"hunter2") + number(cause[0]) + number(cause[1])
    return method(20 if channel else 10, 40 if channel else 50, rest, channel=channel)


START = method(10, 10, b"\0\x09" + table(product=b"RabbitMQ") + number(5, 4) + b"PLAIN", channel=0)
START_OK = method(10, 11, table(product=b"test") + text(b"PLAIN") + number(14, 4) + b"\0hunter2\0hunter2" + text(b"en"), channel=0)  # fmt: skip
OPEN, OPEN_OK = method(20, 10, b"\0"), method(20, 11, number(0, 4))
