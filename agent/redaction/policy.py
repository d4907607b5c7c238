"""What the operator decides about attributes: rules from the configuration file, and what holds without any.

    redaction:
      hash_key: a long random text
      rules:
        - {action: allow, key: "db.query.text"}
        - {action: hash, key: "client.address"}
        - {action: drop, key: "user_agent.*"}
        - {action: mask, pattern: "cust-[0-9]+"}

Rules are tried in their order, and the first whose key fits the attribute, and whose pattern is found in its value if
it has one, decides. `mask` and `hash` with a pattern replace what it finds and let the next rules see the rest; without
one they replace the value. `allow` and `drop` end the search. To what is not allowed by a rule, `mask` of
`agent.redaction.secrets` is done last, so that no rule opens a door by accident.

Rules see what parsers made, which is redacted by position before: they cannot bring back a query's values.
"""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass
from fnmatch import translate
from hashlib import blake2b
from typing import TYPE_CHECKING, Final

from agent.errors import ConfigError
from agent.redaction.clean import REDACTED
from agent.redaction.secrets import mask, mask_shapes

if TYPE_CHECKING:
    from collections.abc import Iterable

Scalar = str | int | float | bool
Value = Scalar | tuple[Scalar, ...]
"""What an attribute may hold, as in agent/spans/span.py."""

MAX_RULES: Final = 256
"""Every string attribute is tried against every rule, once per block."""
MIN_HASH_KEY: Final = 16
"""Characters; a shorter key can be searched through, and short values then with it."""

_STATEMENTS: Final = "db."
"""Attributes that hold statements without values: `password = ?` tells nothing there, and is left."""


class Action(enum.Enum):
    """What becomes of a value."""

    ALLOW = "allow"
    """It leaves as it is."""
    MASK = "mask"
    """REDACTED takes its place."""
    HASH = "hash"
    """16 hexadecimal digits take its place: the same for the same value and key, so that it can still be counted."""
    DROP = "drop"
    """The attribute does not leave."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule of the file."""

    action: Action
    key: str = "*"
    """Glob of attribute names: `db.*`."""
    pattern: str = ""
    """Regular expression that is searched in the value; empty: any value, and values that are no text, too."""


@dataclass(frozen=True, slots=True)
class Redaction:
    """The section `redaction` of the file."""

    rules: tuple[Rule, ...] = ()
    hash_key: str = ""
    """Secret of the hashes: without it, whoever has a list of values could look them up."""


@dataclass(frozen=True, slots=True)
class _Compiled:
    action: Action
    fits: re.Pattern[str]
    pattern: re.Pattern[str] | None


class Policy:
    """The rules, ready to be applied. One object per run; pure after that."""

    def __init__(self, settings: Redaction | None = None) -> None:
        """Raises ConfigError with the rule's number where one is wrong."""
        settings = settings or Redaction()
        if len(settings.rules) > MAX_RULES:
            raise ConfigError(f"setting redaction.rules: more than {MAX_RULES} rules")
        self._hash_key = settings.hash_key.encode("utf-8", "surrogatepass")[:64]
        self._rules = [_compiled(number, rule) for number, rule in enumerate(settings.rules, 1)]
        hashes = any(rule.action is Action.HASH for rule in settings.rules)
        if hashes and len(settings.hash_key) < MIN_HASH_KEY:
            raise ConfigError(
                f"setting redaction.hash_key: rules that hash need a key of {MIN_HASH_KEY} or more characters"
            )

    def apply(self, items: Iterable[tuple[str, Value]]) -> tuple[tuple[str, Value], ...]:
        """A block of attributes as it may leave. Depends on `items` alone: keep the result with the block."""
        kept = []
        for key, value in items:
            judged = self.value(key, value)
            if judged is not None:
                kept.append((key, judged))
        return tuple(kept)

    def value(self, key: str, value: Value) -> Value | None:
        """One attribute's value as it may leave; None: not at all."""
        if not self._rules and not isinstance(value, str | tuple):
            return value
        if isinstance(value, tuple):
            judged = (self._scalar(key, item) for item in value)
            return tuple(item for item in judged if item is not None) or (None if value else ())
        return self._scalar(key, value)

    def _scalar(self, key: str, value: Scalar) -> Scalar | None:
        return self._text(key, value) if isinstance(value, str) else self._other(key, value)

    def name(self, name: str) -> str:
        """A span's name as it may leave. Rules know attributes only: names are of low cardinality by their making."""
        return mask(name)

    def _text(self, key: str, text: str) -> str | None:
        for rule in self._rules:
            if not rule.fits.match(key):
                continue
            if rule.pattern is not None and rule.pattern.search(text) is None:
                continue
            if rule.action is Action.ALLOW:
                return text
            if rule.action is Action.DROP:
                return None
            if rule.pattern is None:
                return REDACTED if rule.action is Action.MASK else self._hash(text)
            replace = self._mask_found if rule.action is Action.MASK else self._hash_found
            text = rule.pattern.sub(replace, text)
        return mask_shapes(text) if key.startswith(_STATEMENTS) else mask(text)

    def _other(self, key: str, value: float) -> Scalar | None:
        """Numbers and truths have no pattern."""
        for rule in self._rules:
            if rule.pattern is not None or not rule.fits.match(key):
                continue
            if rule.action is Action.ALLOW:
                return value
            if rule.action is Action.DROP:
                return None
            return REDACTED if rule.action is Action.MASK else self._hash(str(value))
        return value

    def _hash(self, text: str) -> str:
        data = text.encode("utf-8", "surrogatepass")
        return blake2b(data, digest_size=8, key=self._hash_key).hexdigest()

    def _hash_found(self, found: re.Match[str]) -> str:
        return self._hash(found[0]) if found[0] else ""

    def _mask_found(self, found: re.Match[str]) -> str:
        return REDACTED if found[0] else ""


def _compiled(number: int, rule: Rule) -> _Compiled:
    place = f"setting redaction.rules: rule {number}"
    if not rule.key:
        raise ConfigError(f"{place}: the key is empty; `*` is every attribute")
    try:
        pattern = re.compile(rule.pattern) if rule.pattern else None
    except (re.error, OverflowError, RecursionError) as error:
        raise ConfigError(
            f"{place}: the pattern {rule.pattern!r} is no regular expression: {error}"
        ) from error
    if pattern is not None and pattern.match("") is not None:
        raise ConfigError(
            f"{place}: the pattern {rule.pattern!r} matches everything, leave it out to mean that"
        )
    return _Compiled(rule.action, re.compile(translate(rule.key)), pattern)
