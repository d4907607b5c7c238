"""The host's side of the VM tests: one guest per kernel, in it one pytest, here one result per scenario.

A scenario is an ordinary test in tests/vm/guest. The guest's pytest writes each of its reports as a line of JSON to the
scratch directory (RESULTS), as it goes; `Run.result` waits for the line of one scenario. So results appear here while
the guest still works, each under its own name, and a guest that hangs or dies fails the scenarios that it still owed.
"""

from __future__ import annotations

import compileall
import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from deploy.guest import CHECKOUT, Guest, GuestError, Machine
from tests.vm.servers.build import build

GUEST_TESTS: Final = CHECKOUT / "tests" / "vm" / "guest"
RESULTS: Final = "results.jsonl"

FIRST_RESULT_S: Final = 420.0
"""Boot, pytest's start over 9p, and the longest scenario; without KVM, on a busy machine."""
NEXT_RESULT_S: Final = 300.0
"""The longest scenario."""

IN_GUEST: Final = "ZEROSPAN_GUEST"
"""Environment variable that is set in the guest: the kernel series."""


@dataclass(frozen=True, slots=True)
class Result:
    """What became of a scenario."""

    outcome: str
    """passed, failed or skipped, as pytest has it."""
    text: str
    """What the guest's pytest says of it, with what was printed."""


def collect() -> list[str]:
    """Give the node ids of all scenarios."""
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "--collect-only",
            "-q",
            "-p",
            "no:cacheprovider",
            str(GUEST_TESTS),
        ],
        cwd=CHECKOUT,
        env={**os.environ, IN_GUEST: "collect"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode not in {0, 5}:
        raise GuestError(f"the scenarios cannot be collected:\n{done.stdout}{done.stderr}")
    return [line for line in done.stdout.splitlines() if "::" in line]


def asked_for() -> list[str]:
    """What of the environment is for the scenarios: those that are run only where they are asked for."""
    return [
        f"{name}={os.environ[name]}"
        for name in ("ZEROSPAN_DATABASE_LOAD_S", "ZEROSPAN_RABBITMQ")
        if name in os.environ
    ]


class Run:
    """One guest that runs scenarios, and what is known of them so far."""

    def __init__(self, series: str, scenarios: list[str], scratch: Path) -> None:
        self._results: dict[str, Result] = {}
        self._lines = scratch / RESULTS
        self._console = scratch / "console"
        self._output = self._console.open("wb")
        self._read = 0
        self._last_news_s = time.monotonic()
        self._limit_s = FIRST_RESULT_S
        build()
        # In the guest the checkout is read-only, and compiling a module there costs 20 times as much.
        for directory in ("agent", "probes", "tests/vm"):
            compileall.compile_dir(CHECKOUT / directory, quiet=1)
        command = [
            sys.executable,
            "-m",
            "pytest",
            "-p",
            "no:cacheprovider",
            "-p",
            "no:hypothesispytest",
        ]
        # By a file: the guest's command is part of its kernel's command line, which ends after 2 KB.
        chosen = scratch / "scenarios"
        chosen.write_text("\n".join(scenarios))
        machine = Machine(series=series, scratch=scratch, memory="3G")
        self._guest = Guest(
            machine,
            [
                "env",
                f"{IN_GUEST}={series}",
                *asked_for(),
                *command,
                "-v",
                "--tb=short",
                f"@{chosen}",
            ],
            output=self._output,
        )

    def result(self, scenario: str) -> Result:
        """Wait for the result of a scenario."""
        while scenario not in self._results:
            is_over = self._guest.wait(0.2)
            if self._take_lines():
                continue
            if is_over:
                return Result(
                    "failed", f"the guest ended before this scenario did\n{self.console()}"
                )
            if time.monotonic() - self._last_news_s > self._limit_s:
                self.stop()
                return Result("failed", f"no result within {self._limit_s:.0f} s\n{self.console()}")
        return self._results[scenario]

    def _take_lines(self) -> bool:
        """Read what the guest has reported since the last time; tell whether there was anything."""
        if not self._lines.exists():
            return False
        data = self._lines.read_bytes()[self._read :]
        whole = data[: data.rfind(b"\n") + 1]
        self._read += len(whole)
        for line in whole.splitlines():
            report = json.loads(line)
            self._results[report["scenario"]] = Result(report["outcome"], report["text"])
        if whole:
            self._last_news_s = time.monotonic()
            self._limit_s = NEXT_RESULT_S
        return bool(whole)

    def console(self) -> str:
        """Give the end of what the guest printed."""
        return self._console.read_text(errors="replace")[-6000:]

    def stop(self) -> None:
        """End the guest."""
        self._guest.stop()
        self._output.close()
