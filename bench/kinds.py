"""The kinds of traffic that rates are measured with, natively and in the guest that counts instructions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from bench.redis_traffic import redis
from bench.statements import as_text, statements, with_parameters
from bench.throughput import Row
from bench.traffic import records, short_connections

if TYPE_CHECKING:
    from collections.abc import Sequence

CONNECTIONS: Final = 256
REPEATED: Final = "repeated heads"
SMALL: Final = "small heads, every one different"
BIG: Final = "big heads, every one different"
SHORT: Final = "a connection for each exchange"
PARAMETERS: Final = "PostgreSQL, statements with parameters"
TEXT: Final = "PostgreSQL, values in the text, every one different"
STATEMENT_CONNECTIONS: Final = 64
REDIS: Final = "Redis, every key different"
PIPELINED: Final = "Redis, 16 commands sent together"
ALIKE: Final = "Redis, 16 GETs sent together"
PIPELINE: Final = 16
OPEN: Final = (10, 1_000, 10_000)


def kinds(exchanges: int) -> list[Row]:
    """Give so many exchanges of each kind."""
    repeated = records(exchanges, connections=CONNECTIONS, is_repeated=True)
    small = records(exchanges, connections=CONNECTIONS, is_small=True)
    big = records(exchanges, connections=CONNECTIONS)
    return [
        Row(REPEATED, repeated, unmeasured=CONNECTIONS),
        Row(SMALL, small, unmeasured=CONNECTIONS),
        Row(BIG, big, unmeasured=CONNECTIONS),
        Row(SHORT, short_connections(exchanges), per_exchange=5),
        *(
            Row(
                name,
                statements(exchanges, send, connections=STATEMENT_CONNECTIONS),
                unmeasured=STATEMENT_CONNECTIONS,
            )
            for name, send in ((PARAMETERS, with_parameters), (TEXT, as_text))
        ),
    ]


def stores(exchanges: int) -> list[Row]:
    """Give so many exchanges with each kind of store."""
    one = redis(exchanges, connections=CONNECTIONS)
    whole = exchanges // PIPELINE * PIPELINE
    many = redis(whole, connections=CONNECTIONS, pipeline=PIPELINE)
    alike = redis(whole, connections=CONNECTIONS, pipeline=PIPELINE, is_alike=True)
    return [
        Row(REDIS, one, unmeasured=CONNECTIONS),
        Row(PIPELINED, many, unmeasured=CONNECTIONS, exchanges=PIPELINE),
        Row(ALIKE, alike, unmeasured=CONNECTIONS, exchanges=PIPELINE),
    ]


def by_connections(exchanges: int, sizes: Sequence[int] = OPEN) -> list[Row]:
    """Give big heads over ever more connections that are open at once; each has had its first exchange before."""
    return [
        Row(
            f"{opens:,} open connections",
            records(opens + exchanges, connections=opens),
            unmeasured=opens + 2 * opens,
        )
        for opens in sizes
    ]
