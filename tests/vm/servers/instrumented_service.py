"""A service that traces itself with OpenTelemetry's SDK and instrumentations: asks another one for every request that it gets.

    opentelemetry-instrument python3 instrumented_service.py --port PORT --backend PORT

Its server is traced by the WSGI middleware, its calls by the instrumentation of urllib, which the launcher loads.
"""

from __future__ import annotations

import argparse
import socketserver
import urllib.request
from collections.abc import Callable, Iterable
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from opentelemetry.instrumentation.wsgi import OpenTelemetryMiddleware


class Server(socketserver.ThreadingMixIn, WSGIServer):
    """A thread for each connection."""

    daemon_threads = True


class Quiet(WSGIRequestHandler):
    """Without a line per request."""

    def log_message(self, format: str, *args: object) -> None:
        """Not a line per request."""


class Service:
    """Passes the path on."""

    def __init__(self, backend: int) -> None:
        self.backend = backend

    def __call__(
        self, environ: dict[str, Any], start_response: Callable[..., object]
    ) -> Iterable[bytes]:
        url = f"http://127.0.0.1:{self.backend}{environ['PATH_INFO']}"
        with urllib.request.urlopen(url, timeout=60) as answer:
            body = answer.read()
        start_response("200 OK", [("Content-Length", str(len(body)))])
        return [body]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--backend", type=int, required=True, help="the backend's port")
    chosen = parser.parse_args()
    application = OpenTelemetryMiddleware(Service(chosen.backend))
    make_server(
        "127.0.0.1", chosen.port, application, server_class=Server, handler_class=Quiet
    ).serve_forever()
