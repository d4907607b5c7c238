"""Tokens become a query, or an error that says where and what instead."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import QueryError
from agent.query.parser import MAX_DEPTH, MAX_PARTS, parse
from agent.query.syntax import (
    Aggregate,
    All,
    Comparison,
    Either,
    Field,
    Filter,
    Function,
    Joined,
    Operator,
    Relation,
    Scope,
    Select,
)
from tests.query.made import queries


def one(name: str, value: object = 1) -> Comparison:
    return Comparison(Field(Scope.ANY, name), Operator.EQUAL, value)  # type: ignore[arg-type]


def condition(text: str) -> object:
    spanset = parse(text).spanset
    assert isinstance(spanset, Filter)
    return spanset.condition


def test_conditions_are_joined_from_the_left():
    assert condition("{ .a = 1 && .b = 1 && .c = 1 }") == All((one("a"), one("b"), one("c")))
    assert condition("{ .a = 1 && .b = 1 || .c = 1 }") == Either(
        (All((one("a"), one("b"))), one("c"))
    )
    assert condition("{ .a = 1 || (.b = 1 && .c = 1) }") == Either(
        (one("a"), All((one("b"), one("c"))))
    )
    assert condition("{}") is None


def test_a_literal_may_come_first():
    assert condition("{ 5s < duration }") == Comparison(
        Field(Scope.INTRINSIC, "duration"), Operator.GREATER, 5_000_000_000
    )
    assert condition('{ "x" = .a }') == one("a", "x")


def test_relations_bind_tighter_than_and():
    spanset = parse("{ .a = 1 } && { .b = 1 } >> { .c = 1 } > { .d = 1 }").spanset
    assert isinstance(spanset, Joined)
    assert spanset.relation is Relation.AND
    assert isinstance(spanset.right, Joined)
    assert spanset.right.relation is Relation.CHILD
    assert isinstance(spanset.right.left, Joined)
    assert spanset.right.left.relation is Relation.DESCENDANT


def test_stages():
    query = parse("{ } | count() > 2 | avg(duration) <= 1.5s | sum(.n) | select(name, span.x)")
    duration = Field(Scope.INTRINSIC, "duration")
    assert query.stages == (
        Aggregate(Function.COUNT, None, Operator.GREATER, 2),
        Aggregate(Function.AVG, duration, Operator.AT_MOST, 1_500_000_000),
        Aggregate(Function.SUM, Field(Scope.ANY, "n")),
        Select((Field(Scope.INTRINSIC, "name"), Field(Scope.SPAN, "x"))),
    )


WRONG = {
    "": "column 1: '{' is expected at the beginning of a set of spans, not the end",
    "name = 1": "column 1: '{' is expected",
    "{ name = 5 }": 'column 10: name is compared with text in quotes, such as "GET /orders/{id}"',
    "{ status = 5 }": "column 12: status is compared with error, ok or unset",
    "{ kind = error }": "column 10: kind is compared with server, client, internal",
    '{ duration > "5s" }': "column 14: duration is compared with a duration, such as 500ms or 5s",
    "{ duration > true }": "column 14: duration is compared with a duration",
    "{ duration =~ 5 }": "column 15: a pattern is text in quotes",
    "{ .a = error }": "column 8: error is a status or kind; as an attribute's value write \"error\"",
    "{ .a = checkout }": 'column 8: text is written in quotes: "checkout"',
    "{ .a > true }": "column 8: true has no order; use = or !=",
    "{ .a > nil }": "column 8: nil has no order",
    '{ .a =~ "(" }': "column 9: this is no regular expression: missing )",
    "{ .a }": "column 6: one of = != < <= > >= =~ !~ is expected after '.a', not '}'",
    "{ .a = 1": "column 9: '}' is expected after the condition, not the end",
    "{ .a = 1 ) }": "column 10: '}' is expected after the condition, not ')'",
    "{ (.a = 1 }": "column 11: ')' is expected to close the parenthesis, not '}'",
    "{ service = 1 }": "column 3: there is no 'service'; there are name, status, statusMessage",
    "{ .a = .b }": "column 8: a value is expected, not '.b'",
    '{ "a" = "b" }': "column 3: a field is compared with a value",
    '{ "a" =~ .b }': "column 3: a field is compared with a value",
    "{ = 1 }": "column 3: a field is expected, not '='",
    "{ .a = 1 || .b = 1 && .c = 1 }": "column 20: '&&' after '||': write parentheses",
    "{ } || { } && { }": "column 12: '&&' after '||': write parentheses",
    "{ } { }": "column 5: '{' is too much; a stage begins with '|'",
    "{ } | rate()": "column 7: 'rate' is no stage; there are count, avg, min, max, sum, select",
    "{ } | { }": "column 7: '{' is no stage",
    "{ } | count": "column 12: '(' is expected after count, not the end",
    "{ } | avg() > 1": "column 11: a field is expected, not ')'",
    "{ } | avg(duration > 1": "column 20: ')' is expected at the end of avg(…), not '>'",
    '{ } | count() > "x"': "column 17: count(…) is compared with a number or duration",
    '{ } | count() =~ "x"': "column 18: count(…) is compared with a number or duration",
    "{ } | select()": "column 14: a field is expected, not ')'",
    "{ } | select(name": "column 18: ')' is expected at the end of select(…), not the end",
    "(" * (MAX_DEPTH + 1): f"column {MAX_DEPTH + 1}: more than {MAX_DEPTH} parentheses",
    "{ " + " && ".join([".a = 1"] * (MAX_PARTS + 1)) + " }": f"column {3 + 10 * MAX_PARTS}: the query has more",
}  # fmt: skip


@pytest.mark.parametrize(("text", "told"), WRONG.items(), ids=[t[:60] for t in WRONG.values()])
def test_wrong_query(text, told):
    with pytest.raises(QueryError) as caught:
        parse(text)
    assert str(caught.value).startswith(told)


@given(queries)
def test_queries_of_the_tests_are_queries(text):
    parse(text)


words = ["{", "}", "(", ")", "|", "&&", "||", ">", ">>", "~", "=", "=~", ".a", "span.b", "name",
         "duration", '"x"', "5s", "1", "nil", "error", "count", "avg", "select", ",", "other"]  # fmt: skip


@given(st.lists(st.sampled_from(words), max_size=20).map(" ".join) | st.text(max_size=30))
def test_anything_is_a_query_or_an_error_within_it(text):
    column, told = 1, "column 1: "
    try:
        parse(text)
    except QueryError as error:
        column, told = error.column, str(error)
    assert 1 <= column <= len(text) + 1
    assert told.startswith(f"column {column}: ")
