"""Trace context as requests carry it: W3C Trace Context level 1 (https://www.w3.org/TR/trace-context-1/)."""

from __future__ import annotations

import re
from binascii import unhexlify
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

# §3.2: version, 32 hex digits, 16, 2, all lowercase; a later version may go on after another dash (§3.2.4).
_TRACEPARENT: Final = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_ODD: Final = frozenset("13579bdf")
"""Last digits of flags with SAMPLED in them."""
_NO_TRACE: Final = bytes(16)
_NO_SPAN: Final = bytes(8)
MAX_TRACESTATE: Final = 512
"""§3.3.1.5: "Vendors SHOULD propagate at least 512 characters"; what is longer is left out whole."""


# Not frozen: that takes four times as long to make, and one is made per request that has a header.
@dataclass(slots=True)
class RemoteContext:
    """The span that a request came from, as its headers say."""

    trace_id: bytes
    span_id: bytes
    is_sampled: bool
    trace_state: str = ""


def extract(carrier: Mapping[str, str] | None) -> RemoteContext | None:
    """The context in a request's headers (names in lower case); None without a valid one."""
    if not carrier:
        return None
    found = _TRACEPARENT.fullmatch(carrier.get("traceparent", ""))
    if found is None:
        return None
    version, trace_id, span_id, flags, rest = found.groups()
    # §3.2.2: version ff is forbidden, and all-zero ids are invalid; version 00 has nothing after the flags.
    if version == "ff" or (version == "00" and rest):
        return None
    # Of 0.9 µs, int() and bytes.fromhex() took a third.
    trace, span = unhexlify(trace_id), unhexlify(span_id)
    if trace == _NO_TRACE or span == _NO_SPAN:
        return None
    state = carrier.get("tracestate", "")
    return RemoteContext(
        trace, span, flags[1] in _ODD, state if len(state) <= MAX_TRACESTATE else ""
    )


class Ids:
    """Makes ids. `random_bytes` is asked for many at once: a call for each costs five times that."""

    POOL: Final = 8192

    def __init__(self, random_bytes: Callable[[int], bytes]) -> None:
        self._random_bytes = random_bytes
        self._pool = b""
        self._at = 0

    def span_id(self) -> bytes:
        """8 bytes, not all zero."""
        at = self._at
        if at + 8 > len(self._pool):
            self._pool = self._random_bytes(self.POOL)
            at = 0
        self._at = at + 8
        made = self._pool[at : at + 8]
        return made if made != _NO_SPAN else self.span_id()

    def trace_id(self) -> bytes:
        """16 bytes, neither half all zero."""
        at = self._at
        made = self._pool[at : at + 16]
        if len(made) == 16 and made[:8] != _NO_SPAN and made[8:] != _NO_SPAN:
            self._at = at + 16
            return made
        return self.span_id() + self.span_id()
