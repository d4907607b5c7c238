"""Cassandra's frames: what is read of one, wherever it is cut."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import ProtocolError
from agent.protocols import cassandra_messages as ours
from agent.protocols.cassandra_messages import Cursor, Frame
from agent.stream import Stream
from tests.protocols import cassandra_bytes as cql
from tests.protocols.messages import read_all
from tests.wire import whole


def read_request(stream: Stream):
    return ours.read_frame(stream, ours.REQUESTS, 0)


def test_a_frame():
    data = cql.frame(cql.QUERY, b"abc", stream=-2, version=5, flags=0x10)
    assert read_all(read_request, whole(data)) == [Frame(5, 0x10, -2, cql.QUERY, 3, b"abc", False)]


@pytest.mark.parametrize(
    "data",
    [
        cql.frame(cql.QUERY, version=2),
        cql.frame(cql.QUERY, version=0x84),
        cql.frame(cql.READY),
        cql.frame(cql.QUERY, flags=0x20),
        cql.frame(cql.QUERY)[:5] + b"\x7f\0\0\0",
    ],
)
def test_what_cannot_be(data):
    assert read_all(read_request, whole(data)) == [ProtocolError]


def plain(opcode: int, body: bytes, flags: int) -> bytes:
    return ours.plain(Frame(4, flags, 0, opcode, len(body), body, False)).body


def test_what_flags_put_in_front():
    trace, warning = bytes(16), b"\0\1" + cql.short("careful")
    payload = b"\0\1" + cql.short("key") + cql.long("value")
    assert plain(cql.RESULT, trace + warning + payload + b"x", 0x0E) == b"x"
    assert plain(cql.RESULT, trace + b"x", 0x02) == b"x"
    assert plain(cql.QUERY, payload + b"x", 0x06) == b"x"
    assert plain(cql.RESULT, warning[:5], 0x08) == b""


def test_a_body_is_read_as_far_as_it_is_there():
    cursor = Cursor(b"\0\3abc\0\0\0\2de\xff\xff\xff\xff\0\5fg")
    assert (cursor.sized(2), cursor.sized(4), cursor.sized(4)) == (b"abc", b"de", b"")
    assert cursor.sized(2) == b"fg"
    assert cursor.is_cut
    assert (cursor.number(4), cursor.sized(4)) == (None, None)


TYPES = {
    "text": b"\0\x0d",
    "custom": b"\0\0" + cql.short("a.b.C"),
    "list": b"\0\x20\0\x0d",
    "map": b"\0\x21\0\x0d\0\x20\0\x09",
    "set": b"\0\x22\0\x0d",
    "udt": b"\0\x30" + cql.short("ks") + cql.short("t") + b"\0\2" + cql.short("a") + b"\0\x0d" + cql.short("b") + b"\0\x20\0\x09",
    "tuple": b"\0\x31\0\2\0\x0d\0\x09",
}  # fmt: skip


def rows(data: bytes) -> int | None:
    return ours.rows_of(Cursor(data[13:]))


@pytest.mark.parametrize("name", TYPES)
def test_rows_behind_every_type(name):
    data = cql.rows(b"a", b"b", b"c", columns=[cql.column(TYPES[name]), cql.column()])
    assert rows(data) == 3
    end = data.index(b"\0\0\0\3\0\0\0\1a") + 4
    assert [rows(data[:size]) for size in range(13, end)] == [None] * (end - 13)


def test_rows_where_they_cannot_be():
    nested = b"\0\x20" * 20 + b"\0\x0d"
    assert rows(cql.rows(b"a", columns=[cql.column(nested)])) is None
    assert ours.rows_of(Cursor(cql.integer(1) + cql.integer(99999))) is None
    each = cql.integer(1 | 8) + cql.integer(0) + cql.short("new id") + cql.short("k") + cql.short("t")  # fmt: skip
    assert ours.rows_of(Cursor(each + cql.integer(7))) == 7
    own = cql.integer(0) + cql.integer(1) + cql.short("k") + cql.short("t") + cql.column()
    assert ours.rows_of(Cursor(own + cql.integer(8))) == 8


@pytest.mark.parametrize("version", [4, 5])
def test_parameters(version):
    def told(**more) -> tuple[str, int]:
        cursor = Cursor(cql.parameters(version, **more))
        return ours.consistency_of(cursor), ours.page_size_of(cursor, version)

    assert told(consistency=10, page_size=100, values=(b"a", b"bb")) == ("local_one", 100)
    assert told(consistency=99, values=(b"a",)) == ("", 0)
    assert ours.page_size_of(Cursor(b""), version) == 0
    data = cql.parameters(4, page_size=100, values=(b"a" * 50,))
    for size in range(2, len(data)):
        cursor = Cursor(data[:size])
        cursor.number(2)
        assert ours.page_size_of(cursor, 4) == 0


def test_values_with_names():
    data = b"\x45\0\1" + cql.short("id") + cql.long("x") + cql.integer(30)
    assert ours.page_size_of(Cursor(data), 4) == 30


def test_a_batch_as_far_as_it_is_there():
    body = cql.batch("UPDATE a SET b = ?", b"0123", values=(b"x", b"y"))[9:]
    expected = [(False, b"UPDATE a SET b = ?"), (True, b"0123")]
    assert ours.batch_of(body) == (2, expected, "local_quorum")
    for size in range(3, len(body) - 1):
        count, said, _ = ours.batch_of(body[:size])
        assert (count, said) == (2, expected[: len(said)])


@given(st.binary(max_size=300))
def test_any_body_is_read_without_trouble(body):
    for opcode in (cql.RESULT, cql.QUERY):
        for flags in range(16):
            plain(opcode, body, flags)
    ours.batch_of(body)
    ours.rows_of(Cursor(body))
    ours.startup_of(body)
    ours.page_size_of(Cursor(body), 4)


def test_startup():
    body = cql.startup(5, "lz4")[9:]
    assert ours.startup_of(body) == {b"CQL_VERSION": b"3.4.6", b"COMPRESSION": b"lz4"}
