"""For which request an event loop's thread works, where the kernel side tells in which callback it is.

A callback for what was received as a server works for that request; one for what was received as a client, for whoever made
the call that it answers. That is exact but for four cases, of which nothing is claimed:

- A queue. When a connection is free again, what is sent on it next, in the callback for its last response, may be a call of
  another request, which had to wait for a connection. Whoever waits for one has no call under way, but for those that make several
  at once; and no other connection to that server is free. So such a call is claimed only where every other request of the process
  has a call under way and, in programs that make several at once, another connection is free, too.
- A queue of another kind, or several requests that wait for one thing: what one has done lets another one go on. That shows at
  the end, where a request is answered in the callback for a call that was made for another one: then it is not claimed of that call.
- A connection that is shared: where calls for several requests are under way on it, one receipt may answer some of them.
- Outside of such callbacks (timers, immediates, pools of threads) nothing is known. A request that has been the only one of its
  process all the while is taken for it all the same, unless the process is seen to call when none is under way: what such a
  program leaves behind its responses may call at any time.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Any, Final

from agent.traces.rules import REFUSED_LOOP, RULE_ALONE, RULE_CALLBACK, RULE_NONE, RULE_OPENER

if TYPE_CHECKING:
    from agent.connections.connection import Connection
    from agent.protocols.pairing import Exchange
    from agent.traces.overlaps import Overlaps
    from agent.traces.rules import Origin

MAX_SOCKETS: Final = 4096
"""Connections; beyond, the one without requests for longest is forgotten: what follows from its answers is not claimed. Each
holds two exchanges, 3 KB."""
MAX_PROCESSES: Final = 4096
"""Beyond, it is forgotten of the one that was seen first that it calls on its own."""
MAX_THREADS: Final = 65536
"""Beyond, all are forgotten: they are known again at the next overlap."""
MAX_UNDER_WAY: Final = 65536
"""Requests. Beyond, the oldest is taken to wait for nothing."""

MAX_SERVERS: Final = 1024
"""Beyond, of the one that was not called for longest no connection is known to be free."""

MAX_FREE: Final = 1024
"""Connections to one server, 2 KB each. Beyond, one that is free is not known to be."""

_Server = tuple[int, bytes, int]
_Turn = tuple[int, "Exchange | None"]
"""A turn of requests, and for which server exchange they are; None: for none, for several, or nobody knows."""
_NEVER: Final[_Turn] = (0, None)


class Loops:
    """What their threads received, and who waits for what."""

    def __init__(self, overlaps: Overlaps) -> None:
        self._overlaps = overlaps
        self.is_used = False
        """There was a call or a request of which a callback was told."""
        self._turns: OrderedDict[int, tuple[_Turn, _Turn]] = OrderedDict()
        """By socket: the last two turns in which requests began, the newer one first."""
        self._answers: OrderedDict[int, tuple[int, Exchange | None]] = OrderedDict()
        """By socket: the bytes received when the last answer came, or a part of it, and the call; None: it answered several."""
        self._shared: set[int] = set()
        """Sockets on which calls for several requests were under way: nobody waits for them."""
        self._fans: set[int] = set()
        """Processes that were seen to make several calls at once for a request."""
        self._free: OrderedDict[_Server, set[Connection]] = OrderedDict()
        """By process and server: connections without a call under way, among them some that are closed by now."""
        self._under_way: OrderedDict[Exchange, list[int]] = OrderedDict()
        """Server exchanges: the process, and how many calls are under way for it, and connections that it opens."""
        self._idle: dict[int, set[Exchange]] = {}
        """By process: those without."""
        self._threads: set[int] = set()
        """Those that run a loop, as far as that is known by overlapping requests."""
        self._strays: OrderedDict[int, bool] = OrderedDict()
        """Processes that served something; True: and called then while nothing was under way."""

    def find_owner(self, exchange: Exchange, origin: Origin) -> None:
        """For which server exchange a call is made, by what the kernel side tells of the callback."""
        connection = exchange.connection
        opener, connection.opener = connection.opener, None
        if opener is not None and not opener.end_ns:
            exchange.parent, exchange.rule = opener, RULE_OPENER
        else:
            exchange.parent, exchange.rule = self.work(origin, connection)
        self._calls(exchange, is_opened=exchange.parent is opener)

    def work(self, origin: Origin, connection: Any) -> tuple[Exchange | None, str]:
        """For which server exchange a thread works that is about to send on a connection, and the rule; or none, and why."""
        position, _, socket, turn, _ = origin
        owner = self.owner(socket, turn, position) if socket else None
        if owner is None:
            return self.alone(connection.tgid)
        is_free_again = socket == connection.socket and socket not in self._shared
        if is_free_again and self._is_waited_for(connection, owner):
            return None, REFUSED_LOOP
        return owner, RULE_CALLBACK

    def alone(self, tgid: int) -> tuple[Exchange | None, str]:
        """The only server exchange of a process that there was since it began, and the rule; or none, and why."""
        work = self._overlaps.oldest(tgid)
        if work is None:
            self.strayed(tgid)
            return None, RULE_NONE
        return (work, RULE_ALONE) if self._overlaps.was_alone(work, tgid) else (None, REFUSED_LOOP)

    def overlaps(self, tid: int, tgid: int) -> None:
        """A thread has several requests under way: it runs a loop."""
        if tid not in self._threads:
            if len(self._threads) >= MAX_THREADS:
                self._threads.clear()
            self._threads.add(tid)
            self._know(tgid)

    def is_loop(self, tid: int) -> bool:
        """Whether a thread had several requests under way at any time."""
        return tid in self._threads

    def serves(self, exchange: Exchange) -> None:
        """A request came to a loop's thread."""
        connection = exchange.connection
        tgid = connection.tgid
        self._know(tgid)
        self._begins(connection.socket, connection.turn, exchange)
        self._under_way[exchange] = [tgid, 0]
        self._idle.setdefault(tgid, set()).add(exchange)
        if len(self._under_way) > MAX_UNDER_WAY:
            self.served(next(iter(self._under_way)))

    def served(self, exchange: Exchange) -> None:
        """A request has its response, or has failed."""
        state = self._under_way.pop(exchange, None)
        if state is not None:
            idle = self._idle.get(state[0], set())
            idle.discard(exchange)
            if not idle:
                self._idle.pop(state[0], None)

    def opens(self, owner: Exchange) -> None:
        """A connection is opened for the next call of a server exchange."""
        state = self._under_way.get(owner)
        if state is not None:
            state[1] += 1
            if state[1] > 1:
                _add(self._fans, state[0])
            self._idle.get(state[0], set()).discard(owner)

    def _calls(self, exchange: Exchange, *, is_opened: bool) -> None:
        """A call began, and its parent is known if it ever will be; `is_opened`: the connection was opened for it."""
        connection, parent = exchange.connection, exchange.parent
        is_shared = exchange.protocol.is_duplex or any(
            other.parent is not parent for other in connection.pending() if other is not exchange
        )
        if is_shared:
            _add(self._shared, connection.socket)
        self._free.get(_server_of(connection), set()).discard(connection)
        self._begins(connection.socket, connection.turn, None if is_shared else parent)
        if parent is not None and not is_opened:
            self.opens(parent)

    def answers(self, exchange: Exchange, position: int) -> None:
        """Bytes of a call's answer were received in a loop's thread, up to that position."""
        socket = exchange.connection.socket
        self._answers.pop(socket, None)
        self._answers[socket] = (position, exchange)
        if len(self._answers) > MAX_SOCKETS:
            self._answers.popitem(last=False)

    def replies(self, exchange: Exchange, origin: Origin) -> None:
        """A server exchange is answered in a callback. If that is for a call of another one, it is doubtful whose call it was."""
        position, _, socket, _, _ = origin
        at, call = self._answers.get(socket, (0, None))
        self.served(exchange)  # what it still sends, as a stream of events, waits for no connection
        if exchange.first_byte_ns or call is None or at != position or call.rule != RULE_CALLBACK:
            return
        if call.parent is not exchange and not call.trace_id:
            call.parent, call.rule = None, REFUSED_LOOP

    def called(self, exchange: Exchange) -> None:
        """A call has its response, or has failed."""
        connection = exchange.connection
        if connection.socket not in self._turns:
            return  # no loop made it
        if not connection.pending():
            self._is_free(connection)
        position, answered = self._answers.get(connection.socket, (0, None))
        if answered is not None and answered.parent is not exchange.parent:
            self._answers[connection.socket] = (position, None)
        state = self._under_way.get(exchange.parent) if exchange.parent is not None else None
        if state is not None and exchange.parent is not None:
            state[1] -= 1
            if state[1] <= 0:
                self._idle.setdefault(state[0], set()).add(exchange.parent)

    def owner(self, socket: int, turn: int, position: int) -> Exchange | None:
        """The server exchange for which a thread works that received this, up to that position."""
        at, answered = self._answers.get(socket, (0, None))
        if at == position and answered is not None:
            return answered.parent
        for begun, exchange in self._turns.get(socket, (_NEVER, _NEVER)):
            if 0 < begun <= turn:
                # Answers come in the turn behind their requests. More turns are interim responses, or something is missing.
                is_certain = turn - begun <= 1 or (exchange is not None and not exchange.end_ns)
                return exchange if is_certain else None
        return None

    def _is_waited_for(self, connection: Connection, owner: Exchange) -> bool:
        """Whether another request than this one may wait for a connection that is free again."""
        tgid = connection.tgid
        idle = self._idle.get(tgid, set())
        if len(idle) > (owner in idle):
            return True
        if tgid not in self._fans or not self._overlaps.several(tgid):
            return False
        free = self._free.get(_server_of(connection), set())
        for other in list(free):
            if other.is_closed:
                free.discard(other)
            elif other is not connection:
                return False
        return True

    def strayed(self, tgid: int) -> None:
        """A process called while nothing was under way."""
        if tgid in self._strays:
            self._strays[tgid] = True

    def strays(self, tgid: int) -> bool:
        """Whether it has done so, after it had served something."""
        return self._strays.get(tgid, False)

    def _is_free(self, connection: Connection) -> None:
        """No call is under way on it."""
        server = _server_of(connection)
        free = self._free.pop(server, set())
        if len(free) >= MAX_FREE:
            free = {other for other in free if not other.is_closed}
        if len(free) < MAX_FREE:
            free.add(connection)
        self._free[server] = free
        if len(self._free) > MAX_SERVERS:
            self._free.popitem(last=False)

    def _know(self, tgid: int) -> None:
        """A process serves something in a loop."""
        self._strays.setdefault(tgid, False)
        if len(self._strays) > MAX_PROCESSES:
            self._strays.popitem(last=False)

    def _begins(self, socket: int, turn: int, exchange: Exchange | None) -> None:
        self.is_used = True
        newer, older = self._turns.pop(socket, (_NEVER, _NEVER))
        if newer[0] != turn:
            newer, older = (turn, exchange), newer
        elif newer[1] is not exchange:
            newer = (turn, None)
        self._turns[socket] = (newer, older)
        if len(self._turns) > MAX_SOCKETS:
            self._turns.popitem(last=False)


def _server_of(connection: Connection) -> _Server:
    return connection.tgid, connection.remote_address, connection.remote_port


def _add(some: set[int], number: int) -> None:
    """Add to a set that is begun anew when it is full: what it is about shows again."""
    if len(some) >= MAX_SOCKETS:
        some.clear()
    some.add(number)
