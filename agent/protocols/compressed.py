"""The beginning of what was compressed, from the beginning of the compressed bytes.

What was captured is rarely all of it, and little is wanted: so nothing here needs the end, gives more than `limit` bytes,
or works longer than that takes. Bytes that cannot be, end what is given; no checksum is looked at.

    zlib     RFC 1950
    snappy   https://github.com/google/snappy/blob/main/format_description.txt, without framing
    lz4      https://github.com/lz4/lz4/blob/dev/doc/lz4_Block_format.md, one block
    zstd     RFC 8878, where the package `zstandard` is installed

A private sibling of the protocols that compress, and no protocol itself: it registers nothing.
"""

from __future__ import annotations

import zlib
from typing import Any, Final

zstandard: Any
try:
    import zstandard
except ImportError:  # it is nobody's dependency
    zstandard = None

MAX_WINDOW: Final = 8 * 1024 * 1024
"""Bytes of memory that a zstd frame may ask for: RFC 8878 §3.1.1.1.2 recommends to support as much."""


def from_zlib(data: bytes, limit: int) -> bytes:
    """At most `limit` bytes of what `data` begins."""
    try:
        return zlib.decompressobj().decompress(data, limit)
    except zlib.error:
        return b""


def from_zstd(data: bytes, limit: int) -> bytes | None:
    """Likewise; None where nothing here can read it."""
    if zstandard is None:
        return None
    try:
        reader = zstandard.ZstdDecompressor(max_window_size=MAX_WINDOW).stream_reader(data)
        return bytes(reader.read(limit))
    except (zstandard.ZstdError, MemoryError):
        return b""


def from_snappy(data: bytes, limit: int) -> bytes:
    """Likewise."""
    out = bytearray()
    at = 0
    while at < min(len(data), 5) and data[at] & 0x80:  # the size, a varint
        at += 1
    at += 1
    while at < len(data) and len(out) < limit:
        tag = data[at]
        at += 1
        kind = tag & 3
        if kind == 0:
            size = (tag >> 2) + 1
            if size > 60:
                width = size - 60
                size = int.from_bytes(data[at : at + width], "little") + 1
                at += width
            out += data[at : at + size]
            at += size
            continue
        if kind == 1:
            size = (tag >> 2 & 7) + 4
            offset = (tag & 0xE0) << 3 | int.from_bytes(data[at : at + 1], "little")
            at += 1
        else:
            width = 2 if kind == 2 else 4
            size = (tag >> 2) + 1
            offset = int.from_bytes(data[at : at + width], "little")
            at += width
        if at > len(data) or not _copy(out, offset, size):
            break
    return bytes(out[:limit])


def from_lz4(data: bytes, limit: int) -> bytes:
    """Likewise."""
    out = bytearray()
    at = 0
    while at < len(data) and len(out) < limit:
        token = data[at]
        size, at = _lz4_size(data, at + 1, token >> 4)
        out += data[at : at + size]
        at += size
        if at + 2 > len(data):
            break
        offset = int.from_bytes(data[at : at + 2], "little")
        size, at = _lz4_size(data, at + 2, token & 15)
        if not _copy(out, offset, min(size + 4, limit)):
            break
    return bytes(out[:limit])


def _lz4_size(data: bytes, at: int, size: int) -> tuple[int, int]:
    """15 goes on in the bytes that follow, up to one that is not 255."""
    if size < 15:
        return size, at
    while at < len(data):
        byte = data[at]
        size += byte
        at += 1
        if byte < 255:
            break
    return size, at


def _copy(out: bytearray, offset: int, size: int) -> bool:
    """Repeat `size` bytes from `offset` back, which may overlap what is made; False where there are none."""
    if not 0 < offset <= len(out):
        return False
    piece = bytes(out[len(out) - offset :][:size])
    out += (piece * (size // len(piece) + 1))[:size]
    return True
