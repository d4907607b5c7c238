"""The trial before sockets are put into a map: what goes wrong in a kernel, played by ends that go wrong."""

from __future__ import annotations

import os
import socket
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from agent.errors import TrialError
from agent.kernel.layout import structs
from agent.kernel.trial import HEADER, REQUEST, SPAN_ID, TRACE_ID, End, Kernel, Trial, unread
from tests.kernel.bpf_map import HASH, bpf_map, may_make_maps

STALL_S = 0.2


class Socket:
    """An end that does what a socket does."""

    def __init__(self, real: socket.socket) -> None:
        real.settimeout(0)
        self.real = real
        self.insert_at = 0

    def send(self, data: bytes | memoryview, /) -> int:
        if not self.insert_at:
            return self.real.send(data)
        at, self.insert_at = self.insert_at, 0
        return self.real.send(bytes(data[:at]) + HEADER + bytes(data[at:])) - len(HEADER)

    def recv(self, size: int, /) -> bytes:
        return self.real.recv(size)

    def shutdown(self, how: int, /) -> None:
        self.real.shutdown(how)

    def fileno(self) -> int:
        return self.real.fileno()

    def close(self) -> None:
        self.real.close()


@dataclass
class Host:
    """Connects ends of these kinds."""

    client: Callable[[socket.socket], Socket] = Socket
    server: Callable[[socket.socket], Socket] = Socket
    inserts: bool = True
    made: list[Socket] = field(default_factory=list)

    def connect(self) -> tuple[End, End]:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            client = socket.create_connection(listener.getsockname())
            server, _ = listener.accept()
        pair = self.client(client), self.server(server)
        self.made += pair
        return pair

    def plan(self, at: int) -> None:
        if self.inserts:
            self.made[-2].insert_at = at

    def trial(self, tell: Callable[[End], int] = unread) -> Trial:
        return Trial(self.connect, self.plan, unread=tell, stall_s=STALL_S)


class Swallowing(Socket):
    """What is sent beyond a megabyte never arrives."""

    sent = 0

    def send(self, data: bytes | memoryview, /) -> int:
        if self.sent > 1_000_000:
            return len(data)
        count = super().send(data)
        self.sent += count
        return count


class Changing(Socket):
    """The last byte of a large send is another one."""

    def send(self, data: bytes | memoryview, /) -> int:
        return (
            self.real.send(bytes(data[:-1]) + b"!") if len(data) > 500_000 else super().send(data)
        )


class Repeating(Socket):
    """The first piece of a request arrives twice."""

    def send(self, data: bytes | memoryview, /) -> int:
        if data == b"GET":
            self.real.send(data)
        return super().send(data)


class Counting(Socket):
    """The sender is told of the inserted bytes, too."""

    def send(self, data: bytes | memoryview, /) -> int:
        more = len(HEADER) if self.insert_at else 0
        return super().send(data) + more


class Deaf(Socket):
    """Now and then what has come cannot be received yet, and nobody is woken when it can."""

    calls = 0

    def recv(self, size: int, /) -> bytes:
        self.calls += 1
        if self.calls == 31:
            raise BlockingIOError
        return super().recv(size)


class Open(Socket):
    """Its end is never told."""

    def shutdown(self, how: int, /) -> None:
        pass


class Closing(Socket):
    """Half a response, and the connection is gone."""

    def send(self, data: bytes | memoryview, /) -> int:
        if len(data) < 500_000:
            return super().send(data)
        self.real.send(data[:1000])
        self.real.shutdown(socket.SHUT_WR)
        return 1000


class Resetting(Socket):
    """Receiving is an error."""

    def recv(self, _size: int, /) -> bytes:
        raise ConnectionResetError(104, "Connection reset by peer")


def test_sockets_as_they_should_be_pass() -> None:
    host = Host()
    host.trial().run()
    assert all(end.fileno() < 0 for end in host.made)


@pytest.mark.parametrize(
    ("host", "told"),
    [
        (
            Host(inserts=False),
            f"header: nothing moves after {len(REQUEST)} of {len(REQUEST + HEADER)} bytes",
        ),
        (
            Host(client=Counting),
            f"header: {len(REQUEST + HEADER)} bytes were sent of {len(REQUEST)}",
        ),
        (Host(client=Resetting), r"unread bytes: .*reset by peer"),
        (Host(client=Deaf), r"wake ups: nothing moves after \d+ of \d+ bytes"),
        (Host(server=Swallowing), r"large response: nothing moves after \d+ of 4194304 bytes"),
        (Host(client=Swallowing), r"large request: nothing moves after \d+ of 4194304 bytes"),
        (Host(server=Changing), "large response: other bytes came than were sent"),
        (Host(server=Closing), r"large response: .*"),
        (Host(client=Repeating), "split writes: other bytes came than were sent"),
        (Host(client=Open), "half close: nothing moves after 0 of 0 bytes"),
    ],
    ids=lambda value: "" if isinstance(value, Host) else value.partition(":")[0],
)
def test_what_goes_wrong_ends_the_trial(host: Host, told: str) -> None:
    with pytest.raises(TrialError, match=f"^{told}"):
        host.trial().run()
    assert all(end.fileno() < 0 for end in host.made)


def test_a_kernel_that_tells_of_no_bytes_where_there_are_some() -> None:
    """As those do that have commit 929e30f93125 and nothing of what came later."""
    with pytest.raises(
        TrialError, match=r"^unread bytes: 4000 bytes can be received, the kernel tells of 0$"
    ):
        Host().trial(lambda _: 0).run()


def test_a_connection_that_cannot_be_made_is_one_that_went_wrong() -> None:
    def connect() -> tuple[End, End]:
        raise TrialError("a socket cannot be put into the map")

    with pytest.raises(TrialError, match=r"^header: a socket cannot be put into the map$"):
        Trial(connect, print).run()


@pytest.mark.skipif(not may_make_maps(), reason="may not make BPF maps")
def test_what_is_to_be_put_in_is_asked_for_by_this_thread() -> None:
    insertion = structs("insertion.h")["insertion"]
    with (
        bpf_map(HASH, key_size=8, value_size=4, entries=1) as sockets,
        bpf_map(HASH, key_size=8, value_size=insertion.size, entries=1) as insertions,
    ):
        kernel = Kernel({"header_sockets": sockets, "insertions": insertions})
        kernel.plan(17)
        thread = struct.pack("<II", threading.get_native_id(), os.getpid())
        value = kernel.insertions.look_up(thread)
        assert value is not None
        found = insertion.unpack(value)
    assert found["at"] == 17
    assert found["is_sampled"] == 1
    assert value.startswith(TRACE_ID + SPAN_ID)
    assert (found["is_tried"], found["is_done"]) == (0, 0)
