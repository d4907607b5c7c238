"""The guest's side of the VM tests: servers to trace and clients to call them.

Nothing here sleeps for a fixed time: `wait_until` asks a condition until it holds or a deadline has passed.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import string
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeVar

from deploy.guest import CHECKOUT
from tests.vm.servers.build import BUILT

T = TypeVar("T")

SERVERS: Final = CHECKOUT / "tests" / "vm" / "servers"
START_S: Final = 90.0
"""A server's start: the first Python of a guest reads its library over 9p, Node takes its time without a JIT cache."""


def wait_until(condition: Callable[[], T], *, deadline_s: float, what: str) -> T:
    """Give the first true value of `condition`; fail the test after the deadline."""
    end = time.monotonic() + deadline_s
    while not (value := condition()):
        if time.monotonic() > end:
            raise AssertionError(f"not within {deadline_s:.0f} s: {what}")
        time.sleep(0.05)
    return value


def free_port() -> int:
    """Give a TCP port that nothing uses."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def answers(port: int, address: str = "127.0.0.1") -> bool:
    """Whether somebody accepts connections there."""
    try:
        socket.create_connection((address, port), timeout=5).close()
    except OSError:
        return False
    return True


def _backend(server: Server | None) -> dict[str, str]:
    return {"BACKEND": str(server.port) if server else ""}


@dataclass(slots=True)
class Server:
    """A program under test that runs."""

    process: subprocess.Popen[bytes]
    port: int
    log: Path

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@dataclass(slots=True)
class Servers:
    """Starts programs, waits until they answer, ends them with the scenario."""

    directory: Path
    started: list[Server] = field(default_factory=list)

    def start(
        self,
        *argv: str | Path,
        port: int,
        env: Mapping[str, str] | None = None,
        address: str = "127.0.0.1",
        deadline_s: float = START_S,
    ) -> Server:
        """Start a program that will listen on `port`; return when it does."""
        log = self.directory / f"server-{len(self.started)}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [str(word) for word in argv],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=self.directory,
                env={**os.environ, **(env or {})},
                start_new_session=True,
            )
        server = Server(process, port, log)
        self.started.append(server)

        def is_up() -> bool:
            if process.poll() is not None:
                raise AssertionError(f"{argv[0]} ended: {log.read_text(errors='replace')[-2000:]}")
            return answers(port, address)

        wait_until(is_up, deadline_s=deadline_s, what=f"{argv[0]} answers on port {port}")
        return server

    def python(self, script: str, *arguments: str | int | Path, port: int | None = None) -> Server:
        """Start tests/vm/servers/SCRIPT with the distribution's Python: `script --port PORT arguments`."""
        port = port or free_port()
        words = [str(word) for word in arguments]
        return self.start(
            "/usr/bin/python3", SERVERS / script, "--port", str(port), *words, port=port
        )

    def gunicorn(
        self, worker: str, *, workers: int = 1, threads: int = 1, backend: Server | None = None
    ) -> Server:
        """Start the WSGI application on gunicorn with workers of class sync or gthread."""
        port = free_port()
        return self.start(
            *(sys.executable, "-m", "gunicorn", "--chdir", SERVERS, "--bind", f"127.0.0.1:{port}"),
            *("--worker-class", worker, "--workers", str(workers), "--threads", str(threads)),
            *("--keep-alive", "60", "--worker-tmp-dir", "/dev/shm", "wsgi:application"),
            port=port,
            env=_backend(backend),
        )

    def node(self, *, backend: Server | None = None) -> Server:
        """Start the Node server."""
        port = free_port()
        words = ("node", SERVERS / "server.js", str(port))
        return self.start(*words, port=port, env=_backend(backend))

    def go(self, *, backend: Server | None = None, gomaxprocs: int = 2) -> Server:
        """Start the Go net/http server, which the host has built."""
        port = free_port()
        env = {**_backend(backend), "GOMAXPROCS": str(gomaxprocs)}
        return self.start(BUILT / "goserver", str(port), port=port, env=env)

    def ways(self, way: str) -> Server:
        """Start the C program that moves bytes in a way that Python lacks."""
        port = free_port()
        return self.start(BUILT / "ways", way, "serve", str(port), port=port)

    def configured(self, template: str, *argv: str, **values: str | int) -> Server:
        """Start a server whose configuration is SERVERS/TEMPLATE, filled in; `{config}` in argv is its path."""
        port = free_port()
        text = string.Template((SERVERS / template).read_text())
        config = self.directory / f"{len(self.started)}-{template}"
        config.write_text(text.substitute(port=port, directory=self.directory, **values))
        return self.start(*(word.replace("{config}", str(config)) for word in argv), port=port)

    def nginx(self, *, backend: Server, keepalive: bool = True, workers: int = 1) -> Server:
        """Start nginx: /hello, /static/page.html from a file, everything else proxied to `backend`."""
        (self.directory / "static").mkdir(exist_ok=True)
        (self.directory / "static" / "page.html").write_text("static\n" * 100)
        return self.configured(
            *(
                "nginx.conf",
                "nginx",
                "-c",
                "{config}",
                "-e",
                str(self.directory / "nginx-error.log"),
            ),
            backend=backend.port,
            workers=workers,
            keepalive="keepalive 64;" if keepalive else "",
            connection='""' if keepalive else '"close"',
        )

    def haproxy(self, *, backend: Server) -> Server:
        """Start haproxy in front of `backend`."""
        return self.configured("haproxy.cfg", "haproxy", "-f", "{config}", backend=backend.port)

    def __enter__(self) -> Servers:
        return self

    def __exit__(self, *_exc: object) -> None:
        for server in self.started:
            if server.process.poll() is None:
                os.killpg(server.pid, signal.SIGKILL)
            server.process.wait()


@dataclass(frozen=True, slots=True)
class Loaded:
    """Ids of what is in the kernel's BPF side."""

    programs: frozenset[int]
    maps: frozenset[int]
    links: frozenset[int]


def loaded() -> Loaded:
    """Ask bpftool what is loaded, for comparing before with after."""

    def ids(kind: str) -> frozenset[int]:
        shown = subprocess.run(["bpftool", "-j", kind, "show"], capture_output=True, check=True)
        return frozenset(item["id"] for item in json.loads(shown.stdout or b"[]"))

    return Loaded(ids("prog"), ids("map"), ids("link"))


def python(script: str, *arguments: str | int | Path) -> str:
    """Run a client of tests/vm/servers to its end; give what it printed."""
    words = ["/usr/bin/python3", str(SERVERS / script), *map(str, arguments)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def curl(url: str, *arguments: str) -> str:
    """Make one request with curl; give the body."""
    done = subprocess.run(
        ["curl", "-sS", "--max-time", "30", *arguments, url],
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout
