"""The host."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from agent.processes.host import Host, read_host

if TYPE_CHECKING:
    from pathlib import Path


def test_host_is_read_from_its_files(tmp_path: Path) -> None:
    (tmp_path / "sys/kernel/random").mkdir(parents=True)
    (tmp_path / "sys/kernel/random/boot_id").write_text("b-1\n")
    (tmp_path / "machine-id").write_text("m-1\n")
    (tmp_path / "passwd").write_text("root:x:0:0::/root:/bin/sh\nbad\nann:x:1000:1::/:/\nbob:x:x\n")
    host = read_host(
        tmp_path,
        machine_ids=[tmp_path / "none", tmp_path / "machine-id"],
        passwd=tmp_path / "passwd",
    )
    assert host == Host(
        name=os.uname().nodename,
        id="m-1",
        arch={"x86_64": "amd64", "aarch64": "arm64"}[os.uname().machine],
        boot_id="b-1",
        users={0: "root", 1000: "ann"},
    )


def test_nothing_is_required(tmp_path: Path) -> None:
    host = read_host(tmp_path, machine_ids=[], passwd=tmp_path / "none")
    assert (host.id, host.boot_id, host.users) == ("", "", {})
