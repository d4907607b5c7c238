"""One process as the agent knows it, and what it takes to find out more about it."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from agent.binaries.elf import open_elf
from agent.binaries.go import GoBuild, GoBuilds, has_tls
from agent.processes import runtime as runtimes
from agent.processes import sdk
from agent.processes.containers import ContainerNames
from agent.processes.naming import is_spawned_worker
from agent.processes.resource import Identity, service_name
from agent.processes.runtime import Kind, Runtime
from agent.processes.selection import Decision, Verdict

if TYPE_CHECKING:
    from agent.processes.proc import Proc, ProcessFacts
    from agent.spans.span import Resource

UNDECIDED: Final = Decision(Verdict.UNDECIDED, "not looked at yet")
_RELEASE_FILE: Final = 4096


class Process:
    """One program in one process: an exec makes another. Runtime and resource are found out when first asked for."""

    __slots__ = (
        "_inspector",
        "_resource",
        "_runtime",
        "decision",
        "ended_s",
        "exported_by",
        "facts",
        "first_seen_s",
        "has_sockets",
        "is_complete",
        "parent_service",
        "ports",
        "recheck_s",
    )

    def __init__(
        self, facts: ProcessFacts, *, inspector: Inspector, now_s: float, is_complete: bool = False
    ) -> None:
        self.facts = facts
        self.is_complete = is_complete
        """Its facts are from /proc; else from an event or from its parent."""
        self.decision = UNDECIDED
        self.ports: frozenset[int] = frozenset()
        """TCP ports that it listens on."""
        self.has_sockets = False
        """It had some when that was last looked at."""
        self.exported_by = ""
        """By what traffic it is known to export OpenTelemetry itself."""
        self.parent_service = ""
        """service.name of its parent, where it is a part of that service."""
        self.first_seen_s = now_s
        self.recheck_s = 0.0
        """When to ask the kernel again whether the pid is still this process."""
        self.ended_s: float | None = None
        self._inspector = inspector
        self._runtime: Runtime | None = None
        self._resource: Resource | None = None

    @property
    def pid(self) -> int:
        """Its number in the initial PID namespace."""
        return self.facts.pid

    @property
    def is_traced(self) -> bool:
        """Whether spans are made of what it does."""
        return self.decision.is_traced

    @property
    def service(self) -> str:
        """Its service.name."""
        name = self._inspector.container_name(self.facts)
        return service_name(self.facts, container_name=name, parent_service=self.parent_service)

    @property
    def runtime(self) -> Runtime:
        """What it runs on."""
        if self._runtime is None:
            self._runtime = self._inspector.runtime_of(self.facts)
        return self._runtime

    @property
    def resource(self) -> Resource:
        """Who it is, for its spans: one object for its whole life."""
        if self._resource is None:
            self._resource = self._inspector.resource_of(self)
        return self._resource

    def complete(self, facts: ProcessFacts, *, parent_service: str) -> None:
        """/proc could be read after all. A resource that was asked for before stays as it is."""
        self.facts = facts
        self.parent_service = parent_service
        self.is_complete = True

    def __repr__(self) -> str:
        return f"Process({self.facts!r}, {self.decision!r})"


class Inspector:
    """Finds out more about a process than its facts. It keeps what many processes share: executables, containers."""

    def __init__(
        self, proc: Proc, *, identity: Identity, container_names: ContainerNames | None = None
    ) -> None:
        self._proc: Final = proc
        self._identity: Final = identity
        self._container_names: Final = container_names or ContainerNames()
        self._go_builds: Final = GoBuilds()

    def runtime_of(self, facts: ProcessFacts) -> Runtime:
        """What it runs on."""
        return runtimes.runtime_of(
            facts,
            go=self._go(facts),
            mapped=partial(self._proc.mapped, facts.pid),
            release=partial(self._proc.read_inside, facts.pid, limit=_RELEASE_FILE),
        )

    def resource_of(self, process: Process) -> Resource:
        """Describe it for its spans."""
        return self._identity.resource_of(
            process.facts,
            process.runtime,
            container_name=self.container_name(process.facts),
            parent_service=process.parent_service,
        )

    def container_name(self, facts: ProcessFacts) -> str:
        """The name of its container; empty if it is in none or nobody says it."""
        container_id = facts.cgroup.container_id
        return self._container_names.of(container_id) if container_id else ""

    def sdk_evidence(self, process: Process) -> str | None:
        """By what it is known to export OpenTelemetry itself."""
        if process.exported_by:
            return process.exported_by
        if not process.is_complete:
            return None
        facts = process.facts
        return sdk.evidence(facts, go=self._go(facts), mapped=partial(self._proc.mapped, facts.pid))

    def cannot_see(self, process: Process) -> tuple[str, ...]:
        """What in it stays invisible."""
        return runtimes.cannot_see(
            process.runtime,
            self._proc.mapped(process.pid),
            has_go_tls=partial(self._has_go_tls, process.pid),
        )

    def _go(self, facts: ProcessFacts) -> GoBuild | None:
        """Asked of every file once: few executables are named for the language they are written in."""
        if not facts.exe or runtimes.kind_of(facts.executable_name).kind is not Kind.NATIVE:
            return None
        return self._go_builds.of(self._proc.executable(facts.pid))

    def _has_go_tls(self, pid: int) -> bool:
        elf = open_elf(self._proc.executable(pid))
        if elf is None:
            return False
        with elf:
            return has_tls(elf)


def name_of_parent(facts: ProcessFacts, parent: Process | None) -> str:
    """The parent's service.name, if the process is a part of that service; else empty."""
    return parent.service if parent is not None and is_spawned_worker(facts) else ""
