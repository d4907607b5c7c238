"""The shop in the guest: its network, its servers and services, and how they are started and ended.

curl ──▶ nginx :8000 ──▶ checkout :8001 ──▶ inventory :8002
                                 │  │  └──▶ payment :8003 ──▶ api.gateway.example :80   (outside)
                                 │  └─────▶ Redis     └─────▶ name server :53           (outside)
                                 └────────▶ PostgreSQL
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

import psycopg
import redis

from agent.web.settings import DEFAULT_PORT
from demo.build import DATA, INVENTORY, NOBODY, UNPRIVILEGED, postgresql

if TYPE_CHECKING:
    from collections.abc import Callable

SHOP: Final = Path(__file__).resolve().parent / "shop"
LOG: Final = Path(os.environ.get("SCRATCH", "/tmp")) / "shop.log"
GATEWAY: Final = "203.0.113.10"
RESOLVER: Final = "198.51.100.53"
"""Both from the blocks for documentation (RFC 5737); here they are addresses of the guest's loopback."""
SILENCE: Final = Path("/tmp/name-server-is-silent")
RESOLV_CONF: Final = f"nameserver {RESOLVER}\noptions timeout:3 attempts:3\n"
DEADLINE_S: Final = 300.0
"""Without KVM, and on a busy machine, everything takes its time."""
SCHEMA: Final = """
CREATE DATABASE shop;
\\c shop
CREATE TABLE orders (id serial PRIMARY KEY, customer integer NOT NULL);
CREATE TABLE items (order_id integer NOT NULL, name text NOT NULL);
INSERT INTO orders (customer) SELECT 7 FROM generate_series(1, 12);
INSERT INTO items SELECT id, 'thing ' || n FROM orders, generate_series(1, 3) AS n;
CREATE INDEX ON items (order_id);
ANALYZE;
"""


def wait_until(condition: Callable[[], bool], what: str) -> None:
    """Wait for a condition, not longer than the deadline."""
    end = time.monotonic() + DEADLINE_S
    while not condition():
        if time.monotonic() > end:
            said = LOG.read_text(errors="replace")[-4000:] if LOG.exists() else ""
            sys.exit(f"demo: not within {DEADLINE_S:.0f} s: {what}\n{said}")
        time.sleep(0.05)


def answers(port: int, host: str = "127.0.0.1") -> bool:
    """Tell whether something listens."""
    try:
        socket.create_connection((host, port), timeout=5).close()
    except OSError:
        return False
    return True


class Shop:
    """Everything that runs; `not_ours` are the pids of what does not belong to the shop."""

    def __init__(self, *, has_faults: bool, has_page: bool) -> None:
        self._environment = {**os.environ, "FAULTS": "on" if has_faults else "off"}
        self._started: list[subprocess.Popen[bytes]] = []
        self._has_page = has_page
        self.not_ours: list[int] = []

    def open(self) -> None:
        """Start all of it; it answers when this is over."""
        _make_network()
        self._start_database()
        self._start("redis-server", "--bind", "127.0.0.1", "--save", "", "--port", "6379")
        outside = [sys.executable, SHOP / "outside.py", GATEWAY, RESOLVER, SILENCE]
        self.not_ours.append(self._start(*outside).pid)
        if self._has_page:
            relay = self._start(sys.executable, "-m", "demo.relay", str(DEFAULT_PORT))
            self.not_ours.append(relay.pid)
        self._start(INVENTORY)
        self._start(sys.executable, SHOP / "payment.py")
        self._start(sys.executable, SHOP / "checkout.py")
        self._start("nginx", "-c", SHOP / "nginx.conf", "-e", "stderr")
        for port in (6379, 8002, 8003, 8001, 8000):
            wait_until(lambda port=port: answers(port), f"port {port} answers")  # type: ignore[misc]
        redis.Redis(port=6379).set("customer:7", "Ada")
        wait_until(lambda: answers(80, GATEWAY), "the gateway answers")

    def close(self) -> None:
        """End all of it."""
        for process in self._started:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)

    def _start_database(self) -> None:
        programs = postgresql()
        place = Path(tempfile.mkdtemp(dir="/dev/shm", prefix="postgresql-"))
        os.chown(place, NOBODY, NOBODY)
        place.chmod(0o700)
        subprocess.run([*UNPRIVILEGED, "tar", "-xf", DATA, "-C", place], check=True)
        settings = ("fsync=off", "shared_buffers=16MB", "autovacuum=off", "max_connections=40")
        self._start(
            *(*UNPRIVILEGED, programs / "postgres", "-D", place, "-k", ""),
            *(f"--{setting}" for setting in settings),
        )

        def is_up() -> bool:
            try:
                psycopg.connect("postgresql://shop@127.0.0.1/postgres", connect_timeout=5).close()
            except psycopg.OperationalError:
                return False
            return True

        wait_until(is_up, "PostgreSQL answers")
        before, after = SCHEMA.split("\\c shop\n")
        for database, statements in (("postgres", before), ("shop", after)):
            where = f"postgresql://shop@127.0.0.1/{database}"
            with psycopg.connect(where, autocommit=True) as connection:
                connection.execute(statements.encode())

    def _start(self, *command: object) -> subprocess.Popen[bytes]:
        """Start a program; what it has to say goes to a log."""
        with LOG.open("ab") as log:
            process = subprocess.Popen(
                [str(word) for word in command],
                stdout=log,
                stderr=log,
                env=self._environment,
                start_new_session=True,
            )
        self._started.append(process)
        return process


def _make_network() -> None:
    """Addresses for what is outside, and the name server in /etc/resolv.conf; /var/lib, which the guest may write."""
    for address in (GATEWAY, RESOLVER):
        subprocess.run(["ip", "address", "replace", f"{address}/32", "dev", "lo"], check=True)
    own = Path("/tmp/resolv.conf")
    own.write_text(RESOLV_CONF)
    subprocess.run(["mount", "--bind", own, "/etc/resolv.conf"], check=True)
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", "/var/lib"], check=True)
    Path("/var/lib/nginx").mkdir()  # where it keeps large bodies
