"""Text that other processes wrote: names, arguments, environments.

It is hostile: of any length, of any bytes, meant perhaps for the terminal or the log of whoever looks. Whatever is
kept of it comes through here.
"""

from __future__ import annotations

import re
from typing import Final

# C0, DEL, C1, and what reverses or hides text on a terminal (bidirectional controls, zero-width, line separators).
_CONTROL: Final = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]"
)


def clean(raw: bytes, *, limit: int) -> str:
    """At most `limit` bytes of `raw` as text: bad UTF-8 replaced, control characters dropped."""
    if (cut := raw[:limit]).isascii():
        text = cut.decode("ascii")
        return text if text.isprintable() else _CONTROL.sub("", text)
    return _CONTROL.sub("", cut.decode("utf-8", "replace"))


def clean_text(text: str, *, limit: int) -> str:
    """The same for text that is decoded already, `limit` in characters."""
    return _CONTROL.sub("", text[:limit])
