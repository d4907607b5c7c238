"""Names looked up by real resolvers of programs, from a real server: one is slow, one too long for a datagram, one is not there."""

from __future__ import annotations

import json
import os
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from tests.vm.harness import IN_GUEST
from tests.vm.harness_agent import Agents
from tests.vm.harness_guest import SERVERS, Server, Servers, curl, free_port
from tests.vm.harness_spans import ExportedSpan
from tests.vm.harness_tracing import CLIENT, SERVER, path_of
from tests.vm.servers.build import BUILT

ADDRESS = "127.0.0.53"
ADDRESSES = 100
"""Of the long name: more than 1232 bytes, which is what resolvers offer to take in a datagram (EDNS), or 512."""
NAMES = ("quick.test", "slow.test", "long.test", "none.test")
LATE_NS = 1_000_000_000
"""As the upstream server of the slow name is (resolve.py)."""

GLIBC = ("threads", "tasks", "libuv")
"""Services that ask by getaddrinfo."""
SURE = ("threads", "c-ares", "go")
"""Services whose look-ups are made by the thread, the loop or a goroutine that the request made."""

Seen = Counter[tuple[str, str, str, str | None]]
"""Name, transport, type, and error or `truncated`."""


def start_resolver(servers: Servers, directory: Path) -> None:
    subprocess.run(["ip", "address", "replace", f"{ADDRESS}/8", "dev", "lo"], check=True)
    hosts = directory / "hosts"
    lines = [f"10.9.0.{number} long.test" for number in range(1, ADDRESSES + 1)]
    hosts.write_text("\n".join(["10.9.1.1 quick.test", "fd00::1 quick.test", *lines]) + "\n")
    late = free_port()
    servers.python("resolve.py", "--upstream", late)
    servers.start(
        *("dnsmasq", "--no-daemon", "--conf-file=/dev/null", "--no-resolv", "--no-hosts"),
        *("--user=root", "--pid-file=", f"--listen-address={ADDRESS}", "--bind-interfaces"),
        *(f"--addn-hosts={hosts}", "--local=/test/", f"--server=/slow.test/127.0.0.1#{late}"),
        port=53,
        address=ADDRESS,
    )


def start(servers: Servers, directory: Path, *words: str | Path) -> Server:
    """A service whose resolver is ours, by a mount namespace of its own; {port} in its words is its port."""
    resolv = directory / "resolv.conf"
    resolv.write_text(f"nameserver {ADDRESS}\n")
    script = f'mount --bind {resolv} /etc/resolv.conf && exec "$@"'
    port = free_port()
    named = [str(word).replace("{port}", str(port)) for word in words]
    return servers.start("unshare", "-m", "sh", "-c", script, "sh", *named, port=port)


def seen(spans: list[ExportedSpan]) -> Seen:
    counted: Seen = Counter()
    for span in spans:
        values = span.attributes
        note = values.get("error.type") or ("truncated" if values.get("zerospan.dns.truncated") else None)  # fmt: skip
        name = str(values["dns.question.name"])
        counted[name, values["network.transport"], span.name.removeprefix("DNS "), note] += 1
    return counted


def expected(name: str, kind: str, rounds: int) -> Seen:
    """What a resolver does that asks for addresses of one kind, or of both."""
    kinds = ("A",) if kind == "c-ares" else ("A", "AAAA")
    if name == "none.test":
        return Counter((name, "udp", each, "NXDOMAIN") for each in kinds)
    if name == "long.test":
        once = {(name, "udp", each, "truncated" if each == "A" else None): rounds for each in kinds}
        return Counter(once | {(name, "tcp", "A", None): rounds})
    return Counter((name, "udp", each, None) for each in kinds)


@pytest.mark.skipif(os.environ.get(IN_GUEST) != "6.1", reason="the kernel makes no difference")
def test_resolvers(servers: Servers, agents: Agents, tmp_path: Path) -> None:
    start_resolver(servers, tmp_path)
    python = ("/usr/bin/python3", SERVERS / "resolve.py", "--port", "{port}")
    services = {
        "threads": start(servers, tmp_path, *python),
        "tasks": start(servers, tmp_path, *python, "--tasks"),
        "c-ares": start(servers, tmp_path, "node", SERVERS / "resolve.js", "{port}"),
        "libuv": start(servers, tmp_path, "node", SERVERS / "resolve.js", "{port}", "lookup"),
        "go": start(servers, tmp_path, BUILT / "goresolve", "{port}"),
    }
    agent = agents.run()
    answers = {
        (kind, name): json.loads(curl(f"{service.url}/resolve/{name}"))["found"]
        for kind, service in services.items()
        for name in NAMES
    }
    finished = agent.stop()
    spans = finished.spans
    assert {kind: answers[kind, "long.test"] for kind in services} == dict.fromkeys(
        services, ADDRESSES
    )
    pairs_over_tcp = 0
    for kind, service in services.items():
        requests = {
            path_of(span).rpartition("/")[2]: span
            for span in spans
            if span.kind == SERVER and span.attributes.get("server.port") == service.port
        }
        assert requests.keys() == set(NAMES)
        for name, request in requests.items():
            own = [
                span
                for span in spans
                if span.kind == CLIENT
                and span.name.startswith("DNS")
                and span.resource["process.pid"] == request.resource["process.pid"]
                and span.attributes["dns.question.name"] == name
            ]
            rounds = seen(own)[name, "tcp", "A", None]
            print(kind, name, rounds, Counter(span.attributes["zerospan.parent.rule"] for span in own))  # fmt: skip
            assert seen(own) == expected(name, kind, rounds), (kind, name)
            # glibc asks again with a larger buffer, so often until a long answer fits.
            assert bool(rounds) == (name == "long.test")
            assert rounds <= 1 or kind in GLIBC
            pairs_over_tcp += rounds if kind in GLIBC else 0
            parents = {span.parent_span_id for span in own}
            # Threads of pools are known by the first request alone, or by more that this is not about.
            assert parents <= {request.span_id, ""}
            if kind in SURE:
                assert parents == {request.span_id}, (kind, name)
            if (kind, name) == ("threads", "slow.test"):
                assert max(span.end_ns - span.start_ns for span in own) >= LATE_NS
    # Over TCP glibc asks for both in one call; the second answer lies behind what is captured of the first.
    exchanges = finished.ledger["exchanges"]
    assert exchanges["unparsed"] == {"gap": pairs_over_tcp}
    assert exchanges["lost"] == {}
    assert finished.ledger["balanced"] is True
