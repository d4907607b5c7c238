"""A service whose every request looks up a name, asks PostgreSQL twice, Redis once, and a backend over HTTP, in that order.

`/order/ID`: the name is `cache-ID.internal`; each statement names its result after the id, so a statement's text tells for
whom it was. A thread per connection, with connections of its own, made before its first request; but Redis is called
by the name that was looked up, so each request connects to it.
"""

from __future__ import annotations

import argparse
import http.client
import socket
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import psycopg


class Shop(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def setup(self) -> None:
        super().setup()
        self.database = psycopg.connect(chosen.database, autocommit=True)
        self.backend = http.client.HTTPConnection("127.0.0.1", chosen.backend)
        self.backend.connect()

    def finish(self) -> None:
        super().finish()
        self.database.close()
        self.backend.close()

    def do_GET(self) -> None:
        number = self.path.rpartition("/")[2]
        name = f"cache-{number}.internal"
        found = socket.getaddrinfo(name, chosen.redis, socket.AF_INET, socket.SOCK_STREAM)
        address = str(found[0][4][0])
        for table in ("users", "events"):
            text = f"SELECT count(*) AS r{number} FROM {table} WHERE id = %s"
            self.database.execute(text.encode(), (7,))
        with socket.create_connection((address, chosen.redis)) as redis:
            redis.sendall(b"*2\r\n$3\r\nGET\r\n$9\r\ncart:none\r\n")
            assert redis.recv(100) == b"$-1\r\n"
        self.backend.request("GET", f"/items/{number}")
        self.backend.getresponse().read()
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        del format, args


class Server(ThreadingHTTPServer):
    """Takes as many connections at once as come."""

    request_queue_size = 128
    daemon_threads = True


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("port", "redis", "backend"):
        parser.add_argument(f"--{name}", type=int, required=True)
    parser.add_argument("--database", required=True)
    chosen = parser.parse_args()
    Server(("127.0.0.1", chosen.port), Shop).serve_forever()
