"""HTTP traffic as the kernel side would record it: many routes, clients and connections, reproducible.

The mix: 200 routes by popularity, ids of 1 to 8 digits, 8 % UUIDs, 28 % query strings, 70 % with `traceparent`, 20 user
agents, heads of 0.3 to 3 KB (tokens, cookies, request ids that never repeat), JSON responses of which the captured part
holds the head. Keep-alive connections of 12 processes, in turns.
"""

from __future__ import annotations

import random
from itertools import chain
from itertools import count as numbers
from typing import TYPE_CHECKING

from tests.scenario import Host, Socket

if TYPE_CHECKING:
    from collections.abc import Iterator

ROUTES = 200
PROCESSES = 12
AGENTS = 20


def requests(count: int, seed: int = 1) -> Iterator[bytes]:
    """Request heads."""
    rng = random.Random(seed)
    words = [
        "orders",
        "users",
        "items",
        "carts",
        "payments",
        "reviews",
        "stock",
        "search",
        "login",
        "reports",
    ]
    routes = [
        [
            rng.choice(words) if rng.random() < 0.6 or not depth else None
            for depth in range(rng.randint(1, 4))
        ]
        for _ in range(ROUTES)
    ]
    weights = [1 / (rank + 1) for rank in range(ROUTES)]
    agents = [f"client-{n}/1.{n} (linux; {'x' * (n * 4)})" for n in range(AGENTS)]
    for number in range(count):
        route = rng.choices(routes, weights)[0]
        uuid = rng.random() < 0.08
        parts = []
        for word in route:
            if word is not None:
                parts.append(word)
            elif uuid:
                parts.append(
                    f"{rng.getrandbits(32):08x}-{rng.getrandbits(16):04x}-4{rng.getrandbits(12):03x}-8{rng.getrandbits(12):03x}-{rng.getrandbits(48):012x}"
                )
            else:
                parts.append(str(rng.randrange(10 ** rng.randint(1, 8))))
        target = "/" + "/".join(parts)
        if rng.random() < 0.28:
            target += f"?page={rng.randrange(100)}&q=term{number}"
        lines = [
            f"{'POST' if rng.random() < 0.1 else 'GET'} {target} HTTP/1.1",
            f"Host: service-{rng.randrange(8)}.internal:8080",
            f"User-Agent: {rng.choice(agents)}",
            "Accept: application/json",
            f"X-Request-Id: {number:032x}",
        ]
        if rng.random() < 0.7:
            lines.append(
                f"traceparent: 00-{rng.getrandbits(128) | 1:032x}-{rng.getrandbits(64) | 1:016x}-01"
            )
        if rng.random() < 0.6:
            lines.append("Authorization: Bearer " + f"{rng.getrandbits(1200):x}")
        if rng.random() < 0.3:
            lines.append("Cookie: session=" + f"{rng.getrandbits(rng.choice((400, 4000))):x}")
        if lines[0].startswith("POST"):
            lines.append("Content-Length: 0")
        yield "\r\n".join(lines).encode() + b"\r\n\r\n"


def small_requests(count: int) -> Iterator[bytes]:
    """What Python's http.client sends for a service behind another: short heads, every one different."""
    for number in range(count):
        yield (
            f"GET /orders/{100_000 + number} HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n"
            f"Accept-Encoding: identity\r\nX-Request-Id: {number}\r\n\r\n"
        ).encode()


def responses(count: int, seed: int = 2) -> Iterator[bytes]:
    """Whole responses with small bodies."""
    rng = random.Random(seed)
    statuses = (
        ["200 OK"] * 90
        + ["201 Created"] * 3
        + ["404 Not Found"] * 5
        + ["500 Internal Server Error"] * 2
    )
    for number in range(count):
        size = rng.choice((2, 13, 200, 600))
        head = (
            f"HTTP/1.1 {rng.choice(statuses)}\r\nContent-Type: application/json\r\nDate: Sun, 22 Nov 2026 10:00:{number // 5000 % 60:02d} GMT\r\n"
            f"X-Request-Id: {number:032x}\r\nContent-Length: {size}\r\n\r\n"
        )
        yield head.encode() + b"x" * size


def records(
    exchanges: int,
    *,
    connections: int = 256,
    seed: int = 1,
    is_repeated: bool = False,
    is_small: bool = False,
) -> list[bytes]:
    """The records of so many exchanges at servers, over so many open connections.

    The first records, as many as there are connections, open them. With `is_repeated` each connection's client asks the
    same every time, as pollers and load generators do.
    """
    host = Host()
    sockets = [_accept(host, number) for number in range(connections)]
    count = connections if is_repeated else exchanges
    asked = list(small_requests(count) if is_small else requests(count, seed))
    answers = list(responses(count, seed + 1))
    for number in range(exchanges):
        sockets[number % connections].received(asked[number % len(asked)])
        sockets[number % connections].sent(answers[number % len(answers)])
    return host.records


def short_connections(exchanges: int, seed: int = 1) -> list[bytes]:
    """The records of each exchange at servers that close every connection: 5, as gunicorn's sync workers make them.

    Open, request, head and body of the response, close.
    """
    host = Host()
    for asked, answer in zip(small_requests(exchanges), responses(exchanges, seed), strict=True):
        connection = _accept(host, host.sockets)
        head, empty_line, body = answer.partition(b"\r\n\r\n")
        connection.received(asked).sent(head + empty_line).sent(body).close()
    return host.records


def passing(
    exchanges: int, *, per_connection: int = 64, mix: int = 100_000
) -> Iterator[list[bytes]]:
    """The records of connections that come and go, one list for each; nothing is kept of those that were given.

    After every `mix` exchanges there are other routes.
    """
    host = Host()
    asked = chain.from_iterable(requests(mix, seed) for seed in numbers(1))
    answers = chain.from_iterable(responses(mix, seed) for seed in numbers(2))
    for done in range(0, exchanges, per_connection):
        connection = _accept(host, host.sockets)
        for _ in range(min(per_connection, exchanges - done)):
            connection.received(next(asked)).sent(next(answers))
        connection.close()
        yield _taken(host)


def _taken(host: Host) -> list[bytes]:
    """The records so far; the host begins a new list."""
    records, host.records = host.records, []
    return records


def _accept(host: Host, number: int) -> Socket:
    return host.accept(
        process=1000 + number % PROCESSES,
        thread=5000 + number % 1000,
        client=(f"10.0.{number % 7}.{number % 200 + 1}", 20000 + number % 40000),
        port=8080,
        sequences=(number * 100003 & 0xFFFFFFFF, number * 7919 & 0xFFFFFFFF),
    )
