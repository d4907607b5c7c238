"""Listening sockets and who holds them."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from agent.processes import sockets

if TYPE_CHECKING:
    from pathlib import Path

HEADING = (
    b"  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout\n"
)
LISTENS = (
    b"   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000"
    b"  1000        0 4711 1 0000000000000000 100 0 0 10 0\n"
)
LISTENS6 = (
    b"   1: 00000000000000000000000000000000:0050 00000000000000000000000000000000:0000 0A"
    b" 00000000:00000000 00:00000000 00000000     0        0 4712 1 0000000000000000 100 0 0 10 0\n"
)
ESTABLISHED = LISTENS.replace(b" 0A ", b" 01 ").replace(b"4711", b"4713")


def test_listening_sockets_come_first() -> None:
    lines = [HEADING, LISTENS, LISTENS6, ESTABLISHED, LISTENS.replace(b"4711", b"1")]
    assert list(sockets.parse_listening(lines)) == [(4711, 8080), (4712, 80)]


@given(st.lists(st.one_of(st.binary(max_size=200), st.just(LISTENS)), max_size=20))
def test_any_line_is_read_or_passed_over(lines: list[bytes]) -> None:
    for inode, port in sockets.parse_listening(lines):
        assert inode >= 0
        assert 0 < port <= 0xFFFF


@given(st.lists(st.sampled_from(LISTENS.split()), max_size=14))
def test_shuffled_columns_are_no_error(columns: list[bytes]) -> None:
    list(sockets.parse_listening([b" ".join(columns)]))


def test_tables_of_a_namespace_are_bounded(tmp_path: Path) -> None:
    lines = [
        LISTENS.replace(b"4711", str(index).encode()) for index in range(sockets.MAX_LISTENING + 50)
    ]
    (tmp_path / "tcp").write_bytes(HEADING + b"".join(lines))
    (tmp_path / "tcp6").write_bytes(HEADING + LISTENS6)
    assert len(sockets.listening_in(str(tmp_path))) == sockets.MAX_LISTENING


def test_namespace_that_is_gone() -> None:
    assert sockets.listening_in("/proc/0/net") == {}
    assert sockets.held_by("/proc/0") == frozenset()


def test_our_own_listening_socket_is_found() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        inode = os.fstat(server.fileno()).st_ino
        assert inode in sockets.held_by("/proc/self")
        assert sockets.listening_in("/proc/self/net")[inode] == server.getsockname()[1]
