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
from tests.vm.harness_tracing import CLIENT, SERVER
from tests.vm.servers.build import BUILT

ADDRESS = "127.0.0.53"
ADDRESSES = 100
"""Of the long name: more than 1232 bytes, which is what resolvers offer to take in a datagram (EDNS), or 512."""
NAMES = ("quick.test", "slow.test", "long.test", "none.test")
LATE_NS = 1_000_000_000
"""As the upstream server of the slow name is (resolve.py)."""

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


def of_request(spans: list[ExportedSpan], request: ExportedSpan) -> list[ExportedSpan]:
    return [
        span
        for span in spans
        if span.name.startswith("DNS") and span.parent_span_id == request.span_id
    ]


def seen(spans: list[ExportedSpan]) -> Seen:
    counted: Seen = Counter()
    for span in spans:
        values = span.attributes
        note = values.get("error.type") or ("truncated" if values.get("zerospan.dns.truncated") else None)  # fmt: skip
        name = str(values["dns.question.name"])
        counted[name, values["network.transport"], span.name.removeprefix("DNS "), note] += 1
    return counted


def expected(name: str, *, has_pair: bool) -> Seen:
    """What a resolver does that asks for addresses of one kind, or of both."""
    kinds = ("A", "AAAA") if has_pair else ("A",)
    if name == "none.test":
        return Counter((name, "udp", kind, "NXDOMAIN") for kind in kinds)
    if name == "long.test":
        asked = Counter((name, "udp", kind, "truncated" if kind == "A" else None) for kind in kinds)
        return asked + Counter({(name, "tcp", "A", None): 1})
    return Counter((name, "udp", kind, None) for kind in kinds)


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
        (kind, name): json.loads(curl(f"{service.url}/resolve/{name}"))
        for kind, service in services.items()
        for name in NAMES
    }
    finished = agent.stop()
    spans = finished.spans
    told = {}
    for kind, service in services.items():
        for request in (span for span in spans if span.kind == SERVER and span.attributes.get("server.port") == service.port):  # fmt: skip
            name = str(request.attributes["url.path"]).rpartition("/")[2]
            calls = of_request(spans, request)
            own = [
                span
                for span in spans
                if span.kind == CLIENT
                and span.name.startswith("DNS")
                and span.resource.get("process.pid") == request.resource.get("process.pid")
                and span.attributes["dns.question.name"] == name
            ]
            told[kind, name] = (
                answers[kind, name]["found"],
                dict(seen(calls)),
                dict(seen(own)),
                Counter(span.attributes["zerospan.parent.rule"] for span in own),
                sorted((span.end_ns - span.start_ns) // 1_000_000 for span in own),
            )
    for key, value in told.items():
        print(key, *value, sep="\n    ")
    print(json.dumps(finished.ledger))
    wrong = {
        (kind, name): calls
        for (kind, name), (_, calls, *_) in told.items()
        if calls != expected(name, has_pair=kind != "c-ares")
    }
    assert not wrong
    assert len(told) == len(services) * len(NAMES)
