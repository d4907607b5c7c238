"""AMQP 0-9-1's frames, methods and content headers.

https://www.rabbitmq.com/resources/specs/amqp0-9-1.pdf, and RabbitMQ's errata: https://www.rabbitmq.com/amqp-0-9-1-errata

    header    "AMQP" 0 0 9 1, the client's first word (§4.2.2)
    frame     type (1 byte), channel (2), size (4), that many bytes, 0xCE (§4.2.3)
    method    class (2 bytes), method (2), arguments
    content   behind Publish, Deliver, Return and Get-Ok: a header frame (class, weight, body size, properties), then body
              frames of that size in all; between them there may be frames of other channels

Arguments are read of the methods in `Method`, and none of those with which clients show who they are. Of the properties
only the trace context among the headers is read.

No protocol by itself: nothing is registered here.
"""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from agent.errors import Gap, ProtocolError
from agent.protocols import MAX_CLASSIFY, Verdict
from agent.protocols.captured import read_head
from agent.protocols.messaging_semantics import Carrier

if TYPE_CHECKING:
    from agent.stream import Read, Stream

PREFACE: Final = b"AMQP\0\0\x09\1"
END: Final = b"\xce"
MAX_FRAME: Final = 64 * 1024 * 1024
"""Bytes of a frame; RabbitMQ's frame_max is 128 KB by default, and at most what people set."""
MAX_METHOD: Final = 2048
"""Bytes of a method that are looked at: four short strings and some numbers."""
MAX_HEADER: Final = 16 * 1024
"""Bytes of a content header that are looked at: as many as a record can hold."""
MAX_BODY: Final = 1 << 40
_OLD_PROPERTIES: Final = 0x8000, 0x4000
"""Flags of content-type and content-encoding, short strings that stand before the headers."""
_HEADERS: Final = 0x2000
_CLASSES: Final = (10, 20, 30, 40, 50, 60, 70, 85, 90)


class Frame(enum.IntEnum):
    """§4.2.3."""

    METHOD = 1
    HEADER = 2
    BODY = 3
    HEARTBEAT = 8


class Method(enum.Enum):
    """Class and method, of those that matter here."""

    CONNECTION_CLOSE = (10, 50)
    CHANNEL_OPEN = (20, 10)
    CHANNEL_CLOSE = (20, 40)
    CHANNEL_CLOSE_OK = (20, 41)
    CONSUME = (60, 20)
    CONSUME_OK = (60, 21)
    CANCEL = (60, 30)
    PUBLISH = (60, 40)
    RETURN = (60, 50)
    DELIVER = (60, 60)
    GET = (60, 70)
    GET_OK = (60, 71)
    GET_EMPTY = (60, 72)
    ACK = (60, 80)
    REJECT = (60, 90)
    NACK = (60, 120)
    CONFIRM_SELECT = (85, 10)


_METHODS: Final = {method.value: method for method in Method}
_CLIENT: Final = frozenset((Method.CONSUME, Method.PUBLISH, Method.GET, Method.REJECT, Method.CONFIRM_SELECT))  # fmt: skip
_SERVER: Final = frozenset((Method.CONSUME_OK, Method.RETURN, Method.DELIVER, Method.GET_OK, Method.GET_EMPTY))  # fmt: skip
"""Methods that tell who speaks."""
_BEATS = re.compile(rb"\A(?:\x08\0\0\0\0\0\0\xce)+")
_METHOD_FRAME = re.compile(rb"(?:\A|(?<=\xce))\x01..\0\0..\0[\x0a\x14\x1e\x28\x32\x3c\x46\x55\x5a]\0.", re.DOTALL)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Head:
    """What stands before a frame's payload."""

    type: Frame
    channel: int
    size: int


@dataclass(frozen=True, slots=True)
class Content:
    """A content header."""

    body_size: int
    carrier: dict[str, str] | None
    is_truncated: bool


def classify(head: bytes) -> Verdict:
    """By the preface, or a method of which it is known who says it; heartbeats before it are read over."""
    is_all = len(head) >= MAX_CLASSIFY
    head = _BEATS.sub(b"", head[:MAX_CLASSIFY])
    if head[:1] == b"A":
        if head.startswith(PREFACE):
            return Verdict.REQUEST
        return Verdict.MORE if PREFACE.startswith(head) else Verdict.NO
    if len(head) < 11:
        is_begun = not head or head[0] == Frame.HEARTBEAT or (head[0] == 1 and head[1:3] != b"\0\0" and head[3:4] in (b"", b"\0"))  # fmt: skip
        return Verdict.MORE if is_begun and not is_all else Verdict.NO
    size = int.from_bytes(head[3:7], "big")
    method = _method(head[7:11])
    is_one = head[0] == Frame.METHOD and head[1:3] != b"\0\0" and 4 <= size <= MAX_METHOD
    if not is_one or method is None or head[7 + size : 8 + size] not in (b"", END):
        return Verdict.NO
    if method in _CLIENT:
        return Verdict.REQUEST
    return Verdict.RESPONSE if method in _SERVER else Verdict.NO


def find(data: bytes) -> int:
    """Where a method's frame is that is all there; -1: nowhere."""
    for found in _METHOD_FRAME.finditer(data):
        at = found.start()
        end = at + 7 + int.from_bytes(data[at + 3 : at + 7], "big")
        if data[end : end + 1] == END:
            return at
    return -1


def _method(raw: bytes) -> Method | None:
    pair = (int.from_bytes(raw[:2], "big"), int.from_bytes(raw[2:4], "big"))
    return _METHODS.get(pair)


def read_frame_head(stream: Stream) -> Read[Head]:
    """What stands before a frame's payload."""
    raw = yield from stream.read(7)
    channel, size = int.from_bytes(raw[1:3], "big"), int.from_bytes(raw[3:], "big")
    if raw[0] not in (1, 2, 3, 8) or size > MAX_FRAME or (raw[0] == Frame.HEARTBEAT and size):
        raise ProtocolError("what is no frame")
    return Head(Frame(raw[0]), channel, size)


def read_frame_end(stream: Stream) -> Read[None]:
    """The byte behind a frame's payload."""
    yield from stream.wait()
    end = stream.peek(1)
    yield from stream.skip(1)
    if end not in (b"", END):
        raise ProtocolError("a frame that does not end where it should")


def read_method(stream: Stream, head: Head) -> Read[tuple[Method | None, Arguments]]:
    """A method and its arguments; None, with none, for those that do not matter."""
    if head.size < 4:
        raise ProtocolError("a method's frame without a method")
    raw = yield from stream.read(4)
    if int.from_bytes(raw[:2], "big") not in _CLASSES:
        raise ProtocolError("a class of methods that there is not")
    method = _method(raw)
    if method is None:
        yield from stream.skip(head.size - 4)
        return None, Arguments(b"", is_whole=True)
    data = yield from read_head(stream, head.size - 4, MAX_METHOD)
    return method, Arguments(data, is_whole=len(data) == head.size - 4)


class Arguments:
    """A method's arguments, read one after the other; raises Gap where they were not captured."""

    __slots__ = ("_at", "_data", "_is_whole")

    def __init__(self, data: bytes, *, is_whole: bool) -> None:
        self._data = data
        self._at = 0
        self._is_whole = is_whole

    def number(self, size: int) -> int:
        """An unsigned number of so many bytes."""
        return int.from_bytes(self._take(size), "big")

    def text(self) -> bytes:
        """A short string."""
        return self._take(self.number(1))

    def _take(self, size: int) -> bytes:
        data = self._data[self._at : self._at + size]
        self._at += size
        if len(data) < size:
            if self._is_whole:
                raise ProtocolError("a method with too few arguments")
            raise Gap("arguments of a method were not captured")
        return data


def read_content(stream: Stream, head: Head) -> Read[Content]:
    """A content header."""
    data = yield from read_head(stream, head.size, MAX_HEADER)
    if len(data) < 14:
        if len(data) == head.size:
            raise ProtocolError("a content header that is too short")
        raise Gap("a content header was not captured")
    body_size, flags = int.from_bytes(data[4:12], "big"), int.from_bytes(data[12:14], "big")
    if body_size > MAX_BODY:
        raise ProtocolError("a body that is larger than any")
    at = 14
    for flag in _OLD_PROPERTIES:
        if flags & flag and at < len(data):
            at += 1 + data[at]
    is_whole = len(data) == head.size
    carrier = table(data[at:]) if flags & _HEADERS else None
    return Content(body_size, carrier, not is_whole)


_SIZES: Final = {
    **dict.fromkeys(b"tbB", 1),
    **dict.fromkeys(b"sUu", 2),
    **dict.fromkeys(b"Iif", 4),
    **dict.fromkeys(b"lLdT", 8),
    ord("D"): 5,
    ord("V"): 0,
}
"""Bytes of values by their type, as RabbitMQ has them (its errata, §3)."""
_LONG: Final = frozenset(b"SxAF")
"""Types of values with a length of four bytes before them."""


def table(data: bytes) -> dict[str, str] | None:
    """The trace context in a table (§4.2.5.5) at the beginning of `data`, which may be cut."""
    carrier = Carrier()
    end = min(len(data), 4 + int.from_bytes(data[:4], "big"))
    at = 4
    while at < end:
        name_end = at + 1 + data[at]
        name = data[at + 1 : name_end]
        if name_end >= end:
            break
        kind, at = data[name_end], name_end + 1
        if kind in _LONG:
            size, at = int.from_bytes(data[at : at + 4], "big"), at + 4
            if kind == ord("S") and at + size <= end:
                carrier.add(name, data[at : at + size])
            at += size
        elif kind in _SIZES:
            at += _SIZES[kind]
        else:
            break
    return carrier.found()
