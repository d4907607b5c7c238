"""One zerospan for many scenarios, and what each of them asks of its spans."""

from __future__ import annotations

import http.client
from dataclasses import dataclass
from typing import Final

from tests.vm.harness_agent import Agent, Agents, Finished
from tests.vm.harness_guest import Loaded, Server, Servers, loaded, wait_until
from tests.vm.harness_spans import ExportedSpan

SERVER: Final = 2
CLIENT: Final = 3
SPANS_S: Final = 60.0


@dataclass(slots=True)
class Tracing:
    """A running zerospan, and what was there before it."""

    agent: Agent
    before: Loaded
    old_server: Server
    old_connection: http.client.HTTPConnection
    """A connection that is older than zerospan."""
    finished: Finished | None = None

    @classmethod
    def begin(cls, agents: Agents, servers: Servers) -> Tracing:
        """Open a connection, then start zerospan."""
        before = loaded()
        server = servers.python("backend.py")
        connection = http.client.HTTPConnection("127.0.0.1", server.port)
        connection.request("GET", "/items/before")
        connection.getresponse().read()
        return cls(agents.run(), before, server, connection)

    def spans(self, kind: int, port: int, *, service: str = "") -> list[ExportedSpan]:
        """Spans of one kind at a server's port, so far; of one service, where a proxy passes the Host field on."""
        return [
            span
            for span in self.agent.spans()
            if span.kind == kind and port_of(span, kind) == port and service in {"", span.service}
        ]

    def wait(self, kind: int, port: int, count: int, *, service: str = "") -> list[ExportedSpan]:
        """Wait until there are at least so many."""
        return wait_until(
            lambda: spans if len(spans := self.spans(kind, port, service=service)) >= count else [],
            deadline_s=SPANS_S,
            what=f"{count} spans of kind {kind} at port {port} {service}",
        )

    def stop(self) -> Finished:
        """End it; once."""
        if self.finished is None:
            self.finished = self.agent.stop()
        return self.finished


def port_of(span: ExportedSpan, kind: int) -> int | None:
    """The server's port: as the request names it, for a client else as the socket does."""
    port = span.attributes.get("server.port")
    if kind == CLIENT:
        port = span.attributes.get("network.peer.port", port)
    return port


def path_of(span: ExportedSpan) -> str:
    """The request's path; empty for what is no request by HTTP."""
    if "url.path" in span.attributes:
        return str(span.attributes["url.path"])
    if "url.full" not in span.attributes:
        return ""
    return "/" + str(span.attributes["url.full"]).partition("://")[2].partition("/")[2]


def number_of(span: ExportedSpan | None) -> str:
    """The id at the end of the path: ground truth, which zerospan does not look at."""
    return path_of(span).rpartition("/")[2] if span is not None else ""
