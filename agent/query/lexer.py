"""A query's text → tokens.

The words are those of TraceQL (https://grafana.com/docs/tempo/latest/traceql/construct-traceql-queries/). An attribute
is one token: a scope, a dot, and all that is neither space nor one of `{}()=~!<>&|^,"`; parts in quotes may hold
anything, as in `span."a key"`. A duration is what Go writes: 1.5s, 1m30s, 200us.
"""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass
from typing import Final

from agent.errors import QueryError
from agent.query.syntax import Field, Intrinsic, Literal, Scope
from agent.spans.span import SpanKind, Status

MAX_LENGTH: Final = 10_000
"""Characters of a query."""


class Kind(enum.Enum):
    """What a token is."""

    SYMBOL = "a symbol"
    WORD = "a word"
    FIELD = "a field"
    LITERAL = "a value"
    END = "the end"


@dataclass(frozen=True, slots=True)
class Token:
    """A piece of a query."""

    kind: Kind
    text: str
    column: int
    """Of its first character, from 1."""
    field: Field | None = None
    literal: Literal = None

    def __str__(self) -> str:
        return "the end" if self.kind is Kind.END else repr(self.text)


UNITS_NS: Final = {
    "ns": 1,
    "us": 1_000,
    "µs": 1_000,
    "μs": 1_000,
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "m": 60_000_000_000,
    "h": 3_600_000_000_000,
}
"""Both micro signs, as in Go's time.ParseDuration."""

_PART: Final = r'(?:[^\s{}()=~!<>&|^,"]|"(?:[^"\\]|\\.)*")+'
_UNIT: Final = "ns|us|µs|μs|ms|s|m|h"
_TOKEN: Final = re.compile(
    rf"""
    (?P<space>\s+)
    | (?P<string>"(?:[^"\\]|\\.)*"|`[^`]*`)
    | (?P<duration>-?(?:\d+(?:\.\d+)?(?:{_UNIT}))+(?![\w.]))
    | (?P<float>-?\d+(?:\.\d+(?:[eE][+-]?\d+)?|[eE][+-]?\d+)(?![\w.]))
    | (?P<integer>-?\d+(?![\w.]))
    | (?P<attribute>(?:span|resource)?\.{_PART})
    | (?P<word>[A-Za-z_]\w*(?::[A-Za-z]+)?(?:\.{_PART})?)
    | (?P<symbol>&&|\|\||=~|!~|!=|<=|>=|>>|[{{}}()=<>~|,])
    """,
    re.VERBOSE,
)
_LENGTH: Final = re.compile(rf"(\d+(?:\.\d+)?)({_UNIT})")
_QUOTED: Final = re.compile(r'"((?:[^"\\]|\\.)*)"')
_ESCAPE: Final = re.compile(r"\\(u[0-9a-fA-F]{4}|x[0-9a-fA-F]{2}|.)", re.DOTALL)
_ESCAPES: Final = {"n": "\n", "t": "\t", "r": "\r", '"': '"', "\\": "\\", "'": "'"}

_ALIASES: Final = {
    "span:name": Intrinsic.NAME,
    "span:status": Intrinsic.STATUS,
    "span:statusMessage": Intrinsic.STATUS_MESSAGE,
    "span:kind": Intrinsic.KIND,
    "span:duration": Intrinsic.DURATION,
    "trace:rootName": Intrinsic.ROOT_NAME,
    "trace:rootService": Intrinsic.ROOT_SERVICE_NAME,
    "trace:duration": Intrinsic.TRACE_DURATION,
}
"""TraceQL's newer spelling, with the scope before a colon."""
_INTRINSICS: Final = {intrinsic.value: intrinsic for intrinsic in Intrinsic} | _ALIASES
_LITERALS: Final[dict[str, Literal]] = {
    "true": True,
    "false": False,
    "nil": None,
    **{status.name.lower(): status for status in Status},
    **{kind.name.lower(): kind for kind in SpanKind},
}


def tokens_of(text: str) -> list[Token]:
    """The tokens, the last one of kind END. QueryError where there is none."""
    if len(text) > MAX_LENGTH:
        raise QueryError(f"the query has more than {MAX_LENGTH} characters", column=MAX_LENGTH + 1)
    tokens = []
    at = 0
    while at < len(text):
        found = _TOKEN.match(text, at)
        if found is None:
            raise _no_token(text, at)
        if found.lastgroup != "space":
            tokens.append(_token(str(found.lastgroup), found.group(), at + 1))
        at = found.end()
    tokens.append(Token(Kind.END, "", len(text) + 1))
    return tokens


def _no_token(text: str, at: int) -> QueryError:
    if text[at] in '"`':
        return QueryError("the quotes are not closed", column=at + 1)
    if text[at].isdigit() or text[at] == "-":
        return QueryError("this is no number and no duration (as in 5s, 200ms)", column=at + 1)
    return QueryError(f"{text[at]!r} has no meaning here", column=at + 1)


def _token(group: str, text: str, column: int) -> Token:
    match group:
        case "string":
            literal = text[1:-1] if text[0] == "`" else _unescape(text[1:-1], column)
            return Token(Kind.LITERAL, text, column, literal=literal)
        case "duration":
            return Token(Kind.LITERAL, text, column, literal=_bounded(_length(text), column))
        case "integer":
            return Token(Kind.LITERAL, text, column, literal=_bounded(int(text), column))
        case "float":
            return Token(Kind.LITERAL, text, column, literal=float(text))
        case "attribute" | "word":
            return _attribute(text, column) if group == "attribute" else _word(text, column)
        case _:
            return Token(Kind.SYMBOL, text, column)


def _word(text: str, column: int) -> Token:
    if text in _INTRINSICS:
        field = Field(Scope.INTRINSIC, _INTRINSICS[text].value)
        return Token(Kind.FIELD, text, column, field=field)
    if text in _LITERALS:
        return Token(Kind.LITERAL, text, column, literal=_LITERALS[text])
    if "." in text:
        scope = text.partition(".")[0]
        raise QueryError(
            f"there is no scope {scope!r}: an attribute is written span.KEY, resource.KEY or .KEY",
            column=column,
        )
    return Token(Kind.WORD, text, column)


def _attribute(text: str, column: int) -> Token:
    scope, _, name = text.partition(".")
    key = _QUOTED.sub(lambda quoted: _unescape(quoted[1], column), name)
    return Token(Kind.FIELD, text, column, field=Field(Scope(f"{scope}."), key))


def _length(text: str) -> int:
    """A duration in nanoseconds."""
    total = sum(
        _product(number, UNITS_NS[unit]) for number, unit in _LENGTH.findall(text.removeprefix("-"))
    )
    return -total if text.startswith("-") else total


def _product(number: str, unit_ns: int) -> int:
    """Exact: floating point would make 0.3 s one nanosecond short."""
    whole, _, part = number.partition(".")
    size: int = 10 ** len(part)
    return int(whole + part) * unit_ns // size


def _bounded(number: int, column: int) -> int:
    if not -(1 << 63) <= number < 1 << 63:
        raise QueryError("this number does not fit into 64 bits", column=column)
    return number


def _unescape(text: str, column: int) -> str:
    def replace(found: re.Match[str]) -> str:
        code = found[1]
        if code[0] in "ux" and len(code) > 1:
            return chr(int(code[1:], 16))
        if code not in _ESCAPES:
            raise QueryError(
                f"\\{code} has no meaning in a string; write \\\\ for a backslash, or use `…`",
                column=column,
            )
        return _ESCAPES[code]

    return _ESCAPE.sub(replace, text)
