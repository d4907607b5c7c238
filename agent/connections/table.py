"""The live connections: events in, exchanges out.

    open   a connection, and who it is
    data   bytes: classified, read, paired
    end    one direction is over
    close  the connection is over; what is under way has failed

What an event means for a message is `session.py` and `connection.py`; this file keeps the table, sees losses, and
judges what has failed. It is over 400 lines with its hot path, `data`, which is one function because a call costs a
tenth of what it does. That path and the session give the same exchanges (tests/connections/test_paths.py).

A loss is counted where it shows: a turn number that is missing (see `_lost`), or a position beyond the one expected.
"""

from __future__ import annotations

import typing
from collections import Counter, deque
from collections.abc import Callable
from typing import Any, Final

from agent.connections.connection import INGRESS, Connection, classify, failure_of
from agent.connections.session import Session, Trouble
from agent.counters import Ledger
from agent.protocols import MAX_CLASSIFY, Protocol, Role, Verdict
from agent.protocols.pairing import Exchange, Failure

MAX_CONNECTIONS: Final = 65536
"""As many as the kernel side keeps at the most; beyond, the longest unused one is given up."""
MAX_PENDING: Final = 1024
"""Pipelined requests without an answer on one connection; beyond, it is no conversation that we can follow."""
MAX_UNDECIDED_EVENTS: Final = 2 * MAX_CLASSIFY
"""Events kept until a protocol claims them: enough for MAX_CLASSIFY bytes, one by one, in both directions."""
MAX_TROUBLE: Final = 3
"""Times that a connection's bytes may be misunderstood before it is given up."""
LOST_RECORDS: Final = "ring_full"

AF_UNIX: Final = 1


class Follower(typing.Protocol):
    """The next stage: finds out for whom an exchange was made."""

    def opened(self, connection: Connection, tid: int) -> None:
        """A watched process connected to somebody."""

    def begun(self, exchange: Exchange, tid: int, join_key: object) -> None:
        """A request's head passed, in this thread."""

    def resumed(self, exchange: Exchange, tid: int) -> None:
        """Bytes of an exchange came in, in this thread."""

    def ended(self, exchange: Exchange) -> None:
        """It has its response, or has failed."""


class Kernel(typing.Protocol):
    """What the table asks of the kernel side."""

    def mute(self, socket: int) -> None:
        """Tell no more of a socket."""

    def set_budget(self, socket: int, direction: int, size: int) -> None:
        """Capture up to `size` bytes of each turn in a direction."""


class Connections:
    """See the module's text."""

    def __init__(
        self,
        protocols: tuple[type[Protocol], ...],
        *,
        follower: Follower,
        kernel: Kernel,
        ledger: Ledger,
        identify: Callable[[int], Any],
    ) -> None:
        """`identify` gives the process of a tgid, None if it is not to be traced."""
        self._protocols = protocols
        self._follower = follower
        self._kernel = kernel
        self._ledger = ledger
        self._identify = identify
        self.finished: deque[Exchange] = deque()
        """Exchanges that are over, in that order; whoever takes them out clears it."""
        self._live: dict[int, Connection] = {}
        self.on_bug: Callable[[str, Exception], None] = lambda protocol, error: None
        """Called with a parser's unexpected exception."""

    def __len__(self) -> int:
        return len(self._live)

    def get(self, socket: int) -> Connection | None:
        """A live connection."""
        return self._live.get(socket)

    def waiting(self) -> list[Connection]:
        """Connections whose exchange under way may end without an event: bytes are moving that make none."""
        return [
            connection
            for connection in self._live.values()
            if connection.remaining > 0 or connection.session is not None
        ]

    # Events.

    def open(  # noqa: PLR0913  (the event's fields)
        self,
        *,
        time_ns: int,
        tgid: int,
        tid: int,
        socket: int,
        role: int,
        family: int,
        local: tuple[bytes, int],
        remote: tuple[bytes, int],
        peer_socket: int,
    ) -> None:
        """A socket that a watched process has."""
        before = self._live.pop(socket, None)
        if before is not None:
            self._fail_pending(before, time_ns, Failure.CLOSED_LOCALLY)
        process = self._identify(tgid)
        if process is None:
            self._ledger.connections["filtered"] += 1
            self._kernel.mute(socket)
            return
        if len(self._live) >= MAX_CONNECTIONS:
            self._evict()
        connection = Connection(socket, tgid, Role(role))
        connection.process = process
        connection.routes = process.routes
        connection.family = family
        connection.local_address, connection.local_port = local
        connection.remote_address, connection.remote_port = remote
        connection.peer_socket = peer_socket
        connection.last_used_ns = time_ns
        if connection.role is not Role.UNKNOWN:
            _settle_role(connection, connection.role, connection.role is Role.CLIENT)
        self._live[socket] = connection
        self._ledger.connections["opened"] += 1
        if connection.role is Role.CLIENT:
            self._follower.opened(connection, tid)

    def data(self, fields: tuple[Any, ...], payload: bytes) -> None:
        """Bytes passed. `fields` are those of `data_event`, in its order (probes/include/events.h)."""
        connection = self._live.get(fields[5])
        if connection is None:
            self._ledger.records_ignored["connection_unknown"] += 1
            return
        turn = fields[13]
        if turn != connection.turn:
            if turn > connection.turn + 1 and connection.protocol is not None:
                self._lost(connection, turn, fields)
            connection.turn = turn
        connection.last_used_ns = fields[0]
        connection.tid = fields[2]
        if connection.protocol is None:
            self._undecided(connection, fields, payload)
        elif connection.session is not None or not self._quick(connection, fields, payload):
            self._general(connection, fields, payload)

    def _quick(self, connection: Connection, fields: tuple[Any, ...], payload: bytes) -> bool:  # noqa: PLR0911
        """The hot path: whole heads in one event, one exchange at a time. False: not of that shape."""
        (time_ns, _, tid, _, _, _, start_ns, position, other_position, other_last_ns, size, captured,
         sequence, _, direction, _) = fields  # fmt: skip
        expected = connection.expected
        exchange = connection.quick
        remaining = connection.remaining
        if direction == connection.request_direction:
            if remaining > 0 and exchange is not None:
                # The rest of the response made no events; this one tells what passed meanwhile.
                if other_position - expected[not direction] != remaining:
                    return False
                expected[not direction] = other_position
                self._ended_quickly(connection, exchange, other_last_ns)
                exchange = None
            if exchange is not None or position != expected[direction] or captured != size:
                return False
            protocol = connection.protocol
            request = protocol.quick_request(payload)  # type: ignore[union-attr]  # checked by `data`
            if request is None:
                return False
            exchange = Exchange(protocol, connection.role, request, start_ns or time_ns)  # type: ignore[arg-type]
            exchange.connection = connection
            connection.quick = exchange
            connection.remaining = -1
            expected[direction] = position + size
            self._ledger.captured += 1
            place = sequence if connection.family != AF_UNIX else position
            self._follower.begun(exchange, tid, (connection.join_address, place))
            return True
        if exchange is None or position < expected[direction]:
            return False
        if remaining < 0:
            if position != expected[direction]:
                return False
            response = exchange.protocol.quick_response(payload, size, exchange.request)
            if response is None:
                return False
            exchange.response = response
            exchange.first_byte_ns = start_ns or time_ns
            remaining = response.size - size
        else:
            remaining -= position + size - expected[direction]
            if remaining < 0:
                # More than the response: it ended within these bytes, what follows is for the general way.
                expected[direction] = position + size + remaining
                self._ended_quickly(connection, exchange, time_ns)
                return False
        expected[direction] = position + size
        connection.remaining = remaining
        if direction == INGRESS:
            self._follower.resumed(exchange, tid)
        if not remaining:
            self._ended_quickly(connection, exchange, time_ns)
        return True

    def end(self, *, time_ns: int, socket: int, position: int, direction: int, error: int) -> None:
        """One direction is over: end of file, shutdown, or an error."""
        connection = self._live.get(socket)
        if connection is None or connection.protocol is None:
            return
        if error:
            connection.error = error
        if direction == INGRESS:
            connection.is_ended_by_peer = True
        session = connection.session
        if direction == connection.request_direction:
            if session is not None:
                session.requests.close()
            return
        if session is None and connection.quick is not None and connection.remaining < 0:
            session = self._begin_session(connection)
        if session is not None:
            session.responses.advance(position, time_ns)
            session.responses.close()
            self._step(connection, session)
        self._fail_pending(connection, time_ns, Failure.CLOSED_BY_PEER)

    def progress(  # noqa: PLR0913  (the event's fields)
        self,
        *,
        socket: int,
        positions: tuple[int, int],
        last_ns: tuple[int, int],
        turn: int,
        direction: int,
        tail: bytes,
    ) -> None:
        """How far a connection has come whose bytes make no events. `positions` and `last_ns` are by direction."""
        connection = self._live.get(socket)
        if connection is None or connection.protocol is None or turn != connection.turn:
            return
        answers = 1 - connection.request_direction
        exchange = connection.quick
        if connection.session is not None:
            stream = connection.session.responses if direction == answers else connection.session.requests
            stream.advance(positions[direction], last_ns[direction], tail=tail)
            self._step(connection, connection.session)
        elif exchange is not None and connection.remaining > 0:
            passed = positions[answers] - connection.expected[answers]
            if passed == connection.remaining:
                connection.expected[answers] = positions[answers]
                self._ended_quickly(connection, exchange, last_ns[answers])

    def close(  # noqa: PLR0913  (the event's fields)
        self,
        *,
        time_ns: int,
        socket: int,
        positions: tuple[int, int],
        last_ns: tuple[int, int],
        turn: int,
        error: int,
    ) -> None:
        """The connection is over. `positions` and `last_ns` are by direction."""
        connection = self._live.pop(socket, None)
        if connection is None:
            self._ledger.records_ignored["connection_unknown"] += 1
            return
        self._ledger.connections["closed"] += 1
        if error:
            connection.error = error
        if connection.protocol is None:
            self._lost_undecided(connection, turn)
            return
        if turn > connection.turn:
            self._lost(connection, turn + 1, None)
        answers = 1 - connection.request_direction
        exchange = connection.quick
        if exchange is not None and 0 < connection.remaining <= positions[answers] - connection.expected[answers]:
            self._ended_quickly(connection, exchange, last_ns[answers])
        session = connection.session
        if session is not None:
            for stream, direction in ((session.requests, 1 - answers), (session.responses, answers)):
                stream.advance(positions[direction], last_ns[direction])
                stream.close()
            self._step(connection, session, is_closing=True)
        why = Failure.CLOSED_BY_PEER if connection.is_ended_by_peer else Failure.CLOSED_LOCALLY
        self._fail_pending(connection, time_ns, why)

    def exclude(self, tgid: int) -> None:
        """A process is not traced any more: forget its connections. What was under way is filtered."""
        for connection in [c for c in self._live.values() if c.tgid == tgid]:
            for exchange in connection.pending():
                self._abandon(exchange, self._ledger.filtered, "process_excluded")
            self._mute(connection, "process_excluded")

    def finish(self, time_ns: int) -> None:
        """The agent stops: what is under way is told as far as it came."""
        for connection in list(self._live.values()):
            self._fail_pending(connection, time_ns, Failure.AGENT_EXIT)
        self._live.clear()

    # The general way.

    def _undecided(self, connection: Connection, fields: tuple[Any, ...], payload: bytes) -> None:
        """Keep an event until a protocol claims the connection, then replay."""
        direction = fields[14]
        head = connection.heads[direction]
        if len(head) < MAX_CLASSIFY:
            head = connection.heads[direction] = head + payload[:MAX_CLASSIFY]
        connection.kept.append((fields, payload))
        protocol, verdict = classify(self._protocols, head)
        if verdict is Verdict.MORE and fields[11] == fields[10] and len(connection.kept) < MAX_UNDECIDED_EVENTS:
            return
        if protocol is None:
            self._mute(connection, "unknown_protocol")
            return
        is_request = verdict is Verdict.REQUEST
        requests = direction if is_request else 1 - direction
        role = Role.SERVER if requests == INGRESS else Role.CLIENT
        if connection.role is not Role.UNKNOWN and role is not connection.role:
            self._mute(connection, "wrong_direction")
            return
        _settle_role(connection, role, requests)
        connection.request_parity = (fields[13] + (not is_request)) & 1
        connection.protocol = protocol()
        kept, connection.kept, connection.heads = connection.kept, [], [b"", b""]
        for before, bytes_before in kept:
            if connection.session is not None or not self._quick(connection, before, bytes_before):
                self._general(connection, before, bytes_before)

    def _general(self, connection: Connection, fields: tuple[Any, ...], payload: bytes) -> None:
        """Everything unusual."""
        (time_ns, _, _, _, _, _, start_ns, position, other_position, other_last_ns, size, _,
         sequence, turn, direction, _) = fields  # fmt: skip
        if turn == connection.skip_turn:
            connection.expected[direction] = position + size
            return
        session = connection.session or self._begin_session(connection)
        if direction == connection.request_direction:
            connection.sequence_base = sequence - position
            stream, other = session.requests, session.responses
        else:
            stream, other = session.responses, session.requests
        other.end_turn(other_position, other_last_ns)
        stream.feed(position, payload, size, time_ns, start_ns=start_ns)
        if direction == INGRESS:
            pending = connection.pending()
            if pending:
                # Responses come for the oldest request, more of a request for the newest.
                self._follower.resumed(pending[-connection.is_server], connection.tid)
        self._step(connection, session)

    def _begin_session(self, connection: Connection) -> Session:
        """Go on in the general way, from where the hot path came to."""
        protocol, exchange = connection.protocol, connection.quick
        assert protocol is not None
        requests = connection.request_direction
        positions = (connection.expected[requests], connection.expected[1 - requests])
        session = Session(protocol, connection.role, _Listener(self, connection), positions=positions)
        connection.session = session
        if exchange is not None:
            connection.quick = None
            if connection.remaining > 0:
                # Its head has been read; what is left of the body is walked over.
                session.responses.end = session.responses.position + connection.remaining
                session.responses.position = session.responses.end
                self._ended(exchange, connection.last_used_ns)
            else:
                protocol.pairing.begin(exchange)
            connection.remaining = 0
        return session

    def _step(self, connection: Connection, session: Session, *, is_closing: bool = False) -> None:
        """Read what came, and see whether the general way is still needed."""
        protocol = connection.protocol
        assert protocol is not None
        session.step()
        for error in session.failures:
            self.on_bug(protocol.name, error)
        session.failures.clear()
        if is_closing:
            return
        if protocol.wants_capture > connection.budget:
            connection.budget = protocol.wants_capture
            for direction in (0, 1):
                self._kernel.set_budget(connection.socket, direction, connection.budget)
        if protocol.is_opaque and not protocol.pairing.pending:
            self._mute(connection, "upgraded")
        elif connection.trouble >= MAX_TROUBLE or len(protocol.pairing.pending) > MAX_PENDING:
            for exchange in connection.pending():
                self._abandon(exchange, self._ledger.unparsed, Trouble.GARBAGE.value)
            self._mute(connection, "not_understood")
        elif session.is_idle:
            requests = connection.request_direction
            connection.expected[requests] = session.requests.position
            connection.expected[1 - requests] = session.responses.position
            connection.session = None

    # What is over.

    def _ended_quickly(self, connection: Connection, exchange: Exchange, time_ns: int) -> None:
        connection.quick = None
        connection.remaining = 0
        self._ended(exchange, time_ns)

    def _ended(self, exchange: Exchange, time_ns: int) -> None:
        exchange.end_ns = time_ns
        self._follower.ended(exchange)
        self.finished.append(exchange)

    def _fail_pending(self, connection: Connection, time_ns: int, why: Failure) -> None:
        """What is under way will not be answered."""
        for exchange in connection.pending():
            exchange.failure = why if why is Failure.AGENT_EXIT else failure_of(connection.error, why)
            self._ended(exchange, time_ns)
        self._forget_pending(connection)

    def _abandon(self, exchange: Exchange, counter: Counter[str], why: str) -> None:
        """No span will be made of an exchange that was counted as captured."""
        counter[why] += 1
        exchange.end_ns = exchange.start_ns
        self._follower.ended(exchange)

    def _forget_pending(self, connection: Connection) -> None:
        connection.quick = None
        connection.remaining = 0
        if connection.protocol is not None:
            connection.protocol.pairing.pending.clear()

    def _lost(self, connection: Connection, turn: int, fields: tuple[Any, ...] | None) -> None:
        """Turns between the last event's and `turn` made no events: their records were lost.

        An exchange is a turn of requests and a turn of answers, pipelining apart. Those of which the answer was
        missed are lost; so are those of which the request was.
        """
        missed = range(connection.turn + 1, turn)
        pending = connection.pending()
        if connection.quick is not None and connection.remaining > 0:
            # Its head was seen, and the end of its body: only when exactly it ended is not known.
            self._ended(connection.quick, connection.last_used_ns)
            pending = []
        for exchange in pending:
            self._abandon(exchange, self._ledger.lost, LOST_RECORDS)
        self._forget_pending(connection)
        requests = sum(1 for number in missed if number & 1 == connection.request_parity)
        self._ledger.captured += requests
        self._ledger.lost[LOST_RECORDS] += requests
        connection.session = None
        if fields is None:
            return
        direction = fields[14]
        connection.expected[direction] = fields[7]
        connection.expected[1 - direction] = fields[8]
        if turn & 1 != connection.request_parity:
            connection.skip_turn = turn

    def _lost_undecided(self, connection: Connection, turn: int) -> None:
        """A connection closed before any protocol claimed it: lost, if its records were."""
        if turn > connection.turn and connection.role is not Role.UNKNOWN:
            exchanges = (turn + 1) // 2
            self._ledger.captured += exchanges
            self._ledger.lost["ring_full_unclassified"] += exchanges

    def _mute(self, connection: Connection, why: str) -> None:
        """Nothing more is wanted of a connection."""
        self._forget_pending(connection)
        self._ledger.connections[f"muted_{why}"] += 1
        self._live.pop(connection.socket, None)
        self._kernel.mute(connection.socket)

    def _evict(self) -> None:
        """Make room: the connection that was opened first goes, with what was under way on it."""
        oldest = next(iter(self._live.values()))
        for exchange in oldest.pending():
            self._abandon(exchange, self._ledger.lost, "connections_full")
        self._mute(oldest, "connections_full")


class _Listener:
    """Connects one session with the table."""

    __slots__ = ("_connection", "_table")

    def __init__(self, table: Connections, connection: Connection) -> None:
        self._table = table
        self._connection = connection

    def begun(self, exchange: Exchange, position: int) -> None:
        """A request's head is known."""
        connection = self._connection
        exchange.connection = connection
        self._table._ledger.captured += 1
        place = position
        if connection.family != AF_UNIX:
            place = (connection.sequence_base + position) & 0xFFFFFFFF
        self._table._follower.begun(exchange, connection.tid, (connection.join_address, place))

    def ended(self, exchange: Exchange) -> None:
        """The response is whole."""
        self._table._ended(exchange, exchange.end_ns)

    def unanswerable(self, why: Trouble) -> None:
        """Something was seen that no span can be made of: what is under way is not to be paired any more."""
        connection, ledger = self._connection, self._table._ledger
        connection.trouble += 1
        pending = connection.pending()
        for exchange in pending:
            self._table._abandon(exchange, ledger.unparsed, why.value)
        if not pending:
            ledger.captured += 1
            ledger.unparsed[why.value] += 1
        self._table._forget_pending(connection)


def _settle_role(connection: Connection, role: Role, requests: int) -> None:
    """Who this end is decides in which direction requests go, and what both ends call the client's end."""
    connection.role = role
    connection.request_direction = int(requests)
    is_client = role is Role.CLIENT
    if connection.family == AF_UNIX:
        connection.join_address = connection.socket if is_client else connection.peer_socket
    elif is_client:
        connection.join_address = connection.local_address + connection.local_port.to_bytes(2, "big")
    else:
        connection.join_address = connection.remote_address + connection.remote_port.to_bytes(2, "big")
