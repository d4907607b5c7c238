"""GET /resolve/NAME: looks a name up by getaddrinfo, in a thread per connection or, with --tasks, by asyncio's pool of threads.

With --upstream it is no service but a resolver to which another one may pass questions on: it answers each after a second.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import http.server
import json
import socket
import struct
import threading

LATE_S = 1.0


def answer_of(name: str, found: list[tuple[object, ...]] | str) -> bytes:
    told = found if isinstance(found, str) else len(found)
    return json.dumps({"id": name, "found": told}).encode()


class Handler(http.server.BaseHTTPRequestHandler):
    """A thread per connection."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        name = self.path.rpartition("/")[2]
        try:
            body = answer_of(name, list(socket.getaddrinfo(name, 80, type=socket.SOCK_STREAM)))
        except OSError as error:
            body = answer_of(name, str(error))
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Be quiet."""


async def serve_connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A task per connection."""
    with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
        while head := await reader.readuntil(b"\r\n\r\n"):
            name = head.split()[1].decode().rpartition("/")[2]
            loop = asyncio.get_running_loop()
            try:
                found = await loop.getaddrinfo(name, 80, type=socket.SOCK_STREAM)
                body = answer_of(name, list(found))
            except OSError as error:
                body = answer_of(name, str(error))
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
    writer.close()


async def serve_tasks(port: int) -> None:
    """Until it is killed."""
    server = await asyncio.start_server(serve_connection, "127.0.0.1", port)
    await server.serve_forever()


def serve_late(port: int) -> None:
    """10.1.2.3 for every name, nothing for other types than A (RFC 1035 §4.1)."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as here:
        here.bind(("127.0.0.1", port))

        def answer(query: bytes, asker: tuple[str, int]) -> None:
            name_end = query.index(b"\0", 12) + 1
            (kind,) = struct.unpack_from("!H", query, name_end)
            record = bytes.fromhex("c00c000100010000003c0004 0a010203") if kind == 1 else b""
            head = query[:2] + struct.pack("!HHHHH", 0x8180, 1, bool(record), 0, 0)
            here.sendto(head + query[12 : name_end + 4] + record, asker)

        while True:
            query, asker = here.recvfrom(512)
            threading.Timer(LATE_S, answer, (query, asker)).start()


def main() -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--tasks", action="store_true")
    parser.add_argument("--upstream", type=int)
    chosen = parser.parse_args()
    if chosen.upstream:
        threading.Thread(target=serve_late, args=(chosen.upstream,), daemon=True).start()
    if chosen.tasks:
        asyncio.run(serve_tasks(chosen.port))
    http.server.ThreadingHTTPServer(("127.0.0.1", chosen.port), Handler).serve_forever()


if __name__ == "__main__":
    main()
