"""The services under test, declared: what is run, on which port, and which shapes it can do.

A service is told its ports by PORT, BACKEND and NEXT (the second service of the same kind, for the shape `hops`), in its
environment or, where it has a configuration, in that. Words in braces are filled in: see `words`.
"""

from __future__ import annotations

import os
import string
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from deploy.guest import CHECKOUT
from tests.accuracy.build import BUILT
from tests.accuracy.cases import SHAPES
from tests.vm.harness_guest import Server, Servers, free_port

SERVICES: Final = CHECKOUT / "tests" / "accuracy" / "services"

NODE: Final = ("shared", "queued")
"""What only Node is asked for: where its callbacks might mislead."""
THREADS: Final = tuple(name for name in SHAPES if name not in NODE)
POOL: Final = tuple(name for name in THREADS if name != "worker")
"""Where all work is done by workers."""
LOOP: Final = tuple(name for name in THREADS if name != "kept")
"""Where no thread keeps connections: they are in one pool."""
PROXY: Final = ("one", "pooled", "hops")


@dataclass(frozen=True, slots=True)
class Runtime:
    """One kind of service."""

    name: str
    what: str
    argv: tuple[str, ...]
    shapes: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    config: str = ""
    """A template in SERVICES; `{config}` is the file that was made of it."""
    behind: tuple[str, ...] = ()
    """A program that must run, too, and listens on the port `{inner}`."""
    behind_config: str = ""
    inside: str = ""
    """What it is asked for begins with this, so that its spans are told from those of the program before it."""
    needs: str = ""
    """A program, or the path of a package, that `deploy/setup.sh accuracy` brings."""

    def start(self, servers: Servers, backend: int) -> Server:
        """Start the service, and the second one before it if there is a shape that needs it."""
        following = self._start_one(servers, backend, 0).port if "hops" in self.shapes else 0
        return self._start_one(servers, backend, following)

    def _start_one(self, servers: Servers, backend: int, following: int) -> Server:
        port = free_port()
        values: dict[str, str | Path] = {
            "port": str(port),
            "backend": str(backend),
            "next": str(following or backend),
            "inner": str(free_port()) if self.behind else "",
            "directory": servers.directory,
            "services": SERVICES,
            "built": BUILT,
            "python": sys.executable,
        }
        env = {
            "PORT": str(port),
            "BACKEND": str(backend),
            "NEXT": str(following or ""),
            "PYTHONPATH": str(CHECKOUT),
            **self.env,
        }
        if self.behind:
            inner = int(str(values["inner"]))
            config = _filled_in(self.behind_config, values)
            servers.start(*words(self.behind, values, config), port=inner, env=env)
        config = _filled_in(self.config, values)
        return servers.start(*words(self.argv, values, config), port=port, env=env)


def words(argv: tuple[str, ...], values: Mapping[str, str | Path], config: str) -> list[str]:
    """Fill in a command."""
    return [word.format(**values, config=config) for word in argv]


def _filled_in(template: str, values: Mapping[str, str | Path]) -> str:
    """Give the path of a configuration made of a template, or nothing."""
    if not template:
        return ""
    text = string.Template((SERVICES / template).read_text())
    path = Path(str(values["directory"]), f"{values['port']}-{template}")
    path.write_text(text.substitute(values))
    return str(path)


PYTHON: Final = "/usr/bin/python3"


PACKAGES: Final = "/usr/lib/python3/dist-packages"


def _asyncio(name: str, what: str, script: str, *, loop: str = "", needs: str = "") -> Runtime:
    return Runtime(
        name,
        what,
        (PYTHON, f"{{services}}/{script}"),
        LOOP,
        {"LOOP": loop},
        needs=f"{PACKAGES}/{loop or needs}" if loop or needs else "",
    )


def _gunicorn(name: str, what: str, *options: str) -> Runtime:
    argv = (
        *("{python}", "-m", "gunicorn", "--bind", "127.0.0.1:{port}", *options),
        *("--keep-alive", "60", "--backlog", "512", "--worker-tmp-dir", "/dev/shm"),
        "tests.accuracy.services.prefork:application",
    )
    return Runtime(name, what, argv, THREADS)


def _pools(name: str, what: str, *argv: str, needs: str = "") -> tuple[Runtime, Runtime]:
    """As many workers as there are requests at once, and far fewer."""
    wide, narrow = (
        Runtime(
            f"{name}-{size}",
            f"{what} of {size} threads",
            argv,
            POOL,
            {"POOL": str(size)},
            needs=needs,
        )
        for size in (64, 8)
    )
    return wide, narrow


def _go(name: str, what: str) -> Runtime:
    return Runtime(name, what, (f"{{built}}/{name}",), LOOP)


JAVA: Final = ("java", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp", "{built}", "Service")

RUNTIMES: Final = (
    Runtime(
        "python-threads",
        "Python, a thread per connection (http.server, http.client)",
        (PYTHON, "{services}/threads.py"),
        THREADS,
    ),
    _gunicorn("python-prefork", "Python, gunicorn with 8 sync workers", "-k", "sync", "-w", "8"),
    _gunicorn(
        "python-gthread",
        "Python, gunicorn with 2 workers of 32 threads",
        *("-k", "gthread", "-w", "2", "--threads", "32"),
    ),
    *_pools(
        "python-pool",
        "Python, a thread per connection hands requests to a pool",
        *(PYTHON, "{services}/threads.py"),
    ),
    _asyncio("asyncio-streams", "asyncio streams, a task per connection", "streams.py"),
    _asyncio("asyncio-protocol", "asyncio protocol, a task per request", "protocol.py"),
    _asyncio(
        "asyncio-aiohttp",
        "aiohttp, server and client, a task per connection",
        "aio.py",
        needs="aiohttp",
    ),
    Runtime(
        "node",
        "Node, http with and without a keep-alive agent, fetch",
        ("node", "{services}/service.js", "{inner}"),
        (*LOOP, *NODE),
        behind=("redis-server", "--port", "{inner}", "--save", "", "--bind", "127.0.0.1"),
        needs="redis-server",
    ),
    _go("go", "Go net/http, server and client"),
    _go("go-stripped", "the same, stripped and position-independent"),
    Runtime(
        "nginx",
        "nginx as a reverse proxy",
        ("nginx", "-c", "{config}", "-e", "{directory}/nginx-error.log"),
        PROXY,
        config="nginx.conf",
    ),
    Runtime(
        "haproxy",
        "HAProxy as a reverse proxy",
        ("haproxy", "-f", "{config}"),
        PROXY,
        config="haproxy.cfg",
    ),
    *_pools("c-pool", "C, one thread receives and hands requests to a pool", "{built}/pool"),
    Runtime(
        "java",
        "Java, the JDK's server and clients, a thread per request",
        JAVA,
        THREADS,
        needs="javac",
    ),
    *_pools(
        "java-pool", "Java, a thread per request hands it to an executor", *JAVA, needs="javac"
    ),
    Runtime(
        "ruby-puma",
        "Ruby, Puma with 64 threads",
        (
            "puma",
            "-q",
            "-e",
            "production",
            "-t",
            "64:64",
            "-b",
            "tcp://127.0.0.1:{port}",
            "{services}/service.ru",
        ),
        THREADS,
        needs="puma",
    ),
    _asyncio("uvloop-streams", "uvloop, streams", "streams.py", loop="uvloop"),
    _asyncio("uvloop-protocol", "uvloop, a task per request", "protocol.py", loop="uvloop"),
    Runtime(
        "apache",
        "Apache (event) as a reverse proxy",
        ("apache2", "-D", "FOREGROUND", "-f", "{config}"),
        PROXY,
        config="apache.conf",
        needs="apache2",
    ),
    Runtime(
        "php-fpm",
        "PHP-FPM with 16 processes behind nginx",
        ("nginx", "-c", "{config}", "-e", "{directory}/nginx-error.log"),
        ("one", "sequence", "sleep", "hops", "after"),
        config="fastcgi.conf",
        behind=("php-fpm8.2", "-F", "-R", "-y", "{config}"),
        behind_config="php-fpm.conf",
        inside="/php",
        needs="php-fpm8.2",
    ),
)


def select(wanted: str) -> list[Runtime]:
    """Give the runtimes that a list of words names: a word is the beginning of a name, or of a part of it."""
    chosen = [
        runtime
        for runtime in RUNTIMES
        if any(f"-{runtime.name}".find(f"-{word}") >= 0 for word in wanted.split(","))
    ]
    if not chosen:
        names = ", ".join(runtime.name for runtime in RUNTIMES)
        raise ValueError(f"no runtime is named {wanted}; there are {names}")
    return chosen


def is_here(runtime: Runtime) -> bool:
    """Whether what the runtime needs is installed."""
    if not runtime.needs:
        return True
    path = os.environ["PATH"] + ":/usr/sbin"
    return any(Path(folder, runtime.needs).exists() for folder in path.split(":"))
