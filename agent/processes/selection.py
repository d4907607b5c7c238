"""Which processes are traced.

The rules, the first that applies deciding:

1. zerospan itself, its children, and the collector that it sends to are never traced: every span would cause another.
2. Kernel threads have no sockets of their own.
3. What is excluded explicitly.
4. With selectors: what none of them names. Without: SYSTEM_DAEMONS.
5. What traces itself with OpenTelemetry, unless the operator wants it twice.
6. Everything else is traced.
"""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Final

from agent.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Set

    from agent.processes.proc import ProcessFacts


class Verdict(enum.IntEnum):
    """The numbers are those that the kernel side keeps per process."""

    UNDECIDED = 0
    WATCH = 1
    EXCLUDE = 2
    WATCH_AND_PROPAGATE = 3
    """Its requests carry trace contexts to other hosts."""


@dataclass(frozen=True, slots=True)
class Decision:
    """A verdict with its reason, as `zerospan ps` says it."""

    verdict: Verdict
    why: str

    @property
    def is_traced(self) -> bool:
        """Whether spans are made of what the process does."""
        return self.verdict in (Verdict.WATCH, Verdict.WATCH_AND_PROPAGATE)


NOT_SELECTED: Final = Decision(Verdict.EXCLUDE, "not selected")

_SERVICE_MANAGER: Final = "part of systemd"
_CONTAINERS: Final = "runs containers"
_COLLECTOR: Final = "carries telemetry"
_TRACER: Final = "traces programs"

SYSTEM_DAEMONS: Final[Mapping[str, str]] = {
    "(sd-pam)": _SERVICE_MANAGER,
    "accounts-daemon": "keeps user accounts",
    "acpid": "handles power events",
    "agetty": "waits for a login",
    "alloy": _COLLECTOR,
    "anacron": "starts timed jobs",
    "atd": "starts timed jobs",
    "auditd": "writes the audit log",
    "avahi-daemon": "finds hosts",
    "beyla": _TRACER,
    "chronyd": "sets the clock",
    "conmon": _CONTAINERS,
    "containerd*": _CONTAINERS,
    "cri-dockerd": _CONTAINERS,
    "crio": _CONTAINERS,
    "cron": "starts timed jobs",
    "crond": "starts timed jobs",
    "dbus-broker*": "passes desktop and system messages",
    "dbus-daemon": "passes desktop and system messages",
    "dhclient": "configures the network",
    "dhcpcd": "configures the network",
    "docker-proxy": "forwards published ports, whose container is seen itself",
    "dockerd": _CONTAINERS,
    "fluent-bit": _COLLECTOR,
    "gpg-agent": "keeps keys",
    "grafana-agent": _COLLECTOR,
    "init": "starts the system",
    "irqbalance": "distributes interrupts",
    "kube-proxy": "forwards the ports of services",
    "kubelet": _CONTAINERS,
    "login": "waits for a login",
    "mcelog": "reads hardware errors",
    "multipathd": "manages disks",
    "networkd-dispatcher": "configures the network",
    "NetworkManager": "configures the network",
    "ntpd": "sets the clock",
    "obi": _TRACER,
    "otelcol*": _COLLECTOR,
    "otelcontribcol*": _COLLECTOR,
    "polkitd": "decides on privileges",
    "qemu-ga": "serves the hypervisor",
    "rngd": "feeds the random number generator",
    "rotel": _COLLECTOR,
    "rpcbind": "lists RPC services",
    "rsyslogd": "writes the system log",
    "runc": _CONTAINERS,
    "smartd": "watches disks",
    "snapd": "installs packages",
    "ssh-agent": "keeps keys",
    "sshd": "serves logins",
    "sshd-session": "serves logins",
    "sssd*": "answers for user accounts",
    "syslog-ng": "writes the system log",
    "systemd*": _SERVICE_MANAGER,
    "udevd": _SERVICE_MANAGER,
    "udisksd": "manages disks",
    "unattended-upgr*": "installs packages",
    "upowerd": "handles power events",
    "vmtoolsd": "serves the hypervisor",
    "wpa_supplicant": "configures the network",
}
"""Not traced unless selected: by the executable's name, `*` as in file names, with what each is for."""

_EXACT_DAEMONS: Final = {name: why for name, why in SYSTEM_DAEMONS.items() if "*" not in name}
_PREFIX_DAEMONS: Final = tuple(
    (name[:-1], why) for name, why in SYSTEM_DAEMONS.items() if "*" in name
)
_CONTAINER: Final = re.compile(r"[\w][\w.-]*", re.ASCII)


@dataclass(frozen=True, slots=True)
class Selectors:
    """What the operator names; a process is meant if any of them fits."""

    pids: frozenset[int] = frozenset()
    exes: tuple[str, ...] = ()
    """Globs: with a slash they must fit the whole path, without one the file name."""
    ports: frozenset[int] = frozenset()
    """TCP ports that the process listens on."""
    containers: tuple[str, ...] = ()
    """Names, or the first digits of ids."""

    def __post_init__(self) -> None:
        for pid in self.pids:
            if not 0 < pid <= 1 << 22:
                raise ConfigError(f"{pid} is no process id")
        for port in self.ports:
            if not 0 < port <= 0xFFFF:
                raise ConfigError(f"{port} is no TCP port")
        if not all(self.exes):
            raise ConfigError("an executable's name is empty")
        for container in self.containers:
            if not _CONTAINER.fullmatch(container):
                raise ConfigError(f"{container!r} is no container's name or id")

    def __bool__(self) -> bool:
        return bool(self.pids or self.exes or self.ports or self.containers)

    def match(
        self, facts: ProcessFacts, ports: Set[int], container_name: Callable[[], str]
    ) -> str | None:
        """What names this process, in words; None if nothing does."""
        if facts.pid in self.pids:
            return f"process {facts.pid}"
        for pattern in self.exes:
            if _is_executable(facts, pattern):
                return f"executable {pattern}"
        for port in sorted(self.ports & ports):
            return f"port {port}"
        if self.containers and (container_id := facts.cgroup.container_id):
            for container in self.containers:
                if container_id.startswith(container) or container_name() == container:
                    return f"container {container}"
        return None


@dataclass(frozen=True, slots=True)
class Selection:
    """The rules with the operator's say; `decide` applies them."""

    include: Selectors = Selectors()
    exclude: Selectors = Selectors()
    propagate: Selectors = Selectors()
    """Of those that are traced: whose requests carry trace contexts to other hosts."""
    agent_pid: int = 0
    agent_netns: int = 0
    collector_ports: frozenset[int] = frozenset()
    """Ports of this host that spans are sent to."""
    traces_instrumented: bool = False
    """Whether processes that trace themselves are traced too."""

    @property
    def is_default(self) -> bool:
        """No selectors: everything is traced that no rule excludes."""
        return not self.include

    @property
    def selects_ports(self) -> bool:
        """Whether it matters who listens where, other than the collector."""
        return bool(self.include.ports or self.exclude.ports or self.propagate.ports)

    def decide(
        self,
        facts: ProcessFacts,
        ports: Set[int] = frozenset(),
        *,
        instrumented: Callable[[], str | None] = lambda: None,
        container_name: Callable[[], str] = str,
    ) -> Decision:
        """Apply the rules. `instrumented` says by what the process is known to trace itself (agent.processes.sdk)."""
        if why := self._own(facts, ports) or self._excluded(facts, ports, container_name):
            return Decision(Verdict.EXCLUDE, why)
        if self.include:
            selected = self.include.match(facts, ports, container_name)
            if selected is None:
                return NOT_SELECTED
            why = f"selected by {selected}"
        elif daemon := daemon_of(facts):
            return Decision(Verdict.EXCLUDE, f"system daemon: {daemon}")
        else:
            why = "not excluded"
        if not self.traces_instrumented and (found := instrumented()):
            return Decision(Verdict.EXCLUDE, f"exports OpenTelemetry itself: {found}")
        if self.propagate and (found := self.propagate.match(facts, ports, container_name)):
            return Decision(Verdict.WATCH_AND_PROPAGATE, f"{why}; propagates, by {found}")
        return Decision(Verdict.WATCH, why)

    def _own(self, facts: ProcessFacts, ports: Set[int]) -> str | None:
        if self.agent_pid and facts.pid == self.agent_pid:
            return "zerospan itself"
        if self.agent_pid and facts.ppid == self.agent_pid:
            return "started by zerospan"
        is_near = not (self.agent_netns and facts.netns) or facts.netns == self.agent_netns
        for port in sorted(self.collector_ports & ports) if is_near else ():
            return f"the collector that zerospan sends to, on port {port}"
        return "kernel thread" if facts.is_kernel_thread else None

    def _excluded(
        self, facts: ProcessFacts, ports: Set[int], container_name: Callable[[], str]
    ) -> str | None:
        excluded = self.exclude.match(facts, ports, container_name)
        return None if excluded is None else f"excluded by {excluded}"


def _is_executable(facts: ProcessFacts, pattern: str) -> bool:
    """A process that was gone before its path could be read is judged by its name alone."""
    if facts.exe and "/" in pattern:
        return fnmatchcase(facts.exe, pattern)
    return fnmatchcase(facts.executable_name, pattern.rpartition("/")[2])


def daemon_of(facts: ProcessFacts) -> str | None:
    """What a system daemon is for; None for any other process."""
    name = facts.executable_name
    if found := _EXACT_DAEMONS.get(name):
        return found
    for prefix, why in _PREFIX_DAEMONS:
        if name.startswith(prefix):
            return why
    return None
