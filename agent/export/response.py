"""What OTLP receivers answer: partial success and "come back later", read from the protobuf wire format.

Answers are from outside: whatever they hold, reading them ends, and a malformed one says nothing (None or zero). The
batch it answers was accepted or refused by the status alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from agent.export.exporter import Outcome
from agent.export.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_ANSWER: Final = 64 * 1024
"""No receiver has more to say; the rest is not read."""

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


def outcome(body: bytes, count: int) -> Outcome:
    """The fate of `count` spans by an ExportTraceServiceResponse: those that it names as rejected are dropped."""
    rejected, message = 0, ""
    try:
        partial = _submessage(body, 1)  # partial_success
        for number, value in _fields(partial):
            if number == 1 and isinstance(value, int):  # rejected_spans
                rejected = value
            elif number == 2 and isinstance(value, bytes):  # error_message
                message = value.decode("utf-8", "replace")
    except ValueError:
        rejected, message = 0, ""
    if not 0 <= rejected <= count:  # an int64: a negative one arrives as a huge number
        rejected = 0
    return Outcome(
        exported=count - rejected,
        dropped=rejected,
        cause="rejected" if rejected else "",
        message=printable(message),
    )


def retry_delay_s(status_details: bytes) -> float | None:
    """Seconds of the google.rpc.RetryInfo in a google.rpc.Status (`grpc-status-details-bin`), None without one."""
    try:
        for number, detail in _fields(status_details):
            if number != 3 or not isinstance(detail, bytes):  # details, each a google.protobuf.Any
                continue
            if _submessage(detail, 1).endswith(b"/google.rpc.RetryInfo"):  # type_url
                retry_info = _submessage(detail, 2)  # value
                return _duration_s(_submessage(retry_info, 1))  # retry_delay
    except ValueError:
        pass
    return None


def _duration_s(duration: bytes) -> float:
    seconds = 0.0
    for number, value in _fields(duration):
        if isinstance(value, int) and value < 1 << 63:
            seconds += value if number == 1 else value / 1e9
    return seconds


def _submessage(message: bytes, wanted: int) -> bytes:
    for number, value in _fields(message):
        if number == wanted and isinstance(value, bytes):
            return value
    return b""


def _fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Field numbers with their values: numbers as unsigned, everything of variable length as bytes."""
    position = 0
    while position < len(message):
        tag, position = _varint(message, position)
        number, wire_type = tag >> 3, tag & 7
        if wire_type == _VARINT:
            value, position = _varint(message, position)
            yield number, value
            continue
        if wire_type == _BYTES:
            size, position = _varint(message, position)
        elif wire_type in (_FIXED64, _FIXED32):
            size = 8 if wire_type == _FIXED64 else 4
        else:
            raise ValueError(f"wire type {wire_type}")
        end = position + size
        if end > len(message):
            raise ValueError(f"a field ends at {end}, the message at {len(message)}")
        yield number, message[position:end]
        position = end


def _varint(message: bytes, position: int) -> tuple[int, int]:
    number = 0
    for index in range(10):  # 64 bits, 7 a byte
        if position + index >= len(message):
            raise ValueError("a varint is cut off")
        byte = message[position + index]
        number |= (byte & 0x7F) << 7 * index
        if byte < 0x80:
            return number, position + index + 1
    raise ValueError("a varint is longer than 10 bytes")
