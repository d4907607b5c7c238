"""What the load generators tell, and that paced.c keeps its rate: against a server of our own, natively."""

from __future__ import annotations

import shutil
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from bench.vm.load import Paced, Target, build_paced, keep_rate, parse_paced, parse_wrk

WRK = """Running 2s test @ http://127.0.0.1:8080/hello
  1 threads and 8 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency   324.64us   26.70us   1.03ms   92.35%
    Req/Sec    24.43k   451.24    25.35k    71.43%
  51021 requests in 2.10s, 7.54MB read
Requests/sec:  24295.54
Transfer/sec:      3.59MB
"""


def test_requests_that_wrk_counted() -> None:
    assert parse_wrk(WRK) == 51021


@pytest.mark.parametrize(
    "told",
    [
        WRK + "  Non-2xx or 3xx responses: 7\n",
        WRK + "  Socket errors: connect 0, read 0, write 0, timeout 1\n",
        "unable to connect to 127.0.0.1:8080 Connection refused\n",
        "",
    ],
)
def test_requests_that_failed_are_no_measurement(told: str) -> None:
    with pytest.raises(RuntimeError, match="not answered"):
        parse_wrk(told)


def test_what_paced_prints() -> None:
    told = (
        '{"requests": 600, "answered": 599, "failed": 1, "seconds": 1.997332, '
        '"latest_ms": 8.9, "slowest_ms": 50.962}\n'
    )
    assert parse_paced(told) == Paced(600, 599, 1, 1.997332, 8.9, 50.962)


class Answers(socketserver.StreamRequestHandler):
    """`/hello`: 200, kept open. `/close`: 200, closed, no length. `/last`: 200, `Connection: close`. Others: 404."""

    server: Counting

    def handle(self) -> None:
        self.server.connections += 1
        while line := self.rfile.readline():
            while self.rfile.readline() not in (b"\r\n", b""):
                pass
            self.server.asked += 1
            path = line.split()[1]
            if path == b"/close":
                self.wfile.write(b"HTTP/1.1 200 OK\r\n\r\nuntil the end")
                return
            if path == b"/last":
                self.wfile.write(
                    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi"
                )
                return
            if path == b"/cut":
                self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhi")
                return
            status = b"200 OK" if path == b"/hello" else b"404 Not Found"
            self.wfile.write(b"HTTP/1.1 " + status + b"\r\ncontent-length: 100000\r\n\r\n")
            self.wfile.write(bytes(100_000))


class Counting(socketserver.ThreadingTCPServer):
    """Counts what it is asked."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answers)
        self.asked = 0
        self.connections = 0

    def handle_error(self, request: object, client_address: object) -> None:
        """A load that is over hangs up."""


@contextmanager
def counting() -> Iterator[Counting]:
    with Counting() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture(scope="module", autouse=True)
def built() -> None:
    if not shutil.which("cc"):
        pytest.skip("no compiler")
    build_paced()


def paced(path: str, server: Counting) -> Paced:
    return keep_rate(Target(server.server_address[1], path, 4), rate=200, seconds=0.5)


def test_a_rate_is_kept_on_connections_that_stay() -> None:
    with counting() as server:
        told = paced("/hello", server)
    assert (told.requests, told.answered, told.failed) == (100, 100, 0)
    assert server.asked == 100
    assert server.connections == 4
    # The last one is due 495 ms after the first: no faster than it should be, however busy this machine is.
    assert told.seconds >= 0.494


@pytest.mark.parametrize("path", ["/close", "/last"])
def test_a_server_that_closes_is_called_again(path: str) -> None:
    with counting() as server:
        told = paced(path, server)
    assert (told.answered, told.failed, server.asked) == (100, 0, 100)
    assert server.connections >= 100


@pytest.mark.parametrize("path", ["/nothing", "/cut"])
def test_what_is_no_answer_is_counted_as_failed(path: str) -> None:
    with counting() as server:
        told = paced(path, server)
    assert (told.answered, told.failed) == (0, 100)


def test_nobody_listens() -> None:
    with counting() as server:
        port = server.server_address[1]
    with pytest.raises(RuntimeError, match="connect"):
        keep_rate(Target(port, "/", 1), rate=10, seconds=0.1)
