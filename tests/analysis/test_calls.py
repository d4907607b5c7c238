"""Outgoing calls, and for whom they were made."""

from __future__ import annotations

import pytest
from hypothesis import given

from agent.analysis.calls import Call, CallTree, Sort, call_of, error_type, seconds_ns
from agent.spans.span import SpanKind, Value
from agent.spans.trace import Trace
from tests.analysis.forest import any_trace
from tests.analysis.story import Story

CLIENT = SpanKind.CLIENT


def maybe(kind: SpanKind, **attributes: Value) -> Call | None:
    spelled = {key.replace("__", "."): value for key, value in attributes.items()}
    return call_of(Story().span(0, 1, kind=kind, name="n", attributes=spelled))


def call(kind: SpanKind = CLIENT, **attributes: Value) -> Call:
    return known(maybe(kind, **attributes))


def known(found: Call | None) -> Call:
    assert found is not None
    return found


def test_a_statement_is_known_by_its_text_without_values() -> None:
    found = known(call_of(Story().sql(0, 1, None, "SELECT a FROM b WHERE c = 3")))
    assert found.key == (Sort.DATABASE, "postgresql db:5432", "SELECT a FROM b WHERE c = ?")
    assert (found.verb, found.exact) == ("SELECT", "SELECT a FROM b WHERE c = 3")
    assert found.is_read
    assert not found.is_control


def test_without_text_the_summary_then_operation_and_collection_then_the_name_must_do() -> None:
    summary = call(db__system__name="mysql", db__query__summary="SELECT users")
    named = call(
        db__system__name="mongodb", db__operation__name="find", db__collection__name="users"
    )
    bare = known(
        call_of(
            Story().span(0, 1, kind=CLIENT, name="UPDATE t", attributes={"db.system.name": "mysql"})
        )
    )
    old = call(db__system="mysql", db__statement="DELETE FROM t WHERE a = 1")
    assert (summary.operation, summary.verb, summary.exact) == ("SELECT users", "SELECT", None)
    assert (named.operation, named.verb, named.is_read) == ("find users", "FIND", True)
    assert (bare.operation, bare.verb, bare.is_read) == ("UPDATE t", "UPDATE", False)
    assert (old.operation, old.target) == ("DELETE FROM t WHERE a = ?", "mysql")


def test_a_cache_is_known_by_its_key_pattern() -> None:
    found = known(call_of(Story().redis(0, 1, None, "GET user:17")))
    assert found.key == (Sort.CACHE, "redis cache:6379", "GET user:?")
    assert found.is_read


def test_a_request_is_known_by_its_template() -> None:
    learnt = Story().http(
        0, 1, None, "GET http://b:81/x/abc", attributes={"url.template": "/x/{y}"}
    )
    plain = Story().http(0, 1, None, "POST http://b/x/17?q=REDACTED")
    first, second = known(call_of(learnt)), known(call_of(plain))
    assert first.key == (Sort.HTTP, "b:81", "GET /x/{y}")
    assert second.key == (Sort.HTTP, "b:80", "POST /x/{id}")
    assert (first.is_read, second.is_read) == (True, False)
    assert second.exact == "POST http://b/x/17?q=REDACTED"


@pytest.mark.parametrize(
    ("statement", "is_control"),
    [
        ("BEGIN", True),
        ("COMMIT", True),
        ("SET x = 1", True),
        ("SELECT 1", True),
        ("select version()", True),
        ("SELECT a", False),
    ],
)
def test_statements_about_the_connection_are_control(statement: str, is_control: bool) -> None:
    found = known(call_of(Story().sql(0, 1, None, statement)))
    assert found.is_control is is_control


def test_commands_about_the_connection_and_those_that_wait_are_control() -> None:
    found = [call_of(Story().redis(0, 1, None, text)) for text in ("PING", "BLPOP q 0", "GET a")]
    assert [one and one.is_control for one in found] == [True, True, False]


def test_other_kinds_of_calls() -> None:
    dns = call(dns__question__name="DB.shop.", network__peer__address="10.0.0.2")
    rpc = call(rpc__system="grpc", rpc__service="Cart", rpc__method="Get", server__address="cart")
    sent = call(SpanKind.PRODUCER)
    other = call()
    assert dns.key == (Sort.DNS, "10.0.0.2", "db.shop")
    assert rpc.key == (Sort.RPC, "cart", "Cart/Get")
    assert (sent.sort, other.sort) == (Sort.MESSAGING, Sort.OTHER)
    assert not any(one.is_read or one.is_control for one in (dns, rpc, sent, other))


def test_only_what_goes_out_is_a_call() -> None:
    assert maybe(SpanKind.SERVER, http__request__method="GET") is None
    assert maybe(SpanKind.SERVER, db__system__name="mysql") is None
    assert maybe(SpanKind.INTERNAL) is None
    assert maybe(SpanKind.INTERNAL, db__system__name="sqlite") is not None


def test_calls_belong_to_the_nearest_span_that_is_not_internal() -> None:
    story = Story()
    root = story.server(0, 100)
    wrapped = story.span(1, 20, root)
    first = story.sql(2, 10, story.span(1, 15, wrapped), "SELECT a")
    second = story.http(30, 90, root, "GET http://b/")
    served = story.server(31, 89, second, service="b")
    third = story.sql(40, 50, served, "SELECT b")
    owned = {owner: [one.span for one in calls] for owner, calls in story.tree.by_owner()}
    assert owned == {root: [first, second], served: [third]}
    assert [one.span for one in story.tree.calls] == [first, second, third]
    assert [one.span for one in story.tree.calls_of(served)] == [third]
    assert story.tree.calls_of(third) == []


def test_a_job_without_a_request_owns_its_calls_and_a_lone_call_has_no_owner() -> None:
    job, lone = Story(), Story()
    root = job.span(0, 10)
    job.sql(1, 2, job.span(0, 5, root), "SELECT a")
    lone.sql(0, 1, None, "SELECT a")
    assert [job.tree.owner(one) for one in job.tree.calls] == [root]
    assert [lone.tree.owner(one) for one in lone.tree.calls] == [None]
    assert list(lone.tree.by_owner()) == []


def test_how_a_span_failed() -> None:
    assert error_type(Story().server(0, 1, error="timeout")) == "timeout"
    sql = Story().sql(0, 1, None, "SELECT a", attributes={"db.response.status_code": "57014"})
    assert error_type(sql) == "57014"
    assert error_type(Story().server(0, 1)) == ""


@pytest.mark.parametrize(
    ("value", "time_ns"),
    [(1.5, 1_500_000_000), (0, 0), (-1, None), (float("nan"), None), (float("inf"), None), ("1", None)],
)  # fmt: skip
def test_only_sensible_seconds_are_taken(value, time_ns: int | None) -> None:
    assert seconds_ns(Story().server(0, 1, attributes={"x": value}), "x") == time_ns


@given(any_trace())
def test_every_call_is_owned_by_a_span_above_it(trace: Trace) -> None:
    tree = CallTree(trace)
    assert tree.owners.keys() == trace.by_id.keys()
    for call in tree.calls:
        above = trace.parent(call.span)
        owner = tree.owner(call)
        assert (owner is None) == (above is None)
        while above is not None and above is not owner:
            assert above.kind is SpanKind.INTERNAL
            above = trace.parent(above)
        assert above is owner
