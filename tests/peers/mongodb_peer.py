"""A MongoDB server by script: it greets, and answers each command from a table. Messages are `mongodb_bytes`'."""

from __future__ import annotations

import struct
import time
import zlib
from collections.abc import Callable, Mapping
from typing import Any

import bson

from tests.peers.peer import Line
from tests.protocols import mongodb_bytes as mongo

Answer = Callable[[dict[str, Any]], Mapping[str, Any]]
OLDEST, NEWEST = 0, 25
"""Wire versions of MongoDB 2.6 and 8.0."""


def server(
    answers: dict[str, Answer], compression: str = "", compress: Callable[[bytes], bytes] = zlib.compress,
    decompress: Callable[[bytes], bytes] = zlib.decompress,
) -> Callable[[Line], None]:  # fmt: skip
    """`answers` has what each command is answered; it gets the command with its documents in it."""

    def serve(line: Line) -> None:
        number = 1000
        while True:
            size, asked, _, opcode = struct.unpack("<iiii", line.read(16))
            body = line.read(size - 16)
            number += 1
            is_compressed = opcode == mongo.OP_COMPRESSED
            if is_compressed:
                opcode = struct.unpack_from("<i", body)[0]
                body = decompress(body[9:])
            if opcode == mongo.OP_QUERY:
                said = bson.decode(body[body.index(b"\0", 4) + 9 :])
                line.write(mongo.old_reply(asked, hello(compression), number=number))
                continue
            said, flags = command(body)
            name = next(iter(said))
            if name in ("hello", "ismaster", "isMaster"):
                if said.get("maxAwaitTimeMS"):
                    time.sleep(0.2)  # as a server that has no news for its monitor
                answer: Mapping[str, Any] = hello(compression)
            else:
                answer = answers[name](said)
            if flags & 2:
                continue
            message = mongo.reply(asked, answer, number=number)
            if is_compressed:
                way = {"snappy": 1, "zlib": 2, "zstd": 3}[compression]
                message = mongo.compressed(message, way, compress(message[16:]))
            line.write(message)

    return serve


def command(body: bytes) -> tuple[dict[str, Any], int]:
    """An OP_MSG's command, and its flags."""
    (flags,) = struct.unpack_from("<I", body)
    said: dict[str, Any] = {}
    at, end = 4, len(body) - 4 * (flags & 1)
    while at < end:
        (size,) = struct.unpack_from("<i", body, at + 1)
        section = body[at + 1 : at + 1 + size]
        if body[at] == 0:
            said = {**bson.decode(section), **said}
        else:
            name, _, documents = section[4:].partition(b"\0")
            said[name.decode()] = bson.decode_all(documents)
        at += 1 + size
    return dict(said), flags


def hello(compression: str) -> dict[str, object]:
    return {
        "ismaster": True, "isWritablePrimary": True, "helloOk": True, "maxBsonObjectSize": 16777216,
        "maxMessageSizeBytes": 48000000, "maxWriteBatchSize": 100000, "minWireVersion": OLDEST,
        "maxWireVersion": NEWEST, "readOnly": False, "logicalSessionTimeoutMinutes": 30,
        "compression": [compression] if compression else [], "ok": 1.0,
    }  # fmt: skip
