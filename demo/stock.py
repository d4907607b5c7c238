"""The second service: how many of an item are in stock. Item 7 takes its time, item 13 breaks, item 404 is unknown."""

from __future__ import annotations

import json
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

SLOW, BROKEN, UNKNOWN = "7", "13", "404"


class Stock(BaseHTTPRequestHandler):
    """Answers /items/ID."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        item = self.path.rpartition("/")[2]
        if item == SLOW:
            time.sleep(0.4)
        status = {BROKEN: 500, UNKNOWN: 404}.get(item, 200)
        body = json.dumps({"item": item, "in_stock": 3 if status == 200 else 0}).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Not a line per request."""


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Stock).serve_forever()
