"""What the page is told of processes, a few at a time."""

from __future__ import annotations

from agent.processes.discovery import Discovery
from agent.processes.host import Host
from agent.processes.process import Inspector
from agent.processes.resource import Identity
from agent.processes.selection import Selection
from agent.web import coverage
from agent.web.coverage import AT_ONCE, REST, Coverage
from tests.processes.tree import ProcTree, Program


def test_rounds(tmp_path, monkeypatch):
    tree = ProcTree(tmp_path / "proc")
    pids = range(10, 10 + AT_ONCE + 1)
    for pid in pids:
        tree.start(
            pid,
            Program(
                argv=("python3", "app.py"), exe="/usr/bin/python3.11", socket_inodes=(pid,),
                maps=("/usr/lib/libssl.so.3",),
            ),
        )  # fmt: skip
    tree.start(9, Program(argv=("/usr/bin/sleep", "1")))
    discovery = Discovery(
        tree.proc,
        selection=Selection(),
        inspector=Inspector(tree.proc, identity=Identity(Host(), version="1")),
        decide=lambda _pid, _verdict: None,
    )
    discovery.scan()
    discovery.find_sockets()
    told = Coverage(discovery)
    told.step()
    assert told.rows == []
    for _ in range(2):
        told.step()
    assert [row["pid"] for row in told.rows] == list(pids)
    assert told.rows[0]["service"] == "app"
    assert any("TLS" in text for text in told.rows[0]["cannot_see"])
    discovery.exited(pids[-1])
    for _ in range(REST + 2):
        told.step()
    assert [row["pid"] for row in told.rows] == list(pids)[:-1]
    monkeypatch.setattr(coverage, "MAX_PROCESSES", 2)
    for _ in range(REST + 2):
        told.step()
    assert len(told.rows) == 2
