"""The first service, on threads: an order asks the stock for each of its items, over plain HTTP.

shop.py PORT STOCK_PORT      GET /orders/ID,  GET /orders/ID?items=1,7
"""

from __future__ import annotations

import http.client
import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit


class Shop(BaseHTTPRequestHandler):
    """Answers /orders/ID. A thread has one connection from nginx, and makes one to the stock for each order."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        items = parse_qs(url.query).get("items", ["1"])[0].split(",")
        stock = http.client.HTTPConnection("127.0.0.1", int(sys.argv[2]))
        status, lines = 200, []
        for item in items:
            stock.request("GET", f"/items/{item}")
            answer = stock.getresponse()
            lines.append(json.loads(answer.read()))
            if answer.status != 200:
                status = 502 if answer.status >= 500 else answer.status
        stock.close()
        body = json.dumps({"order": url.path.rpartition("/")[2], "lines": lines}).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Not a line per request."""


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Shop).serve_forever()
