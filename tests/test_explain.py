"""Every span is explained: edges by rule and facts, roots by why there is no parent."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.errors import SpanFileError
from agent.explain import FOUND, MAX_SPANS, NOT_FOUND, Search, explain
from agent.spans.span import SpanKind, Status, Value
from agent.spans.trace import ReadLink, ReadSpan, Trace
from agent.traces import rules, stamps
from agent.traces.context_propagators import FORMATS

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
RULE = "zerospan.parent.rule"
MS = 1_000_000


def span(
    number: int,
    parent: int | None = None,
    *,
    rule: str | None = None,
    kind: SpanKind = SpanKind.SERVER,
    start_ms: int = 0,
    end_ms: int = 100,
    service: str = "shop",
    pid: int = 40,
    links: tuple[ReadLink, ...] = (),
    trace_id: str = TRACE,
    name: str = "GET /",
    **attributes: Any,
) -> ReadSpan:
    found: dict[str, Value] = {key.replace("__", "."): value for key, value in attributes.items()}
    return ReadSpan(
        trace_id=trace_id,
        span_id=f"{number:016x}",
        parent_id=None if parent is None else f"{parent:016x}",
        name=name,
        kind=kind,
        start_unix_ns=start_ms * MS,
        end_unix_ns=end_ms * MS,
        status=Status.UNSET,
        attributes={**found, RULE: rule} if rule is not None else found,
        resource={"service.name": service, "process.pid": pid},
        links=links,
    )


def tcp(address: str, port: int) -> dict[str, Any]:
    return {
        "network__transport": "tcp",
        "network__peer__address": address,
        "network__peer__port": port,
    }


def lines(*spans: ReadSpan) -> list[str]:
    return list(explain(Trace(spans)))


def reasons(*spans: ReadSpan) -> list[str]:
    """What is said about the last span of a chain."""
    said = lines(*spans)
    (at,) = (at for at, line in enumerate(said) if line.endswith(f"[{spans[-1].span_id}]"))
    return [line.strip(" ·") for line in said[at + 1 : -1]]  # fmt: skip


CLIENT = SpanKind.CLIENT


def test_whole_trace():
    said = lines(
        span(1, rule="none", kind=CLIENT, service="curl", pid=20, **tcp("10.0.0.1", 80)),
        span(2, 1, rule="peer", start_ms=1, end_ms=99, http__response__status_code=200, **tcp("10.0.0.9", 40000)),
        span(3, 2, rule="thread", kind=CLIENT, start_ms=2, end_ms=98, **tcp("2001:db8::1", 5432)),
    )  # fmt: skip
    assert said == [
        f"trace {TRACE}  3 spans, 1 root  100.0 ms",
        "GET / client curl (process 20) → 100.0 ms [0000000000000001]",
        "   · no parent, rule none: the request carries no trace context, and the thread that made the call was not working for any request that was seen",
        "   · the request was sent to 10.0.0.1:80",
        "   GET / server shop (process 40) → 98.0 ms 200 [0000000000000002]",
        "      · parent [0000000000000001], rule peer: it is the other end of the same connection, and sent this very request",
        "      · curl (process 20) and shop (process 40) are the ends of a connection: client 10.0.0.9:40000, server 10.0.0.1:80",
        "      · starts 1.0 ms after its parent, ends 1.0 ms before its end",
        "      GET / client shop (process 40) → 96.0 ms [0000000000000003]",
        "         · parent [0000000000000002], rule thread: the thread that made this call was working for that request",
        "         · both in shop (process 40)",
        "         · starts 1.0 ms after its parent, ends 1.0 ms before its end",
        "rules: 1 none, 1 peer, 1 thread",
    ]


def test_every_rule_has_its_words():
    every = {
        value
        for name, value in (vars(rules) | vars(stamps)).items()
        if name.startswith(("RULE_", "REFUSED_"))
    }
    assert every | set(FORMATS) == FOUND.keys() | NOT_FOUND.keys()
    assert not FOUND.keys() & NOT_FOUND.keys()


@pytest.mark.parametrize("rule", FOUND)
def test_edge(rule):
    said = reasons(span(1, rule="none"), span(2, 1, rule=rule))
    assert said[0] == f"parent [0000000000000001], rule {rule}: {FOUND[rule]}"


@pytest.mark.parametrize("rule", NOT_FOUND)
@pytest.mark.parametrize("kind", SpanKind)
def test_root(rule, kind):
    (said,) = reasons(span(1, rule=rule, kind=kind))
    assert said.startswith(f"no parent, rule {rule}: ")
    if rule != "none" or kind is SpanKind.INTERNAL:
        assert said.endswith(NOT_FOUND[rule])


def test_rule_of_a_later_version():
    assert reasons(span(1, rule="stars"))[0].startswith("no parent, rule stars, which this version")
    said = reasons(span(1), span(2, 1, rule="stars"))
    assert said[0].endswith("rule stars: a rule that this version does not know")


def test_spans_of_another_tracer():
    parent, child = span(1), span(2, 1)
    assert reasons(parent) == ["no parent; it has no zerospan.parent.rule: another tracer made it"]
    assert reasons(parent, child)[0].endswith(
        "no rule of ours: it has no zerospan.parent.rule, so another tracer made it"
    )
    assert lines(parent, child)[-1] == "rules: 2 without a rule"


def test_parent_that_is_not_in_the_file():
    said = reasons(span(2, 1, rule="b3", **tcp("10.0.0.9", 40000)))
    assert said == [
        "parent [0000000000000001] is not among these spans; rule b3: the request's b3 or X-B3-… header names it",
        "the request was received from 10.0.0.9:40000",
    ]


def test_circle_of_parents():
    said = lines(span(1, 2, rule="thread"), span(2, 1, rule="thread", start_ms=1))
    assert "no parent, though it names [0000000000000002]: its parents form a circle" in said[2]


def test_unix_sockets():
    ends = reasons(
        span(1, rule="none", network__transport="unix"),
        span(2, 1, rule="peer", network__transport="unix"),
    )
    assert ends[1].endswith("are the ends of a connection over a Unix socket")
    assert reasons(span(1, rule="none", network__transport="unix"))[1].endswith(" a Unix socket")


def test_threads_are_told_where_spans_have_them():
    said = reasons(span(1, thread__id=7), span(2, 1, rule="opener", kind=CLIENT, thread__id=8))
    assert said[1] == "both in shop (process 40), threads 7 and 8"


def test_what_else_a_span_says_of_its_parent():
    said = reasons(
        span(1, rule="none", zerospan__parent__confidence=0.9, zerospan__incomplete="agent_exit")
    )
    assert said[1:] == ["zerospan.incomplete: agent_exit", "zerospan.parent.confidence: 0.9"]


def test_links():
    link = ReadLink("ab" * 16, "cd" * 8, {"why": "late"})
    said = reasons(span(1, rule="none", links=(link,)))
    assert said[-1] == f"linked to [{'cd' * 8}] of trace {'ab' * 16}, why: late"


@pytest.mark.parametrize(
    ("start_ms", "end_ms", "said"),
    [
        (10, 20, "starts 10.0 ms after its parent, ends 80.0 ms before its end"),
        (10, 120, "starts 10.0 ms after its parent, ends 20.0 ms after its end"),
        (110, 120, "starts 110.0 ms after its parent, 10.0 ms after the parent's end"),
    ],
)
def test_times(start_ms, end_ms, said):
    told = reasons(span(1), span(2, 1, rule="thread", start_ms=start_ms, end_ms=end_ms))
    assert told[-1] == said


def test_doubts():
    told = reasons(
        span(1, start_ms=5), span(2, 1, rule="thread", kind=CLIENT, service="other", pid=41)
    )
    assert "DOUBTFUL: the parent is of another process, shop (process 40)" in told
    assert told[-2] == "starts 5.0 ms before its parent, ends 0 µs before its end"
    assert told[-1].startswith("DOUBTFUL: it starts before its parent")


@settings(database=None, max_examples=50)
@given(st.lists(st.tuples(st.integers(0, 9), st.none() | st.integers(0, 9), st.text(max_size=9)), min_size=1))  # fmt: skip
def test_any_trace_has_every_span_once_and_nothing_for_the_terminal(drawn):
    spans = [
        span(number, parent, rule=text, name=text, service=text, x=text)
        for number, parent, text in drawn
    ]
    said = lines(*spans)
    for number in {number for number, *_ in drawn}:
        assert sum(line.endswith(f"[{number:016x}]") for line in said) == 1
    assert all(line.isprintable() for line in said)


# The search.


def search(prefix: str, *spans: ReadSpan) -> Search:
    found = Search(prefix)
    for one in spans:
        if found.wants(one.trace_id):
            found.add(one)
    return found


@pytest.mark.parametrize("prefix", [TRACE, TRACE[:4], TRACE.upper()])
def test_trace_is_found_by_its_first_digits(prefix):
    other = span(3, trace_id="ff" * 16)
    found = search(prefix, span(1), other, span(2, 1))
    assert found.has_found
    assert [one.span_id[-1] for one in found.trace("a").spans] == ["1", "2"]


@pytest.mark.parametrize("prefix", ["", "4bf", "4bfg", TRACE + "0", "4bf9\n", "\x1b[2J4bf9"])
def test_what_is_no_trace_id(prefix):
    with pytest.raises(SpanFileError, match="is no trace id: those are 32") as caught:
        Search(prefix)
    assert str(caught.value).isprintable()


def test_unknown_trace_tells_how_many_there_are():
    with pytest.raises(SpanFileError, match="a has 0 traces, but none whose id begins with ffff"):
        search("ffff").trace("a")
    with pytest.raises(SpanFileError, match="a has 1 trace, but none"):
        search("ffff", span(1), span(2)).trace("a")
    with pytest.raises(SpanFileError, match="a has 2 traces, but none"):
        search("ffff", span(1), span(1, trace_id="ab" * 16)).trace("a")


def test_ambiguous_prefix_names_the_traces():
    ids = [f"abcd{number:028x}" for number in range(1, 8)]
    two = search("ABCD", *(span(1, trace_id=one) for one in ids[:2]))
    with pytest.raises(SpanFileError, match=f"a has 2 traces .* with abcd: {ids[0]}, {ids[1]}$"):
        two.trace("a")
    with pytest.raises(SpanFileError, match=f"a has 7 traces .*{ids[4]}, …$"):
        search("abcd", *(span(1, trace_id=one) for one in ids)).trace("a")


def test_huge_trace_is_bounded(monkeypatch):
    monkeypatch.setattr("agent.explain.MAX_SPANS", 2)
    found = search(TRACE, *map(span, range(1, 6)))
    assert found.left_out == 3
    said = list(explain(found.trace("a"), left_out=found.left_out))
    assert said[0].startswith(f"trace {TRACE}  2 spans")
    assert said[1] == "3 more spans are not shown"
    assert MAX_SPANS > 1000
