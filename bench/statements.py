"""PostgreSQL's traffic as the kernel side would record it: what drivers send for a few hundred statements.

300 statements, by popularity, as an application has them: short look-ups, joins, changes. Either with parameters, as
Parse, Bind, Describe, Execute and Sync in one piece, or as text with values that never come again.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from tests.protocols import postgresql_bytes as pg
from tests.scenario import Host

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SHAPES = 300
PROCESSES = 12
TABLES = ("users", "orders", "items", "carts", "payments", "reviews", "stock", "events")


def shapes(rng: random.Random) -> list[str]:
    """Statements with `{}` where a value stands."""
    made = []
    for number in range(SHAPES):
        table, other = rng.sample(TABLES, 2)
        columns = ", ".join(f"t.column_{rng.randrange(30)}" for _ in range(rng.randint(1, 6)))
        made.append(
            rng.choice(
                (
                    f"SELECT {columns} FROM {table} t WHERE t.id = {{}}",
                    f"SELECT {columns} FROM {table} t JOIN {other} o ON o.{table}_id = t.id WHERE o.kind = {{}} AND t.at > {{}} ORDER BY t.at DESC LIMIT 20",
                    f"UPDATE {table} SET column_{number} = {{}}, at = now() WHERE id = {{}}",
                    f"INSERT INTO {table} (a, b, column_{number}) VALUES ({{}}, {{}}, {{}}) RETURNING id",
                )
            )
        )
    return made


def with_parameters(shape: str, values: list[str]) -> bytes:
    """The extended protocol, as drivers use it where they do not prepare."""
    text = shape.format(*(f"${number + 1}" for number in range(shape.count("{}"))))
    given = [value.encode() for value in values[: shape.count("{}")]]
    return pg.parse(text) + pg.bind("", "", *given) + pg.describe() + pg.execute() + pg.SYNC


def as_text(shape: str, values: list[str]) -> bytes:
    """The simple protocol."""
    return pg.query(shape.format(*(f"'{value}'" for value in values)))


def _answer(asked: bytes, rng: random.Random) -> bytes:
    verb = next(verb for verb in (b"SELECT", b"UPDATE", b"INSERT") if verb in asked)
    start = pg.PARSED + pg.BOUND if asked[:1] == b"P" else b""
    if verb == b"UPDATE":
        return start + pg.NO_DATA * bool(start) + pg.complete("UPDATE 1") + pg.ready()
    rows = [b"x" * 20] * (rng.choice((0, 1, 1, 1, 5)) if verb == b"SELECT" else 1)
    tag = f"SELECT {len(rows)}" if verb == b"SELECT" else "INSERT 0 1"
    return start + pg.results(*rows, tag=tag) + pg.ready()


def exchanges(
    count: int, send: Callable[[str, list[str]], bytes], seed: int = 1
) -> Iterator[tuple[bytes, bytes]]:
    """Requests and their responses."""
    rng = random.Random(seed)
    known = shapes(rng)
    weights = [1 / (rank + 1) for rank in range(SHAPES)]
    for number in range(count):
        asked = send(rng.choices(known, weights)[0], [f"{number}-{n}" for n in range(3)])
        yield asked, _answer(asked, rng)


def statements(
    count: int, send: Callable[[str, list[str]], bytes], *, connections: int = 64
) -> list[bytes]:
    """The records of so many statements of clients, over so many open connections, which the first records open."""
    host = Host()
    sockets = [
        host.connect(
            process=1000 + number % PROCESSES,
            thread=5000 + number,
            server=("10.0.0.5", 5432),
            port=20000 + number,
        )
        for number in range(connections)
    ]
    for number, (asked, answered) in enumerate(exchanges(count, send)):
        sockets[number % connections].asks(asked).answers(answered)
    return host.records
