"""Parts of URLs: their path, query and authority (RFC 3986).

Redaction is by position where position tells (a query's values, a URL's user information) and by looks elsewhere: in a
path, a segment goes when it looks like a token that grants something (JWT, API key, random string of 20 or more
characters), an e-mail address or a payment card number. UUIDs and plain numbers stay: they name things, and traces are
searched by them.
"""

from __future__ import annotations

from typing import Final

from agent.redaction.clean import MAX_TEXT, REDACTED, text
from agent.redaction.secrets import MIN_TOKEN, is_secret, is_word

MAX_PARAMETERS: Final = 64
"""Query parameters whose keys leave."""
MAX_KEY: Final = 64
"""Characters of a query parameter's key that leave."""


def path(raw: bytes) -> str:
    """A URL's path, secret-looking segments replaced."""
    return "/".join(_segment(segment) for segment in _bounded(raw).split("/"))


def query(raw: bytes) -> str:
    """A URL's query: the keys stay, every value goes; so does a parameter that is no pair unless it is a word."""
    parameters = _bounded(raw).split("&", MAX_PARAMETERS)
    return "&".join(_parameter(parameter) for parameter in parameters[:MAX_PARAMETERS])


def authority(raw: bytes) -> str:
    """A URL's host and port; user information before them is replaced as url.full demands."""
    user, at, host = text(raw, 512).rpartition("@")
    if not at:
        return host
    return f"{REDACTED}:{REDACTED}@{host}" if ":" in user else f"{REDACTED}@{host}"


def _bounded(raw: bytes) -> str:
    """Clean text; where it is cut, what may be the beginning of a secret is cut too."""
    if len(raw) <= MAX_TEXT:
        return text(raw)
    kept = text(raw)
    return kept[: max(kept.rfind("/"), kept.rfind("&")) + 1] + REDACTED


def _segment(segment: str) -> str:
    """A path segment as it may leave, its parameters (`;key=value`, RFC 3986 §3.3) without values."""
    if ";" in segment:
        name, *parameters = segment.split(";", MAX_PARAMETERS)
        return ";".join((_segment(name), *map(_parameter, parameters[: MAX_PARAMETERS - 1])))
    return REDACTED if is_secret(segment) else segment


def _parameter(parameter: str) -> str:
    """`key=value` without the value."""
    key, equals, value = parameter.partition("=")
    if len(key) > MAX_KEY or is_secret(key):
        key = REDACTED
    if equals:
        return f"{key}={REDACTED}" if value else f"{key}="
    return key if not key or (len(key) < MIN_TOKEN and _is_name(key)) else REDACTED


def _is_name(key: str) -> bool:
    """Whether a parameter without a value is a switch such as `wsdl` or `v2` rather than a value."""
    return is_word(key) and not key.isdigit()
