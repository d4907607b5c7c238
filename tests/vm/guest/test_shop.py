"""One request and all that was done for it: a look-up, two statements, a cache miss and a call, many requests at once."""

from __future__ import annotations

import http.client
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path
from typing import Final

from tests.vm.guest.test_databases import Postgresql, losses, postgresql
from tests.vm.harness_agent import Agents
from tests.vm.harness_guest import SERVERS, Servers, free_port
from tests.vm.harness_spans import ExportedSpan
from tests.vm.harness_tracing import CLIENT, SERVER
from tests.vm.servers.databases import PASSWORD

__all__ = ["postgresql"]

CLIENTS: Final = 32
REQUESTS: Final = 6
"""Of each client."""


def start_shop(servers: Servers, database: Postgresql, directory: Path) -> tuple[int, int]:
    """Everything; the ports of the shop and of Redis. The shop asks a resolver of its own, in its own mount namespace."""
    subprocess.run(["ip", "address", "replace", "127.0.0.53/8", "dev", "lo"], check=True)
    words = ("--no-daemon", "--conf-file=/dev/null", "--no-resolv", "--no-hosts", "--user=root")
    servers.start(
        *("dnsmasq", *words, "--listen-address=127.0.0.53", "--bind-interfaces"),
        *("--pid-file=", "--address=/internal/127.0.0.1"),
        port=53,
        address="127.0.0.53",
    )
    redis = free_port()
    servers.start("redis-server", "--port", str(redis), "--save", "", port=redis)
    resolv = directory / "resolv.conf"
    resolv.write_text("nameserver 127.0.0.53\n")
    port = free_port()
    backend = servers.python("backend.py")
    where = f"host=127.0.0.1 port={database.port} user=app dbname=bench sslmode=disable"
    script = f'mount --bind {resolv} /etc/resolv.conf && exec "$@"'
    servers.start(
        *("unshare", "-m", "sh", "-c", script, "sh", sys.executable, SERVERS / "shop.py"),
        *("--port", str(port), "--redis", str(redis), "--backend", str(backend.port)),
        *("--database", f"{where} password={PASSWORD}"),
        port=port,
    )
    return port, redis


def ask(port: int, first: int) -> None:
    """One client's requests, on one connection."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    for number in range(first, first + REQUESTS):
        connection.request("GET", f"/order/{number}")
        assert connection.getresponse().read() == b""
    connection.close()


def told(span: ExportedSpan) -> str:
    """What a call was for, as its own text says; what it is, where that does not tell."""
    values = span.attributes
    for key in ("dns.question.name", "db.query.text", "url.full"):
        if key in values:
            return str(values[key])
    return span.name


def test_a_request_has_its_calls_in_their_order(
    servers: Servers, agents: Agents, postgresql: Postgresql, tmp_path: Path
) -> None:
    port, redis = start_shop(servers, postgresql, tmp_path)
    agent = agents.run()
    clients = [
        threading.Thread(target=ask, args=(port, 1000 + REQUESTS * number))
        for number in range(CLIENTS)
    ]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    finished = agent.stop()
    spans = finished.spans
    requests = {
        str(span.attributes["url.path"]).rpartition("/")[2]: span
        for span in spans
        if span.kind == SERVER and str(span.attributes.get("url.path")).startswith("/order/")
    }
    assert len(requests) == CLIENTS * REQUESTS
    assert losses(finished.ledger) == {}
    calls: dict[str, list[ExportedSpan]] = {}
    for span in spans:
        if span.kind == CLIENT:
            calls.setdefault(span.parent_span_id, []).append(span)
    wrong = {}
    for number, request in requests.items():
        made = calls.get(request.span_id, [])
        expected = [
            f"cache-{number}.internal",
            f"SELECT count(*) AS r{number} FROM users WHERE id = $1",
            f"SELECT count(*) AS r{number} FROM events WHERE id = $1",
            "GET cart:none",
            f"/items/{number}",
        ]
        seen = [told(span) for span in made]
        is_right = len(seen) == len(expected) and all(
            text.endswith(end) for text, end in zip(seen, expected, strict=True)
        )
        if not is_right or {span.trace_id for span in made} != {request.trace_id}:
            wrong[number] = seen
    assert not wrong, (len(wrong), next(iter(wrong.items())))
    misses = [
        span
        for span in spans
        if span.kind == CLIENT
        and span.name.startswith("GET")
        and span.attributes.get("db.system.name") == "redis"
    ]
    assert Counter(
        (
            span.attributes["server.address"].startswith("cache-"),
            span.attributes["zerospan.cache.hit"],
        )
        for span in misses
    ) == {(True, False): CLIENTS * REQUESTS}
    assert {span.attributes["server.port"] for span in misses} == {redis}
