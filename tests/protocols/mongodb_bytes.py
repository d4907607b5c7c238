"""MongoDB's messages as they are on the wire, for tests."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping
from typing import Any

Said = Mapping[str, Any]

OP_REPLY, OP_QUERY, OP_COMPRESSED, OP_MSG = 1, 2004, 2012, 2013


def field(name: str, value: object) -> bytes:
    key = name.encode() + b"\0"
    kind, data = typed(value)
    return kind + key + data


def typed(value: object) -> tuple[bytes, bytes]:  # noqa: PLR0911  (one for each type)
    match value:
        case bool():
            return b"\x08", bytes([value])
        case int() if abs(value) < 1 << 31:
            return b"\x10", struct.pack("<i", value)
        case int():
            return b"\x12", struct.pack("<q", value)
        case float():
            return b"\x01", struct.pack("<d", value)
        case str():
            return b"\x02", struct.pack("<i", len(value.encode()) + 1) + value.encode() + b"\0"
        case dict():
            return b"\x03", bson(value)
        case list():
            return b"\x04", bson({str(number): item for number, item in enumerate(value)})
        case bytes():
            return b"\x05", struct.pack("<i", len(value)) + b"\0" + value
        case _:
            return b"\x0a", b""


def bson(fields: Said) -> bytes:
    body = b"".join(field(name, value) for name, value in fields.items())
    return struct.pack("<i", len(body) + 5) + body + b"\0"


def message(opcode: int, body: bytes, number: int = 0, answers: int = 0) -> bytes:
    return struct.pack("<iiii", len(body) + 16, number, answers, opcode) + body


def sequence(name: str, *documents: Said) -> bytes:
    """A section of kind 1."""
    body = name.encode() + b"\0" + b"".join(map(bson, documents))
    return b"\1" + struct.pack("<i", len(body) + 4) + body


def body_of(said: Said, *sections: bytes, flags: int = 0) -> bytes:
    return (
        struct.pack("<I", flags) + b"\0" + bson(said) + b"".join(sections) + b"crc!" * (flags & 1)
    )


def command(
    number: int, said: Said, *sections: bytes, flags: int = 0, database: str = "shop"
) -> bytes:
    """OP_MSG, as drivers write it."""
    return message(OP_MSG, body_of({**said, "$db": database}, *sections, flags=flags), number)


def reply(answers: int, said: Said, *, number: int = 900, flags: int = 0) -> bytes:
    return message(OP_MSG, body_of(said, flags=flags), number, answers)


def cursor(*documents: Said, batch: str = "firstBatch") -> Said:
    return {"cursor": {batch: list(documents), "id": 0, "ns": "shop.orders"}, "ok": 1.0}


def error(code: int = 11000, name: str = "DuplicateKey") -> Said:
    return {"ok": 0.0, "errmsg": "E11000 hunter2zebra", "code": code, "codeName": name}


def query(number: int, said: Said, namespace: str = "admin.$cmd") -> bytes:
    return message(OP_QUERY, bytes(4) + namespace.encode() + b"\0" + struct.pack("<ii", 0, -1) + bson(said), number)  # fmt: skip


def old_reply(answers: int, *documents: Said, flags: int = 0, number: int = 900) -> bytes:
    head = struct.pack("<iqii", flags, 0, 0, len(documents))
    return message(OP_REPLY, head + b"".join(map(bson, documents)), number, answers)


def compressed(whole: bytes, way: int = 2, data: bytes | None = None) -> bytes:
    """`whole` in an OP_COMPRESSED; `data` is its body, compressed, where that is not zlib's."""
    _, number, answers, opcode = struct.unpack_from("<iiii", whole)
    body = whole[16:]
    packed = data if data is not None else zlib.compress(body) if way == 2 else body
    head = struct.pack("<iiB", opcode, len(body), way)
    return message(OP_COMPRESSED, head + packed, number, answers)
