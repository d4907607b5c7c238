"""Whose work is it: finds the parent of every exchange.

For a server exchange, in this order:
1. the client's exchange at the other end of the same connection, when that end is on this host and agrees with 2;
2. the trace context in the request.
For a client exchange:
3. the server exchange that its thread was handed by another thread, which woke it (`handoff`) or made it (`created`);
4. the server exchange that its thread is working for, or for which its connection was opened;
5. the trace context in the request, when nothing here explains it, or when it says more than 3 and 4 do.

A thread works for the server exchange whose request it received last, until that exchange has its response. When it
receives a response as a client, it works on for whoever made that request: so an event loop, which serves many, goes on with
what its socket was for. A connection that work opened belongs to it until its first request is out: loops connect earlier.

What a thread was handed is the kernel side's word (`struct origin` in probes/include/events.h): the connection and turn of
the request that the other thread had received last. It counts before what the thread received as a client, and is over
when the thread receives a request itself. A woken thread is believed where the request was the only one of its process all
the while (overlaps.py); else its calls wait until it shows whose job they were a part of (`result`, jobs.py).

Where that is not enough to tell, there is no parent, and `rule` says why:
- a worker that goes on with a next job is not woken for it (`refused:backlog`), or is woken by a thread of which nobody
  knows what it works for, or while other requests of the process are under way, so that it may have taken another one's job
  (`refused:handoff`), and no request alone has the result;
- goroutines move between threads, so their thread says nothing: it goes by the goroutine (goroutines.py), where it is known;
- a thread with several server exchanges under way is an event loop. nginx and Apache as proxies, which work for one
  socket at a time, are taken at their word. In other programs a timer or a queue may have run since the last socket call, so
  nothing is claimed (`refused:concurrent`), but of Node.js, whose callbacks the kernel side tells (loops.py).

Both ends of a connection name a request by the same key: the client's address and port and the request's first TCP
sequence number (Unix sockets: the client's socket and the byte position). It holds through address translation and
between network namespaces, and for connections that are older than the agent.

Parents are only linked here; trace ids are settled later (`settle`), when what happened at the same time on another
processor has been seen too. The order of events between two processors is not to be relied on.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Any, Final

from agent.protocols import Role
from agent.traces.goroutines import Goroutines
from agent.traces.jobs import Jobs
from agent.traces.loops import Loops
from agent.traces.overlaps import Overlaps
from agent.traces.rules import (
    CAUSE_BACKLOG,
    CAUSE_CREATED,
    CAUSE_LOOP,
    CAUSE_MIXED,
    CAUSE_PASSED,
    CAUSE_TASK,
    CAUSE_USED,
    CAUSE_WOKEN,
    REFUSED_BACKLOG,
    REFUSED_CONCURRENT,
    REFUSED_GOROUTINE,
    REFUSED_HANDOFF,
    REFUSED_LOOP,
    REFUSED_TASK,
    RULE_ALONE,
    RULE_CREATED,
    RULE_GOROUTINE,
    RULE_HANDOFF,
    RULE_NONE,
    RULE_OPENER,
    RULE_PEER,
    RULE_RESULT,
    RULE_TASK,
    RULE_THREAD,
)
from agent.traces.served import Served
from agent.traces.settle import place
from agent.traces.stamps import Stamps

if TYPE_CHECKING:
    from agent.protocols.pairing import Exchange
    from agent.traces.context import Ids
    from agent.traces.context_propagators import Propagators
    from agent.traces.rules import Origin

MAX_WAITING: Final = 65536
"""Requests whose other end has not been seen; most of them go to other hosts, and leave with their exchange."""
MAX_SENT: Final = 4096
"""Messages that were sent and whose receiver has not been seen, though their spans are made: it may take its time."""
MAX_THREADS: Final = 65536

# A member of an enum takes 40 ns to get at through its class.
_SERVER: Final = Role.SERVER
_CLIENT: Final = Role.CLIENT

_CAUSE_KIND: Final = 255

Key = tuple[Any, int]


class Correlator:
    """Follows exchanges, as `connections.interfaces.Follower` describes."""

    def __init__(self, ids: Ids, contexts: Propagators) -> None:
        """`contexts` reads the trace contexts of requests."""
        self._ids = ids
        self._contexts = contexts
        self._work: dict[int, Exchange] = {}
        """By thread: what it works for."""
        self._open: dict[int, int] = {}
        """By thread: server exchanges that began in it and are under way."""
        self._served = Served()
        self._goroutines = Goroutines()
        self._overlaps = Overlaps()
        self._loops = Loops(self._overlaps)
        self._jobs = Jobs()
        self.has_jobs = False
        """There were calls whose parents show only later."""
        self._waiting: dict[Key, Exchange] = {}
        """By key: requests seen at one end."""
        self._sent: OrderedDict[Key, Exchange] = OrderedDict()
        """By key: messages of duplex protocols, which are mostly over when they are sent; the newest is the last."""
        self.stamps = Stamps()
        """What requests were sent with, where contexts are propagated."""

    def opened(self, connection: Any, tid: int, origin: Origin | None = None) -> None:
        """A watched process connected to somebody: for the work that its thread has, if that is sure."""
        runtime = connection.process.runtime
        if runtime.uses_goroutines:
            return
        if origin is not None and origin[4]:
            work, _ = (
                self._loops.work(origin, connection)
                if origin[4] == CAUSE_LOOP
                else self._handed(origin, connection.tgid)
            )
            connection.opener = work if work is not None and not work.end_ns else None
            if connection.opener is not None:
                self._loops.opens(connection.opener)
            return
        work = self._working_for(tid)
        if work is None or self._is_doubtful(work, runtime):
            return
        if not self._is_loop(tid, runtime) or (
            self._overlaps.was_alone(work, connection.tgid)
            and not self._loops.strays(connection.tgid)
        ):
            connection.opener = work

    def begun(
        self, exchange: Exchange, tid: int, join_key: Key, origin: Origin | None = None
    ) -> None:
        """A request's head passed, in this thread."""
        exchange.span_id = self._ids.span_id()
        carrier = exchange.request.carrier
        if carrier is not None:
            exchange.remote = self._contexts.extract(carrier)
            if exchange.remote is None:
                exchange.decision = self._contexts.decision(carrier)
        exchange.thread = tid
        exchange.join_key = join_key
        waiting = self._waiting
        other = waiting.pop(join_key, None)
        if other is None and self._sent:
            other = self._sent.pop(join_key, None)
        if exchange.role is _SERVER:
            self._serves(exchange, tid, origin)
            if other is not None and other.role is _CLIENT:
                exchange.parent = other
                exchange.rule = RULE_PEER
                return
        else:
            if origin is not None and origin[4] == CAUSE_LOOP:
                self._loops.find_owner(exchange, origin)
            else:
                self._find_owner(exchange, tid, origin)
            if other is not None and other.role is _SERVER:
                if other.parent is None:
                    other.parent = exchange
                    other.rule = RULE_PEER
                return
        if len(waiting) < MAX_WAITING:
            waiting[join_key] = exchange

    def _serves(self, exchange: Exchange, tid: int, origin: Origin | None) -> None:
        """A thread received a request."""
        if len(self._work) >= MAX_THREADS:
            self._work.clear()
        self._work[tid] = exchange
        count = self._open[tid] = self._open.get(tid, 0) + 1
        if count > 1:
            self._loops.overlaps(tid, exchange.connection.tgid)
        self._served.add(exchange)
        self._overlaps.begun(exchange)
        if origin is not None and origin[4] == CAUSE_LOOP:
            self._loops.serves(exchange)
        elif origin is not None and origin[0]:
            self._goroutines.serves(exchange, origin[0])

    def resumed(self, exchange: Exchange, tid: int, origin: Origin | None = None) -> None:
        """Bytes of an exchange came in: the thread goes on with what they were for."""
        if exchange.role is _SERVER:
            self._work[tid] = exchange
            return
        if origin is not None and origin[4] == CAUSE_LOOP:
            self._loops.answers(exchange, origin[0])
        if exchange.job is not None and tid != exchange.thread:
            exchange.job = exchange.given = None
        owner = exchange.parent
        if owner is not None and not owner.end_ns:
            self._work[tid] = owner
        else:
            # Nobody knows for whom the thread goes on: surely not for what it received before.
            self._work.pop(tid, None)

    def resumed_any(self, exchanges: list[Exchange], tid: int) -> None:
        """Bytes of these came in together: the thread goes on with what they were for, if that is one thing."""
        owners = {exchange.parent for exchange in exchanges}
        if len(owners) == 1:
            self.resumed(exchanges[0], tid)
        else:
            self._work.pop(tid, None)

    def answered(self, exchange: Exchange, origin: Origin) -> None:
        """Its answer is sent, in a callback of a loop; or it has begun, and claims a job that was over then."""
        if origin[4] == CAUSE_LOOP:
            self._loops.replies(exchange, origin)
        elif self.has_jobs:
            self._jobs.claim((exchange.connection.tgid, origin[1]), exchange, origin[2])

    def left(self, tgid: int, tid: int, time_ns: int) -> None:
        """A thread is gone that was made for a request, and of which that was doubtful."""
        self._jobs.left(tgid, tid, time_ns)

    def ended(self, exchange: Exchange) -> None:
        """It has its response, or has failed."""
        if exchange.role is _SERVER:
            self._overlaps.ended(exchange)
            thread, opened = exchange.thread, self._open
            if self._work.get(thread) is exchange:
                del self._work[thread]
            if self._loops.is_used:
                self._loops.served(exchange)
            left = opened.get(thread, 0) - 1
            if left > 0:
                opened[thread] = left
            else:
                opened.pop(thread, None)
        elif self._loops.is_used:
            self._loops.called(exchange)

    def blocker(self, exchange: Exchange) -> Exchange | None:
        """Another one that must have been settled before the trace of this one is known; None if it is known now."""
        return self._jobs.blocker(exchange, self._overlaps)

    def _decide(self, call: Exchange) -> None:
        """All is known that will be of the job that a call was a part of."""
        is_after = call.rule == REFUSED_BACKLOG
        if call.parent is None and self._jobs.has_left(call, self._overlaps, is_after=is_after):
            call.parent, call.rule = call.given, RULE_CREATED
        if call.parent is None:
            call.parent = self._jobs.owner(call)
            call.rule = RULE_RESULT if call.parent is not None else call.rule
        elif call.rule == RULE_CREATED:
            claims = self._jobs.claims(call)
            if claims and call.parent not in claims:
                # A pool makes a thread for one request, and it takes the job of another.
                call.parent, call.rule = None, REFUSED_HANDOFF
        call.job = call.given = None

    def settle(self, exchange: Exchange) -> None:
        """Give an exchange its trace: that of its parent, or one of its own."""
        if self._waiting.get(exchange.join_key) is exchange:
            self._stop_waiting(exchange)
        if exchange.job is not None:
            self._decide(exchange)
        elif exchange.rule == RULE_ALONE and self._loops.strays(exchange.connection.tgid):
            exchange.parent, exchange.rule = None, REFUSED_LOOP
        parent, remote = exchange.parent, exchange.remote
        if parent is None and not self.stamps and not exchange.trace_id:
            # Most of them: the same as below, without the calls.
            if remote is not None:
                exchange.trace_id, exchange.rule = remote.trace_id, remote.format
            else:
                exchange.trace_id = self._ids.trace_id()
                if not exchange.rule:
                    exchange.rule = RULE_NONE
            return
        if parent is None or parent.trace_id:
            if not exchange.trace_id:
                self._settle_one(exchange)
            return
        for settled in reversed(self._unsettled(exchange)):
            self._settle_one(settled)

    def _stop_waiting(self, exchange: Exchange) -> None:
        """Its other end has not been seen. Of a message the receiver may come to it later than of a request."""
        del self._waiting[exchange.join_key]
        if exchange.role is _CLIENT and exchange.protocol.is_duplex:
            self._sent[exchange.join_key] = exchange
            if len(self._sent) > MAX_SENT:
                self._sent.popitem(last=False)

    def _unsettled(self, exchange: Exchange) -> list[Exchange]:
        """An exchange and those above it that have no trace yet, in that order."""
        chain: list[Exchange] = []
        at: Exchange | None = exchange
        while at is not None and not at.trace_id and at not in chain:
            chain.append(at)
            if at.job is not None:
                self._decide(at)
            at = at.parent
        return chain

    def _settle_one(self, exchange: Exchange) -> None:
        """Its parent, if any, has its trace. What it was sent with comes first and last."""
        stamp = self.stamps.of(exchange) if self.stamps else None
        if stamp is not None:
            stamp.name(exchange)
        place(exchange, stamp.trace_id if stamp is not None else b"", self._ids)
        if stamp is not None:
            stamp.enforce(exchange)

    def _handed(self, origin: Origin, tgid: int) -> tuple[Exchange | None, str]:
        """The server exchange that a thread was handed by another, and the rule; or none, and why."""
        _, _, socket, turn, cause = origin
        kind = cause & _CAUSE_KIND
        if kind == CAUSE_BACKLOG:
            return None, REFUSED_BACKLOG
        if kind == CAUSE_TASK:
            # Tasks are told apart, so what it does after the response is surely done for the same request.
            tasks = self._served.recent(socket, turn)
            return tasks, RULE_TASK if tasks is not None else REFUSED_TASK
        work = None
        if kind == CAUSE_WOKEN:
            work = self._served.last(socket, turn)
        elif kind == CAUSE_CREATED:
            work = self._served.recent(socket, turn)
        is_woken = kind == CAUSE_WOKEN or cause & CAUSE_PASSED
        if work is None or (is_woken and not self._overlaps.was_alone(work, tgid)):
            # Of a woken one: it may have taken another job than the one that it was woken for.
            return None, REFUSED_HANDOFF
        if work.end_ns and (kind == CAUSE_WOKEN or cause & CAUSE_USED):
            # What it was handed is surely done; it may have gone on with something that nobody woke it for.
            return None, REFUSED_BACKLOG
        if cause & CAUSE_MIXED and self._open.get(work.thread, 0) > 1:
            return None, REFUSED_CONCURRENT
        return work, RULE_HANDOFF if kind == CAUSE_WOKEN else RULE_CREATED

    def _take_job(self, exchange: Exchange, tgid: int, origin: Origin) -> None:
        """A call is a part of a job, whose end may tell more than its beginning."""
        exchange.job, exchange.given = (tgid, origin[1]), self._served.recent(origin[2], origin[3])
        self.has_jobs = True

    def _find_owner(self, exchange: Exchange, tid: int, origin: Origin | None) -> None:
        """For which server exchange a client exchange is made."""
        connection = exchange.connection
        runtime = connection.process.runtime
        opener, connection.opener = connection.opener, None
        if origin is not None and origin[4] and not runtime.uses_goroutines:
            exchange.parent, exchange.rule = self._handed(origin, connection.tgid)
            given = exchange.parent
            if runtime.reuses_threads and (origin[4] & CAUSE_USED or (given and given.end_ns)):
                exchange.parent, exchange.rule = None, REFUSED_HANDOFF
            elif origin[1]:
                self._take_job(exchange, connection.tgid, origin)
            if exchange.rule != REFUSED_TASK or opener is None or opener.end_ns:
                return
        if opener is not None and not opener.end_ns:
            exchange.parent, exchange.rule = opener, RULE_OPENER
            return
        if runtime.uses_goroutines:
            owner = self._goroutines.owner(connection.tgid, origin) if origin is not None else None
            exchange.parent, exchange.rule = owner, RULE_GOROUTINE if owner else REFUSED_GOROUTINE
            return
        self._find_owner_by_thread(exchange, tid)

    def _find_owner_by_thread(self, exchange: Exchange, tid: int) -> None:
        """For which server exchange a client exchange is made, where nothing but its thread tells."""
        connection = exchange.connection
        runtime = connection.process.runtime
        work = self._working_for(tid)
        if work is None:
            if self._is_loop(tid, runtime) and not self._open.get(tid):
                self._loops.strayed(connection.tgid)
        elif self._is_doubtful(work, runtime):
            exchange.rule = REFUSED_CONCURRENT
        elif not self._is_loop(tid, runtime):
            exchange.parent, exchange.rule = work, RULE_THREAD
        else:
            exchange.parent, exchange.rule = self._loops.alone(connection.tgid)

    def _is_loop(self, tid: int, runtime: Any) -> bool:
        """Whether a thread serves several requests in turns, and may be working for none of them."""
        return self._loops.is_loop(tid) and not runtime.is_proxy

    def _is_doubtful(self, work: Exchange, runtime: Any) -> bool:
        """Whether a thread that received for `work` last may be working for something else by now."""
        return self._open.get(work.thread, 0) > 1 and not runtime.is_proxy

    def _working_for(self, tid: int) -> Exchange | None:
        work = self._work.get(tid)
        return work if work is not None and not work.end_ns else None
