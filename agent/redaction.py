"""What may leave a parser: secrets and control characters are taken out of text from the wire.

Pure functions from bytes to text, linear in their input, with bounded output. Redaction is by position where
position tells (a query's values, a URL's user information) and by looks elsewhere: in a path, a segment goes when it
looks like a token that grants something (JWT, API key, random string of 20 or more characters), an e-mail address or
a payment card number. UUIDs and plain numbers stay: they name things, and traces are searched by them.

What looks like a word cannot be told from one: a password in a path segment, such as /reset/hunter2, is not found.
"""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import unquote

REDACTED: Final = "REDACTED"
"""The replacement that the semantic conventions name for url.full."""

MAX_TEXT: Final = 2048
"""Characters of one value that leave; longer paths and queries are rare and make spans expensive."""
MAX_PARAMETERS: Final = 64
"""Query parameters whose keys leave."""
MAX_KEY: Final = 64
"""Characters of a query parameter's key that leave."""
MIN_TOKEN: Final = 20
"""Characters from which a random-looking segment counts as a token: AWS access keys have 20."""

_UUID = re.compile(r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")
_RUN = re.compile(rf"[A-Za-z0-9_\-.~+=:!$*,|]{{{MIN_TOKEN},}}")
_SEPARATORS = re.compile(r"[_\-.~+=:!$*,|]+")
# A part of a name that people write: one case (or capitalised), digits at one end only.
_WORD = re.compile(r"[a-z]{1,24}\d{0,8}|[A-Z][a-z]{0,23}\d{0,8}|[A-Z]{1,12}\d{0,4}|\d+[a-z]{0,4}|")
_CARD = re.compile(r"(?<!\d)[2-6](?:[ -]?\d){12,18}(?!\d)")
_CONTROL = {
    **dict.fromkeys((*range(0x20), *range(0x7F, 0xA0)), "\ufffd"),
    **dict.fromkeys((0x2028, 0x2029, *range(0x202A, 0x202F), *range(0x2066, 0x206A)), "\ufffd"),
}
"""C0, DEL, C1, and what breaks lines or reorders text on a terminal."""


def text(raw: bytes, limit: int = MAX_TEXT) -> str:
    """Bytes from the wire as bounded text without control characters; nothing is taken out."""
    decoded = raw[:limit].decode("utf-8", "replace")
    return decoded if decoded.isascii() and decoded.isprintable() else decoded.translate(_CONTROL)


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


def is_secret(segment: str) -> bool:
    """Whether one path segment looks like a credential, an e-mail address or a card number."""
    if "%" in segment:
        segment = unquote(segment)
    if "@" in segment[1:-1]:
        return True
    if len(segment) < 13:
        return False
    if any(_is_token(run) for run in _RUN.findall(_UUID.sub("", segment))):
        return True
    return any(_is_luhn(number) for number in _CARD.findall(segment))


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
    return all(_WORD.fullmatch(part) for part in _SEPARATORS.split(key)) and not key.isdigit()


def _is_token(run: str) -> bool:
    """Whether a long run of characters looks random: it is not made of words and numbers."""
    return not all(_WORD.fullmatch(part) for part in _SEPARATORS.split(run))


def _is_luhn(number: str) -> bool:
    """The check digit of payment card numbers (ISO/IEC 7812-1)."""
    digits = [int(digit) for digit in number if digit.isdigit()]
    doubled = [digit * 2 - 9 * (digit > 4) for digit in digits[-2::-2]]
    return (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0
