"""A store with known traces, and servers over it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.spans.span import Attributes, Resource, SpanEvent, SpanKind, Status
from agent.store.writer import Writer
from agent.web.server import Server
from agent.web.settings import WebSettings
from tests.store.made import MS, span

EVIL = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>"
ORDER, HOSTILE, LARGE = 0x7C1F03 << 104 | 1, 0xE7 << 120 | 2, 0xB1 << 120 | 3
LARGE_SPANS = 10_000
NAMES = {1: "nginx", 2: "checkout", 3: "payment"}


def resource(name: str) -> Resource:
    return Resource([("service.name", name), ("host.name", "shop")])


def order(start: int) -> list:
    """A request of 3 s: eight statements alike, then a call whose name does not resolve."""
    nginx, checkout = resource("nginx"), resource("checkout")
    common = {"start_unix_ns": start, "status": Status.ERROR}
    failed = {"error.type": "502", "http.response.status_code": 502}
    spans = [
        span(ORDER, 1, name="POST /orders", resource=nginx, duration_ns=3000 * MS,
             attributes={"http.route": "/orders", **failed}, **common),
        span(ORDER, 2, 1, name="POST", kind=SpanKind.CLIENT, resource=nginx, duration_ns=2999 * MS,
             attributes={"server.address": "checkout", "url.full": "http://checkout/orders", **failed}, **common),
        span(ORDER, 3, 2, name="POST /orders", resource=checkout, duration_ns=2998 * MS,
             attributes={"http.route": "/orders", **failed}, **common),
    ]  # fmt: skip
    spans += [
        span(ORDER, 10 + number, 3, name="SELECT items", kind=SpanKind.CLIENT, resource=checkout,
                 start_unix_ns=start + (10 + 10 * number) * MS, duration_ns=9 * MS,
                 attributes={"db.system.name": "postgresql", "db.operation.name": "SELECT", "server.address": "db",
                             "db.query.text": "SELECT * FROM items WHERE id = $1"})
        for number in range(8)
    ]  # fmt: skip
    spans.append(
        span(ORDER, 30, 3, name="A gateway.example.com", kind=SpanKind.CLIENT, resource=checkout,
             start_unix_ns=start + 200 * MS, duration_ns=2700 * MS, status=Status.ERROR,
             attributes={"dns.question.name": "gateway.example.com", "server.address": "10.0.0.2", "server.port": 53,
                         "error.type": "timeout"},
             events=(SpanEvent("exception", start + 2900 * MS, Attributes([("exception.type", "gaierror")])),))
    )  # fmt: skip
    return spans


def hostile(start: int) -> list:
    """Markup in every field that a traced program may set."""
    return [
        span(HOSTILE, 1, name=EVIL, resource=resource(EVIL), start_unix_ns=start, status=Status.ERROR,
             status_message=EVIL, attributes={EVIL: EVIL, "javascript:alert(1)": "javascript:alert(1)", "error.type": EVIL},
             events=(SpanEvent(EVIL, start + 1, Attributes([(EVIL, EVIL)])),)),
        span(HOSTILE, 2, 1, name=EVIL, kind=SpanKind.CLIENT, resource=resource(EVIL), start_unix_ns=start,
             attributes={"db.system.name": EVIL, "server.address": EVIL, "db.query.text": EVIL, "n": float("nan"),
                         "list": (EVIL, EVIL)}),
    ]  # fmt: skip


def large(start: int) -> list:
    root = span(LARGE, 1, name="GET /large", resource=resource("batch"), start_unix_ns=start, duration_ns=20_000 * MS)  # fmt: skip
    steps = [
        span(LARGE, number, 1 if number % 3 else number - 1, name=f"step {number}", kind=SpanKind.INTERNAL,
             resource=resource("batch"), start_unix_ns=start + number * 2 * MS, duration_ns=MS)
        for number in range(2, LARGE_SPANS + 1)
    ]  # fmt: skip
    return [root, *steps]


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    path = tmp_path_factory.mktemp("web") / "traces.db"
    writer = Writer(path)
    now = time.time_ns()
    for spans in (
        large(now - 2_000_000 * MS),
        order(now - 1_200_000 * MS),
        hostile(now - 600_000 * MS),
    ):
        writer.write(spans)
    yield path
    writer.close()


@pytest.fixture(scope="session")
def page(store: Path) -> Iterator[str]:
    """The URL of a server over the store."""
    server = Server(WebSettings(str(store), "127.0.0.1", 0))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.port}"
    server.close()
    thread.join(10)
