"""Whose bytes they are: events of a connection are kept until a protocol claims it."""

from __future__ import annotations

import typing
from typing import Any, Final

from agent.connections.connection import EGRESS, INGRESS, Connection, classify, settle_role
from agent.connections.deliveries import Deliveries, has_spans, may_be_server
from agent.connections.losses import LOST_RECORDS, Losses, count_requests
from agent.connections.session import Trouble
from agent.protocols import MAX_CLASSIFY, Protocol, Role, Verdict

if typing.TYPE_CHECKING:
    from collections.abc import Sequence

    from agent.connections.endpoint import Endpoint
    from agent.connections.outcomes import Outcomes

Event = tuple[tuple[Any, ...], bytes]
"""`data_event` and its payload."""

MAX_UNDECIDED_EVENTS: Final = 2 * MAX_CLASSIFY
"""Events kept until a protocol claims them: enough for MAX_CLASSIFY bytes, one by one, in both directions."""
MAX_DOUBTS: Final = 16
"""Turns that may be of no known protocol because they were seen from the middle: after a loss, or on a connection that
is older than the agent. A long body takes one."""

# A member of an enum takes 40 ns to get at through its class.
_SERVER: Final = Role.SERVER
_CLIENT: Final = Role.CLIENT


class Claims:
    """See the module's text."""

    def __init__(
        self,
        outcomes: Outcomes,
        losses: Losses,
        protocols: tuple[type[Protocol], ...],
        *,
        reports_database_servers: bool,
    ) -> None:
        self._outcomes = outcomes
        self._losses = losses
        self._protocols = protocols
        self._reports_database_servers = reports_database_servers

    def take(
        self, connection: Connection, fields: tuple[Any, ...], payload: bytes
    ) -> Sequence[Event]:
        """Keep an event until a protocol claims the connection. Gives those to be read then, mostly none."""
        position, other_position, size, captured = fields[7], fields[8], fields[10], fields[11]
        turn, direction = fields[13], fields[14]
        if connection.heads is None:
            connection.heads, connection.kept = [b"", b""], []
        expected, before = connection.expected, connection.head_turn
        is_next = position == expected[direction] and other_position == expected[1 - direction]
        expected[direction], expected[1 - direction] = position + size, other_position
        connection.head_turn = turn
        if turn == before + 1 and is_next:
            connection.is_doubtful = not before and connection.role is Role.UNKNOWN
        elif turn != before or not is_next:
            connection.is_doubtful = True
            connection.kept, connection.heads = [], [b"", b""]
        if turn == connection.skip_turn:
            return ()
        head = connection.heads[direction]
        if len(head) < MAX_CLASSIFY:
            head = connection.heads[direction] = head + payload[:MAX_CLASSIFY]
        connection.kept.append((fields, payload))
        protocol, verdict = classify(self._protocols, head)
        if verdict is Verdict.GREETING and (turn != 1 or connection.kept[0][0][7]):
            protocol = None  # not the first word
        if (
            verdict is Verdict.MORE
            and captured == size
            and len(connection.kept) < MAX_UNDECIDED_EVENTS
        ):
            return ()
        if protocol is not None:
            return self._claim(connection, protocol, turn, direction, verdict)
        self._unclaimed(connection, turn)
        return ()

    def _unclaimed(self, connection: Connection, turn: int) -> None:
        """What was kept of a connection is of no protocol."""
        if connection.role is not _SERVER and any(
            fields[14] == EGRESS and has_spans(payload) for fields, payload in connection.kept
        ):
            self._outcomes.mute(connection, "delivers_spans")
            self._outcomes.on_delivery(connection.tgid)
            return
        if connection.is_doubtful and connection.doubts < MAX_DOUBTS:
            connection.doubts += 1
            connection.skip_turn = turn
            connection.kept, connection.heads = [], [b"", b""]
            connection.deliveries = None
            return
        delivers = _delivers(connection)
        if delivers:
            self._outcomes.mute(connection, "delivers_spans")
            self._outcomes.on_delivery(connection.tgid)
        elif delivers is not None:
            self._outcomes.mute(connection, "unknown_protocol")

    def _claim(
        self,
        connection: Connection,
        protocol: type[Protocol],
        turn: int,
        direction: int,
        verdict: Verdict,
    ) -> Sequence[Event]:
        """A connection is of a protocol, as a message in `turn` shows. Gives what was kept of that turn."""
        is_request = verdict is Verdict.REQUEST
        is_greeting = verdict is Verdict.GREETING
        requests = direction if is_request else 1 - direction
        role = _SERVER if requests == INGRESS else _CLIENT
        is_new = connection.role is not Role.UNKNOWN
        if is_new and role is not connection.role:
            self._outcomes.mute(connection, "wrong_direction")
            return ()
        settle_role(connection, role, requests)
        if role is _SERVER and protocol.is_database and not self._reports_database_servers:
            self._outcomes.mute(connection, "not_reported")
            return ()
        connection.request_parity = (turn + (not is_request)) & 1
        endpoints = connection.process.endpoints
        endpoint = endpoints.learn(role, connection.server_port, protocol)
        _speak(connection, endpoint)
        provide(connection, self._outcomes)
        kept = [event for event in connection.kept if event[0][13] == turn]
        connection.kept, connection.heads = (), None
        first = kept[0][0]
        connection.expected[direction], connection.expected[1 - direction] = first[7], first[8]
        connection.skip_turn = 0
        if protocol.is_duplex:
            return kept
        missed = count_requests(connection, 1, turn)
        unasked = 0
        if is_greeting:
            pass  # nothing was missed, and what follows is read from its first byte
        elif not is_request:
            unasked = int(turn == 1)
            self._losses.skip(connection, turn)
        elif connection.is_doubtful and (is_new or turn > 1):
            missed += 1
            self._losses.skip(connection, turn + 1)
        if not is_new:
            missed, unasked = 0, missed + unasked
        self._outcomes.count(self._outcomes.ledger.lost, LOST_RECORDS, missed)
        self._outcomes.count(self._outcomes.ledger.unparsed, Trouble.NO_REQUEST.value, unasked)
        return kept


def _delivers(connection: Connection) -> bool | None:
    """Whether spans are delivered on a connection that no protocol claims; None while that is not known."""
    if connection.role is not _CLIENT:
        return False
    events, connection.kept = connection.kept, []
    assert connection.heads is not None
    if connection.heads[INGRESS] and not may_be_server(connection.heads[INGRESS]):
        return False
    if connection.deliveries is None:
        connection.deliveries = Deliveries()
    for fields, payload in events:
        if fields[14] == INGRESS:
            continue
        delivers = connection.deliveries.feed(payload)
        if delivers is not None:
            return delivers
        if fields[10] != fields[11]:
            return False  # what comes next was not captured
    return None


def recognise(
    connection: Connection, fields: tuple[Any, ...], payload: bytes, outcomes: Outcomes
) -> bool:
    """Claim a connection whose first bytes are what came last time to such a place: a whole request of its protocol."""
    if (
        fields[14] != connection.request_direction
        or fields[7]
        or fields[8]
        or fields[10] != fields[11]
    ):
        return False
    endpoint = connection.endpoint
    if endpoint is None:
        return False
    known = endpoint.known.get(len(payload))
    if (known is None or known.data != payload) and endpoint.protocol.classify(
        payload[:MAX_CLASSIFY]
    ) is not Verdict.REQUEST:
        return False
    _speak(connection, endpoint)
    if endpoint.protocol.capture:
        provide(connection, outcomes)
    return True


def provide(connection: Connection, outcomes: Outcomes) -> None:
    """Its protocol is known: ask for what that wants of every connection."""
    assert connection.speaks is not None
    outcomes.want(connection, connection.speaks.capture)


def _speak(connection: Connection, endpoint: Endpoint) -> None:
    """Its protocol is known."""
    connection.endpoint = endpoint
    protocol = connection.speaks = endpoint.protocol
    connection.shortcut = endpoint.shortcut
    if protocol.is_stateful:
        connection.protocol = protocol()
        connection.protocol.shared = endpoint.shared
        connection.shortcut = connection.protocol.quick or endpoint.shortcut
