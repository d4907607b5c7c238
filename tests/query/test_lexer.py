"""Text becomes tokens, or an error with its column."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import QueryError
from agent.query.lexer import Kind, tokens_of
from agent.query.syntax import Field, Scope
from agent.spans.span import SpanKind, Status

LITERALS = {
    '"a"': "a",
    '"a\\"b\\\\c\\n\\u00e4\\x41"': 'a"b\\c\näA',
    "`a\\b`": "a\\b",
    "5": 5,
    "-5": -5,
    "1.5": 1.5,
    "1e3": 1000.0,
    "5s": 5_000_000_000,
    "0.3s": 300_000_000,
    "1.5ms": 1_500_000,
    "2us": 2000,
    "2µs": 2000,
    "7ns": 7,
    "1m30s": 90_000_000_000,
    "2h": 7_200_000_000_000,
    "-1s": -1_000_000_000,
    "true": True,
    "nil": None,
    "error": Status.ERROR,
    "client": SpanKind.CLIENT,
}


@pytest.mark.parametrize(("text", "literal"), LITERALS.items())
def test_literal(text, literal):
    token, end = tokens_of(text)
    assert (token.kind, token.literal, type(token.literal)) == (
        Kind.LITERAL,
        literal,
        type(literal),
    )
    assert end.kind is Kind.END


FIELDS = {
    ".a": Field(Scope.ANY, "a"),
    "span.http.response.status_code": Field(Scope.SPAN, "http.response.status_code"),
    "resource.k8s/pod-name:x": Field(Scope.RESOURCE, "k8s/pod-name:x"),
    'span."a b".c': Field(Scope.SPAN, "a b.c"),
    '."a\\"b"': Field(Scope.ANY, 'a"b'),
    "duration": Field(Scope.INTRINSIC, "duration"),
    "span:duration": Field(Scope.INTRINSIC, "duration"),
    "trace:rootService": Field(Scope.INTRINSIC, "rootServiceName"),
}


@pytest.mark.parametrize(("text", "field"), FIELDS.items())
def test_field(text, field):
    token, _ = tokens_of(text)
    assert (token.kind, token.field) == (Kind.FIELD, field)


def test_tokens_know_their_columns():
    found = [(token.text, token.column) for token in tokens_of('{ .a>="x"&&name!=`y` }|count()')]
    assert found == [
        ("{", 1), (".a", 3), (">=", 5), ('"x"', 7), ("&&", 10), ("name", 12), ("!=", 16),
        ("`y`", 18), ("}", 22), ("|", 23), ("count", 24), ("(", 29), (")", 30), ("", 31),
    ]  # fmt: skip


WRONG = {
    '{ name = "a }': "column 10: the quotes are not closed",
    "{ .a = 5x }": "column 8: this is no number and no duration (as in 5s, 200ms)",
    "{ .a = 1.2.3 }": "column 8: this is no number",
    "{ .a = 5s3 }": "column 8: this is no number",
    "{ .a ; }": "column 6: ';' has no meaning here",
    "{ .a & .b }": "column 6: '&' has no meaning here",
    "{ parent.a = 1 }": "column 3: there is no scope 'parent': an attribute is written span.KEY",
    "{ .a = 9223372036854775808 }": "column 8: this number does not fit into 64 bits",
    "{ .a = 9999999999999h }": "column 8: this number does not fit into 64 bits",
    '{ .a = "\\d" }': "column 8: \\d has no meaning in a string; write \\\\ for a backslash",
    "{" * 10_001: "column 10001: the query has more than 10000 characters",
}


@pytest.mark.parametrize(("text", "told"), WRONG.items(), ids=[told for told in WRONG.values()])
def test_wrong_text(text, told):
    with pytest.raises(QueryError) as caught:
        tokens_of(text)
    assert str(caught.value).startswith(told)


@given(st.text(alphabet='{}()=~!<>&|^,."`\\ span1sm-eξx', max_size=40) | st.text(max_size=40))
def test_any_text_is_tokens_or_an_error_within_it(text):
    tokens, column = [], 1
    try:
        tokens = tokens_of(text)
    except QueryError as error:
        column = error.column
    assert 1 <= column <= max(1, len(text))
    for token in tokens:
        assert text[token.column - 1 :].startswith(token.text)
