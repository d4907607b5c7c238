"""One socket, from its opening to its end, as one process sees it.

A connection is undecided until a protocol claims its first bytes, then it is that protocol's, or opaque: muted in
the kernel and forgotten here.

Messages of the common shape (a whole head in one event) are taken by `quick_request` and `quick_response`, at a
tenth of the general way's cost; `expected` says where each direction must go on for that. Whatever is unusual opens
a `Session` at that point, which closes itself when it has nothing under way.

Turns make losses visible: the kernel side numbers them, so a number that is missing is a turn whose events were lost.
"""

from __future__ import annotations

from typing import Any, Final

from agent.protocols import MAX_CLASSIFY, Protocol, Role, Verdict
from agent.protocols.pairing import Exchange, Failure

INGRESS: Final = 0
EGRESS: Final = 1

# errno, as the kernel gives it (asm-generic/errno.h)
_FAILURES: Final = {
    104: Failure.RESET,
    32: Failure.RESET,
    103: Failure.RESET,
    110: Failure.TIMEOUT,
    111: Failure.REFUSED,
}


def failure_of(errno: int, otherwise: Failure) -> Failure:
    """What an error on the socket means for the exchanges under way."""
    if errno == 0:
        return otherwise
    return _FAILURES.get(errno, Failure.RESET)


class Connection:
    """See the module's text. Written by `Connections`; read by `traces`."""

    __slots__ = (
        "budget",
        "error",
        "expected",
        "family",
        "heads",
        "is_ended_by_peer",
        "is_tls",
        "join_address",
        "kept",
        "last_used_ns",
        "local_address",
        "local_port",
        "network",
        "opener",
        "peer_socket",
        "process",
        "protocol",
        "quick",
        "remaining",
        "remote_address",
        "remote_port",
        "request_direction",
        "request_parity",
        "role",
        "routes",
        "sequence_base",
        "session",
        "skip_turn",
        "socket",
        "tgid",
        "tid",
        "trouble",
        "turn",
    )

    def __init__(self, socket: int, tgid: int, role: Role) -> None:
        self.socket = socket
        self.tgid = tgid
        self.role = role
        self.process: Any = None
        """Who it is; has `resource` and `routes`."""
        self.routes: Any = None
        self.is_tls = False
        self.family = 0
        self.local_address = b""
        """16 bytes, IPv4 mapped."""
        self.remote_address = b""
        self.local_port = 0
        self.remote_port = 0
        self.peer_socket = 0
        """Unix sockets: the other end."""
        self.network: Any = None
        """The block of attributes that all its spans have."""
        self.join_address: Any = None
        """The client's end, as both ends know it."""
        self.sequence_base = 0
        """TCP sequence number of position 0 of the requests' direction."""
        self.opener: Exchange | None = None
        """Client: the work for which it was opened, until its first request is out."""
        self.protocol: Protocol | None = None
        self.heads = [b"", b""]
        """By direction: the first bytes, until a protocol claims them."""
        self.kept: list[tuple[tuple[Any, ...], bytes]] = []
        """Events that wait for that."""
        self.session: Any = None
        """The general way, while it is needed."""
        self.quick: Exchange | None = None
        """The exchange under way on the hot path."""
        self.remaining = 0
        """Bytes of its response that have not been seen; -1 before its head."""
        self.expected = [0, 0]
        """By direction: where the next event must begin."""
        self.turn = 0
        """Of the last event."""
        self.request_direction = -1
        """The direction of requests: -1 while not known."""
        self.request_parity = 1
        """Turns with this lowest bit are requests'."""
        self.skip_turn = 0
        """A turn that belongs to a lost exchange."""
        self.trouble = 0
        """How often its bytes were not understood."""
        self.budget = 0
        """Bytes of a turn that the kernel side was asked to capture; 0: its default."""
        self.error = 0
        """errno that the socket reported."""
        self.is_ended_by_peer = False
        self.last_used_ns = 0
        self.tid = 0
        """The thread of the last event."""

    @property
    def is_server(self) -> bool:
        """Whether requests come in here."""
        return self.role is Role.SERVER

    def pending(self) -> list[Exchange]:
        """Exchanges under way, oldest first."""
        if self.quick is not None:
            return [self.quick]
        if self.protocol is None:
            return []
        return list(self.protocol.pairing.pending)


def classify(
    protocols: tuple[type[Protocol], ...], head: bytes
) -> tuple[type[Protocol] | None, Verdict]:
    """Which protocol a direction's first bytes are of. (None, MORE): undecided; (None, NO): of none."""
    is_open = False
    for protocol in protocols:
        verdict = protocol.classify(head)
        if verdict in (Verdict.REQUEST, Verdict.RESPONSE):
            return protocol, verdict
        is_open = is_open or verdict is Verdict.MORE
    if is_open and len(head) < MAX_CLASSIFY:
        return None, Verdict.MORE
    return None, Verdict.NO
