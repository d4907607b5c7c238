"""agent/analysis/__init__.py: how analyses are found and run; and that documents and code agree on them."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.analysis import all_traces, analyze, attributes, each_trace, load_all
from agent.analysis.report import as_json, lines
from agent.analysis.thresholds import Thresholds
from agent.spans.span import SpanKind, Status
from agent.spans.trace import ReadSpan, Trace
from tests.analysis.story import Story

CHECKOUT = Path(__file__).resolve().parents[2]
DOCUMENT = (CHECKOUT / "docs/analysis.md").read_text()


def test_every_module_of_the_package_is_loaded() -> None:
    in_sources = {
        name
        for path in (CHECKOUT / "agent/analysis").glob("*.py")
        for name in re.findall(r'^@(?:each_trace|all_traces)\("(\w+)"', path.read_text(), re.M)
        + re.findall(r'^@(?:each_trace|all_traces)\(\n    "(\w+)"', path.read_text(), re.M)
    }
    assert load_all().keys() == in_sources


def test_two_analyses_of_one_name_are_refused() -> None:
    for decorate in (each_trace, all_traces):
        with pytest.raises(ValueError, match="two analyses are named 'dns'"):
            decorate("dns", "again")(lambda *_: [])


def test_the_documents_list_is_the_registry() -> None:
    rows = re.findall(r"^\| `(\w+)` \| ([^|\d][^|]*) \| ([^|]*) \|$", DOCUMENT, re.MULTILINE)
    documented = {name: summary for name, summary, _ in rows}
    assert documented == {name: one.summary for name, one in load_all().items()}


def test_attributes_that_are_read_are_documented() -> None:
    read = {value for name, value in vars(attributes).items() if name.isupper()}
    assert {name for name in read if f"`{name}`" not in DOCUMENT} == set()


def troubled() -> Trace:
    story = Story()
    root = story.server(0, 2000, error="500")
    for number in range(10):
        story.sql(10 * number, 10 * number + 9, root, f"SELECT {number}, a FROM b")
    story.http(200, 1900, root, "GET http://b/", error="timeout")
    return story.trace


def test_findings_come_in_order_and_only_those_that_are_asked_for() -> None:
    findings = analyze([troubled()])
    assert [one.kind for one in findings] == ["error_origin", "timeouts", "critical_path", "n_plus_one"]  # fmt: skip
    assert findings == sorted(findings, key=lambda one: one.rank)
    assert [one.kind for one in analyze([troubled()], only={"n_plus_one"})] == ["n_plus_one"]
    few = Thresholds(n_plus_one_calls=11)
    assert analyze([troubled()], few, only={"n_plus_one"}) == []
    assert analyze([]) == []


# Hostile input: whatever the traced programs send.

NAMES = st.sampled_from(
    [
        *(value for name, value in vars(attributes).items() if name.isupper()),
        *("error.type", "http.request.method", "url.full", "url.path", "server.address"),
        *("server.port", "network.peer.address", "zerospan.incomplete"),
    ]
)
VALUES = st.one_of(
    st.text(max_size=12),
    st.integers(-(2**63), 2**63),
    st.floats(),
    st.booleans(),
    st.tuples(st.text(max_size=3)),
    st.sampled_from(["redis", "GET", "timeout", "NXDOMAIN", "SELECT 1", "http://[::1", "a.b.c"]),
)
RESOURCES = st.dictionaries(st.sampled_from(["service.name", "service.version", "host.id"]), VALUES)
TIMES = st.integers(0, 2**64) | st.integers(0, 100) | st.integers(10**18, 10**18 + 10**10)


@st.composite
def hostile(draw: st.DrawFn) -> Trace:
    return Trace(
        ReadSpan(
            trace_id="1" * 32,
            span_id=f"{draw(st.integers(0, 9)):016x}",
            parent_id=draw(st.none() | st.integers(0, 9).map(lambda number: f"{number:016x}")),
            name=draw(st.text(max_size=10)),
            kind=draw(st.sampled_from(SpanKind)),
            start_unix_ns=draw(TIMES),
            end_unix_ns=draw(TIMES),
            status=draw(st.sampled_from(Status)),
            status_message=draw(st.text(max_size=5)),
            attributes=draw(st.dictionaries(NAMES, VALUES, max_size=6)),
            resource=draw(RESOURCES),
        )
        for _ in range(draw(st.integers(1, 10)))
    )


EAGER = Thresholds(
    **{
        name: 0
        for name in Thresholds.__slots__
        if name not in ("change_p", "cache_hit_ratio", "outlier_ratio", "sequential_max_gap_ns")
    },
    change_p=1.1,
    cache_hit_ratio=2,
    outlier_ratio=0,
    sequential_max_gap_ns=2**70,
)
"""Everything is trouble, so that every title is written."""


@given(st.lists(hostile(), min_size=1, max_size=3))
def test_whatever_comes_findings_are_printable_and_about_spans_that_are_there(
    traces: list[Trace],
) -> None:
    known = {span_id for trace in traces for span_id in trace.by_id}
    for limits in (Thresholds(), EAGER):
        findings = analyze(traces, limits)
        for finding in findings:
            assert finding.title.isprintable()
            assert finding.evidence
            assert set(finding.span_ids) <= known
            assert finding.saving_ns is None or finding.saving_ns >= 0
        assert all(line.isprintable() for line in lines(findings, traces=1, spans=1))
        json.loads(as_json(findings, traces=1, spans=1))


def test_a_repeated_id_does_no_harm() -> None:
    trace = troubled()
    twice = Trace([*trace.spans, *(replace(span) for span in trace.spans)])
    assert [one.kind for one in analyze([twice])] == [one.kind for one in analyze([trace])]
