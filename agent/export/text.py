"""Text of strangers, made fit for a terminal or a log.

Names, paths and error messages come from traced programs and from receivers. A control character among them could
move the cursor, rewrite the screen or turn the reading direction around. What `str.isprintable` refuses (controls
C0 and C1, format and bidi characters, surrogates, line separators, odd spaces) is shown as an escape.
"""

from __future__ import annotations

from typing import Final

MAX_LENGTH: Final = 200
"""Longer values are cut: one value should not fill a screen."""


def printable(text: str, *, max_length: int = MAX_LENGTH) -> str:
    """`text` on one line, without anything that a terminal would act upon."""
    if len(text) > max_length:
        text = text[: max_length - 1] + "…"
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else _escape(c) for c in text)


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")
