"""The main path: what becomes of a record.

    record → event → connection and stream → message → exchange        connections/, protocols/
           → settled → placed in a trace → span → sampled → exported   traces/, export/

This is the only place that wires the stages together. It needs no kernel: records come from the ring buffer
(daemon.py) or from a recording, and both give the same spans. Its only clock is the records' own time.

It is over 400 lines and one thing: who gives what to whom.
"""

from __future__ import annotations

import json
import logging
import struct
import traceback
from typing import TYPE_CHECKING, Any, Final, Protocol

from agent.connections.datagrams import Datagrams
from agent.connections.endpoint import Endpoints
from agent.connections.names import Names
from agent.connections.outcomes import Outcomes
from agent.connections.statements import STAGES, Statements
from agent.connections.table import Connections
from agent.kernel.layout import enum, structs
from agent.protocols import Protocol as AnyProtocol
from agent.protocols import Role, load_all
from agent.routes import Routes
from agent.traces.build import Builder
from agent.traces.correlate import Correlator
from agent.traces.held import Held
from agent.traces.sampler import remote_decision
from agent.traces.stamps import Stamp

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from agent.connections.interfaces import Kernel
    from agent.counters import Ledger
    from agent.protocols.pairing import Exchange
    from agent.redaction import Policy
    from agent.spans.span import Resource, Span
    from agent.traces.context import Ids
    from agent.traces.context_propagators import Propagators
    from agent.traces.sampler import Sampler

logger = logging.getLogger(__name__)

SETTLE_NS: Final = 100_000_000
"""An exchange waits so long after its end until its parent is settled. What happens at one time on two processors may
be recorded in either order; on a loaded virtual machine a processor can be away for tens of milliseconds."""

GC_THRESHOLDS: Final = (50_000, 20, 20)
"""For gc.set_threshold, by whoever runs it. Exchanges live for SETTLE_NS after their end and are in no cycles: looking for
garbage among them every 700 allocations finds none, and takes 4 to 8 % of the time, more where they are many."""

KIND_PROCESS: Final = 1000
"""Only in recordings: who a process is, as JSON."""
MAX_PARTIES: Final = 16384
LATELY_NS: Final = 1_000_000_000
"""How long a process is not asked for again while it opens connections: asking takes longer than the rest."""
MAX_SERVICES: Final = 1024
"""Services whose routes are kept. Names come from the traced processes; beyond, the first learnt one starts anew."""

_EVENTS: Final = structs("events.h")
_KINDS: Final = enum("events.h", "event_kind")
_DATA: Final = _KINDS["EVENT_DATA"]
_CLIENT: Final = Role.CLIENT  # a member of an enum takes 40 ns to get at through its class
_OPEN: Final = _KINDS["EVENT_OPEN"]
_unpack_header = _EVENTS["event_header"].packer.unpack_from
_unpack_data = _EVENTS["data_event"].packer.unpack_from
_DATA_SIZE: Final = _EVENTS["data_event"].size
_HEADER_SIZE: Final = _EVENTS["event_header"].size
_KIND_AT: Final = struct.calcsize("<QII")
"""Where `kind` is in the header."""
_PADDING: Final = bytes(_DATA_SIZE)
_LOOPBACK: Final = (bytes(10) + b"\xff\xff\x7f", bytes(15) + b"\x01")
"""127.0.0.0/8, IPv4 mapped, and ::1."""


class Party:
    """A traced process, as connections and spans refer to it."""

    __slots__ = ("endpoints", "names", "pid", "resource", "routes", "runtime")

    def __init__(self, pid: int, resource: Resource, routes: Routes, runtime: Any) -> None:
        self.pid = pid
        self.resource = resource
        self.routes = routes
        """What its service's paths look like."""
        self.runtime = runtime
        self.endpoints = Endpoints()
        """What is known of its connections' protocols."""
        self.names = Names()
        """Of the hosts that it looked up."""


class Processes(Protocol):
    """Who knows the processes: `daemon.py` live, `replay.py` from a recording."""

    def identify(self, tgid: int) -> tuple[Resource, Any] | None:
        """Resource and runtime; None if it is not traced. The same Resource object for the same process."""

    def forked(self, parent: int, child: int, time_ns: int) -> None:
        """A process was made."""

    def executed(self, pid: int, comm: bytes, arguments: bytes, time_ns: int) -> None:
        """A process became another program."""

    def exited(self, pid: int) -> None:
        """A process ended."""

    def listening(self, pid: int, port: int) -> None:
        """A process began to listen."""

    def exports_itself(self, pid: int) -> None:
        """A process was seen to send spans of its own."""

    def recorded(self, pid: int, facts: dict[str, Any]) -> None:
        """A recording tells who a process is."""


class Pipeline:
    """The stages, wired. `take` is called with every record, `settle` after every round of them."""

    def __init__(  # noqa: PLR0913  (what differs between a live run, a replay and a test)
        self,
        *,
        processes: Processes,
        kernel: Kernel,
        ledger: Ledger,
        emit: Callable[[Span], None],
        sampler: Sampler,
        ids: Ids,
        contexts: Propagators,
        unix_offset_ns: int,
        reports_database_servers: bool = True,
        policy: Policy | None = None,
        own_ports: frozenset[int] = frozenset(),
        own_stores: frozenset[str] = frozenset(),
    ) -> None:
        self.ledger = ledger
        self.now_ns = 0
        """Time of the newest record."""
        self._processes = processes
        self._own_ports = own_ports
        """Where we receive OTLP ourselves: what is delivered there makes no spans, or every span would make another."""
        self._emit = emit
        self._sampler = sampler
        self._correlator = Correlator(ids, contexts)
        self._held = Held(ledger.limits)
        self._builder = Builder(unix_offset_ns, policy)
        self._routes: dict[str, Routes] = {}
        self._parties: dict[int, Party] = {}
        self._lately: dict[int, tuple[int, Party]] = {}
        """Those asked for lately, and until when that may be taken for granted."""
        protocols = tuple(load_all().values())
        self._delivering = frozenset(
            one for one in protocols if one.delivers_spans is not AnyProtocol.delivers_spans
        )
        """Protocols by which spans may be delivered: the others need not be asked."""
        outcomes = Outcomes(self._correlator, kernel, ledger)
        outcomes.on_bug = self._report_bug
        outcomes.on_delivery = processes.exports_itself
        self.connections = Connections(
            protocols, outcomes, self.party, reports_database_servers=reports_database_servers
        )
        self.datagrams = Datagrams(protocols, outcomes, self.party)
        self.statements = Statements(outcomes, self.party, own_stores)
        self._reported: set[tuple[str, str]] = set()
        self._take_other = {
            _KINDS[f"EVENT_{name.upper()}"]: (
                _EVENTS[f"{name}_event"],
                getattr(self, f"_take_{name}"),
            )
            for name in (
                *("listen", "fork", "exec", "exit", "datagram", "context"),
                *("statement", "database"),
            )
        }
        self._take_socket = {
            _KINDS[f"EVENT_{name.upper()}"]: (
                _EVENTS[f"{name}_event"].packer.unpack_from,
                _EVENTS[f"{name}_event"].size,
                getattr(self.connections, name),
            )
            for name in ("open", "end", "close", "progress")
        }
        ended = _EVENTS["datagram_end_event"]
        self._take_socket[_KINDS["EVENT_DATAGRAM_END"]] = (
            ended.packer.unpack_from,
            ended.size,
            self.datagrams.end,
        )
        self._take_other[_KINDS["EVENT_THREAD_EXIT"]] = (
            _EVENTS["exit_event"],
            self._take_thread_exit,
        )
        self._take_other[KIND_PROCESS] = (_EVENTS["event_header"], self._take_process)
        self._take_data = self.connections.data
        self._unknown = (_EVENTS["event_header"], self._take_unknown)

    # Records.

    def take(self, data: memoryview, at: int, end: int) -> None:
        """One record: data[at:end]. At least 120 bytes behind `at` may be looked at, whatever the record's length."""
        self.ledger.records_read += 1
        # The lowest byte of the kind tells enough for the first step; all of it is compared afterwards.
        kind = data[at + _KIND_AT]
        if kind != _DATA:
            self._take_rarer(kind, data, at, end)
            return
        fields = _unpack_data(data, at)
        if fields[0] > self.now_ns:
            self.now_ns = fields[0]
        start = at + _DATA_SIZE
        captured = fields[11]
        if (
            start + captured <= end
            and captured <= fields[10]
            and fields[14] <= 1
            and fields[3] == _DATA
        ):
            self._take_data(fields, bytes(data[start : start + captured]))
        else:
            self.ledger.records_ignored["malformed"] += 1

    def _take_rarer(self, kind: int, data: memoryview, at: int, end: int) -> None:
        """A record of another kind than data, whose lowest byte is `kind`."""
        known = self._take_socket.get(kind)
        if known is not None:
            unpack, size, method = known
            fields = unpack(data, at)
            if fields[0] > self.now_ns:
                self.now_ns = fields[0]
            if end - at < size or fields[3] != kind:
                self.ledger.records_ignored["malformed"] += 1
            else:
                method(fields)
            return
        header = _unpack_header(data, at)
        if header[0] > self.now_ns:
            self.now_ns = header[0]
        layout, other = self._take_other.get(header[3], self._unknown)
        if end - at < layout.size:
            self.ledger.records_ignored["malformed"] += 1
            return
        other(layout.packer.unpack_from(data, at), data[at + layout.size : end])

    def replay(self, records: Iterable[bytes]) -> None:
        """Take records that are not in a ring."""
        for record in records:
            self.take(memoryview(record + _PADDING), 0, len(record))

    def _take_datagram(self, fields: tuple[Any, ...], payload: memoryview) -> None:
        direction, size, captured = fields[11:14]
        if captured > len(payload) or captured > size or direction > 1:
            self.ledger.records_ignored["malformed"] += 1
            return
        self.datagrams.take(fields, bytes(payload[:captured]))

    def _take_statement(self, fields: tuple[Any, ...], payload: memoryview) -> None:
        stage, captured = fields[10:12]
        if captured > len(payload) or stage not in STAGES:
            self.ledger.records_ignored["malformed"] += 1
            return
        self.statements.take(fields, bytes(payload[:captured]))

    def _take_database(self, fields: tuple[Any, ...], payload: memoryview) -> None:
        captured = fields[6]
        if captured > len(payload):
            self.ledger.records_ignored["malformed"] += 1
            return
        self.statements.opened(fields, bytes(payload[:captured]))

    def _take_listen(self, fields: tuple[Any, ...], payload: memoryview) -> None:
        del payload
        self._processes.listening(fields[1], fields[5])

    def _take_fork(self, fields: tuple[Any, ...], payload: memoryview) -> None:
        del payload
        self._processes.forked(fields[1], fields[5], fields[0])

    def _take_exec(self, fields: tuple[Any, ...], payload: memoryview) -> None:
        time_ns, tgid, _, _, _, comm, _, captured = fields
        comm = comm.partition(b"\0")[0]
        self._lately.pop(tgid, None)
        self.statements.exited(tgid, time_ns)
        self._processes.executed(tgid, comm, bytes(payload[:captured]), time_ns)

    def _take_exit(self, fields: tuple[Any, ...], payload: memoryview) -> None:
        del payload
        self._lately.pop(fields[1], None)
        self.connections.exited(fields[1], fields[0])
        self.statements.exited(fields[1], fields[0])
        self._processes.exited(fields[1])

    def _take_thread_exit(self, fields: tuple[Any, ...], payload: memoryview) -> None:
        del payload
        self._correlator.left(fields[1], fields[2], fields[0])

    def _take_context(self, fields: tuple[Any, ...], payload: memoryview) -> None:
        del payload
        socket, trace_id, span_id, parent_id, sequence, _, decision, is_remote = fields[5:13]
        stamp = Stamp(trace_id, span_id, parent_id, decision, bool(is_remote))
        if not self._correlator.stamps.add((socket, sequence), stamp):
            self.ledger.limits["contexts_forgotten"] += 1

    def _take_process(self, fields: tuple[Any, ...], payload: memoryview) -> None:
        self._lately.pop(fields[1], None)
        try:
            self._processes.recorded(fields[1], json.loads(bytes(payload)))
        except (ValueError, KeyError, TypeError, RecursionError):
            # Recordings come from anywhere.
            self.ledger.records_ignored["malformed"] += 1

    def _take_unknown(self, fields: tuple[Any, ...], payload: memoryview) -> None:
        del fields, payload
        self.ledger.records_ignored["malformed"] += 1

    def party(self, tgid: int) -> Party | None:
        """The traced process with that number; None if it is not traced."""
        lately = self._lately.get(tgid)
        if lately is not None and self.now_ns < lately[0]:
            return lately[1]
        found = self._processes.identify(tgid)
        if found is None:
            return None
        resource, runtime = found
        party = self._parties.get(tgid)
        if party is None or party.resource is not resource:
            if len(self._parties) >= MAX_PARTIES:
                self._parties.clear()
                self._lately.clear()
            service = str(resource.get("service.name"))
            routes = self._routes.get(service)
            if routes is None:
                if len(self._routes) >= MAX_SERVICES:
                    del self._routes[next(iter(self._routes))]
                routes = self._routes[service] = Routes(counts=self.ledger.limits)
            party = self._parties[tgid] = Party(tgid, resource, routes, runtime)
        self._lately[tgid] = (self.now_ns + LATELY_NS, party)
        return party

    def exclude(self, tgid: int) -> None:
        """A process is not traced any more."""
        self._lately.pop(tgid, None)
        self.connections.exclude(tgid)
        self.datagrams.exclude(tgid)
        self.statements.exclude(tgid)

    # Exchanges.

    def settle(self, *, everything: bool = False) -> None:
        """Make spans of the exchanges that ended long enough ago."""
        finished = self.connections.finished
        self.datagrams.expire(self.now_ns)
        until = self.now_ns - SETTLE_NS
        has_jobs = self._correlator.has_jobs and not everything
        while finished and (everything or finished[0].end_ns <= until):
            exchange = finished.popleft()
            if has_jobs:
                self._finish_in_turn([exchange])
            else:
                self._make_span(exchange)
                exchange.release()  # as in _finish
        for exchange in self._held.empty() if everything else self._held.expire(self.now_ns):
            self._finish(exchange)
            self._finish_in_turn(self._held.release(exchange))

    def _finish_in_turn(self, exchanges: list[Exchange]) -> None:
        """Make spans of exchanges, unless they have to wait for others, and of those that have waited for them."""
        held = self._held
        for exchange in exchanges:
            blocker = self._correlator.blocker(exchange)
            if blocker is None or not held.hold(exchange, blocker, self.now_ns):
                self._finish(exchange)
                exchanges.extend(held.release(exchange))

    def finish(self, time_ns: int) -> None:
        """The end: tell what is under way, settle all."""
        self.connections.finish(max(time_ns, self.now_ns))
        self.datagrams.finish(max(time_ns, self.now_ns))
        self.statements.finish(max(time_ns, self.now_ns))
        self.settle(everything=True)

    def _finish(self, exchange: Exchange) -> None:
        self._make_span(exchange)
        # The correlator keeps it for a while, for calls that are made after the response.
        exchange.release()

    def _make_span(self, exchange: Exchange) -> None:
        ledger = self.ledger
        self._correlator.settle(exchange)
        if exchange.role is _CLIENT and (exchange.protocol in self._delivering or self._own_ports):
            delivers = exchange.protocol.delivers_spans(exchange)
            if delivers:
                self._processes.exports_itself(exchange.connection.tgid)
            connection = exchange.connection
            if connection.remote_port in self._own_ports and (
                delivers or connection.remote_address.startswith(_LOOPBACK)
            ):
                ledger.filtered["own_receiver"] += 1
                return
        parents = ledger.parents
        parents[exchange.rule] = parents.get(exchange.rule, 0) + 1
        remote = None
        if exchange.remote or exchange.parent or exchange.decision is not None:
            remote = remote_decision(exchange)
        if not self._sampler(exchange.trace_id, remote):
            ledger.built += 1
            ledger.sampled_out += 1
            return
        try:
            span = self._builder.build(exchange)
        except Exception as error:  # noqa: BLE001  (the wall: a bug in `describe` must not stop the agent)
            self._report_bug(exchange.protocol.name, error)
            ledger.unparsed["bug"] += 1
            return
        ledger.built += 1
        ledger.emitted += 1
        self._emit(span)

    def _report_bug(self, protocol: str, error: Exception) -> None:
        """Once per protocol and kind: the type and the frames. Its message may hold traffic, which is somebody's."""
        kind = type(error).__name__
        if (protocol, kind) not in self._reported:
            self._reported.add((protocol, kind))
            frames = "".join(traceback.format_tb(error.__traceback__)).rstrip()
            logger.error("a bug in the %s parser, please report it: %s\n%s", protocol, kind, frames)
