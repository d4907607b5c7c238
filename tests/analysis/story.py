"""Traces made by hand: times in milliseconds from a common start, ids by counting."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from agent.analysis.calls import CallTree
from agent.analysis.finding import Finding
from agent.analysis.thresholds import Thresholds
from agent.spans.span import SpanKind, Status, Value
from agent.spans.trace import ReadSpan, Trace

MS = 1_000_000
EPOCH = 1_700_000_000_000 * MS
DEFAULTS = Thresholds()


class Story:
    """The spans of one trace, as they are told."""

    def __init__(self, number: int = 1, *, at_ms: float = 0, service: str = "shop") -> None:
        self.number = number
        self.at_ms = at_ms
        self.service = service
        self.spans: list[ReadSpan] = []

    def span(
        self,
        start_ms: float,
        end_ms: float,
        parent: ReadSpan | None = None,
        *,
        kind: SpanKind = SpanKind.INTERNAL,
        name: str = "work",
        service: str | None = None,
        host: str = "a",
        error: str | None = None,
        resource: dict[str, Value] | None = None,
        attributes: dict[str, Value] | None = None,
    ) -> ReadSpan:
        """Any span; `error` is its error.type, and makes it failed."""
        own: dict[str, Value] = {} if error is None else {"error.type": error}
        span = ReadSpan(
            trace_id=f"{self.number:032x}",
            span_id=f"{len(self.spans) + 1:016x}",
            parent_id=None if parent is None else parent.span_id,
            name=name,
            kind=kind,
            start_unix_ns=EPOCH + round((self.at_ms + start_ms) * MS),
            end_unix_ns=EPOCH + round((self.at_ms + end_ms) * MS),
            status=Status.UNSET if error is None else Status.ERROR,
            attributes={**own, **(attributes or {})},
            resource={
                "service.name": self._service(service, parent),
                "host.name": host,
                **(resource or {}),
            },
        )
        self.spans.append(span)
        return span

    def _service(self, given: str | None, parent: ReadSpan | None) -> str:
        return given or (self.service if parent is None else parent.service)

    def server(
        self, start_ms: float, end_ms: float, parent: ReadSpan | None = None, **more
    ) -> ReadSpan:
        """A request that a service answered."""
        more.setdefault("name", "GET /orders")
        return self.span(start_ms, end_ms, parent, kind=SpanKind.SERVER, **more)

    def http(
        self, start_ms: float, end_ms: float, parent: ReadSpan | None, url: str, **more
    ) -> ReadSpan:
        """A call: `GET http://stock:80/items/1`."""
        method, _, full = url.partition(" ")
        host, _, port = full.split("/")[2].partition(":")
        attributes = {
            "http.request.method": method,
            "url.full": full,
            "server.address": host,
            "server.port": int(port or 80),
            **more.pop("attributes", {}),
        }
        more.setdefault("name", method)
        return self.span(
            start_ms, end_ms, parent, kind=SpanKind.CLIENT, attributes=attributes, **more
        )

    def sql(
        self, start_ms: float, end_ms: float, parent: ReadSpan | None, text: str, **more
    ) -> ReadSpan:
        """A statement to PostgreSQL at db:5432."""
        attributes = {
            "db.system.name": "postgresql",
            "db.query.text": text,
            "server.address": "db",
            "server.port": 5432,
            **more.pop("attributes", {}),
        }
        more.setdefault("name", text.split()[0])
        return self.span(
            start_ms, end_ms, parent, kind=SpanKind.CLIENT, attributes=attributes, **more
        )

    def redis(
        self,
        start_ms: float,
        end_ms: float,
        parent: ReadSpan | None,
        text: str,
        hit: bool | None = None,
        **more,
    ) -> ReadSpan:
        """A command to Redis at cache:6379."""
        attributes = {
            "db.system.name": "redis",
            "db.query.text": text,
            "server.address": "cache",
            "server.port": 6379,
            **({} if hit is None else {"zerospan.cache.hit": hit}),
            **more.pop("attributes", {}),
        }
        return self.span(
            start_ms,
            end_ms,
            parent,
            kind=SpanKind.CLIENT,
            name=text.split()[0],
            attributes=attributes,
            **more,
        )

    def dns(
        self,
        start_ms: float,
        end_ms: float,
        parent: ReadSpan | None,
        question: str,
        error: str | None = None,
        **more,
    ) -> ReadSpan:
        """A look-up by the resolver at 10.0.0.2:53."""
        attributes = {
            "dns.question.name": question,
            "server.address": more.pop("resolver", "10.0.0.2"),
            "server.port": 53,
        }
        return self.span(
            start_ms,
            end_ms,
            parent,
            kind=SpanKind.CLIENT,
            name="DNS",
            error=error,
            attributes=attributes,
            **more,
        )

    @property
    def trace(self) -> Trace:
        """What has been told so far."""
        return Trace(self.spans)

    @property
    def tree(self) -> CallTree:
        """The same with its calls."""
        return CallTree(self.trace)


def found(
    analysis: Callable[[CallTree, Thresholds], Iterable[Finding]],
    story: Story,
    thresholds: Thresholds = DEFAULTS,
) -> list[Finding]:
    """What an analysis of one trace finds."""
    return list(analysis(story.tree, thresholds))


def found_in(
    analysis: Callable[[Sequence[CallTree], Thresholds], Iterable[Finding]],
    stories: Iterable[Story],
    thresholds: Thresholds = DEFAULTS,
) -> list[Finding]:
    """What an analysis of many traces finds."""
    return list(analysis([story.tree for story in stories], thresholds))


def ids(*spans: ReadSpan) -> tuple[str, ...]:
    """As evidence has them."""
    return tuple(span.span_id for span in spans)
