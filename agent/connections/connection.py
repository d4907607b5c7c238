"""One socket, from its opening to its end, as one process sees it.

A connection is undecided until a protocol claims its first bytes, then it is that protocol's, or opaque: muted in
the kernel and forgotten here.

Messages of the common shape (a whole head in one event) are taken by `quick_request` and `quick_response`, at a
tenth of the general way's cost; `expected` says where each direction must go on for that. Whatever is unusual opens
a `Session` at that point, which closes itself when it has nothing under way.

Turns make losses visible: the kernel side numbers them, so a number that is missing is a turn whose events were lost.
They also bound the damage. Requests and responses take turns, so an exchange of which something was lost ends with the
turn of its response: both turns are skipped, and the next one begins a request, whose position the skipped response
tells. Where requests are pipelined this does not hold, and a loss is the end of what we can follow.
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
        "described",
        "doubts",
        "error",
        "expected",
        "family",
        "head_turn",
        "heads",
        "is_doubtful",
        "is_ended_by_peer",
        "is_pipelined",
        "is_tls",
        "join_address",
        "kept",
        "last_answered",
        "last_request",
        "last_request_bytes",
        "last_request_size",
        "last_response",
        "last_response_bytes",
        "last_response_size",
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
        "resume_at",
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
        self.head_turn = 0
        """The turn of the last event before that."""
        self.is_doubtful = False
        """What was seen of that turn may not be its beginning."""
        self.doubts = 0
        """Turns that no protocol claimed, but that may have been seen from the middle."""
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
        """Turns up to this one belong to an exchange that is given up; 0 if there is none."""
        self.resume_at = -1
        """Where the request after it will begin; -1 while that is not known."""
        self.is_pipelined = False
        """Requests were sent before the response to an earlier one had come."""
        self.trouble = 0
        """How often its bytes were not understood."""
        self.budget = 0
        """Bytes of a turn that the kernel side was asked to capture; 0: its default."""
        self.error = 0
        """errno that the socket reported."""
        self.is_ended_by_peer = False
        # Messages that the hot path read, as they came: what repeats need not be read again. One is kept when a
        # request of its size comes twice in a row: keeping all of them costs a cache miss for each of its lines.
        self.last_request_size = 0
        self.last_request_bytes: bytes | None = None
        self.last_request: Any = None
        self.last_response_bytes: bytes | None = None
        self.last_response_size = 0
        self.last_response: Any = None
        self.last_answered: Any = None
        """The request that `last_response` answered."""
        self.described: Any = None
        """Kept by `traces.build`: the last exchange's messages and what was made of them."""
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
