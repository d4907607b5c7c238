"""One socket, from its opening to its end, as one process sees it.

A connection is undecided until a protocol claims its first bytes, then it is that protocol's, or opaque: muted in
the kernel and forgotten here.

Messages of the common shape (a whole head in one event) are taken by the protocol's `Shortcut`, at a
tenth of the general way's cost; `expected` says where each direction must go on for that. Whatever is unusual opens
a `Session` at that point, which closes itself when it has nothing under way.

Turns make losses visible: the kernel side numbers them, so a number that is missing is a turn whose events were lost.
They also bound the damage. Requests and responses take turns, so an exchange of which something was lost ends with the
turn of its response: both turns are skipped, and the next one begins a request, whose position the skipped response
tells. Where requests are pipelined this does not hold, and a loss is the end of what we can follow.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from agent.protocols import MAX_CLASSIFY, Protocol, Role, Verdict
from agent.protocols.pairing import Exchange, Failure

if TYPE_CHECKING:
    from agent.connections.deliveries import Deliveries
    from agent.counters import Ledger

INGRESS: Final = 0
EGRESS: Final = 1

AF_UNIX: Final = 1

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


def learn_names(exchange: Exchange, ledger: Ledger) -> None:
    """A client's exchange is over: it may have told addresses of hosts."""
    names = exchange.connection.process.names
    for address, name in exchange.protocol.names(exchange):
        if not names.learn(address, name):
            ledger.limits["names_forgotten"] += 1


class Connection:
    """See the module's text. Written by `Connections`; read by `traces`.

    Defaults are class attributes: a short connection sets half of them before its end. What the hot path asks for is
    always set: a class attribute takes longer to get at.
    """

    role = Role.UNKNOWN
    opened_ns = 0
    """Client: when it connected; 0 where that was not seen."""
    is_counted = False
    """Client: its beginning was seen, and no request was missed since."""
    requests = 0
    """Client: those so far."""
    is_tls = False
    transport = "tcp"
    """`udp` for one query by datagram; of Unix sockets the family tells."""
    family = 0
    local_address = b""
    """16 bytes, IPv4 mapped."""
    remote_address = b""
    local_port = 0
    remote_port = 0
    server_name = ""
    """Client: the name that it had looked up, if the address came from an answer."""
    peer_socket = 0
    """Unix sockets: the other end."""
    network: Any = None
    """The blocks of attributes that all its spans have; kept by `traces.build`."""
    sequence_base = 0
    """TCP sequence number of position 0 of the requests' direction."""
    opener: Exchange | None = None
    """Client: the work for which it was opened, until its first request is out."""
    protocol: Protocol | None = None
    """Its parser, once one is needed."""
    shortcut: Any = None
    """Its protocol's hot path, once it has one."""
    endpoint: Any = None
    """What is known of its protocol; before `speaks` is set, of what the last connection of its kind spoke."""
    heads: list[bytes] | None = None
    """By direction: the first bytes, until a protocol claims them."""
    kept: Any = ()
    """Events that wait for that."""
    head_turn = 0
    """The turn of the last event before that."""
    is_doubtful = False
    """What was seen of that turn may not be its beginning."""
    doubts = 0
    """Turns that no protocol claimed, but that may have been seen from the middle."""
    deliveries: Deliveries | None = None
    """What looks for spans that are delivered, while no protocol claims it."""
    request_parity = 1
    """Turns with this lowest bit are requests'."""
    skip_turn = 0
    """Turns up to this one belong to an exchange that is given up; 0 if there is none."""
    resume_at = -1
    """Where the request after it will begin; -1 while that is not known."""
    is_pipelined = False
    """Requests were sent before the response to an earlier one had come."""
    trouble = 0
    """How often its bytes were not understood."""
    budget = 0
    """Bytes of a turn that the kernel side was asked to capture; 0: its default."""
    error = 0
    """errno that the socket reported."""
    is_ended_by_peer = False
    is_closed = False

    def __init__(self, socket: int, tgid: int, process: Any) -> None:
        self.socket = socket
        self.tgid = tgid
        self.process = process
        """Who it is; has `resource`, `routes`, `endpoints` and `runtime`."""
        self.routes = process.routes
        self.speaks: type[Protocol] | None = None
        """Its protocol; None until one claims it."""
        self.session: Any = None
        """The general way, while it is needed."""
        self.dialogue: Any = None
        """What drives the readers of a protocol in which both sides begin exchanges."""
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
        self.join_address: Any = None
        """The client's end, as both ends know it."""
        self.last_used_ns = 0
        self.tid = 0
        """The thread of the last event."""
        self.origin: Any = None
        """For whom that was, as `connections.interfaces.Origin` says; None if the kernel side knows nothing of it."""

    @property
    def is_server(self) -> bool:
        """Whether requests come in here."""
        return self.role is Role.SERVER

    @property
    def server_port(self) -> int:
        """0 for Unix sockets."""
        return self.local_port if self.role is Role.SERVER else self.remote_port

    def pending(self) -> list[Exchange]:
        """Exchanges under way, oldest first."""
        if self.dialogue is not None:
            return self.dialogue.pending()  # type: ignore[no-any-return]  # as dialogue.py says
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
        if verdict is not Verdict.MORE and verdict is not Verdict.NO:
            return protocol, verdict
        is_open = is_open or verdict is Verdict.MORE
    if is_open and len(head) < MAX_CLASSIFY:
        return None, Verdict.MORE
    return None, Verdict.NO


def settle_role(connection: Connection, role: Role, requests: int) -> None:
    """Who this end is decides in which direction requests go, and what both ends call the client's end."""
    connection.role = role
    connection.request_direction = int(requests)
    is_client = role is Role.CLIENT
    if connection.family == AF_UNIX:
        connection.join_address = connection.socket if is_client else connection.peer_socket
    elif is_client:
        connection.join_address = connection.local_address + connection.local_port.to_bytes(
            2, "big"
        )
    else:
        connection.join_address = connection.remote_address + connection.remote_port.to_bytes(
            2, "big"
        )
