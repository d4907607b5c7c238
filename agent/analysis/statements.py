"""Statements and paths without their values, so that the same work has the same text.

zerospan's own spans come with literals already replaced by `?`; SDKs' may not. Nothing here is a parser of SQL: it has
to be steady (the same statement always gives the same text), not correct. Bounded: texts are cut to MAX_TEXT first.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

MAX_TEXT: Final = 4096
MAX_KEPT: Final = 4096
"""Texts whose result is remembered."""

_COMMENT = re.compile(r"/\*.*?\*/|--[^\n]*", re.DOTALL)
_LITERAL = re.compile(
    r"""
      '(?:[^'\\]|''|\\.)*'                 # a string
    | \$\d+ | %s | %\(\w+\)s | @\w+        # placeholders of drivers
    | (?<![:\w]):\w+                       # a named one, not a ::cast
    | (?<![\w.$])[-+]?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?(?![\w.])
    | \b0[xX][0-9a-fA-F]+\b
    """,
    re.VERBOSE | re.DOTALL,
)
_LIST = re.compile(r"\(\s*\?(?:\s*,\s*\?)*\s*\)")
_ROWS = re.compile(r"\(\?\)(?:\s*,\s*\(\?\))+")
_SPACE = re.compile(r"\s+")

_KEY_VALUE = re.compile(
    r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}|(?=[a-fA-F]*\d)[0-9a-fA-F]{8,}|\d+"
)
_SEGMENT_VALUE = re.compile(
    r"""
      \d[\d\-_.:,T+Z]*
    | [0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}
    | (?=[a-fA-F]*\d)[0-9A-Fa-f]{8,}
    | .*\d{4}.*
    | (?=\D*\d).{20,}
    | REDACTED
    """,
    re.VERBOSE | re.DOTALL,
)


@lru_cache(MAX_KEPT)
def normalized(statement: str) -> str:
    """A statement of SQL with `?` for every value and one `(?)` for every list of them."""
    text = _COMMENT.sub(" ", statement[:MAX_TEXT])
    text = _LITERAL.sub("?", text)
    text = _ROWS.sub("(?)", _LIST.sub("(?)", text))
    return _SPACE.sub(" ", text).strip(" ;")


@lru_cache(MAX_KEPT)
def key_pattern(command: str) -> str:
    """A cache's command with `?` for what looks like a value in its keys: `GET user:?:cart`."""
    return _SPACE.sub(" ", _KEY_VALUE.sub("?", command[:MAX_TEXT])).strip()


def verb(statement: str) -> str:
    """The statement's first word in capitals; of `WITH …` the word that says what it does."""
    words = statement.split(None, 1)
    first = words[0].upper().strip("(;") if words else ""
    if first == "WITH":
        found = re.search(r"\b(INSERT|UPDATE|DELETE|MERGE)\b", statement, re.IGNORECASE)
        return found[1].upper() if found else "SELECT"
    return first


def path_of(url: str) -> str:
    """The path of an absolute or relative URL; `/` for an empty one."""
    rest = url[:MAX_TEXT].partition("?")[0].partition("#")[0]
    if "://" in rest:
        rest = "/" + rest.partition("://")[2].partition("/")[2]
    return rest or "/"


def path_template(path: str) -> str:
    """A path with `{id}` for the segments that look like values."""
    return "/".join("{id}" if is_value(segment) else segment for segment in path.split("/"))


def path_values(path: str) -> frozenset[str]:
    """The segments of a path that look like values."""
    return frozenset(segment for segment in path.split("/") if is_value(segment))


def is_value(segment: str) -> bool:
    """Whether a path's segment names one thing of many."""
    return _SEGMENT_VALUE.fullmatch(segment) is not None
