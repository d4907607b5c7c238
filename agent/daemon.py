"""The live run: loads the programs, drains the ring, keeps house, and ends in order.

    once    exporters, processes, programs; then `ready:` on stderr
    loop    wait, drain, settle; every second: flush, numbers, what moves without events
    end     detach, drain what is left, tell what is under way, deliver, print the ledger

The ring is drained on a timer: twenty times a second while there is traffic, ten times while there is none; the kernel
side wakes the loop before the buffer is full and for decisions that cannot wait.

It is over 400 lines and one thing: the run, and what the stages ask of it.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import json
import logging
import os
import random
import signal
import socket
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from agent import __version__
from agent.clock import unix_offset_ns
from agent.config import DEFAULT_STORE
from agent.counters import Ledger, Received
from agent.errors import KernelError, TrialError
from agent.export.batch import Exports
from agent.export.endpoint import open_exporters
from agent.export.settings import ExportSettings, Otlp, Store
from agent.kernel.layout import structs
from agent.kernel.loader import Loader, plan
from agent.kernel.side import KernelSide, Watches
from agent.kernel.trial import try_kernel
from agent.kernel.uprobes import Uprobes, sqlite_cookie
from agent.pipeline import GC_THRESHOLDS, KIND_PROCESS, Pipeline
from agent.processes.discovery import Discovery
from agent.processes.embedded import Embedded
from agent.processes.host import read_host
from agent.processes.proc import Proc
from agent.processes.process import Inspector
from agent.processes.resource import Identity, agent_attributes
from agent.processes.selection import Selection, Selectors, Verdict
from agent.processes.tasks import layout_of
from agent.receive.receiver import Receiver
from agent.redaction import Policy
from agent.store.schema import names
from agent.traces.context import Ids
from agent.traces.context_propagators import propagators
from agent.traces.sampler import sampler
from agent.web.page import Page

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable, Iterator, Mapping

    from agent.config import Config, Select
    from agent.kernel.loader import Attached
    from agent.kernel.recording import Recorder
    from agent.processes.process import Process
    from agent.receive.settings import ReceiveSettings
    from agent.spans.span import Resource
    from agent.told import Teller
    from agent.web.settings import WebSettings

logger = logging.getLogger(__name__)

BUSY_S: Final = 0.05
IDLE_S: Final = 0.1
"""How long a record may lie in the ring: the delay of a span, which nobody feels."""
CHORES_S: Final = 1.0
PROGRESS_S: Final = 0.2
"""How often connections are asked for progress whose bytes make no events."""
WATCHES_PER_SLOT: Final = 64
WATCH_PROXY: Final = 4
WATCH_RUNTIME: Final = 8
"""As in probes/include/maps.h."""
MAX_DESCRIBED: Final = 4096
"""Processes of whose runtime the kernel side was told; beyond, they are told of again."""
FIRST_PROCESS: Final = 1
"""It sees the host's files, and never ends: what is attached for it serves processes that end soon."""
MAX_FLOWS: Final = 16384
"""Connections whose trace contexts are kept at once, where contexts are propagated: 5 maps of 100 bytes each."""

_HEADER: Final = structs("events.h")["event_header"]


class Daemon:
    """One run of `zerospan run` or `zerospan record`."""

    def __init__(
        self,
        config: Config,
        export: list[ExportSettings],
        *,
        recorder: Callable[[Mapping[str, Any]], Recorder] | None = None,
        web: WebSettings | None = None,
        receive: ReceiveSettings | None = None,
    ) -> None:
        self.ledger = Ledger()
        self._config = config
        self._stopping = False
        offset = unix_offset_ns()
        self._recorder = recorder({"unix_offset_ns": offset}) if recorder is not None else None
        self._exports = Exports(
            open_exporters(export) if self._recorder is None else [],
            deliveries=self.ledger.exporters,
        )
        self._watches: Watches | None = None
        self._early: dict[int, Verdict] = {}
        """Decisions made before there was a kernel side to tell."""
        self._proc = Proc()
        self.discovery = discovery_of(config, export, self._decide, counts=self.ledger.limits)
        self._teller = (
            _teller(config, self._exports, self.ledger) if config.export_findings else None
        )
        self._side: KernelSide | None = None
        self._pipeline = Pipeline(
            processes=self,
            kernel=self,
            ledger=self.ledger,
            emit=self._exports.emit if self._teller is None else self._teller.take,
            sampler=sampler(config.sampler, config.sampler_arg),
            ids=Ids(random.SystemRandom().randbytes),
            contexts=propagators(config.propagators),
            unix_offset_ns=offset,
            reports_database_servers=config.database_servers,
            policy=Policy(config.redaction) if config.redaction.rules else None,
            own_ports=receive.ports if receive is not None else frozenset(),
            own_stores=frozenset(
                name
                for path in (
                    Path(DEFAULT_STORE),
                    *(one.path for one in export if isinstance(one, Store)),
                )
                for name in names(path)
            ),
        )
        store = next((one.name for one in export if isinstance(one, Store)), "")
        counts = Received()
        if receive is not None:
            self.ledger.received = counts
        self._receiver = Receiver(
            receive,
            functools.partial(self._exports.offer, store),
            counts=counts,
            decide=self._decide,
        )
        self._page = Page(web, self.discovery, self._decide)
        self._known: dict[int, Resource] = {}
        """Processes that the recording has been told of."""
        self._described: dict[int, Process] = {}
        """Processes of whose runtime the kernel side has been told, or of which there is nothing to tell."""
        self._uprobes = Uprobes({})
        self._embedded = Embedded(self._proc)

    def run(self) -> None:
        """Until SIGTERM or SIGINT. Raises a KernelError if this machine cannot do it."""
        started = time.monotonic()
        signal.signal(signal.SIGTERM, self._on_signal)
        signal.signal(signal.SIGINT, self._on_signal)
        try:
            with self._loaded() as side:
                self._side = side
                self._uprobes = Uprobes(side.attached.programs)
                if not selects_some(self._config.select):
                    self._attach_databases(FIRST_PROCESS)
                for process in list(self.discovery):
                    if process.is_traced:
                        self._describe(process)
                print(  # noqa: T201  (the line that scripts wait for)
                    f"ready: {len(side.attached.programs)} programs attached in {time.monotonic() - started:.1f} s",
                    file=sys.stderr,
                    flush=True,
                )
                notify_service_manager("READY=1")
                gc.collect()
                gc.freeze()
                gc.set_threshold(*GC_THRESHOLDS)
                self._loop(side)
                notify_service_manager("STOPPING=1")
                self._uprobes.let_go()
                side.detach()
                self._uprobes.close()
                self._drain(side)
                self._collect(side)
                self._pipeline.finish(time.monotonic_ns())
                if self._teller is not None:
                    self._teller.close()
        finally:
            self._page.close()
            self._receiver.close()
            self._exports.close(self._config.shutdown_s)
            if self._recorder is not None:
                self._recorder.close()

    # The loop.

    def _loop(self, side: KernelSide) -> None:
        next_chores = next_progress = time.monotonic()
        timeout = IDLE_S
        moved: list[bytes] = []
        while not self._stopping:
            side.wait(timeout)
            timeout = BUSY_S if self._drain(side) else IDLE_S
            now = time.monotonic()
            if now >= next_progress:
                next_progress = now + PROGRESS_S
                # As it was the last time: the records of all that had moved by then have been drained since. Told at once, bytes
                # whose record is still in the ring would pass for bytes of which there is none.
                self._replay(moved)
                waiting = [c.socket for c in self._pipeline.connections.waiting()]
                moved = list(side.progress(waiting))
            self._pipeline.now_ns = time.monotonic_ns()
            self._pipeline.settle()
            if now >= next_chores:
                next_chores = now + CHORES_S
                if self._teller is not None:
                    self._teller.step()
                self._exports.flush()
                self._collect(side)
                self._receiver.step()
                self._page.step(self.ledger)

    def _drain(self, side: KernelSide) -> int:
        return side.drain(self._take if self._recorder is not None else self._pipeline.take)

    def _take(self, data: memoryview, at: int, end: int) -> None:
        """A record while recording: written down, too."""
        recorder = self._recorder
        assert recorder is not None
        record = bytes(data[at:end])
        tgid = _HEADER.unpack(record)["tgid"]
        found = self.identify(tgid)
        if found is not None and self._known.get(tgid) is not found[0]:
            self._known[tgid] = found[0]
            facts = json.dumps(process_facts(*found)).encode()
            recorder.write(_HEADER.pack(kind=KIND_PROCESS, tgid=tgid) + facts)
        recorder.write(record)
        self._pipeline.take(data, at, end)

    def _replay(self, records: Iterator[bytes] | list[bytes]) -> None:
        """Records that did not come through the ring."""
        records = list(records)
        if self._recorder is not None:
            for record in records:
                self._recorder.write(record)
        self._pipeline.replay(records)

    def _collect(self, side: KernelSide) -> None:
        """The kernel side's numbers, and the ends that it could not tell."""
        counters = side.counters()
        before = dict(self.ledger.records_lost)
        for name, value in counters.items():
            if name.startswith("lost_"):
                self.ledger.records_lost[name.removeprefix("lost_")] = value
        self.ledger.kernel = {k: v for k, v in counters.items() if not k.startswith("lost_")}
        if self.ledger.records_lost["ring_full_close"] > before.get("ring_full_close", 0):
            self._replay(side.collect_closed())
        if self.ledger.records_lost["statements_full"] > before.get("statements_full", 0):
            side.forget_statements(lambda pid: self._proc.start_ticks(pid) is None)
        if self._recorder is not None and self._recorder.is_full:
            logger.warning("the recording has reached its size; stopping")
            self._stopping = True

    # What the pipeline asks of the kernel side and of the processes.

    def mute(self, socket: int) -> None:
        """Tell no more of a socket."""
        if self._side is not None:
            self._side.mute(socket)

    def set_budget(self, socket: int, direction: int, size: int) -> None:
        """Capture more of a socket."""
        if self._side is not None:
            self._side.set_budget(socket, direction, size)

    def identify(self, tgid: int) -> tuple[Resource, Any] | None:
        """Who that is; None if it is not traced."""
        process = self.discovery.process(tgid)
        if not process.is_traced:
            return None
        if self._described.get(tgid) is not process:
            self._describe(process)
        return (process.resource, process.runtime)

    def _describe(self, process: Process) -> None:
        """Tell the kernel side how to read a process's runtime, where it can."""
        if self._side is None or self._watches is None or not process.is_complete:
            return
        if len(self._described) >= MAX_DESCRIBED:
            self._described.clear()
        self._described[process.pid] = process
        self._attach_databases(process.pid)
        layout = layout_of(process, self._proc)
        if layout is None:
            return
        for hook, path, offset in layout.probes:
            if not self._uprobes.attach(process.pid, hook, path, offset):
                self.ledger.limits["uprobes_missing"] += 1
                logger.info("%s could not be attached to process %s", hook, process.pid)
        if self._side.set_runtime(process.pid, layout.kind, layout.fields()):
            self._watches.add(process.pid, WATCH_RUNTIME)

    def _attach_databases(self, pid: int) -> None:
        """To the libraries of embedded databases that a process has or may come to have."""
        if not self._config.sqlite:
            return
        for at in self._embedded.attachments(pid):
            cookie = sqlite_cookie(at.function, at.text_at)
            if not self._uprobes.attach(pid, at.hook, at.path, at.offset, cookie):
                if not os.path.exists(at.path):
                    return  # the process is gone meanwhile
                self.ledger.limits["uprobes_missing"] += 1
                logger.info("%s of process %s cannot be attached to", at.path, pid)
                return

    def forget_statement(self, tgid: int, statement: int) -> None:
        """A statement will not end: its process is gone."""
        if self._side is not None:
            self._side.forget_statement(tgid, statement)

    def forked(self, parent: int, child: int, time_ns: int) -> None:
        """A process was made."""
        self.discovery.forked(parent, child, time_ns=time_ns)

    def executed(self, pid: int, comm: bytes, arguments: bytes, time_ns: int) -> None:
        """A process became another program."""
        self._uprobes.exited(pid)
        self.discovery.executed(pid, comm, arguments, time_ns=time_ns)

    def exited(self, pid: int) -> None:
        """A process ended."""
        self._described.pop(pid, None)
        self._uprobes.exited(pid)
        self.discovery.exited(pid)

    def listening(self, pid: int, port: int) -> None:
        """A process began to listen."""
        self.discovery.listening(pid, port)
        self.identify(pid)

    def exports_itself(self, pid: int) -> None:
        """A process was seen to send spans of its own."""
        self.discovery.exports_itself(pid, "it sends OTLP")

    def recorded(self, pid: int, facts: dict[str, Any]) -> None:
        """Only recordings tell this."""

    def _decide(self, pid: int, verdict: Verdict) -> None:
        if self._watches is None:
            self._early[pid] = verdict
            return
        self._watches.set(pid, self._watch(pid, verdict))
        self._described.pop(pid, None)
        if verdict is Verdict.WATCH and selects_some(self._config.select):
            self._attach_databases(pid)
        if verdict is Verdict.EXCLUDE:
            self._pipeline.exclude(pid)

    def _watch(self, pid: int, verdict: Verdict) -> int:
        """What the kernel side keeps of a process: the verdict, and whether it is a proxy, where that matters to it."""
        is_asked = self._config.propagate and verdict is not Verdict.EXCLUDE
        if is_asked and self.discovery.process(pid).runtime.is_proxy:
            return verdict | WATCH_PROXY
        return verdict

    @contextlib.contextmanager
    def _loaded(self) -> Iterator[KernelSide]:
        """The programs, while they are attached."""
        try:
            attached = self._attach(self.discovery.scan)
        except TrialError as error:
            logger.warning(
                "contexts are not propagated in headers, for sockets would not work here: %s", error
            )
            # All anew, and without anything that could write to a payload.
            others = tuple(way for way in self._config.propagate if way != "http-header")
            self._config = replace(self._config, propagate=others)
            attached = self._attach(lambda: None)
        config = self._config
        for hook, why in attached.failed.items():
            logger.warning("%s is not available here (%s): less is seen", hook, why)
        side = KernelSide(
            attached, ring_bytes=config.ring_kb * 1024, max_sockets=config.max_connections
        )
        try:
            yield side
        finally:
            side.close()

    def _attach(self, scan: Callable[[], None]) -> Attached:
        """Load and attach what the settings ask for; `scan` finds the processes meanwhile. Raises a KernelError."""
        config = self._config
        pids = pid_max()
        loader = Loader()
        try:
            loading = plan(kernel_settings(config, pids), force_kprobes=config.kprobes)
            loader.start(loading)
            scan()  # the compiler is at work meanwhile
            self._page.prepare()

            def prepare(maps: Mapping[str, int]) -> None:
                if "http-header" in config.propagate:
                    try_kernel(maps)
                self._watches = Watches(maps["watches"], pids)
                for pid, verdict in self._early.items():
                    self._watches.set(pid, self._watch(pid, verdict))
                self._watches.set(os.getpid(), Verdict.EXCLUDE)
                self._watches.set(loader.pid, Verdict.EXCLUDE)

            return loader.finish(prepare)
        finally:
            loader.close()

    def _on_signal(self, number: int, _frame: object) -> None:
        if self._stopping:
            os._exit(128 + number)
        self._stopping = True


def discovery_of(
    config: Config,
    export: list[ExportSettings],
    decide: Callable[[int, Verdict], None],
    counts: Counter[str] | None = None,
) -> Discovery:
    """The processes of this host, selected as configured."""
    proc = Proc()
    attributes = agent_attributes({"OTEL_RESOURCE_ATTRIBUTES": config.resource_attributes})
    identity = Identity(read_host(), version=__version__, attributes=attributes)
    selection = Selection(
        include=_selectors(config.select),
        exclude=_selectors(config.exclude),
        propagate=_propagating(config),
        agent_pid=os.getpid(),
        agent_netns=os.stat("/proc/self/ns/net").st_ino,
        collector_ports=frozenset(
            setting.port
            for setting in export
            if isinstance(setting, Otlp) and _is_local(setting.host)
        ),
        traces_instrumented=config.trace_instrumented,
    )
    return Discovery(
        proc,
        selection=selection,
        inspector=Inspector(proc, identity=identity),
        decide=decide,
        counts=counts,
    )


def _teller(config: Config, exports: Exports, ledger: Ledger) -> Teller:
    # Where it is asked for only: the analyses take 3 MB.
    from agent.analysis.thresholds import Thresholds, overridden  # noqa: PLC0415
    from agent.told import Teller  # noqa: PLC0415

    limits = overridden(Thresholds(), config.thresholds)
    return Teller(exports.emit, thresholds=limits, counts=ledger.limits)


def kernel_settings(config: Config, pids: int) -> dict[str, int]:
    """The constants of the program text that are settings of ours."""
    return {
        "RING_PAGES": config.ring_kb // 4,
        "MAX_SOCKETS": config.max_connections,
        "WATCH_BY_DEFAULT": int(not selects_some(config.select)),
        "WATCH_SLOTS": pids // WATCHES_PER_SLOT,
        "BUDGET_TO_SERVER": config.capture_request_bytes,
        "BUDGET_FROM_SERVER": config.capture_response_bytes,
        "PROPAGATE": int(bool(config.propagate)),
        "PROPAGATE_TCP_OPTION": int("tcp-option" in config.propagate),
        "PROPAGATE_HTTP_HEADER": int("http-header" in config.propagate),
        "TRACE_SQLITE": int(config.sqlite),
        "MAX_FLOWS": min(config.max_connections, MAX_FLOWS),
    }


def selects_some(select: Select) -> bool:
    """Whether only some processes are traced."""
    return bool(select.pid or select.exe or select.port or select.container)


def pid_max() -> int:
    """How many pids there can be, rounded up to whole pages of watch bytes."""
    number = int(Path("/proc/sys/kernel/pid_max").read_text())
    return -(-number // 4096) * 4096


def process_facts(resource: Resource, runtime: Any) -> dict[str, Any]:
    """What a recording keeps of a process."""
    return {
        "resource": list(resource.attributes),
        "uses_goroutines": runtime.uses_goroutines,
        "is_proxy": runtime.is_proxy,
        "reuses_threads": runtime.reuses_threads,
    }


def notify_service_manager(state: str) -> None:
    """Tell systemd (sd_notify(3)), if it waits for us."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.sendto(state.encode(), "\0" + address[1:] if address[0] == "@" else address)


def _selectors(select: Select) -> Selectors:
    return Selectors(
        pids=frozenset(select.pid),
        exes=select.exe,
        ports=frozenset(select.port),
        containers=select.container,
    )


def _propagating(config: Config) -> Selectors:
    """Whose requests carry contexts: nobody's by default."""
    if not config.propagate:
        return Selectors()
    return _selectors(config.propagate_for) or _selectors(config.select)


def _is_local(host: str) -> bool:
    return host in ("localhost", "::1", "0.0.0.0", "::") or host.startswith("127.")  # noqa: S104


def print_ledger(ledger: Ledger) -> None:
    """The last line on stderr."""
    print(json.dumps(ledger.as_json()), file=sys.stderr, flush=True)  # noqa: T201


def require_root() -> None:
    """Refuse early, with words."""
    if os.geteuid() != 0:
        raise KernelError("loading BPF programs needs root: run zerospan with sudo")
