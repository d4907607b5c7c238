"""The front host's service: asks the back host once for every request it gets.

    /plain/ID     by HTTP at port 8080
    /proxied/ID   by HTTP at port 9080, where a proxy reads the requests that it passes on
    /tls/ID       by HTTPS at port 8443
    /through/ID   by HTTPS at port 9443, where a proxy passes the bytes on that it cannot read

A thread for each connection; one connection to the back host for each thread and port, kept open.
"""

from __future__ import annotations

import argparse
import http.client
import ssl
import sys
import threading
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "servers"))

from backend import Answers, Server

PORTS = {"plain": 8080, "proxied": 9080, "tls": 8443, "through": 9443}


class Calls(Answers):
    """One connection."""

    back = ""
    kept = threading.local()

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        _, way, number = self.path.split("/")
        connection = self.connection_to(way)
        connection.request("POST" if body else "GET", f"/items/{way}-{number}", body or None)
        response = connection.getresponse()
        self.answer(response.status, response.read())

    do_POST = do_GET

    def connection_to(self, way: str) -> http.client.HTTPConnection:
        """Give this thread's connection."""
        if not hasattr(self.kept, way):
            port = PORTS[way]
            if way in ("plain", "proxied"):
                made = http.client.HTTPConnection(self.back, port, timeout=120)
            else:
                trusting = ssl._create_unverified_context()
                made = http.client.HTTPSConnection(self.back, port, timeout=120, context=trusting)
            setattr(self.kept, way, made)
        found: http.client.HTTPConnection = getattr(self.kept, way)
        return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--back", required=True, help="the back host's address")
    chosen = parser.parse_args()
    Calls.back = chosen.back
    Server(("127.0.0.1", chosen.port), Calls).serve_forever()
