"""What happens in the demo's guest: a shop runs, some of its orders take half a minute, and zerospan tells why.

    python -m demo.scene [--color] [--no-faults] [--stay] [--brief] [--page URL]

The shop is in `stage.py`. zerospan sees the sockets of its programs, and keeps traces in its store; the scene then does
what a person would do who has heard that "orders are slow sometimes". Whether the findings that it should end with are
there is checked: the exit status says so. So is that a shop without faults has none.
"""

from __future__ import annotations

import argparse
import json
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Final

from agent.config import DEFAULT_STORE
from agent.errors import StoreError
from agent.store.reader import Listing, Reader
from demo.stage import DEADLINE_S, LOG, RESOLVER, SILENCE, Shop, wait_until

FRONT: Final = "http://127.0.0.1:8000"
SLOW_ORDERS: Final = 3
SLOW_NS: Final = 20_000_000_000
QUERY: Final = '{ resource.service.name = "checkout" && duration > 5s }'
AGENT_LOG: Final = Path("/tmp/zerospan.stderr")
EXPECTED: Final = {
    "dns": ("api.gateway.example", RESOLVER, "EAI_AGAIN"),
    "n_plus_one": ("SELECT name FROM items WHERE order_id = ?", " 12 times"),
    "sequential_calls": ("GET /carts/{id}", "GET /stock/{id}", "makes 4 calls one after another"),
}
"""By kind of finding: what its title must name."""
STAY_S: Final = 15.0
STAYS: Final = "the shop stays open"
SETTINGS: Final = Path("/tmp/patient.yaml")
PATIENCE: Final = {
    "sequential_max_gap_ns": 50_000_000,
    "slow_trace_ns": 10_000_000_000,
    "dns_slow_ns": 1_000_000_000,
}
"""Everything takes 20 times as long here as on a machine that is not emulated, and any time on one that is busy."""


class Scene:
    """The scene, step by step."""

    def __init__(self, *, has_color: bool, has_faults: bool, page: str) -> None:
        self._has_color = has_color
        self._has_faults = has_faults
        self._page = page
        self._shop = Shop(has_faults=has_faults, has_page=bool(page))
        self._agent: subprocess.Popen[bytes] | None = None

    def open(self) -> bool:
        """Start shop and zerospan; gives whether both are up."""
        self.say("a shop opens: nginx → checkout (Python) → inventory (Go), payment (Python)")
        print(
            "  with PostgreSQL and Redis; payment charges cards at api.gateway.example, which is somebody else's",
            flush=True,
        )
        SETTINGS.write_text(json.dumps({"thresholds": PATIENCE}))  # JSON is YAML
        self._shop.open()
        self.visit()  # whatever is slow the first time is so before anybody looks
        self.say("zerospan run     (nothing in the shop is changed or started again)")
        command = [sys.executable, "-m", "agent", "run"]
        for pid in self._shop.not_ours:
            command += ["--exclude-pid", str(pid)]
        with AGENT_LOG.open("w") as stderr:
            self._agent = subprocess.Popen(command, stderr=stderr, start_new_session=True)
        agent = self._agent
        wait_until(
            lambda: agent.poll() is not None or "ready:" in AGENT_LOG.read_text(),
            "zerospan is ready",
        )
        print(AGENT_LOG.read_text().rstrip(), flush=True)
        if self._page:
            print(f"from the machine that runs this guest, the page is {self._page}", flush=True)
        return agent.poll() is None

    def close(self) -> None:
        """End everything."""
        if self._agent is not None and self._agent.poll() is None:
            self._agent.kill()
        self._shop.close()

    def say(self, text: str) -> None:
        """Print a line of our own."""
        print(f"\n\033[1m▶ {text}\033[0m" if self._has_color else f"\n▶ {text}", flush=True)

    # The shop's customers.

    def visit(self) -> None:
        """One of each."""
        for path in ("/orders", "/carts/77"):
            _wait(_curl(path))
        for order in [_order(number) for number in range(SLOW_ORDERS)]:
            _wait(order)

    def trade(self) -> None:
        """An ordinary day, and the minute in which it is none."""
        self.say("customers look around and order")
        self.visit()
        for one in (_curl("/orders?page=[1-10]"), _curl("/carts/[71-80]")):
            _wait(one)
        for number in range(5):
            _wait(_order(number))
        if self._has_faults:
            self.say(
                f"now the name server {RESOLVER} stops answering, and {SLOW_ORDERS} orders come in"
            )
            SILENCE.touch()
            began = time.monotonic()
            orders = [_order(number) for number in range(SLOW_ORDERS)]
            for order in orders:
                _wait(order)
            print(
                f"  they took {time.monotonic() - began:.0f} s; the name server answers again",
                flush=True,
            )
            SILENCE.unlink()
        for number in range(5):
            _wait(_order(number))
        wait_until(self._is_stored, "the orders are in the store")

    def _is_stored(self) -> bool:
        """Whether what must be there is: roots come last."""
        time.sleep(1)
        wanted = Listing(min_duration_ns=SLOW_NS if self._has_faults else 0, limit=100)
        try:
            with Reader(Path(DEFAULT_STORE)) as reader:
                found = [one for one in reader.summaries(wanted) if one.root_service == "curl"]
        except StoreError:
            return False
        return len(found) >= (SLOW_ORDERS if self._has_faults else 20)

    # The person on call.

    def investigate(self) -> None:
        """From "orders are slow sometimes" to the reason."""
        if self._has_faults:
            self.say("“Orders take half a minute sometimes.” Which?")
            self.zerospan("query", QUERY)
            found = json.loads(self.zerospan("query", QUERY, "--format", "json", is_shown=False))
            self.say("Where does the time go?")
            self.zerospan("trace", found[0]["trace_id"][:8])
        self.say("What else is wrong?" if self._has_faults else "Is anything wrong?")
        self.zerospan("analyze", "--config", str(SETTINGS))
        self.say("Who calls whom?")
        self.zerospan("map")
        self.say("And now?")
        self.visit()
        self.zerospan("top", "--count", "1")

    def judge(self) -> list[str]:
        """What is not as it should be."""
        arguments = ("analyze", "--config", str(SETTINGS), "--json")
        findings = json.loads(self.zerospan(*arguments, is_shown=False))["findings"]
        if not self._has_faults:
            return [f"a finding in a shop that is well: {one['title']}" for one in findings]
        return [
            f"no finding {kind} that names {', '.join(texts)}"
            for kind, texts in EXPECTED.items()
            if not any(_names(one, kind, texts) for one in findings)
        ]

    def zerospan(self, *arguments: str, is_shown: bool = True) -> str:
        """Run a command of zerospan's as a person would."""
        if is_shown:
            quoted = (f"'{word}'" if " " in word else word for word in arguments)
            print("$ zerospan " + " ".join(quoted), flush=True)
        command = [sys.executable, "-m", "agent", *arguments]
        if is_shown and self._has_color:
            pty.spawn(command)
            return ""
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if is_shown or done.returncode:
            print(done.stdout + done.stderr, end="", flush=True)
        return done.stdout

    def stay(self) -> None:
        """Until the guest is ended; somebody buys something now and then."""
        self.say(f"{STAYS}: look around on {self._page}; Ctrl-C closes it")
        while True:
            self.visit()
            time.sleep(STAY_S)

    def end(self) -> dict[str, Any]:
        """Stop zerospan; give its ledger, the last line on stderr."""
        agent = self._agent
        assert agent is not None
        agent.send_signal(signal.SIGTERM)
        agent.wait(DEADLINE_S)
        ledger: dict[str, Any] = json.loads(AGENT_LOG.read_text().rstrip().rpartition("\n")[2])
        return ledger


def _names(finding: dict[str, Any], kind: str, texts: tuple[str, ...]) -> bool:
    is_kind = finding["kind"] == kind
    # The code that getaddrinfo gave is in the title, the resolver and its port, too.
    return is_kind and all(text in finding["title"] for text in texts)


def _curl(path: str) -> subprocess.Popen[bytes]:
    """[1-10] in the path: that many requests, one after another."""
    with Path("/dev/null").open("wb") as nothing:
        return subprocess.Popen(["curl", "-sS", FRONT + path], stdout=nothing)


def _order(number: int) -> subprocess.Popen[bytes]:
    order = json.dumps({"customer": 7, "item": 3 + number, "cents": 1999})
    head = ["-H", "Content-Type: application/json", "-d", order]
    with Path("/dev/null").open("wb") as nothing:
        return subprocess.Popen(["curl", "-sS", *head, f"{FRONT}/orders"], stdout=nothing)


def _wait(process: subprocess.Popen[bytes]) -> None:
    if process.wait(DEADLINE_S):
        sys.exit(f"demo: {process.args!r} failed; see {LOG}")


def main() -> int:
    """The scene; 0 if all is as it should be."""
    parser = argparse.ArgumentParser(prog="python -m demo.scene", description=__doc__)
    parser.add_argument("--color", action="store_true")
    parser.add_argument("--no-faults", action="store_true")
    parser.add_argument("--stay", action="store_true", help="until the guest is ended")
    parser.add_argument("--brief", action="store_true", help="judge, without telling the story")
    parser.add_argument("--page", default="", help="its URL from outside, where there is one")
    arguments = parser.parse_args()
    scene = Scene(
        has_color=arguments.color, has_faults=not arguments.no_faults, page=arguments.page
    )
    try:
        if not scene.open():
            return 1
        scene.trade()
        if not arguments.brief:
            scene.investigate()
        wrong = scene.judge()
        if arguments.stay and not wrong:
            scene.stay()
        ledger = scene.end()
        scene.say("the ledger of zerospan: what was captured, and what became of it")
        print(json.dumps(ledger), flush=True)
        if not ledger["balanced"]:
            wrong.append("the ledger does not balance")
    finally:
        scene.close()
    for text in wrong:
        print(f"demo: {text}", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
