"""Builds what is compiled, natively, before a guest is booted: into .cache/accuracy, when it changed."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from deploy.guest import CHECKOUT
from tests.vm.servers.build import is_older, run

SOURCES: Final = CHECKOUT / "tests" / "accuracy" / "services"
BUILT: Final = CHECKOUT / ".cache" / "accuracy"
"""Seen by the guest at the same path."""

C_PROGRAMS: Final = ("backend", "caller")


def build() -> None:
    """Compile what is older than its source."""
    BUILT.mkdir(parents=True, exist_ok=True)
    for name in C_PROGRAMS:
        source, built = SOURCES / f"{name}.c", BUILT / name
        if is_older(built, [source]):
            compiler = ["cc", "-O2", "-Wall", "-Werror", "-pthread", "-o", str(built), str(source)]
            run(compiler, cwd=SOURCES, env={})


if __name__ == "__main__":
    build()
