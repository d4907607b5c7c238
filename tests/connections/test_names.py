"""Names that were looked up are those of the servers that are called next."""

from __future__ import annotations

import pytest

from agent.connections.names import MAX_NAMES, Names
from tests.protocols.test_dns import answer, framed, query, record
from tests.scenario import EGRESS, INGRESS, Host, play

GET = b"*2\r\n$3\r\nGET\r\n$6\r\ncart:7\r\n"
CACHE = ("10.1.2.3", 6379)


def look_up(host: Host, *, process: int = 20, code: int = 0) -> None:
    told = answer("www.example.com", 1, record(1, bytes([10, 1, 2, 3])), code=code)
    host.datagram(query(), direction=EGRESS, process=process)
    host.datagram(told, direction=INGRESS, process=process)


def servers(host: Host) -> list[tuple[object, object, object]]:
    """Of each Redis call: whom it was for, and which address that is."""
    return [
        (
            span.attribute("server.address"),
            span.attribute("server.port"),
            span.attribute("network.peer.address"),
        )
        for span in play(host).spans
        if span.attribute("db.system.name") == "redis"
    ]


def ask(host: Host, process: int = 20, server: tuple[str, int] = CACHE) -> None:
    host.connect(process=process, server=server).sent(GET).received(b"$-1\r\n").close()


def test_a_server_is_called_by_the_name_that_was_looked_up():
    host = Host()
    look_up(host)
    ask(host)
    ask(host, server=("10.9.9.9", 6379))
    assert servers(host) == [
        ("www.example.com", 6379, "10.1.2.3"),
        ("10.9.9.9", 6379, "10.9.9.9"),
    ]


def test_what_another_process_looked_up_says_nothing():
    host = Host()
    look_up(host, process=21)
    ask(host)
    assert servers(host) == [("10.1.2.3", 6379, "10.1.2.3")]


def test_a_connection_keeps_the_name_that_it_was_opened_by():
    host = Host()
    socket = host.connect(server=CACHE)
    look_up(host)
    socket.sent(GET).received(b"$-1\r\n")
    assert servers(host) == [("10.1.2.3", 6379, "10.1.2.3")]


def test_a_failed_look_up_names_nothing():
    host = Host()
    look_up(host, code=3)
    ask(host)
    assert servers(host) == [("10.1.2.3", 6379, "10.1.2.3")]


def test_an_answer_over_tcp_names_too():
    host = Host()
    resolver = host.connect(server=("10.0.0.53", 53))
    told = answer("www.example.com", 1, record(1, bytes([10, 1, 2, 3])))
    resolver.sent(framed(query())).received(framed(told)).close()
    ask(host)
    assert servers(host) == [("www.example.com", 6379, "10.1.2.3")]


@pytest.mark.parametrize("count", [MAX_NAMES, MAX_NAMES + 5])
def test_the_first_are_forgotten_beyond_the_bound(count):
    names = Names()
    kept = [names.learn(number.to_bytes(16, "big"), f"host-{number}") for number in range(count)]
    assert kept.count(False) == count - MAX_NAMES
    assert names.of((count - 1).to_bytes(16, "big")) == f"host-{count - 1}"
    assert names.of((0).to_bytes(16, "big")) == ("host-0" if count == MAX_NAMES else "")
