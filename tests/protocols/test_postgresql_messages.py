"""PostgreSQL's messages, one by one."""

from __future__ import annotations

import pytest

from agent.errors import Gap, ProtocolError
from agent.protocols import Verdict
from agent.protocols.postgresql_messages import (
    BACKEND,
    FRONTEND,
    classify,
    parameters,
    read_frame,
    read_startup,
    returned,
    sqlstate,
)
from tests.protocols import postgresql_bytes as pg
from tests.protocols.messages import read_all, three_ways
from tests.wire import holed, whole


@pytest.mark.parametrize(
    ("head", "verdict"),
    [
        (b"", Verdict.MORE),
        (pg.startup(user="app", database="shop"), Verdict.REQUEST),
        (pg.startup(user="app" * 30), Verdict.REQUEST),
        (pg.SSL, Verdict.REQUEST),
        (pg.SSL + b"x", Verdict.NO),
        (pg.GSS, Verdict.REQUEST),
        (pg.CANCEL, Verdict.REQUEST),
        (pg.CANCEL[:9], Verdict.MORE),
        (b"\0\0\0\x15\0\x03\0\0\0\0\0\x01\0\4kaf", Verdict.NO),
        (b"\0\0\0\x15\0\x03\0\0", Verdict.MORE),
        (b"\0\0\0\x15\0\x02", Verdict.NO),
        (b"\0\0\x30\0", Verdict.NO),
        (pg.startup(**{"user name": "x"}), Verdict.NO),
        (pg.startup(user="\1"), Verdict.NO),
        (pg.query("select 1"), Verdict.REQUEST),
        (pg.query("select 1")[:9], Verdict.MORE),
        (pg.query("x" * 100), Verdict.REQUEST),
        (pg.query("\1"), Verdict.NO),
        (pg.query("{}"), Verdict.NO),
        (pg.message(b"Q", b"select 1"), Verdict.NO),
        (pg.message(b"Q"), Verdict.NO),
        (b"Q\1", Verdict.NO),
        (b"Q\0\0\0\0", Verdict.NO),
        (b"QUIT", Verdict.NO),
        (pg.parse("SELECT 1", "name", types=2), Verdict.REQUEST),
        (pg.parse("SELECT 1", "name", types=2)[:-1], Verdict.MORE),
        (pg.message(b"P", b"name\0SELECT 1\0\0\1"), Verdict.NO),
        (pg.message(b"P", b"name\0\2\0\0\0"), Verdict.NO),
        (pg.message(b"P", b"name"), Verdict.NO),
        (pg.message(b"P", b"n" * 100 + b"\0"), Verdict.NO),
        (pg.bind("s1", "", b"value"), Verdict.REQUEST),
        (pg.bind("s1", "", b"value")[:12], Verdict.MORE),
        (pg.message(b"B", b"\0s\0\0\1\0\2\0\0\0\0"), Verdict.NO),
        (pg.message(b"B", b"\0s\0\7\1"), Verdict.NO),
        (pg.message(b"B", b"\0sssssss"), Verdict.NO),
        (pg.message(b"B", b"\0s\0\0\0\0\0"), Verdict.NO),
        (pg.SYNC, Verdict.NO),
        (pg.PARSED, Verdict.RESPONSE),
        (pg.message(b"2", b"x"), Verdict.NO),
        (pg.ready(), Verdict.RESPONSE),
        (pg.ready("X"), Verdict.NO),
        (pg.error(), Verdict.RESPONSE),
        (pg.message(b"E", b"portal\0\0\0\0\0"), Verdict.NO),
        (pg.columns("id", "name"), Verdict.RESPONSE),
        (pg.columns(), Verdict.RESPONSE),
        (pg.columns("i" * 70), Verdict.RESPONSE),
        (pg.message(b"T", b"\0\1id"), Verdict.NO),
        (pg.message(b"T", b"\0\1\1" + bytes(18)), Verdict.NO),
        (pg.complete("INSERT 0 1"), Verdict.RESPONSE),
        (pg.complete("select"), Verdict.NO),
        (pg.message(b"C", b"BEGIN!"), Verdict.NO),
        (pg.message(b"R", bytes(4)), Verdict.RESPONSE),
        (pg.message(b"R", b"\0\0\0\x0aSCRAM-SHA-256\0\0"), Verdict.RESPONSE),
        (pg.message(b"R", b"\0\0\1\0"), Verdict.NO),
        (b"HTTP/1.1 200 OK\r\n", Verdict.NO),
    ],
)
def test_first_bytes(head, verdict):
    assert classify(head) is verdict


def test_frames_one_after_the_other():
    def reader(stream):
        return read_frame(stream, FRONTEND)

    assert three_ways(lambda: reader, pg.SYNC + pg.FLUSH) == [(0x53, 0), (0x48, 0)]


@pytest.mark.parametrize(
    "data",
    [
        b"\xff\0\0\0\x04",
        b"\xff",
        b"S\0\0\0\x03",
        b"X\0\1\0\0",
        b"Q\x80\0\0\0",
    ],
)
def test_no_frame(data):
    assert read_all(lambda stream: read_frame(stream, FRONTEND), whole(data)) == [ProtocolError]


def test_frame_in_a_hole():
    pieces = holed(pg.query("SELECT 1"), 2, 5)
    assert read_all(lambda stream: read_frame(stream, FRONTEND), pieces) == [Gap]


def test_backend_has_messages_of_its_own():
    assert read_all(lambda stream: read_frame(stream, BACKEND), whole(pg.PARSED)) == [(0x31, 0)]
    assert read_all(lambda stream: read_frame(stream, FRONTEND), whole(pg.PARSED)) == [
        ProtocolError
    ]


def test_startup_is_read():
    data = pg.startup(user="app", database="shop")
    code, body = three_ways(lambda: read_startup, data)[0]
    assert code == 3 << 16
    assert parameters(body) == {b"user": b"app", b"database": b"shop", b"": b""}


@pytest.mark.parametrize("data", [b"\0\0\0\7\0\3\0\0", b"\0\1\0\0\0\3\0\0", b"\0\0\0\x10\0\2\0\0"])
def test_no_startup(data):
    assert read_all(read_startup, whole(data)) == [ProtocolError]


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (pg.error("23505")[5:], "23505"),
        (b"C40001\0\0", "40001"),
        (b"SERROR\0Mno code\0\0", "XX000"),
        (b"SERROR\0C4", "XX000"),
        (b"", "XX000"),
    ],
)
def test_sqlstate(body, code):
    assert sqlstate(body) == code


@pytest.mark.parametrize(
    ("tag", "has_rows", "rows"),
    [
        (b"SELECT 5\0", False, 5),
        (b"FETCH 2\0", True, 2),
        (b"INSERT 0 3\0", False, None),
        (b"INSERT 0 3\0", True, 3),
        (b"UPDATE 3\0", True, 3),
        (b"BEGIN\0", False, None),
        (b"SELECT 5", False, None),
    ],
)
def test_rows_of_a_tag(tag, has_rows, rows):
    assert returned(tag, has_rows=has_rows) == rows
