"""What a process's connections to or from one port have in common: their protocol, and messages that come again.

Clients repeat themselves to the byte (pollers, health checks, load generators), and so do servers within a second. What
was read of a message is kept, with what was made of it, and one comparison spares the parse the next time. A message
is never changed once the hot path has read it, so it may be shared.

A request is kept when one of its size comes for the second time, and forgotten when another one of its size comes:
messages that never come again would only fill the processor's caches.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from agent.protocols import Protocol, Role, Shortcut

MAX_ENDPOINTS: Final = 256
"""Of one process; beyond, all are learnt anew."""
MAX_KNOWN: Final = 64
"""Requests that an endpoint keeps, of different sizes."""
MAX_KEPT: Final = 2048
"""Bytes of a message that is kept: at most a quarter of a megabyte for an endpoint."""


class Known:
    """A request that may come again, and its last answer."""

    __slots__ = ("answer", "answer_size", "data", "described", "request", "response")

    def __init__(self) -> None:
        self.data = b""
        """The request; empty when another one must come first."""
        self.request: Any = None
        self.answer = b""
        """The captured beginning of its response."""
        self.answer_size = 0
        """Bytes of the response that came with it."""
        self.response: Any = None
        self.described: Any = None
        """Kept by `traces.build`: the messages, and what was made of them."""

    def answered(self, data: bytes, size: int, response: Any) -> None:
        """`response` was read from `data`, the beginning of `size` bytes; it answers `request`."""
        if len(data) <= MAX_KEPT:
            self.answer, self.answer_size, self.response = data, size, response


class Endpoint:
    """See the module's text."""

    __slots__ = ("_remembers", "known", "protocol", "shared", "shortcut")

    def __init__(self, protocol: type[Protocol]) -> None:
        self.protocol = protocol
        self.shortcut: Shortcut = protocol.shortcut()
        self._remembers = protocol.shortcut.remembers and not protocol.is_stateful
        self.known: dict[int, Known] = {}
        """By size of the request."""
        self.shared: OrderedDict[Any, Any] = OrderedDict()
        """`Protocol.shared` of its connections."""

    def remember(self, known: Known | None, data: bytes, request: Any) -> Known | None:
        """`request` was read from `data`, and `known` is another one of its size. Gives where its answer goes."""
        if not self._remembers:
            return None
        if known is None:
            if len(data) <= MAX_KEPT and len(self.known) < MAX_KNOWN:
                self.known[len(data)] = Known()
            return None
        if known.data:
            self.known[len(data)] = Known()
            return None
        # A new one: exchanges that are under way still refer to the old one.
        known = self.known[len(data)] = Known()
        known.data, known.request = data, request
        return known


def place(role: int, port: int) -> int:
    """A kind of connection: who the process is, and the server's port, as one number."""
    return role << 16 | port


class Endpoints:
    """Those of one process."""

    def __init__(self) -> None:
        self.by_place: dict[int, Endpoint] = {}
        """What the last connection spoke, by `place`."""

    def learn(self, role: Role, port: int, protocol: type[Protocol]) -> Endpoint:
        """A connection of this kind speaks `protocol`."""
        key = place(role, port)
        found = self.by_place.get(key)
        if found is None or found.protocol is not protocol:
            if len(self.by_place) >= MAX_ENDPOINTS:
                self.by_place.clear()
            found = self.by_place[key] = Endpoint(protocol)
        return found
