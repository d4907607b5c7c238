"""Why the spans of a trace have the parents they have: `zerospan explain`.

Of each span it says by which rule its parent was found and which facts on the two spans bear on it; of each root, why
there is no parent. Facts that speak against a parent are pointed out: they cannot be seen where the rules are applied,
for a rule sees what was known at the time.

Pure: spans in, lines of text out. What traced programs wrote is escaped (`printable`).
"""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, Final

from agent.errors import SpanFileError
from agent.export.text import printable
from agent.export.tree import MAX_DEPTH, duration
from agent.spans import semconv
from agent.spans.span import SpanKind
from agent.spans.trace import ReadSpan, Trace
from agent.traces import rules
from agent.traces.context_formats import B3, DATADOG, JAEGER, XRAY
from agent.traces.context_propagators import TRACEPARENT
from agent.traces.stamps import RULE_SENT, RULE_TCP_OPTION

if TYPE_CHECKING:
    from collections.abc import Iterator

MIN_PREFIX: Final = 4
"""Digits of a trace id: 65 536 traces have different ones, on average."""
MAX_SPANS: Final = 100_000
"""Of the trace, kept in memory; a span takes about 2 KB."""
MAX_NAMED: Final = 5
"""Traces that an error lists."""

_HEADER: Final = "the request's {} names it"
FOUND: Final = {
    rules.RULE_PEER: "it is the other end of the same connection, and sent this very request",
    rules.RULE_THREAD: "the thread that made this call was working for that request",
    rules.RULE_OPENER: "the connection of this call was opened in the course of that request",
    rules.RULE_HANDOFF: "the thread that received that request woke the idle thread that then made this call",
    rules.RULE_GOROUTINE: "the goroutine that made this call received that request, or was made in the course of it",
    rules.RULE_CREATED: "the thread or process that made this call was made in the course of that request",
    rules.RULE_RESULT: "the thread that made this call, or the one that made that, then answered that request, or woke the thread that waited to answer it",
    rules.RULE_TASK: "the task that made this call, or one that made that task, received that request",
    rules.RULE_CALLBACK: "this call was made in the callback for what that request, or a call made for it, had received",
    rules.RULE_ALONE: "that request was the only one of its process under way, which was never seen to call for none",
    TRACEPARENT: _HEADER.format("traceparent"),
    B3: _HEADER.format("b3 or X-B3-… header"),
    JAEGER: _HEADER.format("uber-trace-id"),
    DATADOG: _HEADER.format("X-Datadog-… headers"),
    XRAY: _HEADER.format("X-Amzn-Trace-Id"),
    RULE_TCP_OPTION: "the request's first segment named it in a TCP option, written by the sender's zerospan",
}
"""By rule: why that is the parent."""
FROM_HEADER: Final = frozenset({TRACEPARENT, B3, JAEGER, DATADOG, XRAY, RULE_TCP_OPTION})
WITHIN_PROCESS: Final = frozenset(
    {
        rules.RULE_THREAD,
        rules.RULE_OPENER,
        rules.RULE_HANDOFF,
        rules.RULE_RESULT,
        rules.RULE_TASK,
        rules.RULE_GOROUTINE,
        rules.RULE_CALLBACK,
        rules.RULE_ALONE,
    }
)
"""Rules that find parents in the same process only."""

NOT_FOUND: Final = {
    rules.RULE_NONE: "nobody known",
    rules.RULE_LATE: "the request for which this call was made was over when it began: it is background work, with a link to that request",
    RULE_SENT: "the request left with the ids of another trace, before it was known for what it was made; there is a link to that",
    rules.REFUSED_GOROUTINE: "refused: a Go program, where work moves between threads; the goroutine that made this call is not known, or it is not known which request it was made for",
    rules.REFUSED_BACKLOG: "refused: the thread went on with this work without being woken for it, as a worker does whose queue is not empty, so nothing says whose it is",
    rules.REFUSED_HANDOFF: "refused: the thread was woken by one of which nobody knows for whom it was working, or while several requests were under way, of which it may have taken another one; and when it was done, no request alone had the result",
    rules.REFUSED_TASK: "refused: the task that made this call was made for no request that was seen",
    rules.REFUSED_LOOP: "refused: an event loop made this call outside of a callback that tells for whom (a timer, a queue, a pool of threads), and the request under way was not the only one all the while, or the program calls while it serves nobody, too",
    rules.REFUSED_CONCURRENT: "refused: the thread had several requests under way, and nothing says for which of them it made this call",
}
"""By rule: why there is no parent."""
_NOBODY: Final = {
    SpanKind.SERVER: "the request carries no trace context, and its sender was not seen: it is on another host, or is not traced",
    SpanKind.CLIENT: "the request carries no trace context, and the thread that made the call was not working for any request that was seen",
    SpanKind.PRODUCER: "the message carries no trace context, and the thread that sent it was not working for any request that was seen",
    SpanKind.CONSUMER: "the message carries no trace context",
}


class Search:
    """Finds the trace whose id begins with `prefix`, as spans come."""

    def __init__(self, prefix: str) -> None:
        """`prefix`: MIN_PREFIX to 32 hex digits, in either case; raises SpanFileError."""
        if re.fullmatch(rf"[0-9a-fA-F]{{{MIN_PREFIX},32}}", prefix) is None:
            raise SpanFileError(
                f"{printable(prefix)!r} is no trace id: those are 32 hexadecimal digits, of which the first {MIN_PREFIX} will do"
            )
        self._prefix = prefix.lower()
        self._seen: set[bytes] = set()
        self._found: dict[str, list[ReadSpan]] = {}
        self.left_out = 0
        """Spans of the trace beyond MAX_SPANS."""

    def wants(self, trace_id: str) -> bool:
        """Whether a span of that trace is to be added."""
        self._seen.add(bytes.fromhex(trace_id))
        return trace_id.startswith(self._prefix)

    def add(self, span: ReadSpan) -> None:
        """Take a span that is wanted."""
        spans = self._found.setdefault(span.trace_id, [])
        if len(spans) < MAX_SPANS:
            spans.append(span)
        else:
            self.left_out += 1

    @property
    def has_found(self) -> bool:
        """Whether any span was added."""
        return bool(self._found)

    def trace(self, name: str) -> Trace:
        """The trace; raises SpanFileError, which calls what was searched `name`, if there is not exactly one."""
        traces = len(self._seen)
        count = "1 trace" if traces == 1 else f"{traces} traces"
        if not self._found:
            raise SpanFileError(f"{name} has {count}, but none whose id begins with {self._prefix}")
        if len(self._found) > 1:
            named = ", ".join(sorted(self._found)[:MAX_NAMED])
            more = ", …" if len(self._found) > MAX_NAMED else ""
            raise SpanFileError(
                f"{name} has {len(self._found)} traces whose ids begin with {self._prefix}: {named}{more}"
            )
        return Trace(next(iter(self._found.values())))


def explain(trace: Trace, *, left_out: int = 0) -> Iterator[str]:
    """The trace as lines of text: each span, below it why it is where it is, then its children."""
    spans, roots = len(trace.spans), len(trace.roots)
    yield (
        f"trace {trace.trace_id}  {'1 span' if spans == 1 else f'{spans} spans'}, "
        f"{'1 root' if roots == 1 else f'{roots} roots'}  {duration(trace.duration_ns)}"
    )
    if left_out:
        yield f"{left_out} more spans are not shown"
    for depth, span in trace.walk():
        indent = "   " * min(depth, MAX_DEPTH)
        yield f"{indent}{_headline(span)}"
        parent = trace.parent(span)
        reasons = _root(span, trace) if parent is None else _edge(span, parent)
        for reason in (*reasons, *_stated(span), *_links(span)):
            yield f"{indent}   · {reason}"
    rules = Counter(_rule(span) or "without a rule" for span in trace.spans)
    yield "rules: " + ", ".join(f"{count} {printable(rule)}" for rule, count in rules.most_common())


def _headline(span: ReadSpan) -> str:
    parts = [
        printable(span.name),
        span.kind.name.lower(),
        _process(span),
        "→",
        duration(span.duration_ns),
        _shown(span, semconv.HTTP_RESPONSE_STATUS_CODE),
        f"[{span.span_id}]",
    ]
    return " ".join(part for part in parts if part)


def _edge(span: ReadSpan, parent: ReadSpan) -> Iterator[str]:
    """Why `parent` is the parent, and what speaks for it and against it."""
    rule = _rule(span)
    yield f"parent [{parent.span_id}], {_named(rule)}: {_reason(rule)}"
    if rule == rules.RULE_PEER:
        yield f"{_process(parent)} and {_process(span)} are the ends of {_ends(span, parent)}"
    elif rule in FROM_HEADER:
        yield from _connection(span)
    elif rule in WITHIN_PROCESS:
        yield _place(span, parent)
    yield _timing(span, parent)
    if span.start_unix_ns < parent.start_unix_ns:
        yield "DOUBTFUL: it starts before its parent, unless the two are of hosts whose clocks differ"


def _root(span: ReadSpan, trace: Trace) -> Iterator[str]:
    """Why there is no parent."""
    rule = _rule(span)
    if span.parent_id in trace.by_id:
        yield f"no parent, though it names [{span.parent_id}]: its parents form a circle"
    elif span.parent_id is not None:
        yield f"parent [{span.parent_id}] is not among these spans; {_named(rule)}: {_reason(rule)}"
        yield from _connection(span)
    elif rule == rules.RULE_NONE:
        yield f"no parent, rule {rule}: {_NOBODY.get(span.kind, NOT_FOUND[rule])}"
    elif rule in NOT_FOUND:
        yield f"no parent, rule {rule}: {NOT_FOUND[rule]}"
    elif rule:
        yield f"no parent, rule {printable(rule)}, which this version does not know"
    else:
        yield f"no parent; it has no {semconv.PARENT_RULE}: another tracer made it"
    if span.parent_id is None:
        yield from _connection(span)


def _reason(rule: str) -> str:
    if not rule:
        return f"it has no {semconv.PARENT_RULE}, so another tracer made it"
    return FOUND.get(rule, "a rule that this version does not know")


def _named(rule: str) -> str:
    return f"rule {printable(rule)}" if rule else "no rule of ours"


def _ends(span: ReadSpan, parent: ReadSpan) -> str:
    """The connection of a server's span and the client's that sent the request."""
    if _shown(span, semconv.NETWORK_TRANSPORT) == "unix":
        return "a connection over a Unix socket"
    return f"a connection: client {_peer(span)}, server {_peer(parent)}"


def _place(span: ReadSpan, parent: ReadSpan) -> str:
    """Where both were seen, which must be the same process."""
    if _process_key(span) != _process_key(parent):
        return f"DOUBTFUL: the parent is of another process, {_process(parent)}"
    threads = [_shown(one, semconv.THREAD_ID) for one in (parent, span)]
    return f"both in {_process(span)}" + (
        f", threads {' and '.join(threads)}" if all(threads) else ""
    )


def _connection(span: ReadSpan) -> Iterator[str]:
    """With whom it spoke."""
    transport = _shown(span, semconv.NETWORK_TRANSPORT)
    if transport:
        is_received = span.kind in (SpanKind.SERVER, SpanKind.CONSUMER)
        verb = "received from" if is_received else "sent to"
        what = "message" if span.kind in (SpanKind.PRODUCER, SpanKind.CONSUMER) else "request"
        yield f"the {what} was {verb} {'a Unix socket' if transport == 'unix' else _peer(span)}"


def _timing(span: ReadSpan, parent: ReadSpan) -> str:
    after = span.start_unix_ns - parent.start_unix_ns
    start = f"starts {duration(abs(after))} {'after' if after >= 0 else 'before'} its parent"
    late = span.start_unix_ns - parent.end_unix_ns
    if late > 0:
        return f"{start}, {duration(late)} after the parent's end"
    rest = parent.end_unix_ns - span.end_unix_ns
    return f"{start}, ends {duration(abs(rest))} {'before' if rest >= 0 else 'after'} its end"


def _stated(span: ReadSpan) -> Iterator[str]:
    """Whatever else the span says about how its parent was found, or why it is not whole."""
    for name, value in sorted(span.attributes.items()):
        is_ours = name.startswith(_ABOUT_PARENT) and name != semconv.PARENT_RULE
        if is_ours or name == semconv.INCOMPLETE:
            yield f"{printable(name)}: {printable(str(value))}"


_ABOUT_PARENT: Final = semconv.PARENT_RULE.rpartition(".")[0] + "."


def _links(span: ReadSpan) -> Iterator[str]:
    for link in span.links:
        said = "".join(
            f", {printable(name)}: {printable(str(value))}"
            for name, value in sorted(link.attributes.items())
        )
        yield f"linked to [{link.span_id}] of trace {link.trace_id}{said}"


def _rule(span: ReadSpan) -> str:
    return str(span.attributes.get(semconv.PARENT_RULE, ""))


def _process(span: ReadSpan) -> str:
    pid = span.resource.get(semconv.PROCESS_PID)
    return printable(span.service) + (f" (process {printable(str(pid))})" if pid else "")


def _process_key(span: ReadSpan) -> tuple[object, ...]:
    """Equal for spans of one process, as far as their resources tell."""
    keys = (semconv.HOST_ID, semconv.PROCESS_PID, semconv.SERVICE_INSTANCE_ID)
    return tuple(span.resource.get(key) for key in keys)


def _peer(span: ReadSpan) -> str:
    """The other end's address."""
    address = _shown(span, semconv.NETWORK_PEER_ADDRESS)
    port = _shown(span, semconv.NETWORK_PEER_PORT)
    host = f"[{address}]" if ":" in address else address
    return f"{host}:{port}" if address and port else host or "unnamed"


def _shown(span: ReadSpan, name: str) -> str:
    value = span.attributes.get(name)
    return "" if value is None else printable(str(value))
