"""The load generators: wrk saturates, redis-benchmark does so with Redis, paced.c keeps a rate."""

from __future__ import annotations

import json
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from deploy.guest import CHECKOUT

SOURCE: Final = Path(__file__).with_name("paced.c")
PACED: Final = CHECKOUT / ".cache" / "bench" / "paced"
"""Built on the host; the guest sees it at the same path."""


@dataclass(frozen=True, slots=True)
class Target:
    """Whom to ask for what, over how many connections that stay open."""

    port: int
    path: str
    connections: int

    @property
    def url(self) -> str:
        """For wrk."""
        return f"http://127.0.0.1:{self.port}{self.path}"


@dataclass(frozen=True, slots=True)
class Paced:
    """What became of a load at a fixed rate."""

    requests: int
    answered: int
    failed: int
    seconds: float
    latest_ms: float
    """How late the latest request was sent: the load itself was kept from its rate."""
    slowest_ms: float
    """From when a request was due to when its answer was complete."""


def build_paced() -> None:
    """Compile paced.c if it changed."""
    if PACED.exists() and PACED.stat().st_mtime >= SOURCE.stat().st_mtime:
        return
    PACED.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run(["cc", "-O2", "-Wall", "-Werror", "-o", str(PACED), str(SOURCE)], check=True)


def keep_rate(target: Target, rate: float, seconds: float) -> Paced:
    """Make so many requests per second, for so long."""
    words = (target.port, target.path, f"{rate:.3f}", seconds, target.connections)
    done = subprocess.run(
        [str(PACED), *map(str, words)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"paced: {done.stderr}")
    return parse_paced(done.stdout)


def parse_paced(text: str) -> Paced:
    """Read the line that paced.c prints."""
    return Paced(**json.loads(text))


def saturate(target: Target, seconds: int) -> int:
    """Ask as fast as answers come; gives the requests that were answered."""
    command = [
        *("wrk", "-t1", f"-c{target.connections}", f"-d{seconds}s", "--timeout", "60s"),
        target.url,
    ]
    return parse_wrk(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def parse_wrk(told: str) -> int:
    """Read the number of requests. Raises RuntimeError if one was not answered as it should be."""
    found = re.search(r"(\d+) requests in", told)
    if not found or "Non-2xx" in told or "Socket errors" in told:
        raise RuntimeError(f"the load was not answered:\n{told}")
    return int(found[1])


def ask_redis(port: int, requests: int) -> int:
    """GET, so often; gives that number."""
    words = ("-p", port, "-t", "get", "-c", 8, "-n", requests, "-q")
    subprocess.run(["redis-benchmark", *map(str, words)], capture_output=True, check=True)
    return requests
