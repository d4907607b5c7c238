"""Where an error began: the deepest span that failed, and the chain from there up to the user.

Only requests whose root failed: an error that was dealt with on the way is no trouble of the user's (what was spent on
it is a matter for `retries`). A root that failed by a client error (4xx) is the asking side's own affair, except
those that are about load.

Of several failed spans without a failed one below them, the one is taken to have begun it that ended last before the root
did: what failed earlier was mostly tried again, or lived with.

Where the asking side went away before it had its answer, nothing failed that anybody waited for: a load generator that ends, a
user who closes the page. That it went because it had waited too long is a matter for `timeouts`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from agent.analysis import each_trace
from agent.analysis.calls import asked, error_type
from agent.analysis.finding import MAX_SPAN_IDS, Confidence, Evidence, Finding, Level, Severity
from agent.analysis.timeline import timeline
from agent.analysis.wording import operation, plain
from agent.spans.span import SpanKind, Status

if TYPE_CHECKING:
    from collections.abc import Iterator

    from agent.analysis.calls import CallTree
    from agent.analysis.thresholds import Thresholds
    from agent.spans.trace import ReadSpan, Trace

ABOUT_LOAD: Final = frozenset(("408", "429"))
GIVEN_UP: Final = {
    SpanKind.CLIENT: frozenset(("connection_closed", "process_exit")),
    SpanKind.SERVER: frozenset(("connection_closed_by_peer", "connection_reset")),
}
"""error.type of a root whose asking side went away, by the side from which it is seen."""


@each_trace("error_origin", "the span in which a failed request's error began")
def error_origin(tree: CallTree, thresholds: Thresholds) -> Iterator[Finding]:
    """At most one finding per trace."""
    del thresholds
    trace = tree.trace
    root = trace.root
    if root.status is not Status.ERROR or _is_client_error(root) or _is_given_up(root):
        return
    candidates = _deepest_failed(trace)
    times = timeline(trace)
    origin = max(candidates, key=lambda span: (times[span.span_id].end_ns, span.span_id))
    yield _finding(trace, origin, others=len(candidates) - 1)


def _is_client_error(span: ReadSpan) -> bool:
    kind = error_type(span)
    return len(kind) == 3 and kind.isdecimal() and kind[0] == "4" and kind not in ABOUT_LOAD


def _is_given_up(root: ReadSpan) -> bool:
    return error_type(root) in GIVEN_UP.get(root.kind, ())


def _deepest_failed(trace: Trace) -> list[ReadSpan]:
    """Failed spans of the first root's tree that have no failed one anywhere below; not empty, as that root failed."""
    order = [span for _, span in trace.walk()]
    has_failed_below: set[str] = set()
    is_below_root = {trace.root.span_id}
    for span in order:
        parent = trace.parent(span)
        if parent is not None and parent.span_id in is_below_root:
            is_below_root.add(span.span_id)
    for span in reversed(order):
        parent = trace.parent(span)
        is_marked = span.status is Status.ERROR or span.span_id in has_failed_below
        if parent is not None and is_marked:
            has_failed_below.add(parent.span_id)
    return [
        span
        for span in order
        if span.status is Status.ERROR
        and span.span_id not in has_failed_below
        and span.span_id in is_below_root
    ]


def _finding(trace: Trace, origin: ReadSpan, *, others: int) -> Finding:
    root = trace.root
    chain = [origin]
    while (parent := trace.parent(chain[-1])) is not None:
        chain.append(parent)
    error = plain(error_type(origin) or "no code given")
    outcome = plain(error_type(root) or "an error")
    if origin is root:
        title = f"{operation(root)} failed with {outcome}, and no call of it that was seen failed"
    else:
        depth = len(chain) - 1
        levels = "1 level" if depth == 1 else f"{depth} levels"
        title = f"{operation(root)} failed with {outcome}; it began {levels} below, in {asked(origin)}: {error}"
    return Finding(
        kind="error_origin",
        severity=Severity.CRITICAL,
        title=title,
        subject=(root.service, root.name, origin.service, origin.name, error_type(origin)),
        evidence=(Evidence.of(chain),),
        confidence=_confidence(chain, others),
        details={
            "origin_span_id": origin.span_id,
            "origin_service": origin.service,
            "origin_name": origin.name,
            "error_type": error_type(origin),
            "message": plain(origin.status_message),
            "chain": [f"{span.service}: {span.name}" for span in chain[:MAX_SPAN_IDS]],
            "chain_length": len(chain),
            "other_failures": others,
        },
    )


def _confidence(chain: list[ReadSpan], others: int) -> Confidence:
    if any(span.status is not Status.ERROR for span in chain):
        reason = "a span between it and the user did not fail, so the error may have been dealt with there"
        return Confidence(Level.LOW, reason)
    if others:
        reason = (
            f"{others} other failed spans of this request could have begun it; this one ended last"
        )
        return Confidence(Level.MEDIUM, reason)
    if len(chain) == 1:
        return Confidence(Level.MEDIUM, "calls that zerospan cannot see may have failed")
    return Confidence(Level.HIGH, "every span from there to the user failed, and nothing else did")
