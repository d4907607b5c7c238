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

THREADS: Final = tuple(SHAPES)
POOL: Final = tuple(name for name in SHAPES if name != "worker")
"""Where all work is done by workers."""
LOOP: Final = tuple(name for name in SHAPES if name != "kept")
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
    needs: str = ""
    """A program that is not there everywhere; without it the runtime is left out."""

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


def _threads(pool: int) -> Runtime:
    return Runtime(
        f"python-pool-{pool}",
        f"Python, a thread per connection hands each request to a pool of {pool}",
        (PYTHON, "{services}/threads.py"),
        POOL,
        {"POOL": str(pool)},
    )


def _gunicorn(name: str, what: str, *options: str) -> Runtime:
    argv = (
        *("{python}", "-m", "gunicorn", "--bind", "127.0.0.1:{port}", *options),
        *("--keep-alive", "60", "--backlog", "512", "--worker-tmp-dir", "/dev/shm"),
        "tests.accuracy.services.prefork:application",
    )
    return Runtime(name, what, argv, THREADS)


RUNTIMES: Final = (
    Runtime(
        "python-threads",
        "Python, a thread per connection (http.server, http.client)",
        (PYTHON, "{services}/threads.py"),
        THREADS,
    ),
    _gunicorn(
        "python-prefork", "Python, gunicorn with 8 sync workers", "-k", "sync", "-w", "8"
    ),
    _gunicorn(
        "python-gthread",
        "Python, gunicorn with 2 workers of 32 threads",
        *("-k", "gthread", "-w", "2", "--threads", "32"),
    ),
    _threads(64),
    _threads(8),
    Runtime(
        "nginx",
        "nginx as a reverse proxy",
        ("nginx", "-c", "{config}", "-e", "{directory}/nginx-error.log"),
        PROXY,
        config="nginx.conf",
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
    """Whether the runtime's program is installed."""
    if not runtime.needs:
        return True
    path = os.environ["PATH"] + ":/usr/sbin"
    return any(Path(folder, runtime.needs).exists() for folder in path.split(":"))
