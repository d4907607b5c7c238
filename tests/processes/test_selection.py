"""Which processes are traced, and the reason given."""

from __future__ import annotations

import pytest

from agent.errors import ConfigError
from agent.processes.cgroup import Cgroup
from agent.processes.proc import ProcessFacts
from agent.processes.selection import (
    NOT_SELECTED,
    SYSTEM_DAEMONS,
    Decision,
    Selection,
    Selectors,
    Verdict,
    daemon_of,
)
from tests.processes.tree import CONTAINER

SHOP = ProcessFacts(
    50, ppid=40, exe="/srv/shop/bin/shop", netns=1, cgroup=Cgroup("/x", container_id=CONTAINER)
)
SSHD = ProcessFacts(51, ppid=1, exe="/usr/sbin/sshd", netns=1)


def watch(why: str) -> Decision:
    return Decision(Verdict.WATCH, why)


def exclude(why: str) -> Decision:
    return Decision(Verdict.EXCLUDE, why)


def test_default_traces_all_but_daemons() -> None:
    selection = Selection()
    assert selection.is_default
    assert selection.decide(SHOP) == watch("not excluded")
    assert selection.decide(SSHD) == exclude("system daemon: serves logins")


@pytest.mark.parametrize(
    "name",
    ["systemd", "systemd-journald", "dbus-daemon", "containerd-shim-runc-v2", "otelcol-contrib"],
)
def test_daemons_by_name(name: str) -> None:
    assert daemon_of(ProcessFacts(1, exe=f"/usr/lib/{name}")) is not None
    assert daemon_of(ProcessFacts(1, comm=name[:15], argv=(name,))) is not None


def test_every_daemon_has_a_reason() -> None:
    assert all(SYSTEM_DAEMONS.values())
    assert daemon_of(ProcessFacts(1, exe="/usr/bin/systematic")) is None


@pytest.mark.parametrize(
    ("selectors", "ports", "what"),
    [
        (Selectors(pids=frozenset({50})), frozenset(), "process 50"),
        (Selectors(exes=("sh*",)), frozenset(), "executable sh*"),
        (Selectors(exes=("/srv/*/shop",)), frozenset(), "executable /srv/*/shop"),
        (Selectors(ports=frozenset({80, 443})), frozenset({80, 9}), "port 80"),
        (Selectors(containers=(CONTAINER[:12],)), frozenset(), f"container {CONTAINER[:12]}"),
        (Selectors(containers=("web",)), frozenset(), "container web"),
        (Selectors(exes=("nginx",), pids=frozenset({50})), frozenset(), "process 50"),
    ],
)
def test_selectors(selectors: Selectors, ports: frozenset[int], what: str) -> None:
    included = Selection(include=selectors)
    excluded = Selection(exclude=selectors)
    assert included.decide(SHOP, ports, container_name=lambda: "web") == watch(
        f"selected by {what}"
    )
    assert excluded.decide(SHOP, ports, container_name=lambda: "web") == exclude(
        f"excluded by {what}"
    )
    assert included.decide(SSHD) == NOT_SELECTED
    assert not included.is_default


@pytest.mark.parametrize(
    "selectors",
    [
        Selectors(pids=frozenset({5})),
        Selectors(exes=("bin/shop", "/srv/shop")),
        Selectors(ports=frozenset({81})),
        Selectors(containers=("c0ffef", "we")),
    ],
)
def test_selectors_that_do_not_fit(selectors: Selectors) -> None:
    decision = Selection(include=selectors).decide(
        SHOP, frozenset({80}), container_name=lambda: "web"
    )
    assert decision == NOT_SELECTED


def test_path_glob_judges_by_name_what_is_gone() -> None:
    gone = ProcessFacts(5, comm="curl", argv=("curl",))
    selection = Selection(include=Selectors(exes=("/usr/bin/curl",)))
    assert selection.decide(gone) == watch("selected by executable /usr/bin/curl")


def test_selected_daemon_is_traced() -> None:
    selection = Selection(include=Selectors(exes=("sshd",)))
    assert selection.decide(SSHD) == watch("selected by executable sshd")


def test_exclusion_wins() -> None:
    selection = Selection(
        include=Selectors(pids=frozenset({50})), exclude=Selectors(exes=("shop",))
    )
    assert selection.decide(SHOP) == exclude("excluded by executable shop")


def test_itself_and_its_collector_are_never_traced() -> None:
    everything = Selectors(exes=("*",))
    selection = Selection(
        include=everything, agent_pid=40, agent_netns=1, collector_ports=frozenset({4318})
    )
    assert selection.decide(ProcessFacts(40, exe="/usr/bin/python3.11")) == exclude(
        "zerospan itself"
    )
    assert selection.decide(SHOP) == exclude("started by zerospan")
    assert selection.decide(SSHD, frozenset({4318})) == exclude(
        "the collector that zerospan sends to, on port 4318"
    )


def test_same_port_in_another_network_is_another_service() -> None:
    selection = Selection(agent_netns=2, collector_ports=frozenset({4318}))
    assert selection.decide(SHOP, frozenset({4318})) == watch("not excluded")


def test_kernel_threads() -> None:
    facts = ProcessFacts(2, comm="kthreadd", is_kernel_thread=True)
    assert Selection().decide(facts) == exclude("kernel thread")


def test_who_traces_itself_is_not_traced_twice() -> None:
    why = "exports OpenTelemetry itself: it has loaded x"
    selected = Selection(include=Selectors(pids=frozenset({50})))
    for selection in (Selection(), selected):
        assert selection.decide(SHOP, instrumented=lambda: "it has loaded x") == exclude(why)
    twice = Selection(traces_instrumented=True)
    assert twice.decide(SHOP, instrumented=lambda: "it has loaded x") == watch("not excluded")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"pids": frozenset({0})}, "0 is no process id"),
        ({"ports": frozenset({70000})}, "70000 is no TCP port"),
        ({"exes": ("",)}, "an executable's name is empty"),
        ({"containers": ("../x",)}, "'../x' is no container's name or id"),
    ],
)
def test_wrong_selectors_are_refused(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError) as error:
        Selectors(**arguments)  # type: ignore[arg-type]
    assert str(error.value) == message
