"""What looks like a secret: shapes that issuers document, and random strings.

`mask` goes through any text and knows only shapes that are hardly ever anything else: it may run over ids, commands
and names without harm. `is_secret` judges one word whose neighborhood is known, and takes whatever looks random.

Every pattern is linear: what repeats is possessive or bounded, and begins where its run of characters does.
"""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import unquote

from agent.redaction.clean import REDACTED

MIN_TOKEN: Final = 20
"""Characters from which a random-looking word counts as a token: AWS access keys have 20."""

_UUID = re.compile(r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")
_RUN = re.compile(rf"[A-Za-z0-9_\-.~+=:!$*,|]{{{MIN_TOKEN},}}")
_SEPARATORS = re.compile(r"[_\-.~+=:!$*,|]+")
# A part of a name that people write: one case (or capitalised), digits at one end only.
_WORD = re.compile(r"[a-z]{1,24}\d{0,8}|[A-Z][a-z]{0,23}\d{0,8}|[A-Z]{1,12}\d{0,4}|\d+[a-z]{0,4}|")
_CARD = re.compile(r"(?<!\d)[2-6](?:[ -]?\d){12,18}(?!\d)")

# Prefixes that issuers gave their credentials so that scanners find them, and the least that follows.
_ISSUED = (
    r"(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{12,}+",  # AWS: access keys
    r"gh[pousr]_[A-Za-z0-9]{16,}+",  # GitHub
    r"github_pat_\w{16,}+",
    r"gl(?:pat|ptt|dt|rt|cbt|soat|ft|imt|agent)-[\w\-]{16,}+",  # GitLab
    r"xox[abceoprs]-[\w\-]{8,}+",  # Slack
    r"xapp-[\w\-]{8,}+",
    r"AIza[\w\-]{30,}+",  # Google: API keys, OAuth
    r"ya29\.[\w\-.]{10,}+",
    r"GOCSPX-[\w\-]{10,}+",
    r"[rsp]k_(?:live|test)_\w{8,}+",  # Stripe
    r"whsec_[\w+/=]{8,}+",
    r"sk-[\w\-]{16,}+",  # OpenAI, Anthropic and kin
    r"npm_[A-Za-z0-9]{20,}+",
    r"pypi-[\w\-]{16,}+",
    r"SG\.[\w\-]{10,}+\.[\w\-]{10,}+",  # SendGrid
    r"(?:SK|AC)[0-9a-f]{32}",  # Twilio
    r"(?:dop|doo|dor)_v1_[0-9a-f]{32,}+",  # DigitalOcean
    r"hv[sbr]\.[\w\-]{16,}+",  # HashiCorp Vault
    r"shp(?:at|ca|pa|ss)_[0-9a-fA-F]{16,}+",  # Shopify
    r"dckr_pat_[\w\-]{16,}+",  # Docker
    r"dapi[0-9a-f]{32}",  # Databricks
    r"key-[0-9a-zA-Z]{32}",  # Mailgun
    r"sq0[a-z]{3}-[\w\-]{20,}+",  # Square
    r"EAA[A-Za-z0-9]{40,}+",  # Facebook
    r"AGE-SECRET-KEY-1[A-Z0-9]{20,}+",
    r"[0-9]{8,10}:[\w\-]{30,}+",  # Telegram bots
    # JSON Web Tokens (RFC 7519): `eyJ` is base64 for `{"`.
    r"eyJ[\w\-]{6,}+(?:\.[\w\-]*+){0,4}",
)
_KNOWN = re.compile(rf"(?<![A-Za-z0-9])(?:{'|'.join(_ISSUED)})")

# RFC 7468: textual encodings of keys; a key whose end was cut goes to the end of the text.
_PEM = re.compile(
    r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----.*?"
    r"(?:-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----|\Z)",
    re.DOTALL,
)
# RFC 9110 §11.6.2: credentials behind their scheme.
_SCHEME = re.compile(
    r"(?<![A-Za-z0-9])((?i:bearer|negotiate|digest|aws4-hmac-sha256)\s{1,4}"
    # Not where it is the adjective before a noun.
    r"|(?i:basic)\s{1,4}(?![a-z]++(?![^\s.,;:!?)])))"
    r"[^\s\"',;]{8,}+"
)
_USER_INFORMATION = re.compile(r"(?<=://)[^/?#\s@\"'<>]*+@(?:[^/?#\s@\"'<>]*+@)*")
_NAMED = re.compile(
    r"((?i:passw(?:or)?d|passphrase|pwd|secret|token|api[_\-]?key|access[_\-]?key|accountkey"
    r"|private[_\-]?key|authorization|credentials?|session_?id|sig(?:nature)?)[\"']?\s{0,4}[=:]\s{0,4})"
    r"(\"[^\"]*+\"?|'[^']*+'?|[^\s\"'&,;)}\]]++)"
)
_EMAIL = re.compile(r"(?<![\w.+%\-])[\w.+%\-]++@[\w\-]++(?:\.[\w\-]++)+")


def mask(value: str) -> str:
    """Text in which all that looks like a credential, an e-mail address or a card number is REDACTED.

    What tells a kind stays: the scheme before a token, the name before its value.
    """
    if "-----BEGIN" in value:
        value = _PEM.sub(REDACTED, value)
    value = _SCHEME.sub(rf"\g<1>{REDACTED}", value)
    if "=" in value or ":" in value:
        value = _NAMED.sub(_mask_named, value)
    return mask_shapes(value)


def mask_shapes(value: str) -> str:
    """As `mask`, for text whose values are gone: what names a value (`password = …`) is not looked at."""
    if "://" in value and "@" in value:
        value = _USER_INFORMATION.sub(_mask_user, value)
    value = _KNOWN.sub(REDACTED, value)
    if "@" in value:
        value = _EMAIL.sub(REDACTED, value)
    return _CARD.sub(_mask_card, value)


def is_secret(segment: str) -> bool:
    """Whether one path segment looks like a credential, an e-mail address or a card number."""
    if "%" in segment:
        segment = unquote(segment)
    if "@" in segment[1:-1]:
        return True
    if len(segment) < 13:
        return False
    if any(is_token(run) for run in _RUN.findall(_UUID.sub("", segment))):
        return True
    return any(has_card(number) for number in _CARD.findall(segment))


def is_token(run: str) -> bool:
    """Whether a long run of characters looks random: it is not made of words and numbers."""
    return not is_word(run)


def is_word(name: str) -> bool:
    """Whether people could have written it: words and numbers, with separators."""
    return all(_WORD.fullmatch(part) for part in _SEPARATORS.split(name))


def has_card(number: str) -> bool:
    """Whether digits in groups are a card number, or some neighboring groups of them are."""
    groups = re.findall(r"\d+", number)
    for first in range(len(groups)):
        digits = ""
        for group in groups[first:]:
            digits += group
            if len(digits) > 12 and is_luhn(digits):
                return True
    return False


def is_luhn(number: str) -> bool:
    """The check digit of payment card numbers (ISO/IEC 7812-1)."""
    digits = [int(digit) for digit in number]
    doubled = [digit * 2 - 9 * (digit > 4) for digit in digits[-2::-2]]
    return (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0


def _mask_user(found: re.Match[str]) -> str:
    return f"{REDACTED}:{REDACTED}@" if ":" in found[0] else f"{REDACTED}@"


def _mask_named(found: re.Match[str]) -> str:
    # A scheme that was masked before stays: `Authorization: Bearer REDACTED`.
    is_scheme = found[2].lower() in ("bearer", "basic", "negotiate", "digest", "aws4-hmac-sha256")
    return found[0] if is_scheme else found[1] + REDACTED


def _mask_card(found: re.Match[str]) -> str:
    return REDACTED if has_card(found[0]) else found[0]
