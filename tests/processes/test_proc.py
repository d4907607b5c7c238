"""Processes as /proc shows them."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.processes import proc as module
from agent.processes.cgroup import Cgroup
from agent.processes.proc import (
    Proc,
    ProcessFacts,
    facts_after_exec,
    facts_after_fork,
    parse_arguments,
    parse_environ,
    parse_stat,
)
from tests.processes.tree import BOOT, CONTAINER, HOST_NETNS, ProcTree, Program

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def tree(tmp_path: Path) -> ProcTree:
    return ProcTree(tmp_path / "proc")


def test_facts_of_a_process(tree: ProcTree) -> None:
    tree.start(
        42,
        Program(
            argv=("python3", "/srv/app.py", "--token=x"),
            exe="/usr/bin/python3.11 (deleted)",
            comm="python3) R (",
            ppid=7,
            start_ticks=250,
            environ={
                "OTEL_SERVICE_NAME": "shop",
                "SECRET": "x",
                "OTEL_EXPORTER_OTLP_HEADERS": "k=v",
            },
            cgroup=f"0::/docker/{CONTAINER}\n",
        ),
    )
    assert tree.proc.facts(42) == ProcessFacts(
        pid=42,
        ppid=7,
        start_ticks=250,
        start_unix_ns=BOOT * 1_000_000_000 + 2_500_000_000,
        comm="python3) R (",
        exe="/usr/bin/python3.11",
        argv=("python3", "/srv/app.py", "--token=x"),
        environ={"OTEL_SERVICE_NAME": "shop"},
        cgroup=Cgroup(f"/docker/{CONTAINER}", container_id=CONTAINER),
        uid=1000,
        netns=HOST_NETNS,
    )
    assert tree.proc.start_ticks(42) == 250
    assert tree.proc.pids() == [42]


def test_secrets_are_not_in_the_representation(tree: ProcTree) -> None:
    tree.start(42, Program(argv=("app", "--password=hunter2"), environ={"OTEL_X": "hunter2"}))
    assert "hunter2" not in repr(tree.proc.facts(42))


@pytest.mark.parametrize(
    "program", [Program(state="Z", exe="", argv=()), Program(tgid=41)], ids=["zombie", "thread"]
)
def test_what_is_no_living_process(tree: ProcTree, program: Program) -> None:
    tree.start(42, program)
    assert tree.proc.facts(42) is None
    assert tree.proc.facts(43) is None
    assert tree.proc.start_ticks(43) is None


def test_kernel_thread(tree: ProcTree) -> None:
    tree.start(2, Program(argv=(), exe="", comm="kthreadd", flags=0x208040))
    facts = tree.proc.facts(2)
    assert facts is not None
    assert facts.is_kernel_thread
    assert facts.executable_name == "kthreadd"


def test_half_a_process_is_no_error(tree: ProcTree) -> None:
    tree.start(42, Program())
    for name in ("exe", "cmdline", "environ", "cgroup", "maps"):
        (tree.root / "42" / name).unlink()
    (tree.root / "42" / "ns" / "net").unlink()
    facts = tree.proc.facts(42)
    assert facts is not None
    assert (facts.exe, facts.argv, dict(facts.environ), facts.netns) == ("", (), {}, 0)
    assert tree.proc.mapped(42) == frozenset()


def test_mapped_files(tree: ProcTree) -> None:
    paths = ("/usr/lib/libssl.so.3", "/usr/lib/libssl.so.3", "/tmp/with space.so (deleted)")
    tree.start(42, Program(maps=paths))
    assert tree.proc.mapped(42) == {"/usr/lib/libssl.so.3", "/tmp/with space.so"}


def test_mapped_files_are_bounded(tree: ProcTree) -> None:
    tree.start(42, Program(maps=tuple(f"/lib/{index}.so" for index in range(1500))))
    assert len(tree.proc.mapped(42)) == module.MAX_MAPPED


def test_writable_mappings(tree: ProcTree) -> None:
    tree.start(42, Program())
    (tree.root / "42" / "maps").write_text(
        "55e0-55f0 r-xp 00000000 08:01 1 /usr/bin/python3.11\n"
        "55f0-5600 rw-p 00010000 08:01 1                          /usr/bin/python3.11\n"
        "5600-5700 rw-p 00000000 00:00 0 \n"
        "nonsense\n"
    )
    assert tree.proc.writable(42) == [
        (0x55F0, 0x5600, "/usr/bin/python3.11"),
        (0x5600, 0x5700, ""),
    ]


def test_files_inside_are_read_but_not_through_links(tree: ProcTree) -> None:
    tree.start(42, Program())
    home = tree.root / "42" / "root" / "jdk"
    home.mkdir(parents=True)
    (home / "release").write_text("JAVA")
    (home / "link").symlink_to(home / "release")
    os.mkfifo(home / "pipe")
    proc = tree.proc
    assert proc.read_inside(42, "/jdk/release", limit=3) == b"JAV"
    for path in ("/jdk/link", "/jdk/pipe", "/jdk/none", "/jdk", "/jdk/../jdk/release"):
        assert proc.read_inside(42, path, limit=3) == b""


@pytest.mark.parametrize(
    ("facts", "name"),
    [
        (ProcessFacts(1, exe="/usr/bin/curl", comm="x"), "curl"),
        (ProcessFacts(1, comm="curl", argv=("/usr/bin/curl", "a")), "curl"),
        (ProcessFacts(1, comm="nginx", argv=("nginx: worker process",)), "nginx"),
        (ProcessFacts(1, comm="bash", argv=("-bash",)), "bash"),
        (ProcessFacts(1, exe="/memfd:x", comm="memfd:x", argv=("/run/tool",)), "tool"),
        (ProcessFacts(1, comm="curl"), "curl"),
    ],
)
def test_executable_name(facts: ProcessFacts, name: str) -> None:
    assert facts.executable_name == name


def test_exec_event_keeps_parent_and_container() -> None:
    before = ProcessFacts(
        5, ppid=4, exe="/bin/bash", environ={"OTEL_X": "y"}, cgroup=Cgroup("/x"), uid=3, netns=9
    )
    after = facts_after_exec(before, comm=b"curl\0\0\0", arguments=b"curl\0http://a/\0")
    assert after == ProcessFacts(
        5, ppid=4, comm="curl", argv=("curl", "http://a/"), cgroup=Cgroup("/x"), uid=3, netns=9
    )


def test_fork_event_copies_the_parent() -> None:
    parent = ProcessFacts(5, ppid=4, start_ticks=1, start_unix_ns=1, exe="/bin/bash", uid=3)
    child = facts_after_fork(parent, 6, time_ns=70_000_000)
    assert child == ProcessFacts(6, ppid=5, start_ticks=7, exe="/bin/bash", uid=3)


def test_title_leaves_no_empty_arguments() -> None:
    assert parse_arguments(b"nginx: worker process\0\0\0\0\0") == ("nginx: worker process",)
    assert parse_arguments(b"a\0\0b\0") == ("a", "", "b")
    assert parse_arguments(b"") == ()


@given(st.binary(max_size=3000))
def test_arguments_are_bounded(raw: bytes) -> None:
    arguments = parse_arguments(raw * 20)
    assert len(arguments) <= module.MAX_ARGUMENTS
    assert sum(map(len, arguments)) <= module.MAX_ARGUMENTS_SIZE


@given(st.one_of(st.binary(), st.from_regex(rb"((OTEL_[A-Z]{0,9}|PATH)=?[^\0]{0,9}\0){0,90}")))
def test_environment_keeps_little(raw: bytes) -> None:
    kept = parse_environ(raw)
    assert len(kept) <= module.MAX_VARIABLES
    assert all(name.startswith("OTEL_") or name in module.KEPT_VARIABLES for name in kept)


@pytest.mark.parametrize(
    "name", ["OTEL_EXPORTER_OTLP_HEADERS", "OTEL_EXPORTER_OTLP_CLIENT_KEY", "AWS_SECRET", "PATH"]
)
def test_secret_variables_are_not_kept(name: str) -> None:
    assert dict(parse_environ(f"{name}=x\0OTEL_SDK_DISABLED=true\0".encode())) == {
        "OTEL_SDK_DISABLED": "true"
    }


@given(st.one_of(st.binary(max_size=300), st.from_regex(rb"1 \(x\) S( \d{0,30}){19,22}")))
def test_stat_is_read_or_refused(raw: bytes) -> None:
    parse_stat(raw)


def test_a_real_server_is_seen() -> None:
    server = (
        "import socket,sys; s=socket.create_server(('127.0.0.1',0));"
        "print(s.getsockname()[1],flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", server],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={"OTEL_SERVICE_NAME": "probe"},
    ) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        port = int(child.stdout.readline())
        proc = Proc()
        facts = proc.facts(child.pid)
        assert facts is not None
        assert facts.ppid == os.getpid()
        assert facts.argv[1:] == ("-c", server)
        assert facts.environ == {"OTEL_SERVICE_NAME": "probe"}
        assert facts.uid == os.getuid()
        assert facts.exe == os.path.realpath(sys.executable)
        assert abs(facts.start_unix_ns / 1e9 - time.time()) < 30
        assert any("libc" in path for path in proc.mapped(child.pid))
        assert proc.listening_ports(child.pid) == {port}
        child.stdin.close()
        child.wait()
    assert proc.facts(child.pid) is None
    assert proc.listening_ports(child.pid) == frozenset()


def test_every_process_of_this_machine_can_be_read() -> None:
    proc = Proc()
    seen = [facts for pid in proc.pids() if (facts := proc.facts(pid))]
    assert os.getpid() in {facts.pid for facts in seen}


def test_reading_a_process_is_fast() -> None:
    proc = Proc()
    with socket.socket():
        best = min(_time_of(proc) for _ in range(50))
    assert best < 0.002


def _time_of(proc: Proc) -> float:
    start = time.perf_counter()
    proc.facts(os.getpid())
    return time.perf_counter() - start


def test_where_the_executable_is_loaded():
    address = Proc().load_address(os.getpid())
    path = os.readlink("/proc/self/exe")
    with open("/proc/self/maps") as maps:
        lines = maps.read().splitlines()
    first = next(line for line in lines if line.endswith(path))
    assert address == int(first.partition("-")[0], 16)
    assert Proc().load_address(1 << 30) is None
