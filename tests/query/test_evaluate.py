"""What queries mean, by example."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.query.evaluate import combine, evaluate
from agent.query.parser import parse
from agent.query.syntax import Filter, Joined, Relation
from agent.spans.span import Resource, SpanKind, Status
from agent.spans.trace import Trace
from tests.store.made import BACK, MS, as_read, span

# front 1 ─┬─ call 2 ── back 3 ─┬─ query 4
#          └─ call 6            └─ query 5
TRACE = Trace(
    as_read(one)
    for one in [
        span(1, 1, name="GET /", duration_ns=100 * MS, attributes={"http.response.status_code": 500},
             status=Status.ERROR, status_message="bad gateway"),
        span(1, 2, 1, name="call", kind=SpanKind.CLIENT, duration_ns=80 * MS, attributes={"n": 1, "ok": True, "zone": "b"}),
        span(1, 3, 2, name="back", resource=BACK, duration_ns=60 * MS, attributes={"tags": ("x", "y")}),
        span(1, 4, 3, name="query", kind=SpanKind.CLIENT, resource=BACK, duration_ns=10 * MS, attributes={"n": 2.5}),
        span(1, 5, 3, name="query", kind=SpanKind.CLIENT, resource=BACK, duration_ns=30 * MS, attributes={"n": 3}),
        span(1, 6, 1, name="call", kind=SpanKind.CLIENT, duration_ns=5 * MS, attributes={"n": "1", "a b": 7}),
    ]
)  # fmt: skip

FOUND = {
    "{ }": "123456",
    '{ name = "query" }': "45",
    '{ name != "query" }': "1236",
    '{ name =~ "quer" }': "",
    '{ name =~ "que.*" }': "45",
    '{ name !~ "que.*|call" }': "13",
    "{ status = error }": "1",
    "{ status != error }": "23456",
    '{ statusMessage =~ "bad.*" }': "1",
    "{ kind = client }": "2456",
    "{ duration > 30ms }": "123",
    "{ duration >= 0.03s && duration < 100ms }": "235",
    "{ 30ms < duration }": "123",
    '{ rootName = "GET /" }': "123456",
    '{ rootServiceName != "front" }': "",
    "{ traceDuration > 100ms }": "",
    "{ traceDuration = 100ms }": "123456",
    "{ trace:duration = 100ms && span:kind = server }": "13",
    '{ resource.service.name = "back" }': "345",
    '{ span.service.name = "back" }': "",
    '{ .zone = "a" }': "345",
    '{ .zone = "b" }': "2",
    '{ resource.zone = "b" }': "",
    "{ .zone = nil }": "16",
    "{ .zone != nil }": "2345",
    "{ span.http.response.status_code >= 500 }": "1",
    '{ span.http.response.status_code = "500" }': "",
    '{ span.http.response.status_code != "500" }': "",
    "{ .n > 1 }": "45",
    "{ .n = 1.0 }": "2",
    "{ .n != 1 }": "45",
    "{ .ok = true }": "2",
    "{ .ok = 1 }": "",
    '{ .tags = "y" }': "3",
    '{ .tags != "y" }': "",
    '{ .tags != "z" }': "3",
    '{ .tags =~ "[xz]" }': "3",
    "{ .tags = 1 }": "",
    '{ span."a b" = 7 }': "6",
    '{ .n = 1 || name = "back" }': "23",
    '{ .n = 1 && name = "back" }': "",
    '{ (.n = 1 || .n = 3) && kind = client }': "25",
    '{ name = "call" } && { name = "back" }': "236",
    '{ name = "call" } && { name = "none" }': "",
    '{ name = "call" } || { name = "none" }': "26",
    '{ name = "call" } > { }': "3",
    '{ name = "call" } >> { }': "345",
    '{ name = "call" } ~ { }': "26",
    '{ .n = 1 } ~ { }': "6",
    '{ name = "GET /" } ~ { }': "",
    '{ name = "GET /" } > { } > { }': "3",
    '({ name = "GET /" } >> { name = "query" }) && { kind = server }': "1345",
    "{ } | count() > 5": "123456",
    "{ } | count() > 6": "",
    "{ kind = client } | avg(duration) > 31ms": "2456",
    "{ kind = client } | avg(duration) > 32ms": "",
    "{ kind = client } | max(.n) = 3": "2456",
    "{ kind = client } | min(.n) = 1 | sum(.n) = 6.5": "2456",
    "{ kind = client } | sum(.none) >= 0": "",
    "{ } | avg(duration)": "123456",
}  # fmt: skip


@pytest.mark.parametrize(("text", "found"), FOUND.items())
def test_query(text, found):
    match = evaluate(parse(text), TRACE)
    spans = match.spans if match else ()
    assert "".join(str(int(one.span_id, 16)) for one in spans) == found


def test_numbers_and_fields_are_given():
    match = evaluate(
        parse("{ kind = client } | avg(.n) | count() | sum(.none) | select(name, .n)"), TRACE
    )
    assert match is not None
    assert match.numbers == (("avg(.n)", 6.5 / 3), ("count()", 4), ("sum(.none)", None))
    assert [str(field) for field in match.fields] == ["name", ".n"]


def test_a_truth_is_no_number():
    assert evaluate(parse("{ .ok = true } | sum(.ok) >= 0"), TRACE) is None


def test_a_process_without_name():
    nameless = Trace([as_read(span(1, 1, resource=Resource([])))])
    assert evaluate(parse('{ rootServiceName = "unknown_service" }'), nameless) is not None
    assert evaluate(parse("{ resource.service.name = nil }"), nameless) is not None


# Relations against their definitions, on any forest (and cycles).


def slowly(relation: Relation, left: set[int], right: set[int], parents) -> set[int]:
    def ancestors(span: int) -> set[int]:
        found: set[int] = set()
        at = parents[span]
        while at is not None and at not in found:
            found.add(at)
            at = parents[at]
        return found

    match relation:
        case Relation.AND:
            return left | right if left and right else set()
        case Relation.OR:
            return left | right
        case Relation.CHILD:
            return {span for span in right if parents[span] in left}
        case Relation.DESCENDANT:
            return {span for span in right if ancestors(span) & left}
        case Relation.SIBLING:
            return {
                span
                for span in right
                for other in left
                if other != span and parents[span] is not None and parents[other] == parents[span]
            }


forests = st.integers(1, 10).flatmap(
    lambda size: st.fixed_dictionaries(
        {span: st.none() | st.integers(0, span - 1) if span else st.none() for span in range(size)}
    )
)


@given(forests, st.sets(st.integers(0, 9)), st.sets(st.integers(0, 9)), st.sampled_from(Relation))
def test_relations_are_what_they_are_defined_as(parents, left, right, relation):
    one, other = Filter(None), Filter(None)
    left, right = left & parents.keys(), right & parents.keys()
    found = combine(Joined(relation, one, other), {one: left, other: right}, parents)
    assert found == slowly(relation, left, right, parents)


def test_a_chain_of_any_length_is_walked_once():
    size = 50_000
    parents = {span: span - 1 if span else None for span in range(size)}
    one, other = Filter(None), Filter(None)
    everything = set(parents)
    found = combine(Joined(Relation.DESCENDANT, one, other), {one: {0}, other: everything}, parents)
    assert found == everything - {0}


def test_a_cycle_ends():
    one, other = Filter(None), Filter(None)
    parents = {1: 2, 2: 3, 3: 1}
    joined = Joined(Relation.DESCENDANT, one, other)
    assert combine(joined, {one: {1}, other: {2, 3}}, parents) <= {2, 3}
