"""In the guest: one life of the agent, from its start to its end, and what it says and holds meanwhile."""

from __future__ import annotations

import contextlib
import http.client
import json
import signal
import subprocess
import time
from typing import TYPE_CHECKING, Any, Final

from bench.vm.readings import (
    CGROUP,
    busy_s,
    cgroup_cpu_s,
    cgroup_mb,
    cpu_s,
    holding,
    own_cgroup,
    resident_mb,
)
from tests.vm.harness_guest import wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from bench.vm.load import Target

IDLE_S: Final = 10
READY_S: Final = 600.0
STOP_S: Final = 60.0
SPAN_S: Final = 30.0
LOOK_EVERY_S: Final = 0.005
"""How exactly the arrival of the first span is told."""


class Agent:
    """The agent, in a cgroup of its own."""

    def __init__(self, command: list[str], directory: Path) -> None:
        self.cgroup = contextlib.ExitStack()
        self.cgroup.enter_context(own_cgroup())
        self.before = holding()
        self.log = directory / "agent.log"
        self.log.write_bytes(b"")
        began, busy = time.monotonic(), busy_s()
        enter = f'echo $$ >{CGROUP}/cgroup.procs; exec "$@"'
        with self.log.open("wb") as stderr:
            self.process = subprocess.Popen(
                ["/bin/sh", "-c", enter, "sh", *command], stdout=subprocess.DEVNULL, stderr=stderr
            )
        wait_until(self._is_ready, deadline_s=READY_S, what="the agent's ready line")
        self.start = {
            "seconds": time.monotonic() - began,
            "busy_seconds": busy_s() - busy,
            "cpu_seconds": cgroup_cpu_s(),
        }

    @property
    def pid(self) -> int:
        return self.process.pid

    def _is_ready(self) -> bool:
        text = self.log.read_text(errors="replace")
        if self.process.poll() is not None:
            raise RuntimeError(f"the agent ended:\n{text}")
        return any(line.startswith("ready:") for line in text.splitlines())

    def footprint(self) -> dict[str, Any]:
        """Give what it holds."""
        held = holding().since(self.before)
        return {
            "programs": held.programs,
            "maps": held.maps,
            "links": held.links,
            "map_mb": held.map_bytes / 2**20,
            "resident_mb": resident_mb(self.pid),
            "cgroup_mb": cgroup_mb(),
        }

    def idle(self) -> float:
        """Give its CPU seconds per second without load."""
        own, began = cpu_s(self.pid), time.monotonic()
        time.sleep(IDLE_S)
        return (cpu_s(self.pid) - own) / (time.monotonic() - began)

    def stop(self) -> dict[str, Any]:
        """End it; give the time, the ledger, and what it left in the kernel."""
        began = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(STOP_S)
        seconds = time.monotonic() - began
        left = holding().since(self.before)
        return {
            "seconds": seconds,
            "status": self.process.returncode,
            "left": left.programs + left.maps + left.links,
            "ledger": parse_ledger(self.log.read_text(errors="replace")),
        }

    def __enter__(self) -> Agent:
        return self

    def __exit__(self, *_exc: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.cgroup.close()


def parse_ledger(stderr: str) -> dict[str, Any]:
    """Read the ledger, the last line of what the agent wrote; {"text": line} if that line is none."""
    last = stderr.rstrip().rpartition("\n")[2]
    try:
        ledger = json.loads(last)
    except json.JSONDecodeError:
        return {"text": last}
    return ledger if isinstance(ledger, dict) else {"text": last}


def first_span_s(target: Target, file: Path) -> float:
    """Make one request; give the seconds from before it to its span's line in the file that the agent exports to."""
    began = time.monotonic()
    connection = http.client.HTTPConnection("127.0.0.1", target.port, timeout=SPAN_S)
    connection.request("GET", target.path)
    connection.getresponse().read()
    connection.close()
    path = json.dumps(target.path).encode()
    while not (file.exists() and path in file.read_bytes()):
        if time.monotonic() - began > SPAN_S:
            raise RuntimeError(f"no span of GET {target.path} in the file after {SPAN_S:.0f} s")
        time.sleep(LOOK_EVERY_S)
    return time.monotonic() - began
