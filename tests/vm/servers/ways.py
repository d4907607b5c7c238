"""Every way in which a Python program moves bytes through a stream socket, one HTTP exchange at a time.

    ways.py --port P serve --way WAY [--unix PATH]          serves until it is killed
    ways.py --port P call  --way WAY [--unix PATH] --exchanges N

Both ends use the way. Each exchange is a POST with a body of BODY bytes, answered by as many. `ways.c` has the ways
that Python lacks: sendmmsg/recvmmsg and io_uring.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import select
import socket
import sys
import tempfile
import threading
from collections.abc import Callable
from dataclasses import dataclass

BODY = 20_000
"""More than one segment, more than one socket buffer of the size that `partial` sets."""

SMALL_BUFFER = 4096


def _send_by_splice(sock: socket.socket, data: bytes) -> None:
    """File → pipe → socket."""
    inward, outward = os.pipe()
    with _file_of(data) as file:
        left = len(data)
        while left:
            moved = os.splice(file.fileno(), outward, min(left, 16_384))
            left -= moved
            while moved:
                moved -= os.splice(inward, sock.fileno(), moved)
    os.close(inward)
    os.close(outward)


def _send_by_sendfile(sock: socket.socket, data: bytes) -> None:
    with _file_of(data) as file:
        sent = 0
        while sent < len(data):
            sent += os.sendfile(sock.fileno(), file.fileno(), sent, len(data) - sent)


def _file_of(data: bytes) -> tempfile._TemporaryFileWrapper[bytes]:
    file = tempfile.NamedTemporaryFile(buffering=0)  # noqa: SIM115  # the caller closes it
    file.write(data)
    file.seek(0)
    return file


def _send_partially(sock: socket.socket, data: bytes) -> None:
    """Non-blocking: as much as fits, EAGAIN, wait, the rest."""
    sock.setblocking(False)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SMALL_BUFFER)
    view = memoryview(data)
    while view:
        try:
            view = view[sock.send(view) :]
        except BlockingIOError:
            select.select([], [sock], [])


def _receive_when_ready(sock: socket.socket, size: int) -> bytes:
    """Non-blocking: ask before anything can be there, EAGAIN, wait, take."""
    sock.setblocking(False)
    while True:
        try:
            return sock.recv(size)
        except BlockingIOError:
            select.select([sock], [], [])


def _send_vector(sock: socket.socket, data: bytes) -> None:
    """Three pieces; the first is less than a request line."""
    pieces = [data[:5], data[5:100], data[100:]]
    sent = os.writev(sock.fileno(), pieces)
    sock.sendall(data[sent:])


def _send_message(sock: socket.socket, data: bytes) -> None:
    sent = sock.sendmsg([data[:10], data[10:]])
    sock.sendall(data[sent:])


def _receive_vector(sock: socket.socket, size: int) -> bytes:
    pieces = [bytearray(7), bytearray(64), bytearray(size)]
    count = os.readv(sock.fileno(), pieces)
    return b"".join(pieces)[:count]


def _write_all(sock: socket.socket, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(sock.fileno(), view) :]


def _send_to(sock: socket.socket, data: bytes) -> None:
    """With the peer's address, which TCP ignores; a connected Unix socket refuses one."""
    if sock.family == socket.AF_UNIX:
        sock.sendall(data)
        return
    view = memoryview(data)
    while view:
        view = view[sock.sendto(view, 0, sock.getpeername()) :]


@dataclass(frozen=True)
class Way:
    """How to send all of some bytes, and how to receive at most so many."""

    send: Callable[[socket.socket, bytes], None]
    receive: Callable[[socket.socket, int], bytes]
    body: Callable[[socket.socket, bytes], None] | None = None
    """How to send a body, where that differs: sendfile and splice follow a head that was sent."""
    half_close: bool = False
    """The client closes its direction after the request; a connection carries one exchange."""


def _recv(sock: socket.socket, size: int) -> bytes:
    return sock.recv(size)


WAYS = {
    "write": Way(_write_all, lambda sock, size: os.read(sock.fileno(), size)),
    "writev": Way(_send_vector, _receive_vector),
    "send": Way(socket.socket.sendall, _recv),
    "sendto": Way(_send_to, lambda sock, size: sock.recvfrom(size)[0]),
    "sendmsg": Way(_send_message, lambda sock, size: sock.recvmsg(size)[0]),
    "sendfile": Way(socket.socket.sendall, _recv, body=_send_by_sendfile),
    "splice": Way(socket.socket.sendall, _recv, body=_send_by_splice),
    "partial": Way(_send_partially, _receive_when_ready),
    "half-close": Way(socket.socket.sendall, _recv, half_close=True),
}


def receive_message(sock: socket.socket, way: Way) -> bytes:
    """Read one message with a Content-Length; empty at the end of the connection."""
    data = b""
    while (head := data.find(b"\r\n\r\n")) < 0:
        part = way.receive(sock, 65_536)
        if not part:
            return b""
        data += part
    length = int(data[:head].lower().split(b"content-length: ")[1].split(b"\r\n")[0])
    while len(data) < head + 4 + length:
        data += way.receive(sock, 65_536)
    return data


def send_message(sock: socket.socket, way: Way, start: bytes) -> None:
    """Send a start line, the headers and the body."""
    head = start + b"\r\nHost: ways\r\nContent-Length: %d\r\n\r\n" % BODY
    body = b"b" * BODY
    if way.body is None:
        way.send(sock, head + body)
    else:
        way.send(sock, head)
        way.body(sock, body)


def serve_connection(sock: socket.socket, way: Way) -> None:
    """Answer until the client is gone."""
    with sock, contextlib.suppress(ConnectionError):
        while receive_message(sock, way):
            if way.half_close and sock.recv(1):
                sys.exit("the client did not close its direction")
            send_message(sock, way, b"HTTP/1.1 200 OK")


def serve(listeners: list[socket.socket], way: Way) -> None:
    """Serve for ever, a thread per connection."""
    while True:
        for listener in select.select(listeners, [], [])[0]:
            sock, _ = listener.accept()
            threading.Thread(target=serve_connection, args=(sock, way), daemon=True).start()


def call(connect: Callable[[], socket.socket], way: Way, exchanges: int) -> None:
    """Make so many exchanges on one connection, or on one each where the way ends it."""
    sock = connect()
    for number in range(exchanges):
        if way.half_close and number:
            sock.close()
            sock = connect()
        send_message(sock, way, b"POST /ways/%d HTTP/1.1" % number)
        if way.half_close:
            sock.shutdown(socket.SHUT_WR)
        if not receive_message(sock, way).startswith(b"HTTP/1.1 200"):
            sys.exit(f"exchange {number} has no answer")
    sock.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("role", choices=("serve", "call"))
    parser.add_argument("--way", choices=WAYS, required=True)
    parser.add_argument("--unix", help="path of a Unix stream socket, instead of TCP")
    parser.add_argument("--exchanges", type=int, default=23)
    chosen = parser.parse_args()
    way = WAYS[chosen.way]
    if chosen.role == "call":

        def connect() -> socket.socket:
            if not chosen.unix:
                return socket.create_connection(("127.0.0.1", chosen.port))
            sock = socket.socket(socket.AF_UNIX)
            sock.connect(chosen.unix)
            return sock

        call(connect, way, chosen.exchanges)
        return
    listeners = [socket.create_server(("127.0.0.1", chosen.port))]
    if chosen.unix:
        listeners.append(socket.socket(socket.AF_UNIX))
        listeners[1].bind(chosen.unix)
        listeners[1].listen()
    serve(listeners, way)


if __name__ == "__main__":
    main()
