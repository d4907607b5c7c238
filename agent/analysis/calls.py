"""What a request asked others for: the outgoing calls of a trace, by the piece of work that made them.

A call is a span of kind CLIENT or PRODUCER, or one of a database within the process. Its owner is the nearest span
above that is no INTERNAL one (or else the root): SDKs wrap calls in internal spans of their own, one each, and calls of
one handler belong together all the same. A call without anything above it has no owner.
"""

from __future__ import annotations

import enum
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from agent.analysis import attributes as names
from agent.analysis.intervals import Interval, interval
from agent.analysis.statements import key_pattern, normalized, path_of, path_template, verb
from agent.analysis.wording import operation, plain
from agent.spans import semconv
from agent.spans.span import SpanKind, Status

if TYPE_CHECKING:
    from collections.abc import Iterator

    from agent.spans.trace import ReadSpan, Trace

CACHES: Final = frozenset(("redis", "memcached", "valkey"))
"""Values of db.system.name of what is mostly used as a cache."""
CACHE_READS: Final = frozenset(
    ("EXISTS", "GET", "GETEX", "GETS", "HEXISTS", "HGET", "HGETALL", "HMGET", "MG", "MGET")
)
READS: Final = frozenset(("SELECT", "SHOW", "EXPLAIN", "FIND", "COUNT", "AGGREGATE"))
SAFE_METHODS: Final = frozenset(("GET", "HEAD", "OPTIONS"))
"""RFC 9110 §9.2.1."""
CONTROL: Final = frozenset(
    (
        *("ABORT", "BEGIN", "CLOSE", "COMMIT", "DEALLOCATE", "DISCARD", "END", "PREPARE"),
        *("RELEASE", "RESET", "ROLLBACK", "SAVEPOINT", "SET", "SHOW", "START", "USE", "XA"),
    )
)
"""First words of statements about the connection or the transaction, not about data."""
CACHE_CONTROL: Final = frozenset(
    (
        *(
            "AUTH",
            "BLMOVE",
            "BLPOP",
            "BRPOP",
            "BZPOPMAX",
            "BZPOPMIN",
            "CLIENT",
            "COMMAND",
            "CONFIG",
        ),
        *("DISCARD", "EXEC", "HELLO", "INFO", "MULTI", "PING", "PSUBSCRIBE", "QUIT", "SELECT"),
        *("SUBSCRIBE", "UNWATCH", "WAIT", "WATCH", "XREAD", "XREADGROUP", "VERSION"),
    )
)
"""The same for Redis and Memcached, and commands that wait on purpose."""
PROBES: Final = frozenset(("SELECT ?", "SELECT VERSION()", "SELECT NOW()"))
"""Statements, in capitals, by which pools see whether a connection is alive."""


class Sort(enum.Enum):
    """Of what kind the callee is."""

    DATABASE = "database"
    CACHE = "cache"
    HTTP = "http"
    RPC = "rpc"
    DNS = "dns"
    MESSAGING = "messaging"
    OTHER = "other"


@dataclass(frozen=True, slots=True, eq=False)
class Call:
    """One outgoing call. Compared by identity."""

    span: ReadSpan
    sort: Sort
    target: str
    """Who was asked: `postgresql db.shop:5432`, `payment:8080`; empty if nothing says so."""
    operation: str
    """What was asked for, without values: the same for calls that differ in values only."""
    exact: str | None
    """The same with the values that are known; None where none are."""
    verb: str
    """Method, command or first word of the statement, in capitals; may be empty."""
    interval: Interval

    @property
    def key(self) -> tuple[Sort, str, str]:
        """The same for calls that differ in values only."""
        return (self.sort, self.target, self.operation)

    @property
    def is_known(self) -> bool:
        """Whether anything says what was asked for: not of a statement that was prepared before it could be seen."""
        return semconv.DB_QUERY_MISSING not in self.span.attributes

    @property
    def is_failed(self) -> bool:
        """By its status."""
        return self.span.status is Status.ERROR

    @property
    def is_read(self) -> bool:
        """Certain to change nothing."""
        if self.sort is Sort.HTTP:
            return self.verb in SAFE_METHODS
        if self.sort is Sort.CACHE:
            return self.verb in CACHE_READS
        return self.sort is Sort.DATABASE and self.verb in READS

    @property
    def is_control(self) -> bool:
        """About the connection or the transaction, not about data."""
        if self.sort is Sort.CACHE:
            return self.verb in CACHE_CONTROL
        if self.sort is Sort.DATABASE:
            return self.verb in CONTROL or self.operation.upper() in PROBES
        return False


class CallTree:
    """A trace and the calls in it."""

    def __init__(self, trace: Trace) -> None:
        self.trace = trace
        self.owners: dict[str, ReadSpan | None] = {}
        """Span id → the owner of what hangs there; None for roots."""
        self.calls: list[Call] = []
        """All of them, in order of their start."""
        self._by_owner: dict[str, list[Call]] = defaultdict(list)
        for _, span in trace.walk():
            parent = trace.parent(span)
            self.owners[span.span_id] = None if parent is None else self._owner_below(parent)
        for span in trace.spans:
            call = call_of(span)
            if call is None:
                continue
            self.calls.append(call)
            owner = self.owners[span.span_id]
            if owner is not None:
                self._by_owner[owner.span_id].append(call)

    def _owner_below(self, parent: ReadSpan) -> ReadSpan:
        if parent.kind is not SpanKind.INTERNAL:
            return parent
        return self.owners[parent.span_id] or parent

    def owner(self, call: Call) -> ReadSpan | None:
        """For which piece of work the call was made."""
        return self.owners[call.span.span_id]

    def by_owner(self) -> Iterator[tuple[ReadSpan, list[Call]]]:
        """Every piece of work that made calls, with its calls in order of their start."""
        for span_id, calls in self._by_owner.items():
            yield self.trace.by_id[span_id], calls

    def calls_of(self, owner: ReadSpan) -> list[Call]:
        """The calls made for one piece of work, in order of their start."""
        return self._by_owner.get(owner.span_id, [])


def call_of(span: ReadSpan) -> Call | None:
    """The call that a span is; None if it is none."""
    system = _text(span, names.DB_SYSTEM_NAME) or _text(span, names.OLD_DB_SYSTEM)
    is_outgoing = span.kind in (SpanKind.CLIENT, SpanKind.PRODUCER)
    if not is_outgoing and not (system and span.kind is SpanKind.INTERNAL):
        return None
    if system:
        return _of_database(span, system)
    if names.DNS_QUESTION_NAME in span.attributes:
        name = _text(span, names.DNS_QUESTION_NAME).rstrip(".").lower()
        return Call(span, Sort.DNS, address(span), name, name, "", interval(span))
    if semconv.HTTP_REQUEST_METHOD in span.attributes:
        return _of_http(span)
    if names.RPC_SYSTEM in span.attributes:
        method = "/".join(
            filter(None, (_text(span, names.RPC_SERVICE), _text(span, names.RPC_METHOD)))
        )
        return Call(span, Sort.RPC, address(span), method or span.name, None, "", interval(span))
    is_message = span.kind is SpanKind.PRODUCER or names.MESSAGING_SYSTEM in span.attributes
    sort = Sort.MESSAGING if is_message else Sort.OTHER
    return Call(span, sort, address(span), span.name, None, "", interval(span))


def _of_database(span: ReadSpan, system: str) -> Call:
    text = _text(span, names.DB_QUERY_TEXT) or _text(span, names.OLD_DB_STATEMENT)
    operation = _text(span, names.DB_OPERATION_NAME)
    is_cache = system in CACHES
    if text:
        shown = key_pattern(text) if is_cache else normalized(text)
    else:
        collection = _text(span, names.DB_COLLECTION_NAME)
        named = f"{operation} {collection}".strip()
        shown = _text(span, names.DB_QUERY_SUMMARY) or named or span.name
    return Call(
        span=span,
        sort=Sort.CACHE if is_cache else Sort.DATABASE,
        target=f"{system} {address(span)}".rstrip(),
        operation=shown,
        exact=text or None,
        verb=operation.upper() if operation and not text else verb(shown),
        interval=interval(span),
    )


def _of_http(span: ReadSpan) -> Call:
    method = _text(span, semconv.HTTP_REQUEST_METHOD)
    url = _text(span, semconv.URL_FULL)
    template = _text(span, semconv.URL_TEMPLATE) or path_template(path_of(url))
    return Call(
        span=span,
        sort=Sort.HTTP,
        target=address(span),
        operation=f"{method} {template}",
        exact=f"{method} {url}" if url else None,
        verb=method,
        interval=interval(span),
    )


def address(span: ReadSpan) -> str:
    """Who was asked, `host:port`; empty if nothing says so."""
    for host, port in (
        (semconv.SERVER_ADDRESS, semconv.SERVER_PORT),
        (semconv.NETWORK_PEER_ADDRESS, semconv.NETWORK_PEER_PORT),
    ):
        if name := _text(span, host):
            number = _text(span, port)
            return f"{name}:{number}" if number else name
    return ""


def asked(span: ReadSpan) -> str:
    """A span in a title; a call with whom it asked."""
    call = call_of(span)
    target = f" at {plain(call.target)}" if call is not None and call.target else ""
    return operation(span) + target


def error_type(span: ReadSpan) -> str:
    """How a span failed: error.type, else a status code of the database, else its message; may be empty."""
    return (
        _text(span, semconv.ERROR_TYPE)
        or _text(span, names.DB_RESPONSE_STATUS_CODE)
        or span.status_message
    )


def seconds_ns(span: ReadSpan, name: str) -> int | None:
    """An attribute in seconds as nanoseconds; None if it is not there, or is no sensible number."""
    value = span.attributes.get(name)
    if isinstance(value, int | float) and 0 <= value < 1e9:
        return int(value * 1e9)
    return None


def _text(span: ReadSpan, name: str) -> str:
    value = span.attributes.get(name)
    return "" if value is None else str(value)
