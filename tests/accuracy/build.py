"""Builds what is compiled, natively, before a guest is booted: into .cache/accuracy, when it changed."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Final

from deploy.guest import CHECKOUT
from tests.vm.servers.build import GO, GO_ENVIRONMENT, is_older, run

SOURCES: Final = CHECKOUT / "tests" / "accuracy" / "services"
BUILT: Final = CHECKOUT / ".cache" / "accuracy"
"""Seen by the guest at the same path."""

C_PROGRAMS: Final = ("backend", "caller", "pool")
GO_PROGRAMS: Final = {
    "go": (),
    "go-stripped": ("-ldflags=-s -w", "-buildmode=pie"),
}


def build() -> None:
    """Compile what is older than its source; Java only where there is a compiler."""
    BUILT.mkdir(parents=True, exist_ok=True)
    for name in C_PROGRAMS:
        _build([SOURCES / f"{name}.c"], BUILT / name, "cc", "-O2", "-Wall", "-Werror", "-pthread")
    for name, options in GO_PROGRAMS.items():
        _build([*(SOURCES / "goservice").iterdir()], BUILT / name, GO, "build", *options)
    if shutil.which("javac"):
        source, built = SOURCES / "java" / "Service.java", BUILT / "Service.class"
        if is_older(built, [source]):
            run(["javac", "-d", str(BUILT), str(source)], cwd=SOURCES, env={})


def _build(sources: list[Path], built: Path, *command: str) -> None:
    if is_older(built, sources):
        folder = sources[0].parent
        what = str(sources[0]) if len(sources) == 1 else "."
        run([*command, "-o", str(built), what], cwd=folder, env=GO_ENVIRONMENT)


if __name__ == "__main__":
    build()
