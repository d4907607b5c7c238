"""A service on threads, one per connection; with POOL, each request is handed to a pool of so many threads."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tests.accuracy.services import work

POOL = int(os.environ.get("POOL") or 0)
pool = ThreadPoolExecutor(POOL or 1)


class Service(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        _, shape, number = self.path.split("/")
        if POOL:
            body = pool.submit(work.answer, shape, number).result().encode()
        else:
            body = work.answer(shape, number).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        if POOL:
            pool.submit(work.finish, shape, number)
        else:
            work.finish(shape, number)

    def log_message(self, format: str, *args: object) -> None:
        """Not a line per request."""


class Server(ThreadingHTTPServer):
    """Room for all connections at once."""

    daemon_threads = True
    request_queue_size = 512


if __name__ == "__main__":
    Server(("127.0.0.1", int(os.environ["PORT"])), Service).serve_forever()
