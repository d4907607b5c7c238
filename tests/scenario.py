"""Writes what the kernel side would, and reads what comes of it: a conversation as records, its spans as sentences.

    host = Host()
    server = host.accept(process=10, thread=11, client=("10.0.0.9", 40000), port=80)
    server.received(request("/")).sent(response(200, b"hi")).close()
    assert play(host).lines == ["server GET / -> 200, 2 bytes"]

Time moves on by one microsecond a record, or as told. Positions, turns, sequence numbers and capture budgets follow
the rules of probes/include/transfer.h.
"""

from __future__ import annotations

import errno
import json
import random
from collections.abc import Iterable
from dataclasses import dataclass, field
from ipaddress import ip_address

from agent.config import DEFAULT_PROPAGATORS
from agent.connections.table import CLOSE_ENDED_BY_PEER
from agent.counters import Ledger
from agent.kernel.layout import enum, structs
from agent.pipeline import KIND_PROCESS, Pipeline
from agent.redaction import Policy
from agent.replay import RecordedProcesses
from agent.spans import semconv
from agent.spans.span import Span
from agent.traces.context import Ids
from agent.traces.context_propagators import propagators
from agent.traces.sampler import Sampler, sampler

EVENTS = structs("events.h")
KINDS = enum("events.h", "event_kind")
INGRESS, EGRESS = 0, 1
SERVER, CLIENT, UNKNOWN = 1, 2, 0
AF_UNIX, AF_INET, AF_INET6 = 1, 2, 10


def request(path: str = "/", *, method: str = "GET", body: bytes = b"", fields: str = "") -> bytes:
    """A request in one piece; `fields` are whole lines."""
    length = f"Content-Length: {len(body)}\r\n" if body else ""
    return f"{method} {path} HTTP/1.1\r\nHost: shop\r\n{fields}{length}\r\n".encode() + body


def response(status: int = 200, body: bytes = b"", *, fields: str = "") -> bytes:
    """A response in one piece."""
    head = f"HTTP/1.1 {status} Reason\r\nContent-Length: {len(body)}\r\n{fields}\r\n"
    return head.encode() + body


@dataclass
class Host:
    """One machine: its clock and its records, in order."""

    now_ns: int = 1_000_000_000
    records: list[bytes] = field(default_factory=list)
    sockets: int = 0
    step_ns: int = 1000

    def wait(self, ns: int) -> Host:
        """Let time pass."""
        self.now_ns += ns
        return self

    def write(
        self, kind: str, *, process: int, thread: int, payload: bytes = b"", **fields
    ) -> None:
        """One record."""
        self.now_ns += self.step_ns
        layout = EVENTS[f"{kind}_event"]
        header = {
            "time_ns": self.now_ns,
            "tgid": process,
            "tid": thread,
            "kind": KINDS[f"EVENT_{kind.upper()}"],
        }
        self.records.append(layout.pack(**header, **fields) + payload)

    def leaves(self, *, process: int, thread: int) -> None:
        """A thread is gone that was doubtful."""
        self.now_ns += self.step_ns
        kind = KINDS["EVENT_THREAD_EXIT"]
        header = {"time_ns": self.now_ns, "tgid": process, "tid": thread, "kind": kind}
        self.records.append(EVENTS["exit_event"].pack(**header))

    def process(
        self,
        number: int,
        name: str,
        *,
        is_proxy: bool = False,
        uses_goroutines: bool = False,
        reuses_threads: bool = False,
    ) -> Host:
        """Who a process is, as a recording tells it."""
        facts = {
            "resource": [["service.name", name], ["process.pid", number]],
            "is_proxy": is_proxy,
            "uses_goroutines": uses_goroutines,
            "reuses_threads": reuses_threads,
        }
        header = EVENTS["event_header"].pack(kind=KIND_PROCESS, tgid=number)
        self.records.append(header + json.dumps(facts).encode())
        return self

    def accept(
        self, *, process=10, thread=10, client=("10.0.0.9", 40000), port=80, **more
    ) -> Socket:
        """A connection that a server accepted."""
        return Socket(self, process, thread, SERVER, ("10.0.0.1", port), client, **more).open()

    def connect(
        self, *, process=20, thread=20, server=("10.0.0.1", 80), port=40000, **more
    ) -> Socket:
        """A connection that a client made."""
        return Socket(self, process, thread, CLIENT, ("10.0.0.9", port), server, **more).open()

    def join(self, *, process=10, thread=10, peer=("10.0.0.9", 40000), port=80, **more) -> Socket:
        """A connection that is older than the agent."""
        return Socket(self, process, thread, UNKNOWN, ("10.0.0.1", port), peer, **more).open()

    def datagram(
        self, data, *, direction, process=20, thread=20, socket=900, local=("10.0.0.9", 40000),
        remote=("10.0.0.53", 53), size=None, origin=None,
    ) -> Host:  # fmt: skip
        """A datagram that a call moved; of more than 512 bytes the rest is not captured."""
        captured = data[:512]
        self.write(
            "datagram",
            process=process,
            thread=thread,
            payload=captured,
            socket=socket,
            local_address=packed(local[0]),
            local_port=local[1],
            remote_address=packed(remote[0]),
            remote_port=remote[1],
            family=AF_INET,
            direction=direction,
            size=len(data) if size is None else size,
            captured=len(captured),
            **(origin or {}),
        )
        return self

    def datagrams_end(self, *, socket=900, process=20) -> Host:
        """The socket is gone."""
        self.write("datagram_end", process=process, thread=process, socket=socket)
        return self

    def opens(self, name: bytes, *, process=10, database=0x900) -> Host:
        """A process opens an embedded database."""
        self.write(
            "database", process=process, thread=process, payload=name,
            database=database, captured=len(name),
        )  # fmt: skip
        return self

    def statement(
        self, text=b"SELECT 1", *, stage=3, statement=0x500, process=10, thread=10, rows=0,
        result=101, start_ns=None, database=0x900, origin=None,
    ) -> Host:  # fmt: skip
        """A process executes a statement of an embedded database: at once (3), or from its first row (1) to its end (2)."""
        self.write(
            "statement",
            process=process,
            thread=thread,
            payload=text,
            statement=statement,
            database=database,
            start_ns=self.now_ns if start_ns is None else start_ns,
            rows=rows,
            result=result,
            stage=stage,
            captured=len(text),
            **(origin or {}),
        )
        return self

    def exit(self, process: int) -> Host:
        """The process ends; its sockets are closed after that."""
        self.write("exit", process=process, thread=process)
        return self


def packed(address: str) -> bytes:
    """16 bytes, IPv4 mapped."""
    ip = ip_address(address)
    return ip.packed if ip.version == 6 else bytes(10) + b"\xff\xff" + ip.packed


class Socket:
    """One end of a connection."""

    def __init__(
        self,
        host,
        process,
        thread,
        role,
        local,
        remote,
        *,
        family=AF_INET,
        peer=None,
        sequences=(1000, 5000),
        budgets=None,
        origin=None,
    ):
        """`origin`, of whoever opens it, is as `_moved` takes it."""
        host.sockets += 1
        self.host, self.process, self.thread, self.role = host, process, thread, role
        self.number = host.sockets
        self.local, self.remote, self.family, self.peer = local, remote, family, peer
        # What goes toward the server has the first number, so both ends agree.
        toward, back = sequences
        self.sequences = [toward, back] if role == SERVER else [back, toward]
        if budgets is None:
            budgets = {SERVER: (4096, 1024), CLIENT: (1024, 4096)}.get(role, (4096, 4096))
        self.budgets = budgets
        self.positions, self.last_ns = [0, 0], [0, 0]
        self.turn, self.direction, self.captured = 0, 0, 0
        self.origin = origin or {}

    def open(self) -> Socket:
        local, remote = (
            (("::", 0), ("::", 0)) if self.family == AF_UNIX else (self.local, self.remote)
        )
        self.host.write(
            "open",
            process=self.process,
            thread=self.thread,
            socket=self.number,
            peer_socket=self.peer.number if self.peer else 0,
            netns=1,
            local_address=packed(local[0]),
            local_port=local[1],
            remote_address=packed(remote[0]),
            remote_port=remote[1],
            family=self.family,
            role=self.role,
            **self.origin,
        )
        return self

    def received(self, data: bytes, **more) -> Socket:
        """A call took `data` from the socket."""
        return self._moved(INGRESS, data, **more)

    def sent(self, data: bytes, **more) -> Socket:
        """A call put `data` into it."""
        return self._moved(EGRESS, data, **more)

    def asks(self, data: bytes, **more) -> Socket:
        """Bytes toward the server, whichever end this is."""
        return self._moved(EGRESS if self.role == CLIENT else INGRESS, data, **more)

    def answers(self, data: bytes, **more) -> Socket:
        """Bytes from the server."""
        return self._moved(INGRESS if self.role == CLIENT else EGRESS, data, **more)

    def _moved(
        self,
        direction,
        data,
        *,
        thread=None,
        size=None,
        took_ns=0,
        is_lost=False,
        is_silent=False,
        origin=None,
    ):
        """`size` bytes that begin with `data`. `is_lost`: the record found no room. `is_silent`: sendfile, splice.

        `origin` has the fields of `struct origin`, as `handed` gives them."""
        host = self.host
        size = len(data) if size is None else size
        if thread is not None:
            self.thread = thread
        position = self.positions[direction]
        start = host.now_ns + host.step_ns
        host.now_ns += took_ns
        self.positions[direction] += size
        self.last_ns[direction] = host.now_ns + host.step_ns
        if not self.turn or direction != self.direction:
            self.turn, self.direction, self.captured = self.turn + 1, direction, 0
        left = self.budgets[direction] - self.captured
        if is_silent or left <= 0:
            host.now_ns += host.step_ns
            return self
        captured = data[: min(left, size)]
        self.captured += min(left, size)
        if is_lost:
            host.now_ns += host.step_ns
            return self
        is_unix = self.family == AF_UNIX
        host.write(
            "data",
            process=self.process,
            thread=self.thread,
            payload=captured,
            socket=self.number,
            start_ns=start if direction == EGRESS else 0,
            position=position,
            other_position=self.positions[1 - direction],
            other_last_ns=self.last_ns[1 - direction],
            size=size,
            captured=len(captured),
            sequence=0 if is_unix else (self.sequences[direction] + position) & 0xFFFFFFFF,
            turn=self.turn,
            direction=direction,
            **(origin or {}),
        )
        return self

    def handed(self, cause: int) -> dict[str, int]:
        """What a thread is told to have been handed that was woken or made for this connection's last request."""
        return {"cause_socket": self.number, "cause_turn": self.turn, "cause": cause}

    def ended(self, direction=INGRESS, error=0) -> Socket:
        """End of file, shutdown or an error."""
        self.host.write(
            "end",
            process=self.process,
            thread=self.thread,
            socket=self.number,
            position=self.positions[direction],
            direction=direction,
            error=error,
        )
        return self

    def reset(self) -> Socket:
        """The peer reset the connection, and a receive says so."""
        return self.ended(INGRESS, errno.ECONNRESET)

    def progress(self, tail: bytes = b"") -> Socket:
        """User space asked how far it is."""
        return self._totals(
            "progress", tail=int.from_bytes(tail, "little"), direction=self.direction
        )

    def close(self, error=0, *, ended_by_peer=False) -> Socket:
        """The socket is gone; at a server's end, perhaps after the peer's end of file, which made no record."""
        return self._totals("close", error=error | CLOSE_ENDED_BY_PEER * ended_by_peer)

    def _totals(self, kind, **more):
        self.host.write(
            kind,
            process=self.process,
            thread=self.thread,
            socket=self.number,
            ingress_position=self.positions[INGRESS],
            egress_position=self.positions[EGRESS],
            ingress_last_ns=self.last_ns[INGRESS],
            egress_last_ns=self.last_ns[EGRESS],
            turn=self.turn,
            **more,
        )
        return self


def exchange(client: Socket, server: Socket, asked: bytes, answered: bytes) -> None:
    """One exchange that both ends see."""
    client.sent(asked)
    server.received(asked)
    server.sent(answered)
    client.received(answered)


class Outside(RecordedProcesses):
    """Who the processes are, and what the kernel side was asked to do."""

    def __init__(self) -> None:
        super().__init__()
        self.muted: list[int] = []
        self.budgets: list[tuple[int, int, int]] = []
        """Socket, direction, size."""
        self.forgotten: list[tuple[int, int]] = []
        """Process and statement."""
        self.exporting: list[int] = []
        """Processes that send spans of their own."""

    def mute(self, socket: int) -> None:
        """Tell no more of a socket."""
        self.muted.append(socket)

    def set_budget(self, socket: int, direction: int, size: int) -> None:
        """Capture more of one."""
        self.budgets.append((socket, direction, size))

    def forget_statement(self, tgid: int, statement: int) -> None:
        """A statement will not end."""
        self.forgotten.append((tgid, statement))

    def exports_itself(self, pid: int) -> None:
        """A process was seen to send spans."""
        self.exporting.append(pid)


class Run:
    """The pipeline, fed with records."""

    def __init__(
        self,
        decide: Sampler | None = None,
        *,
        reports_database_servers: bool = True,
        policy: Policy | None = None,
        own_ports: frozenset[int] = frozenset(),
        own_stores: frozenset[str] = frozenset(),
    ) -> None:
        self.outside = Outside()
        self.ledger = Ledger()
        self.spans: list[Span] = []
        self.pipeline = Pipeline(
            processes=self.outside,
            kernel=self.outside,
            ledger=self.ledger,
            emit=self.spans.append,
            sampler=decide or sampler("always_on"),
            ids=Ids(random.Random(0).randbytes),
            contexts=propagators(DEFAULT_PROPAGATORS),
            unix_offset_ns=0,
            reports_database_servers=reports_database_servers,
            policy=policy,
            own_ports=own_ports,
            own_stores=own_stores,
        )

    def take(self, records: Iterable[bytes]) -> Run:
        """Some records."""
        self.pipeline.replay(records)
        return self

    def finish(self) -> Run:
        """The end of the run: whatever is under way is told, and the ledger balances."""
        self.pipeline.finish(self.pipeline.now_ns)
        assert self.ledger.is_balanced(), self.ledger.as_json()
        return self

    @property
    def lines(self) -> list[str]:
        """The spans in the order of their ends, one sentence each."""
        return [line(span) for span in self.spans]

    @property
    def counts(self) -> dict[str, object]:
        """What became of the exchanges."""
        counts = self.ledger.as_json()["exchanges"]
        assert isinstance(counts, dict)
        return {key: value for key, value in counts.items() if value}


def play(host: Host, decide: Sampler | None = None) -> Run:
    """All records of a host, from the beginning to the end."""
    return Run(decide).take(host.records).finish()


def line(span: Span) -> str:
    """`server GET /a -> 200, 2 bytes`: kind, method, path, status or error, content."""
    told = facts(span)
    path = told.get(semconv.URL_PATH, told.get(semconv.URL_FULL))
    status = told.get(semconv.HTTP_RESPONSE_STATUS_CODE)
    error = told.get(semconv.ERROR_TYPE)
    size = told.get(semconv.HTTP_RESPONSE_BODY_SIZE)
    parts = [str(part) for part in (status, error) if part is not None]
    outcome = " ".join(dict.fromkeys(parts)) or "nothing"
    if told.get(semconv.INCOMPLETE):
        outcome += " (unfinished)"
    return f"{span.kind.name.lower()} {told[semconv.HTTP_REQUEST_METHOD]} {path} -> {outcome}" + (
        f", {size} bytes" if size is not None else ""
    )


def facts(span: Span) -> dict[str, object]:
    """All attributes of a span; none occurs twice."""
    told: dict[str, object] = {}
    for block in span.attributes:
        for key, value in block.items:
            assert key not in told, key
            told[key] = value
    return told
