"""Trace context in comments: https://google.github.io/sqlcommenter/spec/

    SELECT 1 /*action='show',traceparent='00-4bf9…-01',tracestate='congo%3Dt61'*/

Drivers append the comment, or put it in front. It is read and taken off before anything else is done: with it, every
statement would be one of a kind. Comments elsewhere are just removed with the others (agent/sql/literals.py).
"""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import unquote_to_bytes

MAX_COMMENT: Final = 2048
"""Bytes of a comment that are looked at: tracestate has 512 characters, and a `%` may triple each."""

_PAIRS = rb"\s*[\w%.\-]+='(?:[^'\\]|\\.)*'(?:\s*,\s*[\w%.\-]+='(?:[^'\\]|\\.)*')*\s*"
_COMMENT = re.compile(rb"/\*" + _PAIRS + rb"\*/")
_FIELD = re.compile(rb"(?<![\w%.\-])(traceparent|tracestate)='([^'\\]*+)'")


def split_comment(raw: bytes) -> tuple[bytes, dict[str, str] | None]:
    """The statement without a comment of pairs at its end or beginning, and the trace context in that.

    The context is None where there is none; its values are as they would stand in a header, not checked.
    """
    if b"='" not in raw:
        return raw, None
    end = raw.rstrip(b"; \t\r\n")
    if end.endswith(b"*/"):
        start = end.rfind(b"/*", -MAX_COMMENT)
        if start >= 0 and _COMMENT.fullmatch(end, start):
            return end[:start].rstrip(), _carrier(end[start:])
    found = _COMMENT.match(raw[:MAX_COMMENT].lstrip()) if raw[:1] in b"/ \t\r\n" else None
    if found is not None:
        return raw.lstrip()[found.end() :].lstrip(), _carrier(found[0])
    return raw, None


def _carrier(comment: bytes) -> dict[str, str] | None:
    fields = {name.decode(): value for name, value in _FIELD.findall(comment)}
    if "traceparent" not in fields:
        return None
    return {name: unquote_to_bytes(value).decode("latin-1") for name, value in fields.items()}
