"""The middle of a chain: a service on threads that asks a backend for every request it gets.

`/orders/ID` asks the backend for `/items/ID` and forwards X-Request-Id; so each request to the backend names the
request that it was made for, in its header and in its path. `--client keepalive` keeps a connection per thread,
`--client fresh` makes one per request. `/slow/MS/ID` waits before it asks.
"""

from __future__ import annotations

import argparse
import functools
import http.client
import threading
import time

from backend import Answers, Server


class Front(Answers):
    """One connection from the front."""

    connections = threading.local()

    def __init__(self, backend: int, keepalive: bool, *args: object) -> None:
        self.backend = backend
        self.keepalive = keepalive
        super().__init__(*args)

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts = self.path.strip("/").split("/")
        if parts[0] == "slow":
            time.sleep(int(parts[1]) / 1000)
        status, answer = self.ask(f"/items/{parts[-1]}", body)
        self.answer(status, answer)

    do_POST = do_PUT = do_GET

    def ask(self, path: str, body: bytes) -> tuple[int, bytes]:
        """Make one request to the backend."""
        connection = self.connect()
        headers = {"X-Request-Id": self.headers.get("X-Request-Id", "none")}
        connection.request("POST" if body else "GET", path, body or None, headers)
        response = connection.getresponse()
        answer = response.read()
        if not self.keepalive:
            connection.close()
        return response.status, answer

    def connect(self) -> http.client.HTTPConnection:
        """Give this thread's connection, or a new one."""
        if not self.keepalive:
            return http.client.HTTPConnection("127.0.0.1", self.backend)
        if not hasattr(self.connections, "one"):
            self.connections.one = http.client.HTTPConnection("127.0.0.1", self.backend)
        connection: http.client.HTTPConnection = self.connections.one
        return connection

    def finish(self) -> None:
        super().finish()
        if hasattr(self.connections, "one"):
            self.connections.one.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--backend", type=int, required=True, help="the backend's port")
    parser.add_argument("--client", choices=("keepalive", "fresh"), default="keepalive")
    chosen = parser.parse_args()
    handler = functools.partial(Front, chosen.backend, chosen.client == "keepalive")
    Server(("127.0.0.1", chosen.port), handler).serve_forever()
