"""What one zerospan sees of real servers and clients: every exchange, none invented, each in its place."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import signal
import socket
import subprocess
from collections import Counter

import pytest

from agent.check import WRITING_HELPERS
from tests.vm.harness import IN_GUEST
from tests.vm.harness_guest import SERVERS, Server, Servers, curl, loaded, python, wait_until
from tests.vm.harness_guest import free_port as any_port
from tests.vm.harness_spans import ExportedSpan
from tests.vm.harness_tracing import CLIENT, SERVER, Tracing, number_of, path_of
from tests.vm.servers.build import BUILT

COUNT = 23


def started(servers: Servers, kind: str) -> Server:  # noqa: PLR0911  # a table
    """A server of some kind."""
    match kind:
        case "threaded":
            return servers.python("backend.py")
        case "gunicorn-sync":
            return servers.gunicorn("sync", workers=2)
        case "gunicorn-gthread":
            return servers.gunicorn("gthread", workers=1, threads=4)
        case "node":
            return servers.node()
        case "go":
            return servers.go()
        case "nginx":
            return servers.nginx(backend=servers.python("backend.py"))
        case _:
            return servers.haproxy(backend=servers.python("backend.py"))


def test_no_loaded_program_calls_a_helper_that_writes(tracing: Tracing) -> None:
    called: set[str] = set()
    for number in loaded().programs - tracing.before.programs:
        dump = subprocess.run(
            ["bpftool", "prog", "dump", "xlated", "id", str(number)],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        called |= set(re.findall(r"\bcall (bpf_\w+)", dump))
    assert not called & WRITING_HELPERS
    assert {"bpf_ktime_get_ns", "bpf_ringbuf_reserve"} <= called, "helpers have other names here"


@pytest.mark.parametrize(
    "kind", ["threaded", "gunicorn-sync", "gunicorn-gthread", "node", "go", "nginx", "haproxy"]
)
def test_as_many_server_spans_as_requests(servers: Servers, tracing: Tracing, kind: str) -> None:
    server = started(servers, kind)
    kept = json.loads(python("client.py", "--port", server.port, "--requests", COUNT))
    fresh = json.loads(
        python(
            "client.py", "--port", server.port, "--requests", COUNT, "--first", 200_000, "--fresh"
        )
    )
    assert kept["ok"] + kept["failed"] + fresh["ok"] + fresh["failed"] == 2 * COUNT
    wanted = sorted(
        [f"/orders/{100_000 + n}" for n in range(COUNT)]
        + [f"/orders/{200_000 + n}" for n in range(COUNT)]
    )
    service = kind if kind in ("nginx", "haproxy") else ""
    spans = tracing.wait(SERVER, server.port, 2 * COUNT, service=service)
    assert sorted(map(path_of, spans)) == wanted
    assert {span.name for span in spans} <= {"GET /orders/{id}", "GET"}
    # The clients were seen, too, and each server span is the child of its request.
    clients = {span.span_id: span for span in tracing.wait(CLIENT, server.port, 2 * COUNT)}
    assert Counter(number_of(clients.get(span.parent_span_id)) for span in spans) == Counter(
        map(number_of, spans)
    )


@pytest.mark.parametrize(
    "way",
    ["write", "writev", "send", "sendto", "sendmsg", "sendfile", "splice", "partial", "half-close"],
)
@pytest.mark.parametrize("family", ["tcp", "unix"])
def test_every_way_to_move_bytes(servers: Servers, tracing: Tracing, way: str, family: str) -> None:
    path = servers.directory / "socket"
    more = ("--unix", str(path)) if family == "unix" else ()
    port = any_port()
    server = servers.start(
        "/usr/bin/python3",
        SERVERS / "ways.py",
        "--port",
        str(port),
        "serve",
        "--way",
        way,
        *more,
        port=port,
    )
    python("ways.py", "--port", port, "call", "--way", way, *more, "--exchanges", COUNT)

    def both() -> list[list[str]]:
        spans = [s for s in tracing.agent.spans() if path_of(s).startswith("/ways/")]
        mine = [
            s
            for s in spans
            if server.pid == s.resource["process.pid"]
            or server.pid in {p.resource["process.pid"] for p in spans if p.trace_id == s.trace_id}
        ]
        found = [[path_of(s) for s in mine if s.kind == kind] for kind in (SERVER, CLIENT)]
        return found if all(len(paths) >= COUNT for paths in found) else []

    wanted = sorted(f"/ways/{n}" for n in range(COUNT))
    for paths in wait_until(both, deadline_s=60, what=f"{COUNT} spans at both ends"):
        assert sorted(paths) == wanted
    sizes = {
        (s.attributes["http.request.body.size"], s.attributes["http.response.body.size"])
        for s in tracing.agent.spans()
        if s.resource["process.pid"] == server.pid
    }
    assert sizes == {(20_000, 20_000)}


@pytest.mark.parametrize("way", ["sendmmsg", "io_uring"])
def test_ways_that_python_lacks(servers: Servers, tracing: Tracing, way: str) -> None:
    server = servers.ways(way)
    done = subprocess.run(
        [str(BUILT / "ways"), way, "call", str(server.port), str(COUNT)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr

    def enough() -> list[str]:
        paths = [
            path_of(s)
            for s in tracing.agent.spans()
            if s.kind == SERVER and s.resource["process.pid"] == server.pid
        ]
        return paths if len(paths) >= COUNT else []

    assert len(wait_until(enough, deadline_s=60, what=f"{COUNT} spans")) == COUNT


def test_a_connection_older_than_zerospan(tracing: Tracing) -> None:
    for number in range(COUNT):
        tracing.old_connection.request("GET", f"/items/old-{number}")
        tracing.old_connection.getresponse().read()
    clients = tracing.wait(CLIENT, tracing.old_server.port, COUNT)
    wanted = [f"/items/old-{number}" for number in range(COUNT)]
    assert [path_of(s) for s in clients] == wanted
    # The server was waiting for the first request when the programs were attached: that call's end is not hooked.
    spans = tracing.wait(SERVER, tracing.old_server.port, COUNT - 1)
    assert [path_of(s) for s in spans] == wanted[1:]
    assert {s.parent_span_id for s in spans} == {s.span_id for s in clients[1:]}


def test_ipv6(servers: Servers, tracing: Tracing) -> None:
    port = any_port()
    servers.start("/usr/bin/python3", "-m", "http.server", "--bind", "::", str(port), port=port)
    curl(f"http://[::1]:{port}/")
    (span,) = tracing.wait(SERVER, port, 1)
    assert (span.attributes["network.type"], span.attributes["network.peer.address"]) == (
        "ipv6",
        "::1",
    )


def test_what_goes_wrong_is_an_error_span(servers: Servers, tracing: Tracing) -> None:
    server = servers.python("backend.py")
    for path, limit in (("/abort", 30.0), ("/hang", 0.5), ("/status/503", 30.0)):
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=limit)
        with contextlib.suppress(OSError, http.client.HTTPException):
            connection.request("GET", path)
            connection.getresponse().read()
        connection.close()
    spans = tracing.wait(CLIENT, server.port, 3)
    told = {path_of(s): (s.status, s.attributes["error.type"]) for s in spans}
    # The server half-closes before it resets, and the client may see either first.
    told["/abort"] = (
        told["/abort"][0],
        told["/abort"][1].replace("connection_closed_by_peer", "connection_reset"),
    )
    assert told == {
        "/abort": (2, "connection_reset"),
        "/hang": (2, "connection_closed"),
        "/status/503": (2, "503"),
    }


def test_large_and_chunked_answers_end_when_they_end(servers: Servers, tracing: Tracing) -> None:
    server = servers.python("backend.py")
    paths = ["/size/3000000", "/chunks/500", "/close/100000", "/size/5"]
    connection = http.client.HTTPConnection("127.0.0.1", server.port)
    for path in paths:
        connection.request("GET", path)
        connection.getresponse().read()
    # The connection stays open: the end must be known without another request.
    for kind in (SERVER, CLIENT):
        spans = tracing.wait(kind, server.port, len(paths))
        assert [path_of(s) for s in spans] == paths
        assert all(s.end_ns > s.start_ns for s in spans)
    connection.close()


def test_other_protocols_are_let_alone(servers: Servers, tracing: Tracing) -> None:
    port = any_port()
    servers.start("redis-server", "--port", str(port), "--save", "", port=port)
    with socket.create_connection(("127.0.0.1", port)) as sock:
        # Inline: a line of words, as many protocols have them, and nothing claims those.
        sock.sendall(b"PING\r\n")
        sock.recv(100)
    server = servers.python("backend.py")
    curl(f"{server.url}/items/1")
    tracing.wait(SERVER, server.port, 1)
    assert [s for s in tracing.agent.spans() if s.service.startswith("redis")] == []


@pytest.mark.parametrize("keepalive", [True, False])
def test_64_connections_through_a_chain(
    servers: Servers, tracing: Tracing, keepalive: bool
) -> None:
    """nginx → threads → backend: as many spans as requests at each hop, and each with its own parent."""
    requests = 640
    first = 500_000 if keepalive else 600_000
    backend = servers.python("backend.py")
    front = servers.python(
        "threaded.py", "--backend", backend.port, "--client", "keepalive" if keepalive else "fresh"
    )
    nginx = servers.nginx(backend=front, keepalive=keepalive)
    told = json.loads(
        python(
            "client.py",
            "--port",
            nginx.port,
            "--requests",
            requests,
            "--threads",
            64,
            "--first",
            first,
        )
    )
    assert (told["ok"], told["failed"]) == (requests, 0)
    wanted = [str(first + n) for n in range(requests)]

    def hops() -> list[list[ExportedSpan]]:
        mine = [
            s
            for s in tracing.agent.spans()
            if number_of(s).isdigit() and first <= int(number_of(s)) < first + requests
        ]
        return [mine] if len(mine) >= 6 * requests else []

    (spans,) = wait_until(hops, deadline_s=120, what="all spans")
    by_id = {s.span_id: s for s in spans}
    by_hop: dict[tuple[str, int], list[str]] = {}
    for span in spans:
        by_hop.setdefault((span.service, span.kind), []).append(number_of(span))
    assert {hop: sorted(numbers) == wanted for hop, numbers in by_hop.items()} == {
        (service, kind): True
        for service, kind in (
            ("client", CLIENT), ("nginx", SERVER), ("nginx", CLIENT),
            ("threaded", SERVER), ("threaded", CLIENT), ("backend", SERVER),
        )
    }  # fmt: skip
    inner = [s for s in spans if s.service != "client"]
    wrong = [
        s
        for s in inner
        if s.parent_span_id and number_of(by_id.get(s.parent_span_id)) != number_of(s)
    ]
    without = [s for s in inner if not s.parent_span_id]
    assert wrong == []
    assert len(without) <= len(inner) // 1000
    roots = {s.trace_id for s in spans if not s.parent_span_id}
    assert len(roots) == requests + len(without)


@pytest.mark.parametrize("per", ["request", "connection"])
def test_tasks_of_one_thread_are_told_apart(servers: Servers, tracing: Tracing, per: str) -> None:
    """asyncio: 32 requests at once in one thread, two calls each, in whatever order; every call has its own request."""
    requests = 160
    first = 700_000 if per == "request" else 800_000
    backend = servers.python("backend.py")
    front = servers.python("tasks.py", "--backend", backend.port, "--per", per)
    words = ("--port", front.port, "--requests", requests, "--threads", 32, "--first", first)
    told = json.loads(python("client.py", *words))
    assert (told["ok"], told["failed"]) == (requests, 0)
    received = {
        span.span_id: span for span in tracing.wait(SERVER, front.port, requests, service="tasks")
    }
    calls = [
        span
        for span in tracing.wait(CLIENT, backend.port, 2 * requests)
        if number_of(span).isdigit()
    ]
    assert len(calls) == 2 * requests
    right = [s for s in calls if number_of(received.get(s.parent_span_id)) == number_of(s)]
    without = [s for s in calls if not s.parent_span_id]
    assert len(right) + len(without) == len(calls)
    assert len(without) <= len(calls) // 100
    rules = Counter(str(span.attributes["zerospan.parent.rule"]) for span in right)
    assert rules["task"] == len(right)


@pytest.mark.skipif(
    os.environ.get(IN_GUEST) != "6.1", reason="tests/accuracy has Node.js on both kernels"
)
def test_callbacks_of_node_are_told_apart(servers: Servers, tracing: Tracing) -> None:
    """32 requests at once in one thread, one call each on connections that it keeps; every call has its own request."""
    requests, first = 96, 900_000
    backend = servers.python("backend.py")
    front = servers.node(backend=backend)
    words = ("--port", front.port, "--requests", requests, "--threads", 32, "--first", first)
    told = json.loads(python("client.py", *words))
    assert (told["ok"], told["failed"]) == (requests, 0)
    received = {span.span_id: span for span in tracing.wait(SERVER, front.port, requests)}
    calls = tracing.wait(CLIENT, backend.port, requests)
    right = [s for s in calls if number_of(received.get(s.parent_span_id)) == number_of(s)]
    without = [s for s in calls if not s.parent_span_id]
    assert len(calls) == requests
    assert len(right) + len(without) == requests
    assert len(without) <= 1
    rules = Counter(str(span.attributes["zerospan.parent.rule"]) for span in right)
    assert rules["callback"] + rules["opener"] >= requests - 1
    assert rules["callback"] > requests // 3


def test_a_first_span_comes_soon(servers: Servers, tracing: Tracing) -> None:
    server = servers.python("backend.py")
    curl(f"{server.url}/items/1")
    wait_until(lambda: tracing.spans(SERVER, server.port), deadline_s=30, what="a span")


def test_end_in_the_middle_of_load(servers: Servers, tracing: Tracing) -> None:
    """SIGTERM while requests run: the ledger balances, and nothing is left in the kernel. Ends this zerospan."""
    server = servers.python("backend.py")
    load = subprocess.Popen(
        ["wrk", "-t1", "-c8", "-d60s", f"{server.url}/items/1"], stdout=subprocess.DEVNULL
    )
    try:
        tracing.wait(SERVER, server.port, 50)
        finished = tracing.stop()
    finally:
        load.send_signal(signal.SIGKILL)
        load.wait()
    assert finished.returncode == 0, finished.stderr
    assert finished.ledger["balanced"], finished.ledger
    assert finished.ledger["exchanges"]["unparsed"].get("bug", 0) == 0
    assert "Traceback" not in finished.stderr
    assert finished.stop_s < 20
    assert loaded() == tracing.before
