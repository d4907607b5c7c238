"""The live connections: events in, exchanges out.

    open   a connection, and who it is
    data   bytes: classified, read, paired
    end    one direction is over
    close  the connection is over; what is under way has failed

What an event means for a message is `session.py`, `dialogue.py` and `connection.py`; this file keeps the table, sees losses, and
judges what has failed. It is over 400 lines and one thing: the table, with its hot path, `_quick`, which is one
function because a call costs a tenth of what it does. That path and the session give the same exchanges (tests/connections/test_paths.py).

A loss is counted where it shows: a turn number that is missing (see `_lost`), or a position beyond the one expected.
An exchange is counted with its turn of requests, so each is counted once, whichever of its records are missing; and
nothing is read where it is not sure to begin, so no response meets another's request.
"""

from __future__ import annotations

import typing
from collections import Counter, deque
from typing import Any, Final

from agent.connections.connection import (
    EGRESS,
    INGRESS,
    Connection,
    classify,
    failure_of,
    learn_names,
)
from agent.connections.dialogue import Dialogue
from agent.connections.endpoint import place
from agent.connections.session import Session, Trouble
from agent.protocols import MAX_CLASSIFY, Protocol, Role, Verdict
from agent.protocols.pairing import Exchange, Failure

if typing.TYPE_CHECKING:
    from collections.abc import Callable

    from agent.connections.endpoint import Endpoint
    from agent.counters import Ledger

MAX_CONNECTIONS: Final = 65536
"""Twice what the kernel side keeps by default; beyond, the one that was opened first is given up."""
MAX_PENDING: Final = 1024
"""Pipelined requests without an answer on one connection; beyond, it is no conversation that we can follow."""
MAX_UNDECIDED_EVENTS: Final = 2 * MAX_CLASSIFY
"""Events kept until a protocol claims them: enough for MAX_CLASSIFY bytes, one by one, in both directions."""
MAX_TROUBLE: Final = 3
"""Times that a connection's bytes may be misunderstood before it is given up."""
MAX_DOUBTS: Final = 16
"""Turns that may be of no known protocol because they were seen from the middle: after a loss, or on a connection that
is older than the agent. A long body takes one."""
MAX_EXITED: Final = 4096
"""Processes that ended lately: more than end in EXIT_NS."""
EXIT_NS: Final = 1_000_000_000
"""How long the kernel may take to close the sockets of a process that ended."""
CAUSE_RESULT: Final = 6
"""Its namesake in probes/include/events.h."""
LOST_RECORDS: Final = "ring_full"
CLOSE_ENDED_BY_PEER: Final = 0x80000000
"""Its namesake in probes/include/events.h."""

AF_UNIX: Final = 1

# A member of an enum takes 40 ns to get at through its class.
_SERVER: Final = Role.SERVER
_CLIENT: Final = Role.CLIENT
_AS_SERVER: Final = place(_SERVER, 0)
_AS_CLIENT: Final = place(_CLIENT, 0)


Origin = tuple[int, int, int, int, int]
"""The fields of `struct origin` (probes/include/events.h), in its order: task, task_parent, cause_socket, cause_turn,
cause. None stands for one without task and cause, so most events cost nothing."""


class Follower(typing.Protocol):
    """The next stage: finds out for whom an exchange was made."""

    def opened(self, connection: Connection, tid: int, origin: Origin | None = None) -> None:
        """A watched process connected to somebody."""

    def begun(
        self,
        exchange: Exchange,
        tid: int,
        join_key: tuple[Any, int],
        origin: Origin | None = None,
    ) -> None:
        """A request's head passed, in this thread."""

    def resumed(self, exchange: Exchange, tid: int, origin: Origin | None = None) -> None:
        """Bytes of an exchange came in, in this thread."""

    def resumed_any(self, exchanges: list[Exchange], tid: int) -> None:
        """Bytes of these came in together, or, where there are none, of one that is not known yet."""

    def answered(self, exchange: Exchange, job: int, done_ns: int) -> None:
        """The first bytes of an answer left, and say which job was done for it, as far as that can be told, and when."""

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
        reports_database_servers: bool = True,
    ) -> None:
        """`identify` gives the process of a tgid, None if it is not to be traced."""
        self._reports_database_servers = reports_database_servers
        self._protocols = protocols
        self._follower = follower
        self._kernel = kernel
        self._ledger = ledger
        self._identify = identify
        self.finished: deque[Exchange] = deque()
        """Exchanges that are over, in that order; whoever takes them out clears it."""
        self._live: dict[int, Connection] = {}
        self._exited: dict[int, int] = {}
        """By tgid: when a process ended whose sockets are being closed."""
        self.on_bug: Callable[[str, Exception], None] = _nobody
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

    def open(self, fields: tuple[Any, ...]) -> None:
        """A socket that a watched process has: `open_event`."""
        (time_ns, tgid, tid, _, _, socket, peer_socket, _, local_port, remote_port, local_address,
         remote_address, family, role, task, _, _, _, cause) = fields  # fmt: skip
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
        connection = Connection(socket, tgid, process)
        connection.family = family
        connection.local_address, connection.local_port = local_address, local_port
        connection.remote_address, connection.remote_port = remote_address, remote_port
        connection.peer_socket = peer_socket
        connection.last_used_ns = time_ns
        self._live[socket] = connection
        self._ledger.connections["opened"] += 1
        if role == _SERVER:
            _settle_role(connection, _SERVER, INGRESS)
            connection.endpoint = process.endpoints.by_place.get(_AS_SERVER | local_port)
        elif role == _CLIENT:
            _settle_role(connection, _CLIENT, EGRESS)
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
                and not self._lost(connection, turn, fields)
            ):
                return
            connection.turn = turn
        connection.last_used_ns = fields[0]
        connection.tid = fields[2]
        connection.origin = fields[16:] if fields[16] or fields[20] else None
        if fields[20] == CAUSE_RESULT:
            pending = connection.pending()
            if len(pending) == 1:
                self._follower.answered(pending[0], fields[17], fields[18])
        if connection.speaks is None and not (
            turn == 1 and _is_expected(connection, fields, payload) and self._provide(connection)
        ):
            self._undecided(connection, fields, payload)
        elif connection.speaks.is_duplex:  # type: ignore[union-attr]  # it has one by now
            self._converse(connection, fields, payload)
        elif connection.session is not None or not self._quick(connection, fields, payload):
            self._general(connection, fields, payload)

    def _quick(self, connection: Connection, fields: tuple[Any, ...], payload: bytes) -> bool:  # noqa: C901, PLR0911, PLR0912
        """The hot path: whole heads in one event, one exchange at a time. False: not of that shape."""
        (time_ns, _, tid, _, _, _, start_ns, position, other_position, other_last_ns, size, captured,
         sequence, _, direction, _, _, _, _, _, _) = fields  # fmt: skip
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
            self._follower.begun(exchange, tid, (connection.join_address, place), connection.origin)
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
                self._ended_quickly(connection, exchange, time_ns)
                return False
        expected[direction] = position + size
        connection.remaining = remaining
        if direction == INGRESS:
            self._follower.resumed(exchange, tid, connection.origin)
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
            self._judge_dialogue(connection, connection.dialogue)
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
                self._step(connection, session, connection.turn)
            return
        if session is None and exchange is not None:
            if connection.remaining < 0:
                session = self._begin_session(connection)
            elif connection.remaining <= position - connection.expected[direction]:
                self._ended_quickly(connection, exchange, time_ns)
        if session is not None:
            session.responses.advance(position, time_ns)
            session.responses.close()
            session.is_ending = True
            self._step(connection, session, connection.turn)
        why = Failure.CLOSED_BY_PEER if direction == INGRESS else Failure.CLOSED_LOCALLY
        self._fail_pending(connection, time_ns, why)

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
            self._step(connection, connection.session, turn)
        elif exchange is not None and connection.remaining > 0:
            passed = positions[answers] - connection.expected[answers]
            if passed == connection.remaining:
                connection.expected[answers] = positions[answers]
                self._ended_quickly(connection, exchange, last_ns[answers])

    def close(self, fields: tuple[Any, ...]) -> None:  # noqa: C901  (likewise)
        """The connection is over: `close_event`."""
        time_ns, tgid, socket, turn, error = fields[0], fields[1], fields[5], fields[10], fields[11]
        positions, last_ns = fields[6:8], fields[8:10]
        is_ended_by_peer = error & CLOSE_ENDED_BY_PEER
        error &= ~CLOSE_ENDED_BY_PEER
        connection = self._live.pop(socket, None)
        if connection is None:
            self._ledger.records_ignored["connection_unknown"] += 1
            return
        self._ledger.connections["closed"] += 1
        if error:
            connection.error = error
        if connection.speaks is None:
            self._lost_undecided(connection, turn, positions)
            return
        if is_ended_by_peer:
            connection.is_ended_by_peer = True
        if connection.dialogue is not None:
            self._end_dialogue(connection.dialogue, positions, last_ns)
        elif turn > connection.turn:
            self._lost(connection, turn + 1, None)
            connection.turn = turn
        exchange, session = connection.quick, connection.session
        if exchange is None and session is None and connection.dialogue is None:
            return
        answers = 1 - connection.request_direction
        if (
            exchange is not None
            and 0 < connection.remaining <= positions[answers] - connection.expected[answers]
        ):
            self._ended_quickly(connection, exchange, last_ns[answers])
        if session is not None:
            for stream, direction in (
                (session.requests, 1 - answers),
                (session.responses, answers),
            ):
                stream.advance(positions[direction], last_ns[direction])
                stream.close()
            self._read(connection, session, turn)
            self._release(connection)
        why = Failure.CLOSED_LOCALLY
        if connection.is_ended_by_peer:
            why = Failure.CLOSED_BY_PEER
        elif 0 <= time_ns - self._exited.get(tgid, time_ns + 1) < EXIT_NS:
            why = Failure.PROCESS_EXIT
        self._fail_pending(connection, time_ns, why)

    def exited(self, tgid: int, time_ns: int) -> None:
        """A process ended: the kernel closes its sockets now."""
        if len(self._exited) >= MAX_EXITED:
            del self._exited[next(iter(self._exited))]
        self._exited[tgid] = time_ns

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
            self._release(connection)
        self._live.clear()

    # The general way.

    def _undecided(self, connection: Connection, fields: tuple[Any, ...], payload: bytes) -> None:
        """Keep events until a protocol claims the connection, then read them."""
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
            return
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
            return
        if protocol is not None:
            self._claim(connection, protocol, turn, direction, verdict)
        elif connection.is_doubtful and connection.doubts < MAX_DOUBTS:
            connection.doubts += 1
            connection.skip_turn = turn
            connection.kept, connection.heads = [], [b"", b""]
        else:
            self._mute(connection, "unknown_protocol")

    def _claim(  # noqa: C901  (each way in which a connection may have begun)
        self,
        connection: Connection,
        protocol: type[Protocol],
        turn: int,
        direction: int,
        verdict: Verdict,
    ) -> None:
        """A connection is of a protocol, as a message in `turn` shows: read what was kept of that turn."""
        is_request = verdict is Verdict.REQUEST
        is_greeting = verdict is Verdict.GREETING
        requests = direction if is_request else 1 - direction
        role = _SERVER if requests == INGRESS else _CLIENT
        is_new = connection.role is not Role.UNKNOWN
        if is_new and role is not connection.role:
            self._mute(connection, "wrong_direction")
            return
        _settle_role(connection, role, requests)
        if role is _SERVER and protocol.is_database and not self._reports_database_servers:
            self._mute(connection, "not_reported")
            return
        connection.request_parity = (turn + (not is_request)) & 1
        endpoints = connection.process.endpoints
        endpoint = endpoints.learn(role, connection.server_port, protocol)
        _speak(connection, endpoint)
        self._provide(connection)
        kept = [event for event in connection.kept if event[0][13] == turn]
        connection.kept, connection.heads = (), None
        first = kept[0][0]
        connection.expected[direction], connection.expected[1 - direction] = first[7], first[8]
        connection.skip_turn = 0
        if protocol.is_duplex:
            self._begin_dialogue(connection)
            for before, payload in kept:
                self._converse(connection, before, payload)
            return
        missed = _count_requests(connection, 1, turn)
        unasked = 0
        if is_greeting:
            pass  # nothing was missed, and what follows is read from its first byte
        elif not is_request:
            unasked = int(turn == 1)
            self._skip(connection, turn)
        elif connection.is_doubtful and (is_new or turn > 1):
            missed += 1
            self._skip(connection, turn + 1)
        if not is_new:
            missed, unasked = 0, missed + unasked
        _count(self._ledger, self._ledger.lost, LOST_RECORDS, missed)
        _count(self._ledger, self._ledger.unparsed, Trouble.NO_REQUEST.value, unasked)
        for before, payload in kept:
            if connection.session is not None or not self._quick(connection, before, payload):
                self._general(connection, before, payload)

    def _general(self, connection: Connection, fields: tuple[Any, ...], payload: bytes) -> None:
        """Everything unusual."""
        (time_ns, _, _, _, _, _, start_ns, position, other_position, other_last_ns, size, _,
         sequence, turn, direction, *_) = fields  # fmt: skip
        if connection.skip_turn and (
            not self._resume(connection, fields) or self._quick(connection, fields, payload)
        ):
            return
        session = connection.session or self._begin_session(connection)
        if direction == connection.request_direction:
            connection.sequence_base = sequence - position
            stream, other = session.requests, session.responses
        else:
            stream, other = session.responses, session.requests
        if other.turn_end < other_position:
            # What was left of the turn before comes first: it may have been cut by a loss, or be the end of all.
            other.end_turn(other_position, other_last_ns)
            self._step(connection, session, turn - 1)
            if connection.session is not session:
                if connection.socket in self._live and not self._quick(connection, fields, payload):
                    self._general(connection, fields, payload)
                return
        stream.feed(position, payload, size, time_ns, start_ns=start_ns)
        pending = connection.pending() if direction == INGRESS else []
        assert connection.protocol is not None
        is_ordered = connection.protocol.pairing.is_ordered
        if pending and (is_ordered or connection.is_server or len(pending) == 1):
            # Responses come for the oldest request, more of a request for the newest.
            pending_one = pending[-connection.is_server]
            self._follower.resumed(pending_one, connection.tid, connection.origin)
            pending = []
        self._step(connection, session, turn)
        if pending:
            # Whose response it was shows only now.
            self._follower.resumed_any(session.answered, connection.tid)

    def _begin_session(self, connection: Connection) -> Session:
        """Go on in the general way, from where the hot path came to."""
        protocol, exchange = connection.protocol, connection.quick
        if protocol is None:
            assert connection.speaks is not None
            protocol = connection.protocol = connection.speaks()
        requests = connection.request_direction
        positions = (connection.expected[requests], connection.expected[1 - requests])
        session = Session(
            protocol, connection.role, _Listener(self, connection), positions=positions
        )
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

    def _begin_dialogue(self, connection: Connection) -> Dialogue:
        """Both sides begin exchanges, from where the connection is now."""
        assert connection.protocol is not None
        listener = _DuplexListener(self, connection)
        dialogue = Dialogue(connection.protocol, connection.role, listener)
        connection.dialogue = dialogue
        for direction, position in enumerate(connection.expected):
            if position:
                dialogue.join(direction, position)
        return dialogue

    def _converse(self, connection: Connection, fields: tuple[Any, ...], payload: bytes) -> None:
        """Bytes of a connection of which both sides begin exchanges."""
        time_ns, start_ns, position, size = fields[0], fields[6], fields[7], fields[10]
        sequence, direction = fields[12], fields[14]
        dialogue = connection.dialogue or self._begin_dialogue(connection)
        dialogue.sequences[direction] = sequence - position
        dialogue.feed(direction, position, payload, size, time_ns, start_ns)
        self._judge_dialogue(connection, dialogue)

    def _judge_dialogue(self, connection: Connection, dialogue: Dialogue) -> None:
        """Whether the connection is still followed."""
        protocol = connection.protocol
        assert protocol is not None
        if dialogue.failure is not None:
            self.on_bug(protocol.name, dialogue.failure)
            dialogue.failure = None
        if protocol.is_opaque or dialogue.garbage >= MAX_TROUBLE:
            for exchange in connection.pending():
                self._abandon(exchange, self._ledger.unparsed, Trouble.GARBAGE.value)
            self._mute(
                connection, protocol.opaque_cause if protocol.is_opaque else "not_understood"
            )

    def _end_dialogue(
        self, dialogue: Dialogue, positions: tuple[int, int], last_ns: tuple[int, int]
    ) -> None:
        """The connection is over: read what is left."""
        for direction in (INGRESS, EGRESS):
            dialogue.close(direction, positions[direction], last_ns[direction])
        if dialogue.dropped:
            self._ledger.limits["stream_bytes"] += dialogue.dropped

    def _step(self, connection: Connection, session: Session, turn: int) -> None:
        """Read what came in `turn`, and see whether the general way is still needed."""
        self._read(connection, session, turn)
        self._judge(connection, session)

    def _read(self, connection: Connection, session: Session, turn: int) -> None:
        """Read what came in `turn`."""
        session.step()
        self._count_unasked(session)
        if session.trouble is not None:
            self._give_up(connection, session, turn)

    def _judge(self, connection: Connection, session: Session) -> None:
        """Whether the connection is still followed, and whether it still needs the general way."""
        protocol = connection.protocol
        assert protocol is not None
        self._want(connection, protocol.wants_capture)
        if protocol.is_opaque and not protocol.pairing.pending:
            self._mute(connection, protocol.opaque_cause)
        elif connection.trouble >= MAX_TROUBLE or len(protocol.pairing.pending) > MAX_PENDING:
            for exchange in connection.pending():
                self._abandon(exchange, self._ledger.unparsed, Trouble.GARBAGE.value)
            self._mute(connection, "not_understood")
        elif session.trouble is not None:
            if connection.is_pipelined:
                self._mute(connection, "pipelined_loss")
        elif session.is_idle:
            requests = connection.request_direction
            connection.expected[requests] = session.requests.position
            connection.expected[1 - requests] = session.responses.position
            self._release(connection)

    def _provide(self, connection: Connection) -> bool:
        """Its protocol is known: ask for what that wants of every connection."""
        assert connection.speaks is not None
        self._want(connection, connection.speaks.capture)
        return True

    def _want(self, connection: Connection, size: int) -> None:
        """Capture so much of each turn from now on."""
        if size > connection.budget:
            connection.budget = size
            for direction in (0, 1):
                self._kernel.set_budget(connection.socket, direction, size)

    # What is over.

    def _ended_quickly(self, connection: Connection, exchange: Exchange, time_ns: int) -> None:
        connection.quick = None
        connection.remaining = 0
        self._ended(exchange, time_ns)

    def _ended(self, exchange: Exchange, time_ns: int) -> None:
        exchange.end_ns = time_ns
        if exchange.role is _CLIENT:
            learn_names(exchange, self._ledger)
        self._follower.ended(exchange)
        self.finished.append(exchange)

    def _fail_pending(self, connection: Connection, time_ns: int, why: Failure) -> None:
        """What is under way will not be answered."""
        if connection.dialogue is not None and why is not Failure.AGENT_EXIT:
            connection.dialogue.release_received()
        for exchange in connection.pending():
            exchange.failure = (
                why if why is Failure.AGENT_EXIT else failure_of(connection.error, why)
            )
            self._ended(exchange, time_ns)
        self._forget_pending(connection)

    def _abandon(self, exchange: Exchange, counter: Counter[str], why: str) -> None:
        """No span will be made of an exchange that was counted as captured."""
        counter[why] += 1
        exchange.end_ns = exchange.start_ns
        self._follower.ended(exchange)

    def _release(self, connection: Connection) -> None:
        """The general way is not needed any more."""
        session = connection.session
        if session is not None:
            connection.session = None
            self._count_unasked(session)
            if session.dropped:
                self._ledger.limits["stream_bytes"] += session.dropped

    def _count_unasked(self, session: Session) -> None:
        """Answers to requests that were not seen, and what may have been answered in a hole, since this was asked last."""
        why = Trouble.NO_REQUEST.value
        _count(self._ledger, self._ledger.unparsed, why, session.unasked)
        session.unasked = 0
        for exchange in session.given_up:
            self._abandon(exchange, self._ledger.unparsed, Trouble.GAP.value)
        session.given_up.clear()

    def _forget_pending(self, connection: Connection) -> None:
        connection.quick = None
        connection.remaining = 0
        if connection.dialogue is not None:
            connection.dialogue.forget()
        if connection.protocol is not None:
            connection.protocol.forget()

    # Losses.

    def _lost(self, connection: Connection, turn: int, fields: tuple[Any, ...] | None) -> bool:
        """The turn of the last event is not the one before `turn`. Gives whether to go on with the event at hand.

        Turns between them made no events: their records were lost. Without `fields` the connection is closing.
        """
        if turn <= connection.turn:
            self._ledger.records_ignored["late"] += 1
            return False
        if connection.speaks is None:
            return True
        ledger, session = self._ledger, connection.session
        requests = connection.request_direction
        seen = connection.expected[requests]
        if session is not None:
            seen = session.requests.end
            session.requests.end_turn(seen, connection.last_used_ns)
            session.step()
        is_cut = session is not None and session.is_within_request
        pending = connection.pending()
        if len(pending) == 1 and pending[0].response is not None:
            # The next request is out, so this response is whole: only when exactly it ended is not known.
            self._ended(pending[0], connection.last_used_ns)
        else:
            for exchange in pending:
                self._abandon(exchange, ledger.lost, LOST_RECORDS)
        self._forget_pending(connection)
        self._release(connection)
        connection.is_counted = False
        missed = _count_requests(connection, connection.turn + 1, turn)
        missed += session is not None and (session.is_within_head or session.is_uncounted)
        if fields is not None and fields[14] == requests:
            # Where this request begins is known if just the response to the last one is missing.
            is_known = fields[7] == seen
            missed += not is_known
            if is_known and not is_cut:
                connection.skip_turn = 0
                connection.expected[requests], connection.expected[1 - requests] = seen, fields[8]
            else:
                self._skip(connection, turn + 1)
        else:
            self._skip(connection, turn)
        _count(ledger, ledger.lost, LOST_RECORDS, missed)
        if connection.is_pipelined and fields is not None:
            self._mute(connection, "pipelined_loss")
            return False
        return True

    def _give_up(self, connection: Connection, session: Session, turn: int) -> None:
        """What comes next in `turn` cannot be read: go on with the next turn of requests."""
        ledger, why = self._ledger, session.trouble
        assert why is not None
        if session.failure is not None:
            self.on_bug(session.name, session.failure)
        pending = connection.pending()
        is_request = turn & 1 == connection.request_parity
        connection.is_pipelined |= bool(pending) and session.is_uncounted and is_request
        for exchange in pending:
            self._abandon(exchange, ledger.unparsed, why.value)
        _count(ledger, ledger.unparsed, why.value, int(session.is_uncounted))
        connection.trouble += why is not Trouble.GAP
        self._release(connection)
        self._forget_pending(connection)
        if is_request:
            self._skip(connection, turn + 1)
        else:
            self._skip(connection, turn)
            connection.resume_at = session.requests.end

    def _skip(self, connection: Connection, turn: int) -> None:
        """Read nothing up to the end of a turn of responses."""
        connection.skip_turn = turn
        connection.resume_at = -1
        connection.is_counted = False
        # So the hot path leaves the connection to `_resume`.
        connection.expected[connection.request_direction] = -1

    def _resume(self, connection: Connection, fields: tuple[Any, ...]) -> bool:
        """Whether an event is the beginning of the first request after what is skipped."""
        position, other_position, turn, direction = fields[7], fields[8], fields[13], fields[14]
        if direction != connection.request_direction:
            connection.skip_turn = max(turn, connection.skip_turn)
            connection.resume_at = other_position
            return False
        if turn <= connection.skip_turn:
            return False
        if position != connection.resume_at:
            _count(self._ledger, self._ledger.unparsed, Trouble.GAP.value, 1)
            self._skip(connection, turn + 1)
            return False
        connection.skip_turn = 0
        connection.expected[direction], connection.expected[1 - direction] = (
            position,
            other_position,
        )
        return True

    def _lost_undecided(
        self, connection: Connection, turn: int, positions: tuple[int, int]
    ) -> None:
        """A connection closed before any protocol claimed it: lost, if its records were."""
        is_damaged = (
            connection.is_doubtful
            or connection.doubts > 0
            or list(positions) != connection.expected
        )
        if is_damaged and connection.role is not Role.UNKNOWN:
            _count(self._ledger, self._ledger.lost, "ring_full_unclassified", (turn + 1) // 2)

    def _mute(self, connection: Connection, why: str) -> None:
        """Nothing more is wanted of a connection."""
        self._forget_pending(connection)
        self._release(connection)
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
        connection.requests += 1
        if connection.is_counted:
            exchange.ordinal = connection.requests
        connection.is_pipelined = connection.is_pipelined or len(connection.pending()) > 1
        self._table._ledger.captured += 1
        place = position
        if connection.family != AF_UNIX:
            place = (connection.sequence_base + position) & 0xFFFFFFFF
        self._table._follower.begun(
            exchange, connection.tid, (connection.join_address, place), connection.origin
        )

    def ended(self, exchange: Exchange) -> None:
        """The response is whole."""
        self._table._ended(exchange, exchange.end_ns)


class _DuplexListener:
    """Connects one dialogue with the table."""

    __slots__ = ("_connection", "_table")

    def __init__(self, table: Connections, connection: Connection) -> None:
        self._table = table
        self._connection = connection

    def begun(self, exchange: Exchange, direction: int, position: int) -> None:
        """A message's head is known."""
        connection, table = self._connection, self._table
        exchange.connection = connection
        table._ledger.captured += 1
        place = position
        if connection.family != AF_UNIX:
            place = (connection.dialogue.sequences[direction] + position) & 0xFFFFFFFF
        if direction != connection.request_direction:
            # Both directions have their own numbers: what the server begins must not be taken for a request.
            place |= 1 << 32
        table._follower.begun(
            exchange, connection.tid, (connection.join_address, place), connection.origin
        )

    def ended(self, exchange: Exchange, time_ns: int) -> None:
        """It is over."""
        self._table._ended(exchange, time_ns)

    def troubled(self, why: Trouble, exchange: Exchange | None) -> None:
        """A message was not understood."""
        unparsed = self._table._ledger.unparsed
        if exchange is None:
            _count(self._table._ledger, unparsed, why.value, 1)
        else:
            self._table._abandon(exchange, unparsed, why.value)

    def unawaited(self) -> None:
        """Too many messages wait for their answers."""
        self._table._ledger.limits["answers_not_awaited"] += 1


def _is_expected(connection: Connection, fields: tuple[Any, ...], payload: bytes) -> bool:
    """Whether its first bytes are what came last time to such a place: a whole request of the same protocol."""
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
    is_known = known is not None and known.data == payload
    if not is_known and endpoint.protocol.classify(payload[:MAX_CLASSIFY]) is not Verdict.REQUEST:
        return False
    _speak(connection, endpoint)
    return True


def _speak(connection: Connection, endpoint: Endpoint) -> None:
    """Its protocol is known."""
    connection.endpoint = endpoint
    protocol = connection.speaks = endpoint.protocol
    connection.shortcut = endpoint.shortcut
    if protocol.is_stateful:
        connection.protocol = protocol()
        connection.protocol.shared = endpoint.shared
        connection.shortcut = connection.protocol.quick or endpoint.shortcut


def _nobody(protocol: str, error: Exception) -> None:
    """Until somebody wants to know of bugs."""
    del protocol, error


def _count(ledger: Ledger, counter: Counter[str], why: str, exchanges: int) -> None:
    """Exchanges of which no span is made, and of which nobody has been told."""
    if exchanges:
        ledger.captured += exchanges
        counter[why] += exchanges


def _count_requests(connection: Connection, first: int, end: int) -> int:
    """How many of the turns from `first` to before `end` are requests'."""
    odd = 1 - connection.request_parity
    return (end + odd) // 2 - (first + odd) // 2


def _settle_role(connection: Connection, role: Role, requests: int) -> None:
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
