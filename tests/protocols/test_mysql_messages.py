"""MySQL's packets, one by one."""

from __future__ import annotations

import pytest

from agent.errors import Gap, ProtocolError
from agent.protocols import Verdict
from agent.protocols.mysql_messages import (
    MAX_PARTS,
    Handshake,
    classify,
    error_of,
    handshake,
    lenenc,
    read_packet,
    read_payload,
    status_of,
)
from tests.protocols import mysql_bytes as my
from tests.protocols.messages import read_all, three_ways
from tests.wire import Piece, holed


@pytest.mark.parametrize(
    ("head", "verdict"),
    [
        (b"", Verdict.MORE),
        (b"\x4a\0\0\0", Verdict.MORE),
        (b"\x4a\0\0\2", Verdict.NO),
        (my.greeting(), Verdict.GREETING),
        (my.greeting("5.5.5-10.11.6-MariaDB"), Verdict.GREETING),
        (my.greeting("8.0.36")[:9], Verdict.MORE),
        (my.greeting("x.0.36"), Verdict.NO),
        (my.packet(0, b"\x0a8.0.36\0" + b"x" * 60), Verdict.NO),
        (my.packet(0, b"\x0a8.0\0"), Verdict.NO),
        (my.packet(0, b"\xff\x10\x04Too many connections"), Verdict.GREETING),
        (my.packet(0, b"\xff\x10\x04Too many connections")[:9], Verdict.MORE),
        (my.packet(0, b"\xff\x11\x04Too many connections"), Verdict.NO),
        (my.packet(0, b"\xff\x10\x04\0\0\0\0\0\0\0\0\0\0"), Verdict.NO),
        (my.query("select 1"), Verdict.REQUEST),
        (my.query("select 1")[:6], Verdict.MORE),
        (my.query("select " + "x" * 100)[:64], Verdict.REQUEST),
        (my.query("\1\2\3\4"), Verdict.NO),
        (my.query("se\1ect"), Verdict.NO),
        (my.command(3, b"\0\1select 1"), Verdict.REQUEST),
        (my.command(3, b"\0\1select 1")[:6], Verdict.MORE),
        (my.command(3, b"ab"), Verdict.NO),
        (my.prepare("select ?"), Verdict.REQUEST),
        (my.execute(1, b"\0\1"), Verdict.REQUEST),
        (my.execute(1)[:12], Verdict.MORE),
        (my.command(0x17, b"\1\0\0\0\0\2\0\0\0"), Verdict.NO),
        (my.command(0x17, b"\1\0\0\0\x10\1\0\0\0"), Verdict.NO),
        (my.command(0x17, b"\1\0\0\0"), Verdict.NO),
        (my.command(0x0E), Verdict.NO),
        (my.packets(my.ok()), Verdict.NO),
        (my.packets(my.error()), Verdict.RESPONSE),
        (my.packets(my.error())[:8], Verdict.MORE),
        (my.packets(b"\xff\x10\x04Too many"), Verdict.NO),
        (my.packets(my.error(state="low!!")), Verdict.NO),
        (my.packets(*my.results()), Verdict.RESPONSE),
        (my.packets(*my.results())[:9], Verdict.MORE),
        (my.packets(b"\1", b"\3xyz"), Verdict.NO),
    ],
)
def test_first_bytes(head, verdict):
    assert classify(head) is verdict


def test_packets_one_after_the_other():
    assert three_ways(lambda: read_packet, my.packet(3, b"") + my.packet(4, b"")) == [
        (0, 3),
        (0, 4),
    ]


def test_packet_in_a_hole():
    assert read_all(read_packet, holed(my.query("SELECT 1"), 2, 6)) == [Gap]


def test_payload_in_several_packets():
    large = [Piece(b"begins", 0xFFFFFF), Piece(my.packet(1, b"ends"), 8)]
    assert read_all(lambda stream: read_payload(stream, 0xFFFFFF, 6), large) == [b"begins"]


def test_payload_without_an_end():
    pieces = [Piece(b"", 0xFFFFFF)] + [Piece(b"\xff\xff\xff\1", 0xFFFFFF + 4)] * MAX_PARTS
    assert read_all(lambda stream: read_payload(stream, 0xFFFFFF, 6), pieces) == [ProtocolError]


@pytest.mark.parametrize(
    ("payload", "found"),
    [
        (b"\x07", (7, 1)),
        (b"\xfc\1\2", (0x201, 3)),
        (b"\xfd\1\2\3", (0x30201, 4)),
        (b"\xfe" + b"\1" + bytes(7), (1, 9)),
        (b"\xfc\1", (-1, 3)),
        (b"\xfb", (-1, 1)),
        (b"", (-1, 1)),
    ],
)
def test_lengths(payload, found):
    assert lenenc(payload) == found


def test_errors_and_status():
    assert error_of(my.error(1205, "HY000")) == (1205, "HY000")
    assert error_of(b"\xff\x10\x04Too many connections") == (1040, "")
    assert status_of(my.ok(0x0A)) == 0x0A
    assert status_of(my.end(0x22)) == 0x22


@pytest.mark.parametrize(
    ("capabilities", "said"),
    [
        (my.USUAL, Handshake(my.USUAL, b"app", b"shop")),
        (my.USUAL & ~my.LENENC, Handshake(my.USUAL & ~my.LENENC, b"app", b"shop")),
        (my.USUAL & ~my.WITH_DB, Handshake(my.USUAL & ~my.WITH_DB, b"app")),
        (my.USUAL | my.SSL, Handshake(my.USUAL | my.SSL, is_request_for_tls=True)),
        (my.USUAL & ~my.PROTOCOL_41, Handshake(my.USUAL & ~my.PROTOCOL_41)),
    ],
)
def test_handshakes(capabilities, said):
    assert handshake(my.answer(capabilities=capabilities)[4:]) == said


def test_handshake_with_a_password_that_ends_with_a_zero():
    capabilities = my.PROTOCOL_41 | my.WITH_DB
    body = capabilities.to_bytes(4, "little") + bytes(28) + b"app\0secret\0shop\0"
    assert handshake(body) == Handshake(capabilities, b"app", b"shop")
