"""What drivers for PostgreSQL do, in every way that they have: psycopg 3 and asyncpg.

Prints one line of JSON: how many statements each of them ran to their end, and how many failed on purpose.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from collections import Counter

import asyncpg
import psycopg
from psycopg import sql

FAILS = "SELECT nothing FROM nowhere WHERE password = 'hunter2-in-a-literal'"


def with_psycopg(conninfo: str) -> dict[str, int]:
    """Simple, parameterised, prepared, pipelined, by cursor, by COPY; a transaction; errors."""
    done = 0
    failed = 0
    with psycopg.connect(conninfo, autocommit=True, prepare_threshold=2) as connection:
        for number in range(6):  # prepared from the third time on
            connection.execute("SELECT id, name FROM users WHERE id = %s", (number,)).fetchall()
            done += 1
        connection.execute("SELECT 1 FROM users WHERE name = 'hunter2-in-a-literal'")
        done += 1
        with connection.transaction():  # BEGIN, COMMIT
            connection.execute(
                "UPDATE users SET name = %s WHERE id = %s", ("hunter2-as-a-value", 1)
            )
        done += 3
        with connection.pipeline():
            for number in range(5):
                connection.execute("INSERT INTO events (what) VALUES (%s)", (f"event {number}",))
            done += 5
        with connection.cursor() as cursor:
            with cursor.copy("COPY events (what) FROM STDIN") as copy:
                for number in range(400):
                    copy.write_row((f"hunter2-copied {number} {'x' * 90}",))
            with cursor.copy("COPY events TO STDOUT") as copy:
                for _ in copy:
                    pass
            done += 2
        connection.execute("SELECT what, what, what FROM events").fetchall()  # long
        connection.execute("SELECT %s::text", ("x" * 20000,)).fetchall()
        done += 2
        with connection.transaction(), connection.cursor(name="walk") as walk:
            walk.execute("SELECT id FROM users")  # DECLARE; FETCH …; CLOSE
            walk.fetchmany(10)
            walk.fetchmany(10)
        done += 6
        for statement in (FAILS, sql.SQL("SELEC {}").format(1)):
            try:
                connection.execute(statement)
            except psycopg.Error:
                failed += 1
    return {"done": done, "failed": failed}


async def with_asyncpg(conninfo: dict[str, str | int]) -> dict[str, int]:
    """Parse and Describe in one round trip, the rest in another; one by one and many at once."""
    counts: Counter[str] = Counter()
    pool = await asyncpg.create_pool(**conninfo, min_size=4, max_size=4)

    async def ask(number: int) -> None:
        async with pool.acquire() as connection:
            await connection.fetchval("SELECT name FROM users WHERE id = $1", number)
            counts["done"] += 1

    await asyncio.gather(*(ask(number) for number in range(23)))
    async with pool.acquire() as connection:
        await connection.executemany(
            "INSERT INTO events (what) VALUES ($1)", [(f"asyncpg {number}",) for number in range(7)]
        )
        counts["done"] += 7
        async with connection.transaction():  # BEGIN, COMMIT
            await connection.execute("SELECT 1")
        counts["done"] += 3
        try:
            await connection.fetch(FAILS)
        except asyncpg.PostgresError:
            counts["failed"] += 1
    await pool.close()
    return dict(counts)


def main() -> None:
    """Do all of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--password", required=True)
    arguments = parser.parse_args()
    conninfo = f"host=127.0.0.1 port={arguments.port} user=app password={arguments.password} dbname=bench sslmode=disable"
    told = {
        "psycopg": with_psycopg(conninfo),
        "asyncpg": asyncio.run(
            with_asyncpg(
                {
                    "host": "127.0.0.1",
                    "port": arguments.port,
                    "user": "app",
                    "password": arguments.password,
                    "database": "bench",
                    "ssl": False,
                }
            )
        ),
    }
    print(json.dumps(told))  # the result


if __name__ == "__main__":
    main()
