"""The live connections: events in, exchanges out.

    open   a connection, and who it is
    data   bytes: classified, read, paired
    end    one direction is over
    close  the connection is over; what is under way has failed

What is common is done here, in the hot path, `_quick`, which is one function because a call costs a tenth of what it
does. All else has its own file: `claims.py` finds the protocol, `general.py` reads what is unusual, `duplex.py` what both
sides begin, `losses.py` counts what is missing, and `outcomes.py` has the ends of exchanges and connections. The hot path
and the general way give the same exchanges (tests/connections/test_paths.py).
"""

from __future__ import annotations

import typing
from typing import Any, Final

from agent.connections.claims import Claims, recognise
from agent.connections.connection import AF_UNIX, EGRESS, INGRESS, Connection, settle_role
from agent.connections.duplex import Duplex
from agent.connections.endpoint import place
from agent.connections.general import General
from agent.connections.losses import Losses
from agent.protocols import Protocol, Role
from agent.protocols.pairing import Exchange, Failure

if typing.TYPE_CHECKING:
    from collections.abc import Callable

    from agent.connections.outcomes import Outcomes


MAX_CONNECTIONS: Final = 65536
"""Twice what the kernel side keeps by default; beyond, the one that was opened first is given up."""
MAX_EXITED: Final = 4096
"""Processes that ended lately: more than end in EXIT_NS."""
EXIT_NS: Final = 1_000_000_000
"""How long the kernel may take to close the sockets of a process that ended."""
CAUSE_RESULT: Final = 6
"""Its namesake in probes/include/events.h. It and higher ones tell for whom an answer's bytes were sent."""
CLOSE_ENDED_BY_PEER: Final = 0x80000000
"""Its namesake in probes/include/events.h."""

# A member of an enum takes 40 ns to get at through its class.
_SERVER: Final = Role.SERVER
_CLIENT: Final = Role.CLIENT
_AS_SERVER: Final = place(_SERVER, 0)
_AS_CLIENT: Final = place(_CLIENT, 0)


class Connections:
    """See the module's text."""

    def __init__(
        self,
        protocols: tuple[type[Protocol], ...],
        outcomes: Outcomes,
        identify: Callable[[int], Any],
        *,
        reports_database_servers: bool = True,
    ) -> None:
        """`identify` gives the process of a tgid, None if it is not to be traced."""
        self._identify = identify
        self.outcomes = outcomes
        self._follower = outcomes.follower
        self._kernel = outcomes.kernel
        self._ledger = outcomes.ledger
        self._losses = Losses(self.outcomes)
        self._general = General(self.outcomes, self._losses)
        self._duplex = Duplex(self.outcomes)
        self._claims = Claims(
            self.outcomes,
            self._losses,
            protocols,
            reports_database_servers=reports_database_servers,
        )
        self._live = self.outcomes.live
        self.finished = self.outcomes.finished
        """Exchanges that are over, in that order; whoever takes them out clears it."""
        self._exited: dict[int, int] = {}
        """By tgid: when a process ended whose sockets are being closed."""

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

    def open(self, fields: tuple[Any, ...]) -> None:
        """A socket that a watched process has: `open_event`."""
        (time_ns, tgid, tid, _, _, socket, peer_socket, _, local_port, remote_port, local_address,
         remote_address, family, role, task, _, _, _, cause) = fields  # fmt: skip
        before = self._live.pop(socket, None)
        if before is not None:
            self.outcomes.fail_pending(before, time_ns, Failure.CLOSED_LOCALLY)
        process = self._identify(tgid)
        if process is None:
            self._ledger.connections["filtered"] += 1
            self._kernel.mute(socket)
            return
        if len(self._live) >= MAX_CONNECTIONS:
            self.outcomes.evict()
        connection = Connection(socket, tgid, process)
        connection.family = family
        connection.local_address, connection.local_port = local_address, local_port
        connection.remote_address, connection.remote_port = remote_address, remote_port
        connection.peer_socket = peer_socket
        connection.last_used_ns = time_ns
        self._live[socket] = connection
        self._ledger.connections["opened"] += 1
        if role == _SERVER:
            settle_role(connection, _SERVER, INGRESS)
            connection.endpoint = process.endpoints.by_place.get(_AS_SERVER | local_port)
        elif role == _CLIENT:
            settle_role(connection, _CLIENT, EGRESS)
            connection.endpoint = process.endpoints.by_place.get(_AS_CLIENT | remote_port)
            connection.opened_ns = time_ns
            connection.is_counted = True
            connection.server_name = process.names.of(remote_address)
            self._follower.opened(connection, tid, fields[14:] if task or cause else None)

    def data(self, fields: tuple[Any, ...], payload: bytes) -> None:
        """Bytes passed: `data_event`."""
        connection = self._live.get(fields[5])
        if connection is None:
            self._ledger.records_ignored["connection_unknown"] += 1
            return
        turn = fields[13]
        if turn != connection.turn:
            if (
                turn != connection.turn + 1
                and connection.dialogue is None
                and not self._losses.lost(connection, turn, fields)
            ):
                return
            connection.turn = turn
        connection.last_used_ns = fields[0]
        if fields[20] >= CAUSE_RESULT and fields[14] and connection.role is _SERVER:
            pending = connection.pending()
            if len(pending) == 1:
                self._follower.answered(pending[0], fields[16:])
        if connection.speaks is None and not (
            turn == 1 and recognise(connection, fields, payload, self.outcomes)
        ):
            for kept in self._claims.take(connection, fields, payload):
                if connection.session is not None or not self._quick(connection, *kept):
                    self._take_slowly(connection, *kept)
        elif connection.session is not None or not self._quick(connection, fields, payload):
            self._take_slowly(connection, fields, payload)

    def _take_slowly(self, connection: Connection, fields: tuple[Any, ...], payload: bytes) -> None:
        """An event that is not of the hot path's shape."""
        connection.tid = fields[2]
        connection.origin = fields[16:] if fields[16] or fields[20] else None
        if connection.speaks.is_duplex:  # type: ignore[union-attr]  # as it says
            self._duplex.feed(connection, fields, payload)
            return
        while not self._general.feed(connection, fields, payload):
            if connection.session is None and self._quick(connection, fields, payload):
                return

    def _quick(self, connection: Connection, fields: tuple[Any, ...], payload: bytes) -> bool:  # noqa: C901, PLR0911, PLR0912
        """The hot path: whole heads in one event, one exchange at a time. False: not of that shape."""
        (time_ns, _, tid, _, _, _, start_ns, position, other_position, other_last_ns, size, captured,
         sequence, _, direction, _, task, _, _, _, cause) = fields  # fmt: skip
        expected = connection.expected
        exchange = connection.quick
        remaining = connection.remaining
        if direction == connection.request_direction:
            if remaining > 0 and exchange is not None:
                # The rest of the response made no events; this one tells what passed meanwhile.
                if other_position - expected[not direction] != remaining:
                    return False
                expected[not direction] = other_position
                self.outcomes.ended_quickly(connection, exchange, other_last_ns)
                exchange = None
            if exchange is not None or position != expected[direction] or captured != size:
                return False
            if other_position != expected[not direction]:
                return False
            endpoint = connection.endpoint
            known = endpoint.known.get(size)
            if known is not None and payload == known.data:
                request = known.request
            else:
                request = connection.shortcut.request(payload)
                if request is None:
                    return False
                known = endpoint.remember(known, payload, request)
            exchange = Exchange(connection.speaks, connection.role, request, start_ns or time_ns)  # type: ignore[arg-type]
            exchange.connection = connection
            exchange.known = known
            if direction:  # a client's
                connection.requests += 1
                if connection.is_counted:
                    exchange.ordinal = connection.requests
            connection.quick = exchange
            connection.remaining = -1
            expected[direction] = position + size
            self._ledger.captured += 1
            place = sequence if connection.family != AF_UNIX else position
            self._follower.begun(
                exchange,
                tid,
                (connection.join_address, place),
                fields[16:] if task or cause else None,
            )
            return True
        if exchange is None or position < expected[direction]:
            return False
        if remaining < 0:
            if position != expected[direction]:
                return False
            known = exchange.known
            if known is not None and payload == known.answer and size == known.answer_size:
                response = known.response
            else:
                response = connection.shortcut.response(payload, size, exchange.request)
                if response is None:
                    return False
                if known is not None:
                    known.answered(payload, size, response)
            exchange.response = response
            exchange.first_byte_ns = start_ns or time_ns
            remaining = response.size - size
        else:
            remaining -= position + size - expected[direction]
            if remaining < 0:
                # More than the response: it ended within these bytes, what follows is for the general way.
                expected[direction] = position + size + remaining
                self.outcomes.ended_quickly(connection, exchange, time_ns)
                return False
        expected[direction] = position + size
        connection.remaining = remaining
        if direction == INGRESS:
            self._follower.resumed(exchange, tid, fields[16:] if task or cause else None)
        if not remaining:
            connection.quick = None
            exchange.end_ns = time_ns
            self._follower.ended(exchange)
            self.finished.append(exchange)
        return True

    def end(self, fields: tuple[Any, ...]) -> None:  # noqa: C901  (each way in which what is under way may end)
        """One direction is over by end of file, shutdown, or an error: `end_event`."""
        time_ns, _, _, _, _, socket, position, direction, error = fields
        direction &= 1
        connection = self._live.get(socket)
        if connection is None or connection.speaks is None:
            return
        if error:
            connection.error = error
        if direction == INGRESS:
            connection.is_ended_by_peer = True
        if connection.dialogue is not None:
            connection.dialogue.close(direction, position, time_ns)
            self._duplex.judge(connection, connection.dialogue)
            return
        exchange, session = connection.quick, connection.session
        if exchange is None and session is None:
            return
        if direction == connection.request_direction:
            if session is not None:
                if session.is_within_request:
                    # A body may have passed without events: all of it has, now.
                    session.requests.advance(position, time_ns)
                session.requests.close()
                self._general.step(connection, session, connection.turn)
            return
        if session is None and exchange is not None:
            if connection.remaining < 0:
                session = self._general.begin(connection)
            elif connection.remaining <= position - connection.expected[direction]:
                self.outcomes.ended_quickly(connection, exchange, time_ns)
        if session is not None:
            session.responses.advance(position, time_ns)
            session.responses.close()
            session.is_ending = True
            self._general.step(connection, session, connection.turn)
        why = Failure.CLOSED_BY_PEER if direction == INGRESS else Failure.CLOSED_LOCALLY
        self.outcomes.fail_pending(connection, time_ns, why)

    def progress(self, fields: tuple[Any, ...]) -> None:
        """How far a connection has come whose bytes make no events: `progress_event`."""
        socket = fields[5]
        positions, last_ns = fields[6:8], fields[8:10]
        tail, turn, direction = fields[10], fields[11], fields[12] & 1
        connection = self._live.get(socket)
        if connection is None or connection.speaks is None or turn != connection.turn:
            return
        answers = 1 - connection.request_direction
        exchange = connection.quick
        if connection.session is not None:
            stream = (
                connection.session.responses
                if direction == answers
                else connection.session.requests
            )
            known = tail.to_bytes(8, "little") if tail else b""
            stream.advance(positions[direction], last_ns[direction], tail=known)
            self._general.step(connection, connection.session, turn)
        elif exchange is not None and connection.remaining > 0:
            passed = positions[answers] - connection.expected[answers]
            if passed == connection.remaining:
                connection.expected[answers] = positions[answers]
                self.outcomes.ended_quickly(connection, exchange, last_ns[answers])

    def close(self, fields: tuple[Any, ...]) -> None:  # noqa: C901, PLR0912  (likewise)
        """The connection is over: `close_event`."""
        connection = self._live.pop(fields[5], None)
        if connection is None:
            self._ledger.records_ignored["connection_unknown"] += 1
            return
        self._ledger.connections["closed"] += 1
        connection.is_closed = True
        turn = fields[10]
        if (
            turn <= connection.turn
            and connection.quick is None
            and connection.session is None
            and connection.dialogue is None
            and connection.speaks is not None
        ):
            return  # most of them: nothing is under way
        time_ns, tgid, error = fields[0], fields[1], fields[11]
        positions, last_ns = fields[6:8], fields[8:10]
        is_ended_by_peer = error & CLOSE_ENDED_BY_PEER
        error &= ~CLOSE_ENDED_BY_PEER
        if error:
            connection.error = error
        if connection.speaks is None:
            self._losses.lost_undecided(connection, turn, positions)
            return
        if is_ended_by_peer:
            connection.is_ended_by_peer = True
        if connection.dialogue is not None:
            self._duplex.end(connection.dialogue, positions, last_ns)
        elif turn > connection.turn:
            self._losses.lost(connection, turn + 1, None)
            connection.turn = turn
        exchange, session = connection.quick, connection.session
        if exchange is None and session is None and connection.dialogue is None:
            return
        answers = 1 - connection.request_direction
        if (
            exchange is not None
            and 0 < connection.remaining <= positions[answers] - connection.expected[answers]
        ):
            self.outcomes.ended_quickly(connection, exchange, last_ns[answers])
        if session is not None:
            for stream, direction in (
                (session.requests, 1 - answers),
                (session.responses, answers),
            ):
                stream.advance(positions[direction], last_ns[direction])
                stream.close()
            self._general.read(connection, session, turn)
            self.outcomes.release(connection)
        why = Failure.CLOSED_LOCALLY
        if connection.is_ended_by_peer:
            why = Failure.CLOSED_BY_PEER
        elif 0 <= time_ns - self._exited.get(tgid, time_ns + 1) < EXIT_NS:
            why = Failure.PROCESS_EXIT
        self.outcomes.fail_pending(connection, time_ns, why)

    def exited(self, tgid: int, time_ns: int) -> None:
        """A process ended: the kernel closes its sockets now."""
        if len(self._exited) >= MAX_EXITED:
            del self._exited[next(iter(self._exited))]
        self._exited[tgid] = time_ns

    def exclude(self, tgid: int) -> None:
        """A process is not traced any more: forget its connections. What was under way is filtered."""
        for connection in [c for c in self._live.values() if c.tgid == tgid]:
            for exchange in connection.pending():
                self.outcomes.abandon(exchange, self._ledger.filtered, "process_excluded")
            self.outcomes.mute(connection, "process_excluded")

    def finish(self, time_ns: int) -> None:
        """The agent stops: what is under way is told as far as it came."""
        for connection in list(self._live.values()):
            self.outcomes.fail_pending(connection, time_ns, Failure.AGENT_EXIT)
            self.outcomes.release(connection)
        self._live.clear()
