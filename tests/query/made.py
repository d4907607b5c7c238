"""Queries and traces out of few words, so that they have something to do with each other."""

from __future__ import annotations

from hypothesis import strategies as st

from agent.spans.span import Attributes, Resource, Span, SpanKind, Status
from tests.store.made import MS, NOW_NS

KEYS = [f"k{letter}" for letter in "abcdefghijk"]
"""More than the store has columns."""
RESOURCES = [
    Resource([("service.name", "front"), ("ka", "x"), ("kb", 1)]),
    Resource([("service.name", "back"), ("zone", "a")]),
    Resource([("zone", "b")]),
]
SECOND = 1_000_000_000

values = st.sampled_from(
    ["x", "xy", "", 0, 1, 2, 1.0, 1.5, float("nan"), float("inf"), True, False, (), ("x",), ("x", "xy"), -1]
)  # fmt: skip
literals = st.sampled_from(
    ['"x"', '"xy"', '""', "0", "1", "2", "1.0", "1.5", "-1", "true", "false", "nil", "1s"]
)
ordered = st.sampled_from(['"x"', '"xy"', '""', "0", "1", "2", "1.0", "1.5", "-1"])
patterns = st.sampled_from(['"x"', '"x.*"', '".*y"', '"(?i)X|"', '"none"'])
fields = st.builds(
    str.__add__,
    st.sampled_from(["span.", "resource.", "."]),
    st.sampled_from([*KEYS, "zone", "service.name"]),
)


def _joined(*parts: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.tuples(*parts).map(" ".join)


_equal = st.sampled_from(["=", "!="])
_orders = st.sampled_from(["<", "<=", ">", ">="])
_matches = st.sampled_from(["=~", "!~"])
comparisons = st.one_of(
    _joined(fields, _equal, literals),
    _joined(fields, _orders, ordered),
    _joined(fields, _matches, patterns),
    _joined(st.sampled_from(["name", "rootName"]), _equal, st.sampled_from(['"a"', '"b"'])),
    _joined(st.just("name"), _matches, st.sampled_from(['"a|c"', '"."'])),
    _joined(st.just("rootServiceName"), _equal, st.sampled_from(['"front"', '"unknown_service"'])),
    _joined(st.just("statusMessage"), _equal, st.sampled_from(['"m"', '""'])),
    _joined(st.just("status"), _equal, st.sampled_from(["error", "ok", "unset"])),
    _joined(st.just("kind"), _equal, st.sampled_from(["server", "client"])),
    _joined(
        st.sampled_from(["duration", "traceDuration"]),
        _orders | _equal,
        st.sampled_from(["0s", "1ms", "5ms", "20ms"]),
    ),
)
conditions = st.recursive(
    comparisons,
    lambda inner: _joined(
        inner.map("({})".format), st.sampled_from(["&&", "||"]), inner.map("({})".format)
    ),
    max_leaves=4,
)
filters = conditions.map("{{ {} }}".format) | st.just("{ }")
spansets = st.recursive(
    filters,
    lambda inner: _joined(
        inner.map("({})".format),
        st.sampled_from(["&&", "||", ">", ">>", "~"]),
        inner.map("({})".format),
    ),
    max_leaves=3,
)
_aggregates = _joined(
    st.sampled_from(["avg", "min", "max", "sum"]).flatmap(
        lambda name: (fields | st.just("duration")).map(lambda field: f"{name}({field})")
    )
    | st.just("count()"),
    _orders | _equal,
    st.sampled_from(["0", "1", "2", "1.5", "5ms"]),
)
stages = st.lists(
    st.one_of(_aggregates, st.just("avg(duration)"), st.just("select(.ka, name)")), max_size=2
)
queries = st.tuples(spansets, stages).map(lambda made: " | ".join([made[0], *made[1]]))


@st.composite
def some_spans(draw: st.DrawFn) -> list[Span]:
    """Spans of up to four traces, whose parents may be anything."""
    numbers = st.integers(1, 6)
    spans = []
    for trace in range(1, draw(st.integers(2, 5))):
        for number in draw(st.lists(numbers, min_size=1, max_size=6, unique=True)):
            parent = draw(st.none() | numbers)
            start = NOW_NS + draw(st.integers(0, 5)) * MS
            table = draw(st.dictionaries(st.sampled_from(KEYS), values, max_size=11))
            spans.append(
                Span(
                    trace.to_bytes(16, "big"),
                    number.to_bytes(8, "big"),
                    None if parent is None else parent.to_bytes(8, "big"),
                    draw(st.sampled_from("abc")),
                    draw(st.sampled_from([SpanKind.SERVER, SpanKind.CLIENT])),
                    start,
                    start + draw(st.sampled_from([0, 1, 5, 20])) * MS,
                    draw(st.sampled_from(Status)),
                    draw(st.sampled_from(["", "", "m"])),
                    (Attributes(table.items()),),  # type: ignore[arg-type]  # values, as mypy cannot see
                    draw(st.sampled_from(RESOURCES)),
                )
            )
    return spans
