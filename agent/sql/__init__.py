"""A statement as it passed → its text without values, and its summary.

    raw bytes → (text, trace context) → text without literals → Statement
                agent.sql.comment       agent.sql.literals      agent.sql.summary

Both steps are memos: of statements as sent, which repeat where parameters are used, and of statements without their
literals, which repeat anyhow. The second one pays for the summary and for the search for secrets once per shape.
What is kept is bounded by count and by length, and holds literals only as long as the statement that it was sent with.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from agent.redaction import MAX_TEXT, mask_shapes, utf8
from agent.redaction.clean import clean
from agent.sql.comment import split_comment
from agent.sql.dialect import DIALECTS, Dialect, dialect_of
from agent.sql.literals import without_literals
from agent.sql.summary import Summary, summarize

__all__ = [
    "DIALECTS",
    "Dialect",
    "Statement",
    "Summary",
    "dialect_of",
    "split_comment",
    "statement",
]

MAX_STATEMENT: Final = 16 * 1024
"""Bytes of a statement that are looked at: four times what leaves, as values take most of a long one."""
MAX_KEPT: Final = 2048
"""Statements in each memo."""
MAX_KEPT_BYTES: Final = 1024
"""Length of a statement that is kept as sent: longer ones hold values and do not come again. 2 MB at the most."""

_TOO_LONG = "…"


@dataclass(frozen=True, slots=True)
class Statement:
    """What may be told of a statement."""

    text: str
    """db.query.text: without literals, comments and secrets, on one line, at most MAX_TEXT characters."""
    summary: Summary


def statement(raw: bytes, dialect: Dialect) -> Statement:
    """The statement in `raw`, which was cut or not. Where it is cut, a value that was being told is a value."""
    if len(raw) <= MAX_KEPT_BYTES:
        return _by_bytes(raw, dialect)
    return _by_text(_masked(raw, dialect), dialect)


@lru_cache(MAX_KEPT)
def _by_bytes(raw: bytes, dialect: Dialect) -> Statement:
    return _by_text(_masked(raw, dialect), dialect)


@lru_cache(MAX_KEPT)
def _by_text(text: str, dialect: Dialect) -> Statement:
    """From a text without literals."""
    del dialect  # a part of the key alone: quotes mean names in one dialect and values in another
    text = clean(mask_shapes(text))
    summary = summarize(text)
    if len(text) > MAX_TEXT:
        text = text[: MAX_TEXT - 1] + _TOO_LONG
    return Statement(text, summary)


def _masked(raw: bytes, dialect: Dialect) -> str:
    """Without literals, at most a little longer than what leaves."""
    raw = raw[:MAX_STATEMENT]
    text = utf8(raw)
    if text is None:
        # In some character sets of two bytes the second may be a backslash: what escapes a quote is then unknown.
        text, dialect = raw.decode("latin-1"), dialect.with_unknown_backslash()
    return without_literals(text, dialect)[: 2 * MAX_TEXT]
