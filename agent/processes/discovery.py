"""The processes of this host: which there are, which are traced, and who each of them is.

A process is a pid and a start time. What is known of one comes from three places, the better replacing the worse:

    /proc        everything, while it lives
    exec event   name and arguments, of a process that is gone before we look (curl)
    its parent   a fork that never called exec is what its parent is: a gunicorn worker, a shell's child

Looking into /proc takes 0.1 ms and most processes never use the network, so it is put off: `forked` and `executed`
note what the event says and decide by that where they can; `process`, asked when a connection shows up, looks.

`decide` is called with a pid whenever the kernel side should know something else than it does. A fork inherits its
parent's verdict there, so forks are not reported, and neither are processes that have ended.

Events may come late and a little out of order, and any may be lost: nothing here relies on a fork being seen before
an exec, or on an exit being seen at all. Everything kept is bounded (`Limits`). Ended processes are remembered for
a while, for their spans are made after they end.
"""

from __future__ import annotations

import time
from collections import Counter, OrderedDict, deque
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

from agent.processes.proc import (
    TICK_NS,
    Proc,
    ProcessFacts,
    facts_after_exec,
    facts_after_fork,
)
from agent.processes.process import Inspector, Process, name_of_parent
from agent.processes.selection import NOT_SELECTED, Decision, Selection, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

RECHECK_S: Final = 1.0
"""How long a pid is taken for the same process without asking the kernel, should fork and exit events be lost."""
LATE_FORK_S: Final = 0.5
"""A fork event that comes so soon after its child was first seen is late, and not about a later process."""
_MAX_WHY: Final = 200
_UNSEEN: Final = Decision(Verdict.WATCH, "gone before it could be looked at")


@dataclass(frozen=True, slots=True)
class Limits:
    """What the table may grow to."""

    live: int = 4096
    """Processes; about 4 KB each once they have connections."""
    ended: int = 1024
    forks: int = 8192
    """Forks of which nothing else is known; 100 bytes each."""
    grace_s: float = 30.0
    """An ended process is remembered so long: more than any exchange waits for its last record."""


@dataclass(frozen=True, slots=True)
class Fork:
    """A process of which only its birth is known."""

    parent: int
    time_ns: int


class Discovery:
    """The table of processes. Times of events are those of the kernel's records, monotonic ns."""

    def __init__(  # noqa: PLR0913  (what differs between a live run and a test)
        self,
        proc: Proc,
        *,
        selection: Selection,
        inspector: Inspector,
        decide: Callable[[int, Verdict], None],
        now: Callable[[], float] = time.monotonic,
        limits: Limits | None = None,
        counts: Counter[str] | None = None,
    ) -> None:
        self.inspector: Final = inspector
        self.counts: Final[Counter[str]] = Counter() if counts is None else counts
        """processes_evicted: forgotten alive for want of room; processes_unseen: gone before anything was known."""
        self._proc: Final = proc
        self._selection: Final = selection
        self._decide: Final = decide
        self._now: Final = now
        self._limits: Final = limits or Limits()
        self._live: dict[int, Process] = {}
        self._forks: OrderedDict[int, Fork] = OrderedDict()
        self._ended: dict[int, Process] = {}
        """The last ended process of each pid."""
        self._ended_order: deque[Process] = deque()

    def __iter__(self) -> Iterator[Process]:
        """The live processes."""
        return iter(list(self._live.values()))

    def __len__(self) -> int:
        return len(self._live)

    def scan(self) -> None:
        """Look at all running processes: at start, before the first event."""
        pids = self._proc.pids()
        for pid in set(self._live).difference(pids):
            self.exited(pid)
        for pid in pids:
            if process := self._looked_at(pid):
                self._judge(process)
        if self._selection.selects_ports:
            self.find_sockets()
        elif self._selection.collector_ports:
            self.find_sockets(netns=self._selection.agent_netns)

    def find_sockets(self, *, netns: int = 0) -> None:
        """Find out who has sockets and listens where, in one network namespace or in all (0).

        The kernel takes 3 ms to print a table of listening sockets, so this is not done without need.
        """
        listening: dict[int, dict[int, int]] = {}
        for process in self:
            here = process.facts.netns
            if netns not in (0, here) or process.facts.is_kernel_thread:
                continue
            inodes = self._proc.socket_inodes(process.pid)
            process.has_sockets = bool(inodes)
            if inodes and here not in listening:
                listening[here] = self._proc.listening_sockets(process.pid)
            if inodes and (ports := inodes & listening[here].keys()):
                process.ports |= {listening[here][inode] for inode in ports}
                self._judge(process)

    def forked(self, parent: int, child: int, *, time_ns: int = 0) -> None:
        """A process was made. Nothing is looked up: most call exec next, or end."""
        known = self._known(child)
        if known is not None and self._now() - known.first_seen_s < LATE_FORK_S:
            return
        if child in self._live:
            self.exited(child)
        self._forks[child] = Fork(parent, time_ns or self._now_ns())
        if len(self._forks) > self._limits.forks:
            self._forks.popitem(last=False)

    def executed(self, pid: int, comm: bytes, arguments: bytes, *, time_ns: int = 0) -> None:
        """A process became another program."""
        before = self._before_exec(pid, time_ns or self._now_ns())
        self._forks.pop(pid, None)
        facts = None if self._selection.is_default else self._proc.facts(pid)
        process = self._new(
            facts or facts_after_exec(before, comm=comm, arguments=arguments),
            is_complete=facts is not None,
        )
        if facts is not None and self._selection.selects_ports:
            process.ports = self._proc.listening_ports(pid)
        self._add(process)
        self._judge(process)

    def exited(self, pid: int) -> None:
        """A process ended. It is remembered for a while."""
        process = self._live.pop(pid, None) or self._from_fork(pid)
        self._forks.pop(pid, None)
        now = self._now()
        if process is not None:
            process.ended_s = now
            self._ended[pid] = process
            self._ended_order.append(process)
        while self._ended_order and (
            len(self._ended_order) > self._limits.ended
            or now - (self._ended_order[0].ended_s or 0.0) > self._limits.grace_s
        ):
            oldest = self._ended_order.popleft()
            if self._ended.get(oldest.pid) is oldest:
                del self._ended[oldest.pid]

    def listening(self, pid: int, port: int) -> None:
        """A process began to listen on a TCP port."""
        process = self.process(pid)
        process.has_sockets = True
        process.ports |= {port}
        self._judge(process)

    def exports_itself(self, pid: int, by: str) -> None:
        """A process was seen to send spans of its own; `by` says how. A proxy passes on those of others."""
        process = self.process(pid)
        if not process.runtime.passes_on:
            process.exported_by = by
            self._judge(process)

    def process(self, pid: int) -> Process:
        """Who it is that has this connection. Always an answer: of one that is gone, what is still known."""
        known = self._live.get(pid)
        if known is not None and self._now() < known.recheck_s:
            return known
        found = self._looked_at(pid)
        if found is None:
            return known or self._remembered(pid)
        if found is not known:
            self._judge(found)
        return found

    def _looked_at(self, pid: int) -> Process | None:
        """Ask /proc, and keep, complete or replace what the table has; None if the process is gone."""
        known = self._live.get(pid)
        if known is not None:
            known.recheck_s = self._now() + RECHECK_S
            if known.is_complete and known.facts.start_ticks == self._proc.start_ticks(pid):
                return known
        facts = self._proc.facts(pid)
        if facts is None:
            return None
        if known is None or known.is_complete:
            found = self._new(facts, is_complete=True)
            self._add(found)
            return found
        known.complete(facts, parent_service=name_of_parent(facts, self._known(facts.ppid)))
        self._judge(known)
        return known

    def _remembered(self, pid: int) -> Process:
        """A process that is not in the table and gone from /proc."""
        if process := self._from_fork(pid):
            self._forks.pop(pid, None)
            self._add(process)
        elif ended := self._ended.get(pid):
            return ended
        else:
            self.counts["processes_unseen"] += 1
            facts = ProcessFacts(pid, start_ticks=self._now_ns() // TICK_NS)
            process = self._new(facts, is_complete=False)
            process.decision = _UNSEEN
            self._add(process)
        return process

    def _from_fork(self, pid: int) -> Process | None:
        """A process that is known to be forked and nothing else: it is what its parent is."""
        fork = self._forks.get(pid)
        parent = self._known(fork.parent) if fork else None
        if fork is None or parent is None:
            return None
        facts = facts_after_fork(parent.facts, pid, time_ns=fork.time_ns)
        process = self._new(facts, is_complete=False)
        process.decision = parent.decision
        process.parent_service = parent.parent_service
        return process

    def _before_exec(self, pid: int, time_ns: int) -> ProcessFacts:
        """What a process was before it became another program."""
        if known := self._live.get(pid) or self._from_fork(pid):
            return known.facts
        fork = self._forks.get(pid)
        return ProcessFacts(pid, ppid=fork.parent if fork else 0, start_ticks=time_ns // TICK_NS)

    def _new(self, facts: ProcessFacts, *, is_complete: bool) -> Process:
        """A process for the table. One that did not call exec has the sockets and the habits of its parent."""
        now = self._now()
        process = Process(facts, inspector=self.inspector, now_s=now, is_complete=is_complete)
        process.recheck_s = now + RECHECK_S if is_complete else 0.0
        fork = self._forks.get(facts.pid)
        parent = self._known(fork.parent if fork else facts.ppid)
        process.parent_service = name_of_parent(facts, parent)
        if fork is not None and parent is not None and _is_alike(facts, parent.facts):
            process.ports = parent.ports
            process.exported_by = parent.exported_by
        return process

    def _add(self, process: Process) -> None:
        """Take a process into the table, in place of any other of its number."""
        self._forks.pop(process.pid, None)
        if process.pid not in self._live and len(self._live) >= self._limits.live:
            self._make_room()
        self._live[process.pid] = process

    def _make_room(self) -> None:
        """Forget those whose exit was missed, and if there are none the oldest: they are looked at again if need be."""
        for pid in set(self._live).difference(self._proc.pids()):
            self.exited(pid)
        if len(self._live) < self._limits.live:
            return
        for pid in list(self._live)[: self._limits.live // 16 + 1]:
            del self._live[pid]
            self.counts["processes_evicted"] += 1

    def _judge(self, process: Process) -> None:
        """Decide on a process by all that is known now, and say so if that is news."""
        decision = self._selection.decide(
            process.facts,
            process.ports,
            instrumented=partial(self.inspector.sdk_evidence, process),
            container_name=partial(self.inspector.container_name, process.facts),
        )
        if decision is NOT_SELECTED:
            parent = self._known(process.facts.ppid)
            if parent and parent.is_traced and _is_alike(process.facts, parent.facts):
                why = f"forked by process {parent.pid}, {parent.decision.why}"
                decision = Decision(parent.decision.verdict, why[:_MAX_WHY])
        was = process.decision.verdict
        process.decision = decision
        if decision.verdict is not was:
            self._decide(process.pid, decision.verdict)

    def _known(self, pid: int) -> Process | None:
        return self._live.get(pid) or self._ended.get(pid)

    def _now_ns(self) -> int:
        return int(self._now() * 1e9)


def _is_alike(child: ProcessFacts, parent: ProcessFacts) -> bool:
    """Whether a child runs what its parent runs: it was forked and did not call exec, or was spawned as a worker."""
    if child.exe or parent.exe:
        return child.exe == parent.exe
    return child.argv == parent.argv
