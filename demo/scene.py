"""What happens in the demo's guest: start the chain, start zerospan, make requests, show what it saw.

    curl, wrk ──▶ nginx :8000 ──▶ shop.py :8001 (threads) ──▶ stock.py :8002

None of the programs knows of tracing; zerospan sees their sockets. It writes traces to its standard output, which goes
straight to the terminal while curl makes requests, and is cut short while wrk does.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

HERE: Final = Path(__file__).resolve().parent
FRONT: Final = "http://127.0.0.1:8000"
CHAIN: Final = {
    8002: ["/usr/bin/python3", str(HERE / "stock.py"), "8002"],
    8001: ["/usr/bin/python3", str(HERE / "shop.py"), "8001", "8002"],
    8000: ["nginx", "-c", str(HERE / "nginx.conf"), "-e", "stderr"],
}
REQUESTS: Final = {
    "/orders/1001": "an ordinary order",
    "/orders/1002?items=1,2,7": "an order that is slow: where is the time?",
    "/orders/1003?items=2,13": "an order that fails: where did it begin?",
    "/orders/1004?items=404": "an order for something unknown",
}
COLOR: Final = "--color" in sys.argv
LINES_UNDER_LOAD: Final = 24
QUIET_S: Final = 2.0
"""zerospan shows a trace when no more of it comes; so long without a line, and all is shown."""
DEADLINE_S: Final = 300.0
"""Without KVM, and on a busy machine, everything takes its time."""


def say(text: str) -> None:
    """Print a line of our own, told apart from zerospan's."""
    print(f"\n\033[1m▶ {text}\033[0m" if COLOR else f"\n▶ {text}", flush=True)


def wait_until(condition: Callable[[], bool], what: str) -> None:
    """Wait for a condition, not longer than the deadline."""
    end = time.monotonic() + DEADLINE_S
    while not condition():
        if time.monotonic() > end:
            sys.exit(f"demo: not within {DEADLINE_S:.0f} s: {what}")
        time.sleep(0.05)


def start(command: list[str]) -> subprocess.Popen[bytes]:
    """Start a program of the chain; what it has to say goes to a log."""
    with Path("/tmp/chain.log").open("ab") as log:
        return subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)


def answers(port: int) -> bool:
    """Tell whether something listens."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
    except OSError:
        return False
    return True


class Output:
    """zerospan's output, passed on line by line by a thread; under load only the first lines.

    Where there is color, zerospan writes to a pseudo-terminal, as it would without a demo around it.
    """

    def __init__(self) -> None:
        ours, self.terminal = os.openpty() if COLOR else os.pipe()
        self._stream = os.fdopen(ours, encoding="utf-8", errors="replace")
        self.limit = sys.maxsize
        self.held_back = 0
        self.last_s = time.monotonic()
        self.thread = threading.Thread(target=self._pass_on, daemon=True)

    def start(self) -> None:
        """Call when the writer has the terminal."""
        os.close(self.terminal)
        self.thread.start()

    def _pass_on(self) -> None:
        with contextlib.suppress(OSError):  # EIO: nobody has the terminal any more
            for line in self._stream:
                self.last_s = time.monotonic()
                if self.limit > 0:
                    self.limit -= 1
                    sys.stdout.write(line)
                    sys.stdout.flush()
                else:
                    self.held_back += 1

    def wait_until_quiet(self, since_s: float) -> None:
        """Wait until there was output after `since_s`, and then none for a while."""
        wait_until(
            lambda: self.last_s > since_s and time.monotonic() - self.last_s > QUIET_S,
            "zerospan shows the traces",
        )


def make_requests(output: Output) -> None:
    """One at a time, each with its trace."""
    for path, what in REQUESTS.items():
        say(f"curl {FRONT}{path}    ({what})")
        began = time.monotonic()
        subprocess.run(["curl", "-sS", "-o", "/dev/null", FRONT + path], check=True)
        output.wait_until_quiet(began)


def make_load(output: Output) -> None:
    """Many at once, a few of the traces."""
    say(f"wrk: 4 connections for 2 s (the first {LINES_UNDER_LOAD} lines of the traces)")
    output.limit = LINES_UNDER_LOAD
    began = time.monotonic()
    command = ["wrk", "-t1", "-c4", "-d2s", f"{FRONT}/orders/2000?items=3"]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    output.wait_until_quiet(began)
    print(f"  … and {output.held_back} lines more")
    output.limit = sys.maxsize
    print(
        *(
            line.strip()
            for line in told.splitlines()
            if "requests in" in line or "Requests/sec" in line
        ),
        sep="\n",
    )


def show_ledger(stderr: str) -> None:
    """The last line of stderr is the ledger."""
    ledger = json.loads(stderr.rstrip().rpartition("\n")[2])
    say("the ledger: what was captured, and what became of it")
    print(json.dumps(ledger, indent=2))


def main() -> int:
    """The scene; gives zerospan's exit status."""
    log = Path("/tmp/zerospan.stderr")
    started: list[subprocess.Popen[bytes]] = []
    try:
        say("starting nginx → shop.py → stock.py, none of them instrumented")
        for port, command in CHAIN.items():
            started.append(start(command))
            wait_until(lambda port=port: answers(port), f"port {port} answers")  # type: ignore[misc]
        agent_command = [sys.executable, "-m", "agent", "run", "--export", "console"]
        say("zerospan run --export console")
        output = Output()
        with log.open("w") as stderr:
            agent = subprocess.Popen(
                agent_command, stdout=output.terminal, stderr=stderr, start_new_session=True
            )
        started.append(agent)
        output.start()
        wait_until(
            lambda: agent.poll() is not None or "ready:" in log.read_text(), "zerospan is ready"
        )
        print(log.read_text().rstrip(), flush=True)
        if agent.poll() is not None:
            return agent.returncode
        make_requests(output)
        make_load(output)
        agent.send_signal(signal.SIGTERM)
        agent.wait(DEADLINE_S)
        output.thread.join(5)
        show_ledger(log.read_text())
        return agent.returncode
    finally:
        for process in started:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main())
