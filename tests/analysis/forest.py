"""Generated traces, from hypothesis: trees of any shape, and trees whose siblings take turns."""

from __future__ import annotations

from hypothesis import strategies as st

from agent.spans.span import SpanKind, Status
from agent.spans.trace import ReadSpan, Trace


def make(
    number: int,
    parent: int | None,
    start_ns: int,
    end_ns: int,
    *,
    kind: SpanKind = SpanKind.INTERNAL,
    service: str = "a",
    status: Status = Status.UNSET,
) -> ReadSpan:
    return ReadSpan(
        trace_id="1" * 32,
        span_id=f"{number:016x}",
        parent_id=None if parent is None else f"{parent:016x}",
        name=f"span {number % 3}",
        kind=kind,
        start_unix_ns=start_ns,
        end_unix_ns=end_ns,
        status=status,
        resource={"service.name": service},
    )


@st.composite
def any_trace(draw: st.DrawFn) -> Trace:
    """Any parents (earlier spans, none, strangers, circles), any times, also ends before starts."""
    count = draw(st.integers(1, 12))
    return Trace(
        make(
            number,
            draw(st.none() | st.integers(0, 13)),
            draw(st.integers(0, 200)),
            draw(st.integers(0, 200)),
            kind=draw(st.sampled_from(SpanKind)),
            service=draw(st.sampled_from("ab")),
            status=draw(st.sampled_from(Status)),
        )
        for number in range(count)
    )


@st.composite
def nested_trace(draw: st.DrawFn) -> Trace:
    """One root; children lie within their parents, siblings do not overlap."""
    spans = [make(0, None, 1000, 1000 + draw(st.integers(0, 300)))]
    free = {0: spans[0].start_unix_ns}
    for number in range(1, draw(st.integers(1, 12))):
        parent = draw(st.integers(0, number - 1))
        start = draw(st.integers(free[parent], spans[parent].end_unix_ns))
        end = draw(st.integers(start, spans[parent].end_unix_ns))
        free[parent], free[number] = end, start
        spans.append(make(number, parent, start, end))
    return Trace(spans)
