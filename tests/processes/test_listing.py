"""What `zerospan ps` shows."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

from agent.processes.discovery import Discovery
from agent.processes.host import Host, read_host
from agent.processes.listing import PsRow, rows
from agent.processes.proc import Proc
from agent.processes.process import Inspector
from agent.processes.resource import Identity
from agent.processes.selection import Selection, Selectors
from tests.processes.tree import ProcTree, Program

if TYPE_CHECKING:
    from pathlib import Path


def test_rows_are_the_processes_with_sockets(tmp_path: Path) -> None:
    tree = ProcTree(tmp_path / "proc")
    tree.start(
        12,
        Program(
            argv=("python3", "app.py"),
            exe="/usr/bin/python3.11",
            socket_inodes=(7, 8),
            maps=("/usr/lib/libssl.so.3",),
        ),
    )
    tree.start(
        11, Program(argv=("/usr/sbin/sshd",), socket_inodes=(9,), maps=("/lib/libssl.so.3",))
    )
    tree.start(10, Program(argv=("/usr/bin/sleep", "1")))
    tree.listen(12, {7: 8080, 8: 443, 9: 22})
    tree.listen(11, {7: 8080, 8: 443, 9: 22})
    discovery = Discovery(
        tree.proc,
        selection=Selection(),
        inspector=Inspector(tree.proc, identity=Identity(Host(), version="1")),
        decide=lambda _pid, _verdict: None,
    )
    discovery.scan()
    assert rows(discovery) == [
        PsRow(
            pid=11,
            service="sshd",
            runtime="native",
            ports=(22,),
            is_traced=False,
            why="system daemon: serves logins",
            cannot_see=(),
        ),
        PsRow(
            pid=12,
            service="app",
            runtime="python 3.11",
            ports=(443, 8080),
            is_traced=True,
            why="not excluded",
            cannot_see=("TLS through libssl.so.3: encrypted connections are not decoded",),
        ),
    ]


def test_a_real_server_is_listed(tmp_path: Path) -> None:
    script = tmp_path / "orders.py"
    script.write_text(
        "import socket, sys\n"
        "server = socket.create_server(('127.0.0.1', 0))\n"
        "print(server.getsockname()[1], flush=True)\n"
        "sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, script], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        port = int(child.stdout.readline())
        proc = Proc()
        discovery = Discovery(
            proc,
            selection=Selection(include=Selectors(ports=frozenset({port}))),
            inspector=Inspector(proc, identity=Identity(read_host(), version="1")),
            decide=lambda _pid, _verdict: None,
        )
        discovery.scan()
        listed = {row.pid: row for row in rows(discovery)}
        row = listed[child.pid]
        assert (row.ports, row.is_traced, row.why) == ((port,), True, f"selected by port {port}")
        assert row.runtime.startswith("python 3.")
        assert os.getpid() not in {pid for pid, row in listed.items() if row.is_traced}
        child.stdin.close()
