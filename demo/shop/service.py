"""What the two Python services share: an HTTP server with a thread per connection, and JSON answers."""

from __future__ import annotations

import http.client
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Service(BaseHTTPRequestHandler):
    """Answers with JSON; what to answer is a matter of `do_GET` and `do_POST`."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def body(self) -> Any:
        """The request's body, as JSON."""
        return json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))) or "null")

    def answer(self, value: object, status: int = 200) -> None:
        """Send the answer."""
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Not a line per request."""


class Client:
    """Calls one service; each thread keeps a connection of its own."""

    def __init__(self, host: str, port: int) -> None:
        self._place = (host, port)
        self._own = threading.local()

    def call(
        self, method: str, path: str, body: object = None, *, host: str = ""
    ) -> tuple[int, Any]:
        """One exchange. A connection that the server closed meanwhile is opened again once."""
        headers = {"Content-Type": "application/json"} | ({"Host": host} if host else {})
        data = None if body is None else json.dumps(body).encode()
        for attempt in (1, 2):
            connection = getattr(self._own, "connection", None)
            if connection is None:
                connection = self._own.connection = http.client.HTTPConnection(*self._place)
            try:
                connection.request(method, path, data, headers)
                response = connection.getresponse()
                return response.status, json.loads(response.read())
            except (http.client.HTTPException, OSError):
                connection.close()
                self._own.connection = None
                if attempt == 2:
                    raise
        raise AssertionError


def serve(port: int, service: type[Service]) -> None:
    """On the loopback, until somebody ends the process."""
    serve_at(("127.0.0.1", port), service)


def serve_at(place: tuple[str, int], service: type[Service]) -> None:
    """Until somebody ends the process."""
    ThreadingHTTPServer.daemon_threads = True
    ThreadingHTTPServer(place, service).serve_forever()
