"""Tokens → a query. By recursive descent; every error names its column.

    query     = spanset { "|" stage }
    spanset   = related { ( "&&" | "||" ) related }
    related   = single { ( ">" | ">>" | "~" ) single }
    single    = "{" [ condition ] "}" | "(" spanset ")"
    condition = compared { ( "&&" | "||" ) compared }
    compared  = field operator literal | literal operator field | "(" condition ")"
    stage     = function "(" [ field ] ")" [ operator number ] | "select" "(" field { "," field } ")"

TraceQL's own grammar gives `&&` and `||` the same precedence, most other languages do not. Where the two readings
differ (`a || b && c`), parentheses are asked for.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, TypeVar

from agent.errors import QueryError
from agent.query.lexer import Kind, Token, tokens_of
from agent.query.syntax import (
    Aggregate,
    All,
    Comparison,
    Condition,
    Either,
    Field,
    Filter,
    Function,
    Intrinsic,
    Joined,
    Literal,
    Operator,
    Query,
    Relation,
    Scope,
    Select,
    Spanset,
)
from agent.spans.span import SpanKind, Status

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_DEPTH: Final = 50
"""Of parentheses."""
MAX_PARTS: Final = 200
"""Comparisons in a query: SQLite's limit on the depth of an expression is 1000."""

_OPERATORS: Final = {operator.value: operator for operator in Operator}
_RELATIONS: Final = {relation.value: relation for relation in Relation}
_FUNCTIONS: Final = {function.value: function for function in Function}
_ORDERED: Final = {Operator.LESS, Operator.AT_MOST, Operator.GREATER, Operator.AT_LEAST}
_PATTERNED: Final = {Operator.MATCHES, Operator.MATCHES_NOT}
_MIRRORED: Final = {
    Operator.LESS: Operator.GREATER,
    Operator.AT_MOST: Operator.AT_LEAST,
    Operator.GREATER: Operator.LESS,
    Operator.AT_LEAST: Operator.AT_MOST,
}
_TIMES: Final = {Intrinsic.DURATION, Intrinsic.TRACE_DURATION}

T = TypeVar("T")


def parse(text: str) -> Query:
    """The query that `text` says. QueryError with the column if it says none."""
    return _Parser(tokens_of(text)).query()


class _Parser:
    """The tokens, and where we are among them."""

    def __init__(self, tokens: list[Token]) -> None:
        self._tokens = tokens
        self._at = 0
        self._depth = 0
        self._comparisons = 0

    @property
    def _next(self) -> Token:
        return self._tokens[self._at]

    def _take(self) -> Token:
        token = self._next
        self._at += token.kind is not Kind.END
        return token

    def _is(self, *symbols: str) -> bool:
        return self._next.kind is Kind.SYMBOL and self._next.text in symbols

    def _expect(self, symbol: str, where: str) -> None:
        if not self._is(symbol):
            raise self._wrong(f"{symbol!r} is expected {where}, not {self._next}")
        self._take()

    def _wrong(self, message: str) -> QueryError:
        return QueryError(message, column=self._next.column)

    def query(self) -> Query:
        spanset = self._spanset()
        stages = []
        while self._is("|"):
            self._take()
            stages.append(self._stage())
        if self._next.kind is not Kind.END:
            raise self._wrong(f"{self._next} is too much; a stage begins with '|'")
        return Query(spanset, tuple(stages))

    # Sets of spans.

    def _spanset(self) -> Spanset:
        return self._chain(
            self._related, lambda symbol, left, right: Joined(_RELATIONS[symbol], left, right)
        )

    def _related(self) -> Spanset:
        left = self._single()
        while self._is(">", ">>", "~"):
            relation = _RELATIONS[self._take().text]
            left = Joined(relation, left, self._single())
        return left

    def _single(self) -> Spanset:
        if self._is("("):
            return self._nested(self._spanset)
        self._expect("{", "at the beginning of a set of spans")
        condition = None if self._is("}") else self._condition()
        self._count()
        self._expect("}", "after the condition")
        return Filter(condition)

    # Conditions.

    def _condition(self) -> Condition:
        def join(symbol: str, left: Condition, right: Condition) -> Condition:
            kind: type[All | Either] = All if symbol == "&&" else Either
            before = left.parts if isinstance(left, kind) else (left,)
            return kind((*before, right))

        return self._chain(self._compared, join)

    def _compared(self) -> Condition:
        if self._is("("):
            return self._nested(self._condition)
        self._count()
        start = self._take()
        if start.kind is Kind.FIELD and start.field is not None:
            operator = self._operator(start)
            value = self._take()
            if value.kind is not Kind.LITERAL:
                raise _no_literal(value)
            return _comparison(start.field, operator, value)
        if start.kind is Kind.LITERAL:
            operator = self._operator(start)
            value = self._take()
            if value.kind is not Kind.FIELD or value.field is None or operator in _PATTERNED:
                raise QueryError("a field is compared with a value", column=start.column)
            return _comparison(value.field, _MIRRORED.get(operator, operator), start)
        raise _no_field(start)

    def _operator(self, before: Token) -> Operator:
        token = self._next
        operator = _OPERATORS.get(token.text) if token.kind is Kind.SYMBOL else None
        if operator is None:
            allowed = " ".join(_OPERATORS)
            raise self._wrong(f"one of {allowed} is expected after {before}, not {token}")
        self._take()
        return operator

    # Stages.

    def _stage(self) -> Aggregate | Select:
        token = self._take()
        if token.kind is Kind.WORD and token.text == "select":
            return self._select()
        function = _FUNCTIONS.get(token.text) if token.kind is Kind.WORD else None
        if function is None:
            known = ", ".join([*_FUNCTIONS, "select"])
            raise QueryError(f"{token} is no stage; there are {known}", column=token.column)
        self._expect("(", f"after {function.value}")
        field = None if function is Function.COUNT else self._field()
        self._expect(")", f"at the end of {function.value}(…)")
        if self._next.kind is not Kind.SYMBOL or self._next.text not in _OPERATORS:
            return Aggregate(function, field)
        operator = self._operator(token)
        value = self._take()
        if operator in _PATTERNED or not _is_number(value.literal):
            raise QueryError(
                f"{function.value}(…) is compared with a number or duration", column=value.column
            )
        assert isinstance(value.literal, int | float)
        return Aggregate(function, field, operator, value.literal)

    def _select(self) -> Select:
        self._expect("(", "after select")
        fields = [self._field()]
        while self._is(","):
            self._take()
            fields.append(self._field())
        self._expect(")", "at the end of select(…)")
        return Select(tuple(fields))

    def _field(self) -> Field:
        token = self._take()
        if token.field is None:
            raise _no_field(token)
        return token.field

    # What sets and conditions have in common.

    def _chain(self, part: Callable[[], T], join: Callable[[str, T, T], T]) -> T:
        """Parts with `&&` and `||` between them, joined from the left."""
        left = part()
        has_or = False
        while self._is("&&", "||"):
            if self._is("&&") and has_or:
                raise self._wrong("'&&' after '||': write parentheses to say which comes first")
            symbol = self._take().text
            has_or = has_or or symbol == "||"
            left = join(symbol, left, part())
        return left

    def _nested(self, part: Callable[[], T]) -> T:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise self._wrong(f"more than {MAX_DEPTH} parentheses within each other")
        self._take()
        inner = part()
        self._expect(")", "to close the parenthesis")
        self._depth -= 1
        return inner

    def _count(self) -> None:
        self._comparisons += 1
        if self._comparisons > MAX_PARTS:
            raise self._wrong(f"the query has more than {MAX_PARTS} parts")


def _comparison(field: Field, operator: Operator, value: Token) -> Comparison:
    literal = value.literal
    if field.scope is Scope.INTRINSIC:
        _check_intrinsic(Intrinsic(field.name), value)
    elif isinstance(literal, Status | SpanKind):
        raise QueryError(
            f'{value.text} is a status or kind; as an attribute\'s value write "{value.text}"',
            column=value.column,
        )
    if operator in _PATTERNED:
        return Comparison(field, operator, literal, _pattern(value))
    if operator in _ORDERED and not isinstance(literal, str) and not _is_number(literal):
        raise QueryError(f"{value.text} has no order; use = or !=", column=value.column)
    return Comparison(field, operator, literal)


def _check_intrinsic(intrinsic: Intrinsic, value: Token) -> None:
    literal = value.literal
    if intrinsic in _TIMES:
        is_fine, wanted = _is_number(literal), "a duration, such as 500ms or 5s"
    elif intrinsic is Intrinsic.STATUS:
        is_fine, wanted = isinstance(literal, Status), "error, ok or unset"
    elif intrinsic is Intrinsic.KIND:
        wanted = "server, client, internal, producer or consumer"
        is_fine = isinstance(literal, SpanKind)
    else:
        is_fine, wanted = isinstance(literal, str), 'text in quotes, such as "GET /orders/{id}"'
    if not is_fine:
        raise QueryError(f"{intrinsic} is compared with {wanted}", column=value.column)


def _is_number(literal: Literal) -> bool:
    return isinstance(literal, int | float) and not isinstance(literal, bool | Status | SpanKind)


def _pattern(value: Token) -> re.Pattern[str]:
    if not isinstance(value.literal, str):
        raise QueryError("a pattern is text in quotes", column=value.column)
    try:
        return re.compile(value.literal)
    except (re.error, OverflowError, RecursionError) as error:
        raise QueryError(f"this is no regular expression: {error}", column=value.column) from error


def _no_literal(token: Token) -> QueryError:
    if token.kind is Kind.WORD:
        return QueryError(f'text is written in quotes: "{token.text}"', column=token.column)
    return QueryError(f"a value is expected, not {token}", column=token.column)


def _no_field(token: Token) -> QueryError:
    if token.kind is Kind.WORD:
        known = ", ".join(Intrinsic)
        return QueryError(
            f"there is no {token.text!r}; there are {known}, and attributes: "
            f"span.{token.text}, resource.{token.text}, .{token.text}",
            column=token.column,
        )
    return QueryError(f"a field is expected, not {token}", column=token.column)
