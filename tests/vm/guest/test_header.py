"""Contexts in a header of HTTP/1: who gets one, who does not, and the kernels where nobody does."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from tests.vm.harness_agent import Agents
from tests.vm.harness_guest import Servers, loaded, wait_until
from tests.vm.harness_tracing import CLIENT, SERVER, path_of

HEADER = re.compile(rb"traceparent: 00-([0-9a-f]{32})-([0-9a-f]{16})-01\r\n")
REFUSED = "contexts are not propagated, for sockets would not work here"
OWN = f"traceparent: 00-{'ab' * 16}-{'cd' * 8}-00"
BODY = b"GET /within/a/body HTTP/1.1\r\nHost: nowhere\r\n\r\n" * 40


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
    log = agent.log.read_text()
    got, got_kept = all_of(chosen), ask(*kept)
    assert all_of(untouched) == before_untouched
    assert unchosen(echo.url + "/unchosen") == before_unchosen
    if REFUSED in log:
        print(log)
        assert (got, got_kept) == (before, before_kept)
        kinds = subprocess.run(["bpftool", "prog", "show"], capture_output=True, check=True).stdout
        assert b"sk_msg" not in kinds
        assert b"sock_ops" not in kinds
    # Both ends of each; but nobody takes that method for one of HTTP, and OWN says that its trace is not sampled.
    agent.wait_for_spans(2 * (len(chosen) + len(kept) + 2))
    finished = agent.stop()
    assert finished.ledger["balanced"], finished.ledger
    wait_until(lambda: loaded() == nothing, deadline_s=30, what="nothing is left in the kernel")
    if REFUSED in log:
        return
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
