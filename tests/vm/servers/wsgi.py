"""A WSGI application for gunicorn: says hello, or asks the backend whose port is in BACKEND, as threaded.py does."""

from __future__ import annotations

import http.client
import json
import os
import threading
from collections.abc import Callable, Iterable

BACKEND = os.environ.get("BACKEND", "")
connections = threading.local()


def ask(path: str, request_id: str) -> bytes:
    """Make one request to the backend on this thread's connection."""
    if not hasattr(connections, "one"):
        connections.one = http.client.HTTPConnection("127.0.0.1", int(BACKEND))
    connections.one.request("GET", path, headers={"X-Request-Id": request_id})
    answer: bytes = connections.one.getresponse().read()
    return answer


def application(environ: dict[str, str], start_response: Callable[..., object]) -> Iterable[bytes]:
    """Answer one request."""
    name = environ["PATH_INFO"].rpartition("/")[2]
    request_id = environ.get("HTTP_X_REQUEST_ID", "none")
    if BACKEND:
        body = ask(f"/items/{name}", request_id)
    else:
        body = json.dumps({"id": name, "request": request_id}).encode()
    start_response(
        "200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
    )
    return [body]
