"""A statement without its literals: strings, numbers and the like become `?`, comments go, lists of values are one.

Two ways with one result (a property test compares them): a statement without unusual characters takes one pass of a
pattern with a constant replacement (3 µs for 150 characters); every other one is walked token by token with its
dialect's pattern.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from agent.sql.dialect import Dialect

# Each alternative begins with characters of its own, so that the search may skip: a lookbehind in front made it twice
# as slow.
_SIMPLE = re.compile(
    r"'[^']*+(?:''[^']*+)*'?|\.(?<!\w\.)\d[\w.]*+(?:(?<=[eE])[+-]\d[\w.]*+)?"
    r"|\d(?<!\w\d)[\w.]*+(?:(?<=[eE])[+-]\d[\w.]*+)?"
)
_SPECIAL = re.compile(r"[\"\\$#`\[&?:@\x00]")
# A string behind a letter: what the letter means is not known to the short way.
_PREFIXED = re.compile(r"\?(?<=\w\?)")
_PREFIXES = frozenset("eEnNbBxXuU&qQ")

_NAME_LIKE = re.compile(r"[^\W\d][\w $#@./%\-]{0,127}")

_VALUE = r"(?:\?\d*|\$\d+|:\w+|@\w+|%s|%\(\w+\)s|(?i:NULL|DEFAULT|TRUE|FALSE))"
_VALUES_IN_ROW = re.compile(rf"[(\[] ?{_VALUE}(?: ?, ?{_VALUE})+ ?[)\]]?+(?![^\s,)\];])")
_BEFORE_LIST = re.compile(r"(?:\b(?i:IN|VALUES|VALUE|ARRAY|ANY|ALL|ROW|SOME)|[,(=]) ?\Z")
_ROWS = re.compile(r"\(\?\)(?: ?, ?\(\?\))+")
_VALUES = re.compile(r"\bVALUES? ?(?=\()", re.IGNORECASE)
_PARENTHESIS = re.compile(r"[()]")
_NEXT_ROW = re.compile(r" ?, ?(?=\(|\Z)")
# The one place where a secret is written without quotes.
_IDENTIFIED = re.compile(
    r"\b(IDENTIFIED (?:WITH [\w?]+ )?(?:BY|AS) (?:PASSWORD |VALUES )?)[^\s;?]\S*", re.I
)
# One that was cut ends the text.
_UUID = re.compile(
    r"(?<![\w-])[0-9a-fA-F]{8}-(?:(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}(?![\w-])|[0-9a-fA-F\-]{0,27}\Z)"
)
_BLOCK_EDGE = re.compile(r"/\*|\*/")


def without_literals(text: str, dialect: Dialect) -> str:
    """`text` with `?` for every literal, on one line. Cut literals and comments end where the text ends."""
    if dialect.has_uuids:
        text = _UUID.sub("0", text)
    masked = _SIMPLE.sub("?", text) if dialect.is_plain and is_simple(text) else None
    if masked is None or _PREFIXED.search(masked) is not None:
        masked = _walk(text, dialect)
    masked = " ".join(masked.split())
    if "," in masked:
        masked = _ROWS.sub("(?)", _VALUES_IN_ROW.sub(_collapse, masked))
        masked = _one_row(masked)
    if "IDENT" in masked or "ident" in masked:
        masked = _IDENTIFIED.sub(r"\1?", masked)
    return masked.rstrip("; ")


def is_simple(text: str) -> bool:
    """Whether no character in it needs a dialect: ASCII, plain strings and numbers, no comments."""
    return (
        text.isascii()
        and _SPECIAL.search(text) is None
        and "--" not in text
        and "/*" not in text
        and "*/" not in text
        and "//" not in text
    )


def _walk(text: str, dialect: Dialect) -> str:
    """Token by token. Where one may begin is found by its first character, or for strings by their quote: letters that
    may stand before a quote would be tried everywhere."""
    out: list[str] = []
    copied = at = 0
    start_of = dialect.starts.search
    token_at = dialect.tokens.match
    while (start := start_of(text, at)) is not None:
        at = start.start()
        found = None
        if start[0] == "'" and at > copied and text[at - 1] in _PREFIXES:
            found = _prefixed(text, copied, at, dialect)
        if found is None:
            found = token_at(text, at)
        if found is None:
            at += 1
            continue
        begin = found.start()
        out.append(text[copied:begin])
        copied = at = found.end()
        kind = found.lastgroup
        if kind == "keep":
            out.append(found[0])
        elif kind == "name":
            out.append(_name(found[0]))
        elif kind == "space":
            out.append(" ")
        elif kind == "block":
            copied = at = _comment_end(text, begin, is_nested=dialect.has_nested_comments)
            out.append(" ")
        else:
            out.append("?")
    out.append(text[copied:])
    return "".join(out)


def _prefixed(text: str, first: int, quote: int, dialect: Dialect) -> re.Match[str] | None:
    """The string whose quote is at `quote` and whose prefix of one or two letters begins at `first` or behind it."""
    for begin in range(max(first, quote - 2), quote):
        found = dialect.tokens.match(text, begin)
        if found is not None and found.end() > quote:
            return found
    return None


def _name(quoted: str) -> str:
    """A quoted name, if it looks like one and its end is there."""
    inner = quoted[1:-1]
    is_whole = len(quoted) > 2 and quoted[-1] == (quoted[0] if quoted[0] != "[" else "]")
    return quoted if is_whole and _NAME_LIKE.fullmatch(inner) else "?"


def _comment_end(text: str, start: int, *, is_nested: bool) -> int:
    if not is_nested:
        end = text.find("*/", start + 2)
        return len(text) if end < 0 else end + 2
    depth = 0
    for edge in _BLOCK_EDGE.finditer(text, start):
        depth += 1 if edge[0] == "/*" else -1
        if depth == 0:
            return edge.end()
    return len(text)


def _collapse(found: re.Match[str]) -> str:
    """Values only, in parentheses or brackets: one of them stands for all, where they are a list and no arguments."""
    run = found[0]
    if not _BEFORE_LIST.search(found.string, max(0, found.start() - 8), found.start()):
        return run
    return f"{run[0]}?{run[-1] if run[-1] in ')]' else ''}"


def _one_row(text: str) -> str:
    """`VALUES (…), (…), (…` with its first row alone."""
    out: list[str] = []
    at = 0
    while (found := _VALUES.search(text, at)) is not None:
        first = _row_end(text, found.end())
        if first < 0:
            break
        out.append(text[at:first])
        at = first
        while (comma := _NEXT_ROW.match(text, at)) is not None:
            end = _row_end(text, comma.end())
            at = len(text) if end < 0 else end
    out.append(text[at:])
    return "".join(out)


def _row_end(text: str, start: int) -> int:
    """Where the row that begins at `start` ends; -1 if it does not."""
    depth = 0
    for edge in _PARENTHESIS.finditer(text, start):
        depth += 1 if edge[0] == "(" else -1
        if depth == 0:
            return edge.end()
    return -1
