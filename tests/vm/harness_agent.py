"""zerospan under test, in the guest: started, waited for, stopped, and read: its ledger and its spans.

The deadlines here are for a busy machine without KVM; a scenario that checks a promise reads the measured time.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from deploy.guest import CHECKOUT
from tests.vm.harness_guest import wait_until
from tests.vm.harness_spans import ExportedSpan, load_spans

ZEROSPAN: Final = (sys.executable, "-m", "agent")
READY_S: Final = 180.0
"""Start; the promise is 20 s (`Agent.ready_s`)."""
STOP_S: Final = 30.0
"""End; the promise is 2 s (`Finished.stop_s`)."""

_VERIFIED: Final = re.compile(r"^verified_insns:\s+(\d+)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Finished:
    """What a run of zerospan left."""

    returncode: int
    stop_s: float
    """From SIGTERM to the end of the process."""
    ledger: dict[str, Any]
    spans: list[ExportedSpan]
    stderr: str


@dataclass(slots=True)
class Agent:
    """A running zerospan."""

    process: subprocess.Popen[bytes]
    exported: Path
    log: Path
    ready: str = ""
    """Its `ready:` line."""
    ready_s: float = 0.0
    """From the start of the process to that line."""

    @property
    def pid(self) -> int:
        return self.process.pid

    def verified(self) -> list[int]:
        """How many instructions the kernel's verifier went through for each of its programs; it gives up beyond a million."""
        told = [path.read_text() for path in Path(f"/proc/{self.pid}/fdinfo").iterdir()]
        return [int(found[1]) for found in map(_VERIFIED.search, told) if found]

    def spans(self) -> list[ExportedSpan]:
        """Give what it has exported so far."""
        return load_spans(self.exported)

    def wait_for_spans(self, count: int, *, deadline_s: float = 30.0) -> list[ExportedSpan]:
        """Wait until so many spans are exported."""

        def enough() -> list[ExportedSpan]:
            spans = self.spans()
            return spans if len(spans) >= count else []

        return wait_until(
            enough, deadline_s=deadline_s, what=f"{count} spans, there are {len(self.spans())}"
        )

    def stop(self, number: signal.Signals = signal.SIGTERM) -> Finished:
        """End it by a signal and read its ledger."""
        began = time.monotonic()
        self.process.send_signal(number)
        self.process.wait(STOP_S)
        stop_s = time.monotonic() - began
        stderr = self.log.read_text(errors="replace")
        try:
            ledger = json.loads(stderr.rstrip().rpartition("\n")[2])
        except json.JSONDecodeError:
            raise AssertionError(f"the last line of stderr is no ledger:\n{stderr}") from None
        return Finished(self.process.returncode, stop_s, ledger, self.spans(), stderr)


@dataclass(slots=True)
class Agents:
    """Runs zerospan; kills what a failed scenario leaves."""

    directory: Path
    started: list[Agent] = field(default_factory=list)

    def run(self, *arguments: str | int, env: Mapping[str, str] | None = None) -> Agent:
        """Start `zerospan run --export file:… ARGUMENTS`; return when it is ready."""
        number = len(self.started)
        exported = self.directory / f"spans-{number}.jsonl"
        log = self.directory / f"zerospan-{number}.log"
        words = [*ZEROSPAN, "run", "--export", f"file:{exported}", *map(str, arguments)]
        began = time.monotonic()
        with (
            log.open("wb") as stderr,
            (self.directory / f"zerospan-{number}.out").open("wb") as stdout,
        ):
            process = subprocess.Popen(
                words,
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                cwd=CHECKOUT,
                env={**os.environ, **(env or {})},
            )
        agent = Agent(process, exported, log)
        self.started.append(agent)

        def ready_line() -> str:
            text = log.read_text(errors="replace")
            if process.poll() is not None:
                raise AssertionError(f"zerospan ended with {process.returncode}:\n{text}")
            return next((line for line in text.splitlines() if line.startswith("ready:")), "")

        agent.ready = wait_until(ready_line, deadline_s=READY_S, what=f"ready line in\n{log}")
        agent.ready_s = time.monotonic() - began
        return agent

    def __enter__(self) -> Agents:
        return self

    def __exit__(self, *_exc: object) -> None:
        for agent in self.started:
            if agent.process.poll() is None:
                agent.process.kill()
            agent.process.wait()
