"""Answers every request with the request: the bytes of its head and its body, as they came."""

from __future__ import annotations

import argparse
import re
import socketserver

LENGTH = re.compile(rb"^content-length: *(\d+)", re.IGNORECASE | re.MULTILINE)
CHUNKED = re.compile(rb"^transfer-encoding: *chunked", re.IGNORECASE | re.MULTILINE)
EXPECTS = re.compile(rb"^expect: *100-continue", re.IGNORECASE | re.MULTILINE)


class Echo(socketserver.StreamRequestHandler):
    """One connection."""

    def handle(self) -> None:
        while head := self.head():
            if EXPECTS.search(head):
                self.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            whole = head + self.body(head)
            status = b"HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\n"
            self.wfile.write(status + b"Content-Length: %d\r\n\r\n" % len(whole))
            self.wfile.write(whole)

    def head(self) -> bytes:
        """Everything up to the empty line; empty at the end of the connection."""
        lines = []
        while line := self.rfile.readline():
            lines.append(line)
            if line == b"\r\n":
                break
        return b"".join(lines)

    def body(self, head: bytes) -> bytes:
        """As it came, chunks and all."""
        if CHUNKED.search(head):
            parts: list[bytes] = []
            while not parts or parts[-1] != b"0\r\n":
                parts.append(self.rfile.readline())
                if size := int(parts[-1], 16):
                    parts.append(self.rfile.read(size + 2))
            return b"".join([*parts, self.rfile.readline()])
        found = LENGTH.search(head)
        return self.rfile.read(int(found[1])) if found else b""


class Server(socketserver.ThreadingTCPServer):
    """A thread for each connection."""

    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 128


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    Server(("127.0.0.1", parser.parse_args().port), Echo).serve_forever()
