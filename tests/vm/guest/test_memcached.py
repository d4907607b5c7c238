"""Memcached and pymemcache: as many commands as the server counted, hits and misses told apart."""

from __future__ import annotations

import os
import socket
from collections import Counter
from pathlib import Path

import pytest
from pymemcache.client.base import Client

from tests.vm.harness import IN_GUEST
from tests.vm.harness_agent import Agents
from tests.vm.harness_guest import Servers, free_port
from tests.vm.harness_tracing import CLIENT, SERVER

ROUNDS = 30
SECRET = b"hunter2"


def numbers(port: int) -> dict[str, int]:
    """The server's own, by its text protocol."""
    with socket.create_connection(("127.0.0.1", port), 30) as connection:
        connection.sendall(b"stats\r\nquit\r\n")
        told = b"".join(iter(lambda: connection.recv(65536), b"")).decode()
    rows = [line.split() for line in told.splitlines() if line.startswith("STAT ")]
    return {name: int(value) for _, name, value in rows if value.isdigit()}


@pytest.mark.skipif(os.environ.get(IN_GUEST) != "6.1", reason="the kernel makes no difference")
def test_as_many_commands_as_memcached_counted(servers: Servers, agents: Agents) -> None:
    port = free_port()
    servers.start("memcached", "-u", "nobody", "-l", "127.0.0.1", "-p", str(port), port=port)
    agent = agents.run()
    client = Client(("127.0.0.1", port), default_noreply=False, timeout=60, no_delay=True)
    for number in range(ROUNDS):
        assert client.set(f"user:{number}", SECRET * (1 + 300 * (number % 2)))
        assert client.get(f"user:{number}") is not None
        assert client.get(f"nobody:{number}") is None
        assert len(client.get_many([f"user:{number}", "user:0", "nobody:1"])) in (1, 2)
        client.set_many({"one": b"1", "two": b"2"}, noreply=True)
    assert client.incr("one", 5) == 6
    assert client.delete("two")
    client.close()
    counted = numbers(port)
    finished = agent.stop()
    names = {
        kind: Counter(
            span.name
            for span in finished.spans
            if span.kind == kind
            and span.attributes.get("db.system.name") == "memcached"
            and span.attributes.get("server.port") == port
            and span.attributes["db.operation.name"] not in ("stats", "quit")
        )
        for kind in (CLIENT, SERVER)
    }
    print(names, counted, finished.ledger["exchanges"])
    assert names[CLIENT] == names[SERVER]
    assert names[CLIENT] == {"get": 3 * ROUNDS, "set": 3 * ROUNDS, "incr": 1, "delete": 1}
    # A get of several keys counts each.
    assert counted["cmd_get"] == 2 * ROUNDS + 3 * ROUNDS
    assert counted["cmd_set"] == 3 * ROUNDS
    assert finished.ledger["exchanges"]["lost"] == {}
    assert finished.ledger["balanced"] is True
    assert SECRET.decode() not in Path(agent.exported).read_text()
