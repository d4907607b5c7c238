"""Whether sockets still do what sockets do once they are in a map of sockets: tried on the loopback interface.

To put a header into what a program sends, its socket must be in such a map (probes/http_header.c), and then other functions
of the kernel send and receive for it. In some kernels these have faults: since commit 929e30f93125 ("bpf, sockmap: Fix
FIONREAD for sockmap", in v6.12.75, v6.6.128, v6.18.14), FIONREAD tells that nothing is there to read, and programs that ask
for it wait for what they have already. So nobody's socket is put there before sockets of our own have been, on this host,
on the kernel that runs: each step of the trial is something that a program may rely on, and one that does not go as it should
ends the trial.

No step sleeps, and none waits for longer than STALL_S for something that should happen at once.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import select
import socket
import struct
import termios
import threading
import typing
from typing import TYPE_CHECKING, Final

from agent.errors import KernelError, TrialError
from agent.kernel.layout import structs
from agent.kernel.maps import Map

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

STALL_S: Final = 3.0
"""Bytes on the loopback interface arrive at once; this long, nothing came and nothing could be sent."""
LARGE: Final = 4 * 1024 * 1024
"""More than socket buffers hold."""
ROUNDS: Final = 50
"""Small messages to and fro."""
PIPELINED: Final = 16
REQUEST: Final = b"GET /zerospan/trial HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\n\r\n"
_LINE_SIZE: Final = REQUEST.index(b"\r\n") + 2
TRACE_ID: Final = bytes(range(0x10, 0x20))
SPAN_ID: Final = bytes(range(0xA0, 0xA8))
HEADER: Final = f"traceparent: 00-{TRACE_ID.hex()}-{SPAN_ID.hex()}-01\r\n".encode()
_SO_COOKIE: Final = 57


class End(typing.Protocol):
    """One end of a connection: what is used of a socket."""

    def send(self, data: bytes | memoryview, /) -> int: ...
    def recv(self, size: int, /) -> bytes: ...
    def shutdown(self, how: int, /) -> None: ...
    def fileno(self) -> int: ...
    def close(self) -> None: ...


class Kernel:
    """Puts sockets of ours into the map."""

    def __init__(self, maps: Mapping[str, int]) -> None:
        self._insertion = structs("insertion.h")["insertion"]
        self._sockets = Map(maps["header_sockets"], key_size=8, value_size=4)
        self.insertions = Map(maps["insertions"], key_size=8, value_size=self._insertion.size)

    def connect(self) -> tuple[End, End]:
        """A connection within this host, whose client's socket is in the map."""
        with socket.create_server(("127.0.0.1", 0)) as listener:
            client = socket.create_connection(listener.getsockname())
            server, _ = listener.accept()
        for end in (client, server):
            end.settimeout(0)
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        cookie = client.getsockopt(socket.SOL_SOCKET, _SO_COOKIE, 8)
        if not self._sockets.update(cookie, struct.pack("<i", client.fileno())):
            raise TrialError("a socket cannot be put into the map")
        return client, server

    def plan(self, at: int) -> None:
        """Let HEADER be put into what this thread sends next, at that place."""
        thread = os.getpid() << 32 | threading.get_native_id()
        ids = struct.unpack("<QQQ", TRACE_ID + SPAN_ID)
        value = self._insertion.pack(
            trace_id_0=ids[0], trace_id_1=ids[1], span_id=ids[2], at=at, is_sampled=1
        )
        if not self.insertions.update(struct.pack("<Q", thread), value):
            raise TrialError("a header cannot be asked for")


def unread(end: End) -> int:
    """How many bytes wait to be received (FIONREAD)."""
    count = ctypes.c_int()
    fcntl.ioctl(end.fileno(), termios.FIONREAD, count)
    return count.value


class Trial:
    """The steps. `connect` makes a pair of a client's and a server's end, which do not block; `plan` has a header put into the
    client's next send; `unread` tells how many bytes wait.
    """

    def __init__(
        self,
        connect: Callable[[], tuple[End, End]],
        plan: Callable[[int], None],
        *,
        unread: Callable[[End], int] = unread,
        stall_s: float = STALL_S,
    ) -> None:
        self._connect = connect
        self._plan = plan
        self._unread = unread
        self._stall_s = stall_s

    def run(self) -> None:
        """Raises a TrialError that says what went wrong."""
        for step in (
            self.header,
            self.unread_bytes,
            self.wake_ups,
            self.large_response,
            self.large_request,
            self.pipelining,
            self.split_writes,
            self.half_close,
        ):
            try:
                client, server = self._connect()
                with contextlib.closing(client), contextlib.closing(server):
                    step(client, server)
            except (OSError, KernelError) as error:
                what = step.__name__.replace("_", " ")
                raise TrialError(f"{what}: {error}") from error

    def header(self, client: End, server: End) -> None:
        """What it is all for: the header is there, where it belongs, and the sender is told of its own bytes only."""
        self._plan(_LINE_SIZE)
        sent = client.send(REQUEST)
        if sent != len(REQUEST):
            raise TrialError(f"{sent} bytes were sent of {len(REQUEST)}")
        expected = REQUEST[:_LINE_SIZE] + HEADER + REQUEST[_LINE_SIZE:]
        self._receive(server, expected)
        self._carry(client, server, REQUEST)

    def unread_bytes(self, client: End, server: End) -> None:
        """FIONREAD tells how much is there: servers and runtimes read so much."""
        data = _pattern(4000)
        server.send(data)
        with self._poll(client) as poll:
            self._wait(poll, 0, len(data))
        for taken in (0, 1000, 3000):
            data = data[taken:]
            if taken and len(client.recv(taken)) != taken:
                raise TrialError("fewer bytes came than were sent")
            told = self._unread(client)
            if told != len(data):
                raise TrialError(f"{len(data)} bytes can be received, the kernel tells of {told}")

    def wake_ups(self, client: End, server: End) -> None:
        """Who waits with epoll is woken by whatever comes, each time."""
        with self._poll(client) as here, self._poll(server) as there:
            for number in range(ROUNDS):
                message = _pattern(number + 1)
                for source, sink, poll in ((client, server, there), (server, client, here)):
                    source.send(message)
                    got = b""
                    while len(got) < len(message):
                        self._wait(poll, len(got), len(message))
                        got += self._take(sink, len(message) + 1)
                    if got != message:
                        raise TrialError("other bytes came than were sent")

    def large_response(self, client: End, server: End) -> None:
        """Much more than the buffers hold."""
        self._carry(server, client, _pattern(LARGE))

    def large_request(self, client: End, server: End) -> None:
        """The same in the other direction, where the map's program looks at every send."""
        self._carry(client, server, _pattern(LARGE))

    def pipelining(self, client: End, server: End) -> None:
        """Several requests in one send, and their responses."""
        self._carry(client, server, REQUEST * PIPELINED)
        self._carry(server, client, _pattern(20_000) * PIPELINED)

    def split_writes(self, client: End, server: End) -> None:
        """A request in pieces."""
        self._carry(client, server, REQUEST, piece=3)
        self._carry(server, client, _pattern(1000), piece=7)

    def half_close(self, client: End, server: End) -> None:
        """The client has said all, and still hears the response, to its end."""
        self._carry(client, server, REQUEST)
        client.shutdown(socket.SHUT_WR)
        self._expect_end(server)
        self._carry(server, client, _pattern(1_000_000))
        server.close()
        self._expect_end(client)

    def _carry(self, source: End, sink: End, data: bytes, *, piece: int = 1 << 20) -> None:
        """Send, in calls of so many bytes at the most, while the other end receives; all must come, unchanged.

        Both are woken by edges only, so a wake-up that gets lost is not made up for by the next look.
        """
        left, got = memoryview(data), bytearray()
        with self._poll(source, select.EPOLLOUT) as poll:
            poll.register(sink.fileno(), select.EPOLLIN | select.EPOLLET)
            while len(got) < len(data):
                for number, _ in self._wait(poll, len(got), len(data)):
                    if number == source.fileno():
                        left = left[self._give(source, left, piece) :]
                    else:
                        got += self._take(sink, len(data) - len(got) + 1)
        if got != data:
            raise TrialError("other bytes came than were sent")

    def _receive(self, sink: End, expected: bytes) -> None:
        got = b""
        with self._poll(sink) as poll:
            while len(got) < len(expected):
                self._wait(poll, len(got), len(expected))
                got += self._take(sink, len(expected) + 1)
        if got != expected:
            raise TrialError("other bytes came than were sent")

    def _expect_end(self, sink: End) -> None:
        with self._poll(sink) as poll:
            while True:
                try:
                    rest = sink.recv(1)
                except BlockingIOError:
                    self._wait(poll, 0, 0)
                    continue
                if rest:
                    raise TrialError("more bytes came than were sent")
                return

    def _give(self, source: End, left: memoryview, piece: int) -> int:
        """Send until the buffer is full or nothing is left; how many bytes went."""
        sent = 0
        try:
            while sent < len(left):
                sent += source.send(left[sent : sent + piece])
        except BlockingIOError:
            pass
        return sent

    def _take(self, sink: End, limit: int) -> bytes:
        """Receive until nothing is there, or more than there should be."""
        parts = []
        try:
            while limit > 0:
                part = sink.recv(min(limit, 65536))
                if not part:
                    raise TrialError("the connection ended early")
                parts.append(part)
                limit -= len(part)
        except BlockingIOError:
            pass
        return b"".join(parts)

    def _poll(self, end: End, events: int = select.EPOLLIN) -> select.epoll:
        poll = select.epoll()
        poll.register(end.fileno(), events | select.EPOLLET)
        return poll

    def _wait(self, poll: select.epoll, got: int, expected: int) -> list[tuple[int, int]]:
        events = poll.poll(self._stall_s)
        if not events:
            raise TrialError(f"nothing moves after {got} of {expected} bytes")
        return events


def try_kernel(maps: Mapping[str, int]) -> None:
    """The trial with this kernel; the map has its program. Raises a TrialError."""
    kernel = Kernel(maps)
    Trial(kernel.connect, kernel.plan).run()


def _pattern(size: int) -> bytes:
    """Bytes of which no part is like another at its place: 251 is prime."""
    return (bytes(range(251)) * (size // 251 + 1))[:size]
