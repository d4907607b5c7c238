"""Queries and traces out of few words, so that they have something to do with each other."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import strategies as st

from agent.spans.span import Attributes, Resource, Span, SpanKind, Status, Value
from agent.spans.trace import ReadSpan, Trace
from agent.store import shapes
from agent.store.writer import Writer
from tests.store.made import MS, NOW_NS, as_read

KEYS = [f"k{letter}" for letter in "abcdefghijk"]
"""More than the store has columns."""
RESOURCES = [
    Resource([("service.name", "front"), ("ka", "x"), ("kb", 1)]),
    Resource([("service.name", "back"), ("zone", "a")]),
    Resource([("zone", "b")]),
]
SECOND = 1_000_000_000

VALUES: list[Value] = [
    "x", "xy", "", 0, 1, 2, 1.0, 1.5, float("nan"), float("inf"), True, False, (), ("x",), ("x", "xy"), -1,
]  # fmt: skip
literals = st.sampled_from(
    ['"x"', '"xy"', '""', "0", "1", "2", "1.0", "1.5", "-1", "true", "false", "nil", "1s"]
)
ordered = st.sampled_from(['"x"', '"xy"', '""', "0", "1", "2", "1.0", "1.5", "-1"])
patterns = st.sampled_from(['"x"', '"x.*"', '".*y"', '"(?i)X|"', '"none"'])
fields = st.builds(
    str.__add__,
    st.sampled_from(["span.", "resource.", "."]),
    st.sampled_from([*KEYS[:3] * 4, *KEYS, "zone", "service.name"]),
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


def random_spans(rng: random.Random) -> list[Span]:
    """Spans of six traces, whose parents may be anything. Few families, so that attributes are found to vary."""
    spans = []
    for trace in range(1, 7):
        for number in rng.sample(range(1, 9), rng.randint(1, 8)):
            parent = rng.choice([None, *range(1, 9)])
            start = NOW_NS + rng.randrange(6) * MS
            keys = KEYS if rng.random() < 0.2 else KEYS[:3]
            table = {key: rng.choice(VALUES) for key in keys if rng.random() < 0.7}
            spans.append(
                Span(
                    trace.to_bytes(16, "big"),
                    number.to_bytes(8, "big"),
                    None if parent is None else parent.to_bytes(8, "big"),
                    rng.choice("aaab"),
                    rng.choice([SpanKind.SERVER, SpanKind.SERVER, SpanKind.CLIENT]),
                    start,
                    start + rng.choice([0, 1, 5, 20]) * MS,
                    rng.choice([Status.UNSET, Status.UNSET, Status.OK, Status.ERROR]),
                    rng.choice(["", "", "m"]),
                    (Attributes(table.items()),),
                    rng.choice(RESOURCES),
                )
            )
    return spans


def written(spans: list[Span], path: Path) -> Writer:
    """A store of these spans, in which whatever has two values is in a column. The caller closes it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shapes, "MAX_VALUES", 1)
        writer = Writer(path, clock=lambda: NOW_NS)
        for one in spans:
            writer.write([one])
    return writer


def traces_of(spans: list[Span]) -> list[Trace]:
    """What a reader should get of them, in the order in which they came."""
    found: dict[bytes, list[ReadSpan]] = {}
    for one in spans:
        found.setdefault(one.trace_id, []).append(as_read(one))
    return [Trace(trace) for trace in found.values()]
