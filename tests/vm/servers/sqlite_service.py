"""Answers from SQLite: a thread or a task per request, in which statements are executed.

GET /orders/ID makes eight statements on a connection of its own: BEGIN, an INSERT, an UPDATE, COMMIT, a SELECT of one row, an INSERT
that violates a constraint, a SELECT of ten rows of which three are taken, and one that names no table. GET /counted tells
how many statements SQLite itself said that it began (sqlite3_trace_v2), by their first word.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import http.server
import json
import sqlite3
from collections import Counter
from pathlib import Path

SCHEMA = """
CREATE TABLE orders (id INTEGER PRIMARY KEY, customer TEXT NOT NULL, state TEXT);
CREATE TABLE items (id INTEGER PRIMARY KEY, name TEXT UNIQUE);
"""


class Orders:
    """A database in a file; in WAL mode, so that readers do not wait."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.counted: Counter[str] = Counter()
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
            connection.execute("PRAGMA journal_mode = WAL").fetchall()
            connection.executescript(SCHEMA)
            connection.executemany(
                "INSERT INTO items VALUES (?, ?)", [(n, f"item {n}") for n in range(40)]
            )

    def answer(self, number: int) -> None:
        connection = sqlite3.connect(self._path, isolation_level=None, timeout=60)
        with contextlib.closing(connection):
            connection.execute("PRAGMA synchronous = OFF")
            connection.set_trace_callback(self._trace)
            connection.execute("BEGIN IMMEDIATE")
            connection.execute(f"INSERT INTO orders VALUES ({number}, 'hunter2', 'new')")
            connection.execute("UPDATE orders SET state = ? WHERE id = ?", ("paid", number))
            connection.execute("COMMIT")
            connection.execute("SELECT name FROM items WHERE id = ?", (number % 40,)).fetchall()
            with contextlib.suppress(sqlite3.IntegrityError):
                connection.execute("INSERT INTO items VALUES (100, ?)", ("item 7",))
            some = connection.execute("SELECT id, name FROM items WHERE id < 10")
            some.fetchmany(3)
            with contextlib.suppress(sqlite3.OperationalError):
                connection.execute("SELECT 'hunter2' FROM nowhere")

    def _trace(self, text: str) -> None:
        self.counted[text.split()[0]] += 1


ORDERS: list[Orders] = []


def body_of(path: str) -> bytes:
    """What is answered."""
    if path == "/counted":
        return json.dumps(ORDERS[0].counted).encode()
    number = path.rpartition("/")[2]
    if number.isdigit():
        ORDERS[0].answer(int(number))
    return json.dumps({"id": number}).encode()


class Handler(http.server.BaseHTTPRequestHandler):
    """A thread per connection."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        body = body_of(self.path)
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Be quiet."""


async def serve_connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A task per connection, and one for the statements of each request."""
    with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
        while head := await reader.readuntil(b"\r\n\r\n"):
            path = head.split()[1].decode()
            body = await asyncio.create_task(answer_later(path))
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
    writer.close()


async def answer_later(path: str) -> bytes:
    """Let others go first, who are answered meanwhile."""
    await asyncio.sleep(0.01)
    return body_of(path)


async def serve_tasks(port: int) -> None:
    """Until it is killed."""
    server = await asyncio.start_server(serve_connection, "127.0.0.1", port)
    await server.serve_forever()


def main() -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--file", type=Path, required=True)
    parser.add_argument("--tasks", action="store_true")
    chosen = parser.parse_args()
    ORDERS.append(Orders(chosen.file))
    if chosen.tasks:
        asyncio.run(serve_tasks(chosen.port))
    http.server.ThreadingHTTPServer(("127.0.0.1", chosen.port), Handler).serve_forever()


if __name__ == "__main__":
    main()
