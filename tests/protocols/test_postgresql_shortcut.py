"""The hot path of PostgreSQL answers what the readers would, or None."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.protocols import Role
from agent.protocols.pairing import Exchange, Failure
from agent.protocols.postgresql import Postgresql
from agent.protocols.postgresql_messages import Kind, Session, Statement
from agent.protocols.postgresql_shortcut import PostgresqlShortcut
from tests.protocols import postgresql_bytes as pg
from tests.wire import read, whole

CONTEXT = "/*traceparent='00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01'*/"
ASKED = [
    pg.query("SELECT 1"),
    pg.query(f"SELECT 1 {CONTEXT}"),
    pg.query(""),
    pg.message(b"Q", b"SELECT\x001\0"),
    pg.message(b"Q", b"SELECT 1"),
    pg.parse("SELECT 1"),
    pg.parse(f"SELECT 2 {CONTEXT}", "s1"),
    pg.parse("SELECT 3", "s1", types=3),
    pg.message(b"P", b"s1\0SELECT"),
    pg.bind(),
    pg.bind("s1", "p1", b"value", b"\0\0"),
    pg.message(b"B", b"p"),
    pg.message(b"B", b"n" * 300 + b"\0s1\0\0\0\0\0\0\0"),
    pg.describe(),
    pg.describe("S", "s1"),
    pg.execute(),
    pg.execute("p1", 5),
    pg.message(b"E", b"p1"),
    pg.close(),
    pg.SYNC,
    pg.FLUSH,
    pg.message(b"F", b"\0\0\4\xd2\0\0"),
    pg.message(b"d", b"x"),
    b"D\0\0\0\1",
]
ANSWERED = [
    pg.PARSED,
    pg.BOUND,
    pg.columns("id"),
    pg.NO_DATA,
    pg.row(b"1"),
    pg.row(b"x" * 40),
    pg.complete("SELECT 2"),
    pg.complete("INSERT 0 1"),
    pg.complete("T" * 80),
    pg.EMPTY,
    pg.SUSPENDED,
    pg.error("23505"),
    pg.notice(),
    pg.parameter("standard_conforming_strings", "off"),
    pg.ready("T"),
    pg.message(b"G", b"\0\0\0"),
    pg.message(b"d", b"x"),
    b"D\0\0\0\1",
]


def prepared() -> Postgresql:
    protocol = Postgresql()
    protocol.parsed(b"s1", b"SELECT a FROM b")
    protocol.bound(b"p1", b"s1")
    return protocol


def only(protocol: Postgresql, kind: str, data: bytes, answering: tuple[Any, ...] = ()) -> Any:
    """The one whole message, if the bytes are one message and nothing else."""
    result = read(protocol, kind, whole(data), answering=answering)
    if result.error is None and result.open is None and len(result.messages) == 1:
        return result.messages[0] if result.messages[0].size == len(data) else None
    return None


@given(st.lists(st.sampled_from(ASKED), max_size=6), st.booleans())
def test_request(parts, is_synced):
    data = b"".join(parts) + (pg.SYNC if is_synced else b"")
    protocol, other = prepared(), prepared()
    quick = PostgresqlShortcut(protocol).request(data)
    if quick is not None:
        assert quick == only(other, "request", data)
        assert (protocol.statements, protocol.portals) == (other.statements, other.portals)


@given(
    st.lists(st.sampled_from(ANSWERED), max_size=6),
    st.sampled_from([b"", pg.ready(), pg.ready("X")]),
)
def test_response(parts, end):
    data = b"".join(parts) + end
    request = Statement(Kind.EXECUTE, b"SELECT 1", Session())
    quick = PostgresqlShortcut(prepared()).response(data, len(data), request)
    if quick is not None:
        assert quick == only(prepared(), "response", data, (copy.copy(request),))


@given(st.sampled_from(ASKED), st.data())
def test_damaged_request(asked, data):
    whole_one = bytearray(pg.parse("SELECT 1") + pg.bind() + asked + pg.execute() + pg.SYNC)
    for _ in range(data.draw(st.integers(1, 3))):
        whole_one[data.draw(st.integers(0, len(whole_one) - 1))] = data.draw(st.integers(0, 255))
    quick = PostgresqlShortcut(prepared()).request(bytes(whole_one))
    if quick is not None:
        assert quick == only(prepared(), "request", bytes(whole_one))


COMMON = [
    (pg.query("SELECT 1"), pg.results(b"1") + pg.ready()),
    (pg.query(f"SELECT 1 {CONTEXT}"), pg.results() + pg.ready()),
    (
        pg.parse("SELECT 1") + pg.bind() + pg.describe() + pg.execute() + pg.SYNC,
        pg.PARSED + pg.BOUND + pg.results(b"1", b"2") + pg.ready("T"),
    ),
    (
        pg.bind("s1", "", b"7") + pg.execute() + pg.SYNC,
        pg.BOUND + pg.complete("UPDATE 1") + pg.ready(),
    ),
    (pg.bind("s9") + pg.execute() + pg.SYNC, pg.BOUND + pg.error() + pg.ready("E")),
]


@pytest.mark.parametrize(("asked", "answered"), COMMON)
def test_common_shapes_are_taken(asked, answered):
    protocol = prepared()
    request = PostgresqlShortcut(protocol).request(asked)
    assert request is not None
    assert request == only(prepared(), "request", asked)
    reply = PostgresqlShortcut(protocol).response(answered, len(answered), request)
    assert reply == only(prepared(), "response", answered, (request,))


@pytest.mark.parametrize("answered", [answered for _, answered in COMMON])
def test_response_that_was_cut_is_left_to_the_readers(answered):
    shortcut = PostgresqlShortcut(prepared())
    request = Statement(Kind.QUERY, b"", Session())
    assert shortcut.response(answered[:-1], len(answered), request) is None
    assert shortcut.response(answered[:-1], len(answered) - 1, request) is None


def test_what_was_said_before_is_for_the_readers():
    protocol = prepared()
    protocol.strays = 1
    assert PostgresqlShortcut(protocol).request(pg.query("SELECT 1")) is None


def test_an_exchange_can_fail():
    exchange = Exchange(
        Postgresql, Role.CLIENT, PostgresqlShortcut(prepared()).request(pg.query("SELECT 1")), 1
    )
    exchange.failure = Failure.TIMEOUT

    class Place:
        family = 1

    exchange.connection = Place()
    assert Postgresql.describe(exchange).error_type == "timeout"
