"""Redis traffic as the kernel side would record it at its clients: every key is another one, reproducible.

The mix is a cache's: 70 % GET, of which every fifth misses, 15 % SET, and INCR, HGETALL and EXPIRE.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from tests.scenario import Host, Socket

if TYPE_CHECKING:
    from collections.abc import Iterator

PROCESSES = 12


def array(*words: bytes) -> bytes:
    """Give a command as clients send it."""
    strings = b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words)
    return b"*%d\r\n%s" % (len(words), strings)


def commands(count: int, seed: int = 1) -> Iterator[tuple[bytes, bytes]]:
    """Give commands with their replies."""
    rng = random.Random(seed)
    for number in range(count):
        which = rng.random()
        key = b"user:%d" % (100_000 + number)
        if which < 0.56:
            value = b"x" * rng.choice((2, 13, 200, 600))
            yield array(b"GET", key), b"$%d\r\n%s\r\n" % (len(value), value)
        elif which < 0.7:
            yield array(b"GET", key), b"$-1\r\n"
        elif which < 0.85:
            yield array(b"SET", b"session:%d" % number, b"v%d" % number, b"EX", b"60"), b"+OK\r\n"
        elif which < 0.9:
            yield array(b"INCR", b"counter:%d" % number), b":%d\r\n" % number
        elif which < 0.95:
            yield array(b"HGETALL", b"cart:%d" % number), array(b"item", b"7", b"count", b"2")
        else:
            yield array(b"EXPIRE", key, b"60"), b":1\r\n"


def gets(count: int) -> Iterator[tuple[bytes, bytes]]:
    """Give what redis-benchmark -r makes of them, with the answers."""
    for number in range(count):
        yield array(b"GET", b"key:%012d" % number), b"$3\r\nxxx\r\n"


def redis(
    exchanges: int, *, connections: int, pipeline: int = 1, is_alike: bool = False
) -> list[bytes]:
    """Give the records of so many commands, `pipeline` of them sent together, after those that open connections.

    With `is_alike` all are GETs.
    """
    host = Host()
    sockets = [_connect(host, number) for number in range(connections)]
    pairs = list(gets(exchanges) if is_alike else commands(exchanges))
    for number, start in enumerate(range(0, exchanges, pipeline)):
        batch = pairs[start : start + pipeline]
        socket = sockets[number % connections]
        socket.asks(b"".join(asked for asked, _ in batch))
        socket.answers(b"".join(answer for _, answer in batch))
    return host.records


def _connect(host: Host, number: int) -> Socket:
    return host.connect(
        process=1000 + number % PROCESSES,
        thread=5000 + number % 1000,
        server=("10.0.0.5", 6379),
        port=20000 + number,
        sequences=(number * 100003 & 0xFFFFFFFF, number * 7919 & 0xFFFFFFFF),
        budgets=(1 << 14, 1 << 14),
    )
