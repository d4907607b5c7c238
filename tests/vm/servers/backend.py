"""The end of a chain: answers every request from threads, over HTTP/1.1 keep-alive.

    /items/ID          200, JSON naming ID and the request's X-Request-Id
    /status/CODE       that status
    /size/N            N bytes, Content-Length
    /chunks/N          N chunks, Transfer-Encoding: chunked
    /close/N           N bytes, ended by the close of the connection
    /hang              no answer: the connection stays open until the client gives up
    /abort             half an answer, then the connection is reset

POST and PUT bodies are read and their size is told.
"""

from __future__ import annotations

import argparse
import json
import socket
import struct
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Answers(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        _, kind, *rest = self.path.partition("?")[0].split("/")
        value = rest[0] if rest else ""
        match kind:
            case "status":
                self.answer(int(value), b"")
            case "size":
                self.answer(200, b"x" * int(value))
            case "chunks":
                self.answer_chunks(int(value))
            case "close":
                self.answer_until_close(int(value))
            case "hang":
                self.connection.recv(1)
                self.close_connection = True
            case "abort":
                self.abort()
            case _:
                told = {"id": value, "request": self.headers["X-Request-Id"], "received": len(body)}
                self.answer(200, json.dumps(told).encode())

    do_POST = do_PUT = do_DELETE = do_HEAD = do_OPTIONS = do_GET

    def answer(self, status: int, body: bytes) -> None:
        """One answer with its length."""
        self.send_response(status)
        if status >= 200 and status != 204:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD" and status not in {204, 304}:
            self.wfile.write(body)

    def answer_chunks(self, count: int) -> None:
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for number in range(count):
            data = f"chunk {number}\n".encode()
            self.wfile.write(b"%x\r\n%b\r\n" % (len(data), data))
        self.wfile.write(b"0\r\n\r\n")

    def answer_until_close(self, size: int) -> None:
        self.send_response(200)
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(b"x" * size)
        self.close_connection = True

    def abort(self) -> None:
        """Linger 0 makes close() a reset (tcp(7), SO_LINGER)."""
        self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nhalf")
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:
        """Not a line per request."""


class Server(ThreadingHTTPServer):
    """A thread per connection."""

    daemon_threads = True
    request_queue_size = 512

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that goes away is ordinary here."""


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    Server(("127.0.0.1", parser.parse_args().port), Answers).serve_forever()
