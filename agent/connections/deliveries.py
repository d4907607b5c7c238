"""Whether a connection of HTTP/2 delivers OpenTelemetry spans: OTLP over gRPC, of which nothing else is read here.

What the client says is the preface (RFC 9113 §3.4), then frames (§4.1). A request's path is in the field block of its
HEADERS frame, as a literal in plain bytes or in the Huffman code (RFC 7541 §6.2, §5.2); which of them the sender
chooses. Only the first request on a connection has it: the next ones refer to what that one said (§2.3.2).

A connection whose beginning was not seen tells by what is sent: a message of gRPC with a resource, and spans in it
(https://github.com/open-telemetry/opentelemetry-proto, trace/v1/trace.proto). A compressed one tells nothing, nor does
anything that is encrypted.
"""

from __future__ import annotations

import re
from typing import Final

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
PATHS: Final = (
    b"/opentelemetry.proto.collector.trace.v1.TraceService/Export",
    bytes.fromhex(
        "60f596a49682d254d9e97aec3a4eb90f4505224f62e9b0642afdc2befb0642ee2d9dcc42b183cd67b13f"
    ),
)
"""Plain, and in the Huffman code."""
MAX_REQUESTS: Final = 4
"""Connections may be shared by what exports logs and metrics, too; who has asked for other things so often delivers no spans."""
MAX_LOOKED_AT: Final = 65536
"""Bytes of a client that are looked at."""
MAX_BLOCK: Final = 16384
"""Bytes of a HEADERS frame: what every receiver takes (RFC 9113 §4.2)."""

_FRAME_HEAD: Final = 9
_DATA: Final = 0
_HEADERS: Final = 1
_SETTINGS: Final = 4
_LAST_TYPE: Final = 9
"""RFC 9113 §6."""
_MAX_FRAMES: Final = 8
_PREFIX: Final = 5
"""Of a message of gRPC: whether it is compressed, and its size."""
_RESOURCE: Final = re.compile(rb"(?:\x0a.{1,5}?){3}\x0a", re.DOTALL)
"""A request begins with resource_spans (1), its resource (1), that with an attribute (1), and that with its key (1)."""
_SERVICE: Final = re.compile(rb"service\.name|telemetry\.sdk\.")
"""Keys of the attributes that every SDK's resource has."""
_SPAN: Final = re.compile(rb"\x0a\x10.{16}\x12\x08.{8}", re.DOTALL)
"""Span.trace_id (1) and span_id (2). A metric has its name and description there; a log record its ids at 9 and 10."""


class Deliveries:
    """Reads what the client of one connection says from its beginning."""

    __slots__ = ("_buffer", "_bytes_left", "_is_begun", "_requests_left", "_skip")

    def __init__(self) -> None:
        self._buffer = b""
        self._is_begun = False
        self._skip = 0
        """Bytes of a frame that come yet and do not matter."""
        self._requests_left = MAX_REQUESTS
        self._bytes_left = MAX_LOOKED_AT

    def feed(self, data: bytes) -> bool | None:
        """Take the next bytes; whether spans are delivered, None while that is not known."""
        self._bytes_left -= len(data)
        data = self._buffer + data
        self._buffer = b""
        if not self._is_begun:
            if len(data) < len(PREFACE):
                self._buffer = data
                return None if PREFACE.startswith(data) else False
            if not data.startswith(PREFACE):
                return False
            self._is_begun, data = True, data[len(PREFACE) :]
        return self._frames(data)

    def _frames(self, data: bytes) -> bool | None:
        while self._requests_left:
            if self._skip:
                skipped = min(self._skip, len(data))
                self._skip -= skipped
                data = data[skipped:]
            if len(data) < _FRAME_HEAD:
                break
            size = int.from_bytes(data[:3])
            if data[3] != _HEADERS:
                self._skip = _FRAME_HEAD + size
                continue
            if size > MAX_BLOCK:
                return False
            end = _FRAME_HEAD + size
            if len(data) < end:
                break
            if any(path in data[_FRAME_HEAD:end] for path in PATHS):
                return True
            self._requests_left -= 1
            data = data[end:]
        self._buffer = data
        return None if self._requests_left and self._bytes_left > 0 else False


def has_spans(data: bytes) -> bool:
    """Whether what a client sends in the middle of a connection begins with a request that delivers spans.

    The frames before its first DATA frame say nothing that could be read here.
    """
    for _ in range(_MAX_FRAMES):
        if len(data) < _FRAME_HEAD or data[3] > _LAST_TYPE:
            return False
        size = int.from_bytes(data[:3])
        if data[3] == _DATA and size > _PREFIX:
            message = data[_FRAME_HEAD + _PREFIX :]
            return (
                data.startswith(b"\0", _FRAME_HEAD)
                and _RESOURCE.match(message) is not None
                and _SERVICE.search(message) is not None
                and _SPAN.search(message) is not None
            )
        data = data[_FRAME_HEAD + size :]
    return False


def may_be_server(head: bytes) -> bool:
    """Whether a server of HTTP/2 may begin like this: with a SETTINGS frame, before or after the client's preface."""
    size = int.from_bytes(head[:3])
    return (
        len(head) >= _FRAME_HEAD
        and size % 6 == 0
        and head[3:_FRAME_HEAD] == bytes((_SETTINGS, 0, 0, 0, 0, 0))
    )
