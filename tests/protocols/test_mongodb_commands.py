"""MongoDB's commands and replies: what is kept of one, wherever it is cut."""

from __future__ import annotations

import struct
from typing import Any

import pytest

from agent.errors import Gap, ProtocolError
from agent.protocols import mongodb_commands as ours
from agent.protocols.mongodb_commands import Command, Reply
from agent.protocols.mongodb_messages import (
    REQUESTS,
    RESPONSES,
    Header,
    read_body,
    read_header,
)
from agent.stream import Read, Stream
from tests.protocols import mongodb_bytes as mongo
from tests.protocols.messages import read_all, three_ways
from tests.wire import holed

FIND = {"find": "orders", "filter": {"a": 1}}
TEXT = '{"find": "orders", "filter": {"a": "?"}}'


def read_command(stream: Stream) -> Read[Command]:
    header = yield from read_header(stream, REQUESTS)
    end = stream.position + header.size
    command = ours.command_of(header, *(yield from read_body(stream, header)))
    yield from stream.skip(end - stream.position)
    return command


def read_reply(stream: Stream) -> Read[Reply]:
    header = yield from read_header(stream, RESPONSES)
    end = stream.position + header.size
    reply = ours.reply_of(header, *(yield from read_body(stream, header)))
    yield from stream.skip(end - stream.position)
    return reply


def command(data: bytes) -> Any:
    return three_ways(lambda: read_command, data)[0]


def reply(data: bytes) -> Any:
    return three_ways(lambda: read_reply, data)[0]


def test_a_command():
    data = mongo.command(7, FIND)
    assert command(data) == Command(7, "find", "shop", "orders", TEXT, size=len(data))


def test_sequences_come_before_or_behind():
    said = mongo.bson({"insert": "orders", "$db": "shop"})
    rows = mongo.sequence("documents", {"a": 1}, {"a": 2}, {"a": 3})
    for body in (b"\0" + said + rows, rows + b"\0" + said):
        found = command(mongo.message(mongo.OP_MSG, bytes(4) + body, 1))
        assert (found.name, found.database, found.count) == ("insert", "shop", 3)
        assert found.text == '{"insert": "orders", "documents": ["?"]}'


def test_a_reply():
    data = mongo.reply(7, mongo.cursor({"a": 1}, {"a": 2}), number=9, flags=2)
    assert reply(data) == Reply(9, 7, rows=2, has_more=True, size=len(data))
    failed = mongo.reply(7, mongo.error())
    assert reply(failed) == Reply(900, 7, code=11000, error="DuplicateKey", size=len(failed))


OLD = [
    (2002, b"\0\0\0\0shop.orders\0" + mongo.bson({"a": 1}), Command(1, "insert", "shop", "orders", is_answered=False)),
    (2001, b"\0\0\0\0shop.orders\0\0\0\0\0", Command(1, "update", "shop", "orders", is_answered=False)),
    (2006, b"\0\0\0\0shop.orders\0\0\0\0\0", Command(1, "delete", "shop", "orders", is_answered=False)),
    (2005, b"\0\0\0\0shop.orders\0\0\0\0\0" + bytes(8), Command(1, "getMore", "shop", "orders")),
    (2007, b"\0\0\0\0\1\0\0\0" + bytes(8), Command(1, "killCursors", is_answered=False)),
]  # fmt: skip


@pytest.mark.parametrize(("opcode", "body", "expected"), OLD, ids=lambda item: str(item)[:12])
def test_messages_that_were_there_before_commands(opcode, body, expected):
    data = mongo.message(opcode, body, 1)
    expected.size = len(data)
    assert command(data) == expected


def test_old_replies():
    assert reply(mongo.old_reply(7, {"a": 1}, {"a": 2})).rows == 2
    assert reply(mongo.old_reply(7, {"$err": "x", "code": 13}, flags=2)).code == 13
    assert reply(mongo.message(mongo.OP_REPLY, b"\0" * 8, 1, 7)).is_truncated


@pytest.mark.parametrize("way", [0, 1, 2, 3])
def test_compressed(way):
    whole = mongo.command(7, FIND)
    pack = bytes if way == 0 else None
    if way == 1:
        snappy = pytest.importorskip("snappy")
        pack = snappy.compress
    if way == 3:
        pack = pytest.importorskip("zstandard").ZstdCompressor().compress
    data = mongo.compressed(whole, way, pack(whole[16:]) if pack else None)
    assert command(data) == Command(7, "find", "shop", "orders", TEXT, size=len(data))


def test_compressed_in_a_way_that_nobody_knows():
    found = command(mongo.compressed(mongo.command(7, FIND), 9))
    assert (found.missing, found.is_truncated, found.name) == ("compressed", True, "")
    assert reply(mongo.compressed(mongo.reply(7, {"ok": 1}), 9)).is_truncated


def test_in_a_hole_nothing_is_made_up():
    data = mongo.command(7, FIND)
    for start in range(16, len(data)):
        (found,) = read_all(read_command, holed(data, start, len(data)))
        assert found.is_truncated
        assert found.name in ("", "find")
        assert found.collection in ("", "orders")
        assert found.database in ("", "shop")
        assert found.name or found.missing == "not_captured"
    assert read_all(read_command, holed(data, 5, 9)) == [Gap]


BAD = {
    "size": struct.pack("<iiii", 15, 1, 0, 2013) + bytes(40),
    "too long": struct.pack("<iiii", 1 << 30, 1, 0, 2013) + bytes(40),
    "opcode": struct.pack("<iiii", 40, 1, 0, 2014) + bytes(40),
    "flags": mongo.message(2013, b"\4\0\0\0\0" + mongo.bson({"ping": 1}), 1),
    "kind": mongo.message(2013, b"\0\0\0\0\2" + mongo.bson({"ping": 1}), 1),
    "section": mongo.message(2013, b"\0\0\0\0\0\xff\0\0\0" + bytes(9), 1),
    "name of a section": mongo.message(2013, b"\0\0\0\0\1\x08\0\0\0abcd", 1),
    "no command": mongo.message(2013, b"\0\0\0\0\0" + mongo.bson({"no command": 1}), 1),
    "no namespace": mongo.message(2004, bytes(4) + b"shop\0" + bytes(8), 1),
    "namespace without an end": mongo.message(2004, bytes(4) + b"x" * 300, 1),
    "compressed twice": mongo.message(2012, struct.pack("<iiB", 2012, 50, 0) + bytes(50), 1),
    "compressed reply": mongo.message(2012, struct.pack("<iiB", 1, 50, 0) + bytes(50), 1),
}


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be(name):
    assert read_all(read_command, [*map(_piece, [BAD[name]])])[-1] is ProtocolError


def _piece(data: bytes):
    return holed(data, len(data), len(data))[0]


def test_replies_that_cannot_be():
    data = mongo.message(2012, struct.pack("<iiB", 2004, 50, 0) + bytes(50), 1, 2)
    assert read_all(read_reply, [_piece(data)])[-1] is ProtocolError


def test_a_long_name_is_cut():
    found = ours.command_of(
        Header(0, 1, 0, 2013), 2013, mongo.command(1, {"find": "a" * 5000})[16:], 9999
    )
    assert found.collection == "a" * ours.MAX_NAME
    wide = {
        "aggregate": "orders",
        "pipeline": [{f"a{'b' * n}": n} for n in range(15)],
    }
    text = mongo.command(1, {**wide, **{f"x{'y' * n}": {"z" * 9: 1} for n in range(1, 19)}})
    assert len(command(text).text) <= 2048
