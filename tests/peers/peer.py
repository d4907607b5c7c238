"""Scripted servers that real client libraries talk to, and what passed, as a proxy in between would have recorded it.

    with Peer(handler) as peer:
        ...  # a client talks to 127.0.0.1:peer.port
    run = replay(peer, is_server=False)

A handler is called for each connection with its `Line`, reads requests, writes answers, and returns at the end of file.
What passes is kept in the order in which it passed. `replay` gives it to the pipeline as the kernel side would.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from itertools import count
from typing import Any

from tests.scenario import Host, Run


class Line:
    """One connection's server end."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._lock = threading.Lock()
        self.passed: list[tuple[bool, bytes]] = []
        """Whether it is an answer, and the bytes of one call."""
        self._buffer = b""

    def read(self, size: int) -> bytes:
        """Exactly so many bytes; EOFError at the end of file."""
        while len(self._buffer) < size:
            data = self._connection.recv(65536)
            if not data:
                raise EOFError
            with self._lock:
                self.passed.append((False, data))
            self._buffer += data
        data, self._buffer = self._buffer[:size], self._buffer[size:]
        return data

    def write(self, data: bytes) -> None:
        """All of it, in one call."""
        with self._lock:
            self.passed.append((True, data))
        self._connection.sendall(data)


class Peer:
    """See the module's text."""

    def __init__(self, handler: Callable[[Line], None]) -> None:
        self._handler = handler
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.lines: list[Line] = []
        self.errors: list[Exception] = []
        """What went wrong in handlers."""
        self._threads: list[threading.Thread] = []
        self._connections: list[socket.socket] = []

    def __enter__(self) -> Peer:
        self._start(self._accept)
        return self

    def __exit__(self, *exception: Any) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._threads[0].join(10)
        for connection in self._connections:
            # Clients are gone: what still waits for them ends.
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(10)
            assert not thread.is_alive()
        assert self.errors == [], self.errors

    def _start(self, what: Callable[..., None], *arguments: Any) -> None:
        thread = threading.Thread(target=what, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._connections.append(connection)
            line = Line(connection)
            self.lines.append(line)
            self._start(self._serve, line, connection)

    def _serve(self, line: Line, connection: socket.socket) -> None:
        try:
            self._handler(line)
        except (EOFError, ConnectionError):
            pass
        except Exception as error:  # noqa: BLE001  # a thread's: the test is to see it
            self.errors.append(error)
        finally:
            connection.close()


def replay(peer: Peer, *, is_server: bool = False, cut: int = 0) -> Run:
    """What the pipeline makes of all connections. `cut`: no call moved more bytes.

    So much of each turn is captured as protocols of many requests at once ask for.
    """
    host = Host()
    budgets = (16384, 16384)
    ports = count(40000)
    for line in peer.lines:
        if is_server:
            end = host.accept(port=peer.port, client=("10.0.0.9", next(ports)), budgets=budgets)
        else:
            end = host.connect(server=("10.0.0.1", peer.port), port=next(ports), budgets=budgets)
        for is_answer, data in line.passed:
            for at in range(0, len(data), cut or len(data)):
                piece = data[at : at + (cut or len(data))]
                (end.answers if is_answer else end.asks)(piece)
        end.close()
    return Run().take(host.records).finish()
