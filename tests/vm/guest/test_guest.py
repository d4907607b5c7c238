"""The guest is what the scenarios need: the right kernel, BTF, the file systems, and bcc without kernel headers."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

from tests.vm.harness import IN_GUEST

FIRST_PROGRAM = r"""
import os, socket
from bcc import BPF
b = BPF(text='''
struct sock; struct msghdr;
BPF_ARRAY(calls, u64, 1);
KFUNC_PROBE(tcp_sendmsg, struct sock *sk, struct msghdr *msg, size_t size)
{
	calls.increment(0);
	return 0;
}
''')
listener = socket.create_server(("127.0.0.1", 0))
client = socket.create_connection(listener.getsockname())
for _ in range(23):
    client.send(b"x")
print(b["calls"][0].value)
"""


def test_kernel_is_of_the_series_that_was_asked_for() -> None:
    assert platform.release().startswith(os.environ[IN_GUEST] + ".")


def test_kernel_describes_its_types_and_mounts_what_tracing_needs() -> None:
    assert Path("/sys/kernel/btf/vmlinux").exists()
    mounts = Path("/proc/mounts").read_text()
    missing = [name for name in ("tracefs", "bpf", "cgroup2") if f" {name} " not in mounts]
    assert missing == []


def test_bcc_counts_sends_without_kernel_headers() -> None:
    stub = Path(__file__).parents[3] / "probes" / "stub"
    done = subprocess.run(
        [sys.executable, "-c", FIRST_PROGRAM],
        env={**os.environ, "BCC_KERNEL_SOURCE": str(stub)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "23\n"), done.stderr
