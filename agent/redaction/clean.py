"""Bytes from the wire as text that cannot disturb a terminal, a log or an encoder."""

from __future__ import annotations

from typing import Final

REDACTED: Final = "REDACTED"
"""The replacement that the semantic conventions name for url.full."""

MAX_TEXT: Final = 2048
"""Characters of one value that leave; longer paths and queries are rare and make spans expensive."""

_CONTROL = {
    **dict.fromkeys((*range(0x20), *range(0x7F, 0xA0)), "\ufffd"),
    **dict.fromkeys((0x2028, 0x2029, *range(0x202A, 0x202F), *range(0x2066, 0x206A)), "\ufffd"),
}
"""C0, DEL, C1, and what breaks lines or reorders text on a terminal."""


def text(raw: bytes, limit: int = MAX_TEXT) -> str:
    """At most `limit` bytes as text without control characters; nothing is taken out."""
    return clean(raw[:limit].decode("utf-8", "replace"))


def clean(decoded: str) -> str:
    """Text without control characters, lone surrogates and what reorders a line."""
    if decoded.isascii() and decoded.isprintable():
        return decoded
    return decoded.encode("utf-8", "replace").decode("utf-8").translate(_CONTROL)


def utf8(raw: bytes) -> str | None:
    """UTF-8 as text, controls included; a character that was cut at the end is left out. None if it is not UTF-8."""
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        if error.reason == "unexpected end of data":
            return raw[: error.start].decode("utf-8")
        return None
