"""The table of processes, told by events and by /proc."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from agent.processes.containers import ContainerNames
from agent.processes.discovery import Discovery, Limits
from agent.processes.host import Host
from agent.processes.process import Inspector
from agent.processes.resource import Identity
from agent.processes.selection import Selection, Selectors, Verdict
from tests.processes.tree import CONTAINER, HOST_NETNS, ProcTree, Program

if TYPE_CHECKING:
    from pathlib import Path

WATCH, EXCLUDE = Verdict.WATCH, Verdict.EXCLUDE
PYTHON = "/usr/bin/python3.11"
APP = Program(argv=("python3", "app.py"), exe=PYTHON)


class World:
    """A host: its /proc, its clock, and what the kernel side was told."""

    def __init__(self, folder: Path) -> None:
        self.tree = ProcTree(folder / "proc")
        self.containers = folder
        self.now = 1000.0
        self.told: list[tuple[int, Verdict]] = []

    def discovery(
        self, selection: Selection | None = None, *, limits: Limits | None = None
    ) -> Discovery:
        proc = self.tree.proc
        return Discovery(
            proc,
            selection=selection or Selection(agent_pid=999, agent_netns=HOST_NETNS),
            inspector=Inspector(
                proc,
                identity=Identity(Host(name="node-1", id="m"), version="1"),
                container_names=ContainerNames(self.containers),
            ),
            decide=lambda pid, verdict: self.told.append((pid, verdict)),
            now=lambda: self.now,
            limits=limits,
        )


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_scan_decides_on_all(world: World) -> None:
    world.tree.start(10, APP)
    world.tree.start(11, Program(argv=("/usr/sbin/sshd", "-D")))
    world.tree.start(12, Program(argv=(), exe="", comm="kworker", flags=0x208040))
    world.tree.start(999, APP)
    discovery = world.discovery()
    discovery.scan()
    assert world.told == [(10, WATCH), (11, EXCLUDE), (12, EXCLUDE), (999, EXCLUDE)]
    discovery.scan()
    assert len(world.told) == 4
    assert len(discovery) == 4


def test_scan_drops_what_is_gone(world: World) -> None:
    world.tree.start(10, APP)
    discovery = world.discovery()
    discovery.scan()
    world.tree.end(10)
    discovery.scan()
    assert len(discovery) == 0
    assert discovery.process(10).service == "app"


def test_port_selects_all_that_hold_the_socket(world: World) -> None:
    master = Program(argv=("nginx",), exe="/usr/sbin/nginx", socket_inodes=(7,))
    worker = Program(argv=("nginx: worker process",), exe="/usr/sbin/nginx", socket_inodes=(7, 8))
    world.tree.start(10, master)
    world.tree.start(11, worker)
    world.tree.start(12, Program(argv=("/srv/other",), socket_inodes=(9,)))
    world.tree.listen(10, {7: 80, 9: 81})
    discovery = world.discovery(Selection(include=Selectors(ports=frozenset({80}))))
    discovery.scan()
    traced = {process.pid: process.decision.why for process in discovery if process.is_traced}
    assert traced == {10: "selected by port 80", 11: "selected by port 80"}


def test_collector_is_found_by_its_port(world: World) -> None:
    world.tree.start(10, Program(argv=("/srv/collector",), socket_inodes=(7,)))
    world.tree.start(11, Program(argv=("/srv/other",), socket_inodes=(7,), netns=5))
    world.tree.listen(10, {7: 4318})
    world.tree.listen(11, {7: 4318})
    selection = Selection(collector_ports=frozenset({4318}), agent_netns=HOST_NETNS)
    discovery = world.discovery(selection)
    discovery.scan()
    assert world.told == [(10, WATCH), (11, WATCH), (10, EXCLUDE)]


def test_program_that_begins_to_listen(world: World) -> None:
    discovery = world.discovery(Selection(include=Selectors(ports=frozenset({80}))))
    world.tree.start(10, APP)
    discovery.executed(10, b"python3", b"python3\0app.py\0")
    discovery.listening(10, 81)
    discovery.listening(10, 80)
    assert world.told == [(10, EXCLUDE), (10, WATCH)]
    assert discovery.process(10).ports == {80, 81}


def test_short_lived_program_is_known_by_its_exec_event(world: World) -> None:
    world.tree.start(5, Program(argv=("bash",), exe="/bin/bash", uid=0))
    discovery = world.discovery()
    discovery.scan()
    discovery.forked(5, 10, time_ns=70_000_000)
    discovery.executed(
        10, b"curl\0\0", b"curl\0-H\0authorization: x\0http://a/\0", time_ns=80_000_000
    )
    discovery.exited(10)
    process = discovery.process(10)
    assert (process.service, process.is_traced) == ("curl", True)
    assert process.facts.ppid == 5
    assert process.resource.get("process.command") == "curl"
    assert "authorization" not in str(process.resource.attributes)
    assert discovery.process(10) is process
    assert process.resource is discovery.process(10).resource
    assert world.told == [(5, WATCH), (10, WATCH)]


def test_exec_event_is_completed_from_proc(world: World) -> None:
    discovery = world.discovery()
    world.tree.start(
        10, Program(argv=("python3", "app.py"), exe=PYTHON, environ={"OTEL_SERVICE_NAME": "shop"})
    )
    discovery.executed(10, b"python3", b"python3\0app.py\0")
    process = discovery.process(10)
    assert process.is_complete
    assert process.service == "shop"
    assert discovery.process(10) is process


def test_program_that_traces_itself_is_excluded_once_looked_at(world: World) -> None:
    discovery = world.discovery()
    environ = {"NODE_OPTIONS": "--require @opentelemetry/x"}
    world.tree.start(10, Program(argv=("/usr/bin/node", "a.js"), environ=environ))
    discovery.executed(10, b"node", b"node\0a.js\0")
    assert world.told == [(10, WATCH)]
    why = "exports OpenTelemetry itself: OpenTelemetry is loaded by its NODE_OPTIONS"
    assert discovery.process(10).decision.why == why
    assert world.told == [(10, WATCH), (10, EXCLUDE)]


def test_traffic_shows_who_traces_itself(world: World) -> None:
    world.tree.start(10, APP)
    world.tree.start(11, Program(argv=("/usr/sbin/nginx",)))
    discovery = world.discovery()
    discovery.scan()
    for pid in (10, 11):
        discovery.exports_itself(pid, "it sends OTLP")
    assert discovery.process(10).decision.why == "exports OpenTelemetry itself: it sends OTLP"
    assert discovery.process(11).is_traced
    discovery.forked(10, 12)
    world.tree.start(12, Program(argv=APP.argv, exe=PYTHON, ppid=10))
    assert not discovery.process(12).is_traced


def test_daemons_child_is_decided_anew(world: World) -> None:
    world.tree.start(5, Program(argv=("/usr/sbin/cron",)))
    discovery = world.discovery()
    discovery.scan()
    discovery.forked(5, 10)
    discovery.executed(10, b"python3", b"python3\0job.py\0")
    assert world.told == [(5, EXCLUDE), (10, WATCH)]


def test_forked_worker_shares_the_name_but_not_the_instance(world: World) -> None:
    world.tree.start(5, Program(argv=("python3", "app.py"), exe=PYTHON, start_ticks=1))
    discovery = world.discovery()
    discovery.scan()
    discovery.listening(5, 80)
    discovery.forked(5, 10)
    world.tree.start(10, Program(argv=("python3", "app.py"), exe=PYTHON, ppid=5, start_ticks=2))
    parent, child = discovery.process(5), discovery.process(10)
    assert parent.service == child.service == "app"
    assert child.ports == {80}
    assert parent.resource.get("service.instance.id") != child.resource.get("service.instance.id")


def test_spawned_worker_is_named_for_its_parent(world: World) -> None:
    world.tree.start(5, APP)
    code = "from multiprocessing.spawn import spawn_main; spawn_main()"
    world.tree.start(10, Program(argv=(PYTHON, "-c", code, "--multiprocessing-fork"), ppid=5))
    discovery = world.discovery()
    assert discovery.process(5).service == "app"
    assert discovery.process(10).service == "app"


def test_fork_that_is_gone_is_what_its_parent_is(world: World) -> None:
    world.tree.start(5, APP)
    discovery = world.discovery()
    discovery.scan()
    discovery.forked(5, 10, time_ns=10)
    assert discovery.process(10).service == "app"
    discovery.forked(5, 11, time_ns=10)
    discovery.exited(11)
    assert discovery.process(11).service == "app"
    assert discovery.process(11).is_traced


def test_fork_of_a_selected_process_is_traced(world: World) -> None:
    world.tree.start(5, Program(argv=("gunicorn: master [app]",), exe=PYTHON))
    world.tree.start(6, Program(argv=("gunicorn: worker [app]",), exe=PYTHON, ppid=5))
    world.tree.start(7, Program(argv=("/usr/bin/convert",), ppid=5))
    discovery = world.discovery(Selection(include=Selectors(pids=frozenset({5}))))
    discovery.scan()
    assert [process.decision.why for process in discovery] == [
        "selected by process 5",
        "forked by process 5, selected by process 5",
        "not selected",
    ]


def test_container_is_selected_by_name(world: World) -> None:
    (world.containers / CONTAINER).mkdir()
    (world.containers / CONTAINER / "config.v2.json").write_text('{"Name": "/web"}')
    world.tree.start(5, Program(argv=("/srv/a",), cgroup=f"0::/docker/{CONTAINER}\n"))
    discovery = world.discovery(Selection(include=Selectors(containers=("web",))))
    discovery.scan()
    assert discovery.process(5).decision.why == "selected by container web"
    assert discovery.process(5).service == "web"


def test_reused_pid_is_another_process(world: World) -> None:
    world.tree.start(10, Program(argv=("/srv/old",), start_ticks=1))
    discovery = world.discovery()
    old = discovery.process(10)
    world.tree.start(10, Program(argv=("/srv/new",), start_ticks=2))
    assert discovery.process(10) is old
    world.now += 2
    assert discovery.process(10).service == "new"
    assert old.service == "old"


def test_reused_pid_told_by_a_fork(world: World) -> None:
    world.tree.start(5, APP)
    world.tree.start(10, Program(argv=("/srv/old",), start_ticks=1))
    discovery = world.discovery()
    discovery.scan()
    world.now += 2
    world.tree.end(10)
    discovery.forked(5, 10)
    assert discovery.process(10).service == "app"


def test_late_fork_event_changes_nothing(world: World) -> None:
    world.tree.start(5, APP)
    discovery = world.discovery()
    discovery.scan()
    discovery.executed(10, b"curl", b"curl\0")
    discovery.forked(5, 10)
    assert discovery.process(10).service == "curl"
    discovery.exited(10)
    discovery.forked(5, 10)
    assert discovery.process(10).service == "curl"


def test_process_of_which_nothing_is_known(world: World) -> None:
    discovery = world.discovery()
    process = discovery.process(77)
    assert (process.service, process.is_traced) == ("unknown_service", True)
    assert discovery.process(77) is process
    assert discovery.counts == {"processes_unseen": 1}
    assert world.told == []


def test_ended_processes_are_forgotten_after_a_while(world: World) -> None:
    discovery = world.discovery(limits=Limits(ended=2, grace_s=10))
    for pid in (1, 2, 3):
        discovery.executed(pid, b"curl", b"curl\0")
        discovery.exited(pid)
    assert [discovery.process(pid).service for pid in (2, 3)] == ["curl", "curl"]
    assert discovery.process(1).service == "unknown_service"
    world.now += 11
    discovery.exited(1)
    assert discovery.process(3).service == "unknown_service"


def test_table_is_bounded(world: World) -> None:
    discovery = world.discovery(limits=Limits(live=32, ended=8, forks=16))
    for pid in range(100, 400):
        world.tree.start(pid, APP)
        discovery.process(pid)
        discovery.forked(pid, pid + 1000)
    assert len(discovery) <= 32
    assert discovery.counts["processes_evicted"] >= 268
    for pid in range(100, 400):
        world.tree.end(pid)
    discovery.executed(5000, b"curl", b"curl\0")
    assert len(discovery) <= 32


def test_lost_exits_make_room_for_the_living(world: World) -> None:
    discovery = world.discovery(limits=Limits(live=32))
    for pid in range(100, 400):
        discovery.executed(pid, b"curl", b"curl\0")
    assert len(discovery) <= 32
    assert discovery.counts["processes_evicted"] == 0
