"""Contexts in a header of HTTP/1: who gets one, who does not, and where nobody does; and in a TCP option besides."""

from __future__ import annotations

import contextlib
import http.client
import os
import re
import signal
import socket
import struct
import subprocess
import threading
from pathlib import Path

import pytest

from tests.vm.harness import IN_GUEST
from tests.vm.harness_agent import Agents
from tests.vm.harness_guest import Servers, loaded, wait_until
from tests.vm.harness_tracing import CLIENT, SERVER, path_of

HEADER = re.compile(rb"traceparent: 00-([0-9a-f]{32})-([0-9a-f]{16})-01\r\n")
REFUSED = "contexts are not propagated in headers, for sockets would not work here"
OWN = f"traceparent: 00-{'ab' * 16}-{'cd' * 8}-00"
BODY = b"GET /within/a/body HTTP/1.1\r\nHost: nowhere\r\n\r\n" * 40


MAX_VERIFIED = 500_000
"""Instructions for each program: other versions of the kernel and the compiler need more."""
LOAD_THREADS = 4
FAULT = """
import fcntl, termios

real = fcntl.ioctl
fcntl.ioctl = lambda fd, request, *more: 0 if request == termios.FIONREAD else real(fd, request, *more)
"""
"""What makes FIONREAD tell zerospan nothing, as it does in kernels with the fault for sockets in a map."""


def ask(*words: str | Path) -> bytes:
    """What came back: the request as it arrived."""
    command = ["curl", "-sS", "--max-time", "60", *map(str, words)]
    return subprocess.run(command, capture_output=True, check=True).stdout


def unchosen(url: str) -> bytes:
    """A request of a program that nobody chose."""
    script = (
        "import sys, urllib.request as r; sys.stdout.buffer.write(r.urlopen(sys.argv[1]).read())"
    )
    command = ["/usr/bin/python3", "-c", script, url]
    return subprocess.run(command, capture_output=True, check=True).stdout


def test_header(servers: Servers, agents: Agents, tmp_path: Path) -> None:
    body = tmp_path / "body"
    body.write_bytes(BODY)
    large = tmp_path / "large"
    large.write_bytes(BODY * 1000)
    echo = servers.python("echo.py")
    chosen: dict[str, tuple[str | Path, ...]] = {
        "get": ("/get",),
        "post": ("/post", "--data-binary", f"@{body}"),
        "put-large": ("/put-large", "-T", large, "-H", "Expect:"),
        "continued": ("/continued", "--data-binary", f"@{large}", "-H", "Expect: 100-continue"),
        "chunked": ("/chunked", "-T", body, "-H", "Transfer-Encoding: chunked", "-H", "Expect:"),
        "head-only": ("/long?" + "q" * 300,),
    }
    untouched: dict[str, tuple[str | Path, ...]] = {
        "own": ("/own", "-H", OWN),
        "own-upper": ("/own-upper", "-H", OWN.replace("traceparent", "TraceParent")),
        "method": ("/method", "-X", "BREW"),
        "long": ("/beyond", "-H", "X-Long: " + "x" * 1500),
    }

    def all_of(shapes: dict[str, tuple[str | Path, ...]]) -> dict[str, bytes]:
        return {name: ask(echo.url + str(words[0]), *words[1:]) for name, words in shapes.items()}

    kept = [echo.url + f"/kept-{number}" for number in range(5)]
    before, before_untouched = all_of(chosen), all_of(untouched)
    before_kept, before_unchosen = ask(*kept), unchosen(echo.url + "/unchosen")
    nothing = loaded()
    agent = agents.run("--propagate", "http-header", "--propagate-exe", "curl")
    assert REFUSED not in agent.log.read_text()
    assert 0 < max(agent.verified()) < MAX_VERIFIED
    got, got_kept = all_of(chosen), ask(*kept)
    assert all_of(untouched) == before_untouched
    assert unchosen(echo.url + "/unchosen") == before_unchosen
    agent.wait_for_spans(2 * (len(chosen) + len(kept) + 2))
    finished = agent.stop()
    assert finished.ledger["balanced"], finished.ledger
    wait_until(lambda: loaded() == nothing, deadline_s=30, what="nothing is left in the kernel")
    ids = []
    for name, received in [*got.items(), ("kept", got_kept)]:
        expected = before_kept if name == "kept" else before[name]
        found = HEADER.findall(received)
        assert len(found) == (len(kept) if name == "kept" else 1), (name, received[:400])
        assert HEADER.sub(b"", received) == expected
        assert all(
            received[at - 11 : at - 3] == b" HTTP/1."
            for at in [m.start() for m in HEADER.finditer(received)]
        )
        ids += found
    assert len(set(ids)) == len(ids)
    spans = {
        (bytes.fromhex(s.trace_id), bytes.fromhex(s.span_id)): s
        for s in finished.spans
        if s.kind == CLIENT
    }
    servers_of = {s.parent_span_id: s for s in finished.spans if s.kind == SERVER}
    for trace_id, span_id in ids:
        call = spans[bytes.fromhex(trace_id.decode()), bytes.fromhex(span_id.decode())]
        answer = servers_of[call.span_id]
        assert answer.trace_id == call.trace_id
        assert path_of(answer) == path_of(call).partition("?")[0]


def test_nothing_is_put_in_where_the_kernel_has_the_fault(
    servers: Servers, agents: Agents, tmp_path: Path
) -> None:
    """It says so, loads nothing that writes, and traces as ever."""
    (tmp_path / "sitecustomize.py").write_text(FAULT)
    echo = servers.python("echo.py")
    before, nothing = ask(f"{echo.url}/get"), loaded()
    arguments = ("--propagate", "http-header", "--propagate-exe", "curl")
    agent = agents.run(*arguments, env={"PYTHONPATH": str(tmp_path)})
    log = agent.log.read_text()
    assert REFUSED in log
    assert "unread bytes: 4000 bytes can be received, the kernel tells of 0" in log
    shown = subprocess.run(["bpftool", "prog", "show"], capture_output=True, check=True).stdout
    assert b"sk_msg" not in shown
    assert b"sock_ops" not in shown
    assert ask(f"{echo.url}/get") == before
    agent.wait_for_spans(2)
    finished = agent.stop()
    assert finished.ledger["balanced"], finished.ledger
    wait_until(lambda: loaded() == nothing, deadline_s=30, what="nothing is left in the kernel")


def test_killing_zerospan_in_the_middle_of_load_harms_no_request(
    servers: Servers, agents: Agents
) -> None:
    """Connections that got headers live on without them, and nothing is left in the kernel."""
    echo = servers.python("echo.py")
    nothing = loaded()
    agent = agents.run("--propagate", "http-header", "--propagate-pid", os.getpid())
    answered, with_header = [0] * LOAD_THREADS, [0] * LOAD_THREADS
    troubles: list[str] = []
    stopping = threading.Event()

    def load(mine: int) -> None:
        address = ("127.0.0.1", echo.port)
        with contextlib.closing(http.client.HTTPConnection(*address, timeout=120)) as connection:
            while not stopping.is_set():
                path = f"/{mine}/{answered[mine]}"
                expected = (
                    f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{echo.port}\r\nAccept-Encoding: identity\r\n"
                    f"Content-Length: {len(BODY)}\r\n\r\n"
                ).encode() + BODY
                try:
                    connection.request("POST", path, BODY)
                    got = connection.getresponse().read()
                except (OSError, http.client.HTTPException) as error:
                    troubles.append(f"{path}: {error!r}")
                    return
                if HEADER.sub(b"", got) != expected:
                    troubles.append(f"{path}: {got[:200]!r}")
                with_header[mine] += got != expected
                answered[mine] += 1

    def everybody_has(count: int) -> bool:
        return bool(troubles) or min(answered) >= count

    threads = [threading.Thread(target=load, args=(mine,)) for mine in range(LOAD_THREADS)]
    for thread in threads:
        thread.start()
    try:
        wait_until(lambda: everybody_has(20), deadline_s=120, what="load before the kill")
        before = min(with_header)
        os.kill(agent.pid, signal.SIGKILL)
        agent.process.wait()
        wait_until(lambda: loaded() == nothing, deadline_s=30, what="nothing is left in the kernel")
        at_kill = list(answered)
        wait_until(
            lambda: everybody_has(max(at_kill) + 20), deadline_s=120, what="load after the kill"
        )
    finally:
        stopping.set()
        for thread in threads:
            thread.join()
    assert troubles == []
    assert before >= 20
    assert all(
        gone > 0 for gone in (done - had for done, had in zip(answered, with_header, strict=True))
    )


RETRIED = b"GET /retried HTTP/1.1\r\nHost: localhost\r\n\r\n"
OPTION = re.compile(rb"\xfd\x1cZ[PQR](.{16})(.{8})", re.DOTALL)
CONNECTIONS = 20
MAX_CONNECTIONS = 16


class Options:
    """What passes on the loopback interface in our TCP option: trace id and span id of each first segment."""

    def __init__(self) -> None:
        self._frames = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0800))
        self._frames.bind(("lo", 0))
        self._frames.setblocking(False)
        self.found: dict[tuple[bytes, int], tuple[bytes, bytes]] = {}
        """By the sender's port and the sequence number: a segment passes here twice."""

    def look(self) -> int:
        """Take what has passed; give how many there are."""
        with contextlib.suppress(BlockingIOError):
            while True:
                frame = self._frames.recv(65536)
                tcp = frame[14 + (frame[14] & 15) * 4 :]
                options = OPTION.search(tcp[20 : (tcp[12] >> 4) * 4])
                if options:
                    (sequence,) = struct.unpack_from(">I", tcp, 4)
                    self.found[tcp[:2], sequence] = (options[1], options[2])
        return len(self.found)

    def close(self) -> None:
        self._frames.close()


def refuse_twice(listener: socket.socket, received: list[bytes]) -> None:
    """Answer the first request with 408, the second one on its connection by closing it, the third one on another with 200."""
    for answers in ((b"408 Request Timeout", b""), (b"200 OK",)):
        connection, _ = listener.accept()
        with connection:
            for answer in answers:
                received.append(b"")
                while not received[-1].endswith(b"\r\n\r\n"):
                    data = connection.recv(65536)
                    assert data, received
                    received[-1] += data
                if answer:
                    connection.sendall(b"HTTP/1.1 %b\r\nContent-Length: 0\r\n\r\n" % answer)


@pytest.mark.skipif(
    os.environ.get(IN_GUEST) != "6.12", reason="nothing of it depends on the kernel: one will do"
)
def test_each_attempt_of_a_request_has_a_span_id_of_its_own(agents: Agents, tmp_path: Path) -> None:
    """By both ways at once, which say the same. And sockets for which there is no room in the map are counted."""
    config = tmp_path / "config.yaml"
    config.write_text(f"max_connections: {MAX_CONNECTIONS}\npropagate: [tcp-option, http-header]\n")
    agent = agents.run("--config", str(config), "--pid", os.getpid())
    received: list[bytes] = []
    with (
        contextlib.closing(Options()) as options,
        socket.create_server(("127.0.0.1", 0)) as listener,
    ):
        address = listener.getsockname()
        server = threading.Thread(target=refuse_twice, args=(listener, received))
        server.start()
        with socket.create_connection(address, timeout=60) as first:
            first.sendall(RETRIED)
            assert first.recv(65536).startswith(b"HTTP/1.1 408")
            first.sendall(RETRIED)
            assert first.recv(65536) == b""
        with socket.create_connection(address, timeout=60) as second:
            second.sendall(RETRIED)
            assert second.recv(65536).startswith(b"HTTP/1.1 200")
        server.join()
        wait_until(lambda: options.look() >= 3, deadline_s=30, what="three options")
        in_options = set(options.found.values())
        with contextlib.ExitStack() as opened:
            for _ in range(CONNECTIONS):
                opened.enter_context(socket.create_connection(address, timeout=60))
                opened.enter_context(listener.accept()[0])
    finished = agent.stop()
    in_headers = [
        tuple(map(bytes.fromhex, map(bytes.decode, found.groups())))
        for found in map(HEADER.search, received)
        if found
    ]
    assert [HEADER.sub(b"", one) for one in received] == [RETRIED] * 3
    assert len({span_id for _, span_id in in_headers}) == 3
    assert set(in_headers) == in_options
    calls = [span for span in finished.spans if span.kind == CLIENT]
    assert len(calls) == 3, (finished.spans, finished.ledger)
    assert {(bytes.fromhex(s.trace_id), bytes.fromhex(s.span_id)) for s in calls} == in_options
    assert {span.parent_span_id for span in finished.spans if span.kind == SERVER} == {
        span.span_id for span in calls
    }
    assert finished.ledger["balanced"], finished.ledger
    assert finished.ledger["records"]["headerless_sockets"] == CONNECTIONS - MAX_CONNECTIONS
