"""Cassandra's frames and segments as they are on the wire, for tests."""

from __future__ import annotations

import zlib
from collections.abc import Iterable

from agent.protocols.cassandra_segments import crc24

ERROR, STARTUP, READY, OPTIONS, SUPPORTED, QUERY, RESULT, PREPARE, EXECUTE, EVENT, BATCH = 0, 1, 2, 5, 6, 7, 8, 9, 10, 12, 13  # fmt: skip
IDENTITY = b"0123456789abcdef"


def short(data: bytes | str) -> bytes:
    data = data.encode() if isinstance(data, str) else data
    return len(data).to_bytes(2, "big") + data


def long(data: bytes | str) -> bytes:
    data = data.encode() if isinstance(data, str) else data
    return len(data).to_bytes(4, "big") + data


def integer(value: int) -> bytes:
    return value.to_bytes(4, "big", signed=True)


def frame(opcode: int, body: bytes = b"", *, stream: int = 0, version: int = 4, flags: int = 0) -> bytes:  # fmt: skip
    head = bytes([version, flags]) + stream.to_bytes(2, "big", signed=True) + bytes([opcode])
    return head + integer(len(body)) + body


def answer(opcode: int, body: bytes = b"", *, stream: int = 0, version: int = 4, flags: int = 0) -> bytes:  # fmt: skip
    return frame(opcode, body, stream=stream, version=version | 0x80, flags=flags)


def startup(version: int = 4, compression: str = "", stream: int = 0) -> bytes:
    options = {"CQL_VERSION": "3.4.6", **({"COMPRESSION": compression} if compression else {})}
    body = len(options).to_bytes(2, "big")
    return frame(STARTUP, body + b"".join(short(key) + short(value) for key, value in options.items()), version=version, stream=stream)  # fmt: skip


def parameters(
    version: int = 4, *, consistency: int = 1, values: Iterable[bytes] = (), page_size: int = 0
) -> bytes:
    each = list(values)
    flags = (0x01 if each else 0) | (0x04 if page_size else 0)
    body = consistency.to_bytes(2, "big") + flags.to_bytes(4 if version == 5 else 1, "big")
    if each:
        body += len(each).to_bytes(2, "big") + b"".join(map(long, each))
    return body + (integer(page_size) if page_size else b"")


def query(text: str, stream: int = 0, version: int = 4, **more) -> bytes:
    return frame(QUERY, long(text) + parameters(version, **more), stream=stream, version=version)


def prepare(text: str, stream: int = 0, version: int = 4) -> bytes:
    return frame(PREPARE, long(text) + (bytes(4) if version == 5 else b""), stream=stream, version=version)  # fmt: skip


def execute(number: bytes = IDENTITY, stream: int = 0, version: int = 4, **more) -> bytes:
    body = short(number) + (short(b"m" * 16) if version == 5 else b"") + parameters(version, **more)
    return frame(EXECUTE, body, stream=stream, version=version)


def batch(*statements: bytes | str, stream: int = 0, values: tuple[bytes, ...] = ()) -> bytes:
    """Texts, and ids of those that were prepared."""
    body = b"\0" + len(statements).to_bytes(2, "big")
    for each in statements:
        body += b"\1" + short(each) if isinstance(each, bytes) else b"\0" + long(each)
        body += len(values).to_bytes(2, "big") + b"".join(map(long, values))
    return frame(BATCH, body + b"\0\6\0", stream=stream)


def void(stream: int = 0, version: int = 4, **more) -> bytes:
    return answer(RESULT, integer(1), stream=stream, version=version, **more)


def column(kind: bytes = b"\0\x0d", name: str = "name") -> bytes:
    return short(name) + kind


def rows(*values: bytes, stream: int = 0, version: int = 4, columns: Iterable[bytes] = (), is_bare: bool = False, state: bytes = b"", **more) -> bytes:  # fmt: skip
    """Rows of one column; `is_bare`: without what is known of it."""
    specified = list(columns) or [column()]
    flags = (4 if is_bare else 1) | (2 if state else 0)
    body = integer(2) + integer(flags) + integer(len(specified)) + (long(state) if state else b"")
    if not is_bare:
        body += short("shop") + short("users") + b"".join(specified)
    body += integer(len(values)) + b"".join(map(long, values))
    return answer(RESULT, body, stream=stream, version=version, **more)


def prepared(number: bytes = IDENTITY, stream: int = 0, version: int = 4) -> bytes:
    body = integer(4) + short(number) + (short(b"m" * 16) if version == 5 else b"")
    return answer(RESULT, body + integer(4) + integer(0) + integer(0) + integer(4) + integer(0), stream=stream, version=version)  # fmt: skip


def keyspace(name: str, stream: int = 0, version: int = 4) -> bytes:
    return answer(RESULT, integer(3) + short(name), stream=stream, version=version)


def error(code: int = 0x2200, stream: int = 0, version: int = 4) -> bytes:
    return answer(ERROR, integer(code) + short("hunter2zebra is not known"), stream=stream, version=version)  # fmt: skip


def segment(payload: bytes, *, is_whole: bool = True) -> bytes:
    head = (len(payload) | is_whole << 17).to_bytes(3, "little")
    return head + crc24(head).to_bytes(3, "little") + payload + crc32(payload)


def lz4_segment(payload: bytes, packed: bytes, *, is_whole: bool = True) -> bytes:
    """`packed` is what `payload` was compressed to; the payload itself where that does not make it shorter."""
    size = 0 if packed is payload else len(payload)
    head = (len(packed) | size << 17 | is_whole << 34).to_bytes(5, "little")
    return head + crc24(head).to_bytes(3, "little") + packed + crc32(packed)


def crc32(payload: bytes) -> bytes:
    return zlib.crc32(payload, zlib.crc32(b"\xfa\x2d\x55\xca")).to_bytes(4, "little")
