"""Writes the recordings in tests/recordings, and beside each the spans that it should give.

    python -m tests.record_scenarios

Run it when a record's layout has changed, or a span should look different; then read the difference.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from agent.counters import Ledger
from agent.kernel.recording import DEFAULT_MAX_BYTES, Recorder
from agent.replay import replay
from agent.spans.span import Span
from tests.scenario import INGRESS, Host, exchange, facts, request, response

FOLDER = Path(__file__).parent / "recordings"
UNIX_OFFSET_NS = 1_700_000_000_000_000_000


def shop(host: Host) -> None:
    """curl → a proxy → a service on threads → a backend, twice on the same connections."""
    for number, name, is_proxy in (
        (20, "curl", False),
        (30, "proxy", True),
        (40, "shop", False),
        (50, "stock", False),
    ):
        host.process(number, name, is_proxy=is_proxy)
    ends = []
    for hop, (caller, called) in enumerate(((20, 30), (30, 40), (40, 50))):
        port = 40000 + hop
        client = host.connect(process=caller, thread=caller, port=port)
        server = host.accept(process=called, thread=called, client=("10.0.0.9", port))
        ends += [client, server]
    for number in (1, 2):
        asked = request(f"/orders/{number}", fields="User-Agent: curl/8\r\n")
        for end in ends:
            end.asks(asked)
            host.wait(100_000)
        for end in reversed(ends):
            end.answers(response(200, b"x" * 3000))
            host.wait(100_000)
    for end in ends:
        end.close()


def troubles(host: Host) -> None:
    """What goes wrong: losses, resets, timeouts, garbage, an upgrade, a connection seen from the middle."""
    host.process(10, "shop").process(20, "poller", uses_goroutines=True)
    client = host.connect(process=20, thread=20)
    server = host.accept(process=10, thread=10)
    exchange(client, server, request("/fine?user=7"), response(503))
    client.sent(request("/lost"), is_lost=True)
    server.received(request("/lost"), is_lost=True).sent(response(200), is_lost=True)
    client.received(response(200), is_lost=True)
    client.sent(request("/reset"))
    server.received(request("/reset")).close()
    client.reset().close()
    host.accept(client=("2001:db8::9", 40001)).received(b"\x16\x03\x01").close()
    joined = host.join(peer=("10.0.0.9", 40002))
    joined.sent(response(200)).received(request("/joined")).sent(response(204)).close()
    socket = host.accept(client=("10.0.0.9", 40003))
    socket.received(request("/ws", fields="Upgrade: websocket\r\n"))
    socket.sent(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n").close()
    gone = host.accept(client=("10.0.0.9", 40004)).received(request("/gone")).ended(INGRESS)
    host.exit(10)
    gone.close()
    host.accept(client=("10.0.0.9", 40005)).received(request("/open"))


SCENARIOS: dict[str, Callable[[Host], None]] = {"shop": shop, "troubles": troubles}


def as_json(span: Span) -> dict[str, Any]:
    """All that a span says."""
    return {
        "trace_id": span.trace_id.hex(),
        "span_id": span.span_id.hex(),
        "parent_id": span.parent_id.hex() if span.parent_id else None,
        "is_parent_remote": span.is_parent_remote,
        "name": span.name,
        "kind": span.kind.name,
        "start_unix_ns": span.start_unix_ns,
        "end_unix_ns": span.end_unix_ns,
        "status": span.status.name,
        "status_message": span.status_message,
        "trace_state": span.trace_state,
        "attributes": facts(span),
        "resource": dict(span.resource.attributes),
    }


def replayed(path: Path) -> dict[str, Any]:
    """The spans of a recording, and its ledger."""
    spans: list[Span] = []
    ledger = Ledger()
    replay(path, emit=spans.append, ledger=ledger)
    # Through JSON, so that it compares equal to what a file holds.
    told: dict[str, Any] = json.loads(
        json.dumps({"spans": list(map(as_json, spans)), "ledger": ledger.as_json()})
    )
    return told


def main() -> None:
    """All of them."""
    FOLDER.mkdir(exist_ok=True)
    for name, write in SCENARIOS.items():
        host = Host()
        write(host)
        path = FOLDER / f"{name}.rec"
        recorder = Recorder(
            path, header={"unix_offset_ns": UNIX_OFFSET_NS}, max_bytes=DEFAULT_MAX_BYTES
        )
        for record in host.records:
            recorder.write(record)
        recorder.close()
        path.with_suffix(".spans.json").write_text(json.dumps(replayed(path), indent=1) + "\n")


if __name__ == "__main__":
    main()
