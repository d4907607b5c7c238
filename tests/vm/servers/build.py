"""Builds the servers that are compiled, natively, before a guest is booted: into .cache/servers, when they changed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Final

from tests.vm.servers.databases import build_databases

SOURCES: Final = Path(__file__).resolve().parent
BUILT: Final = SOURCES.parents[2] / ".cache" / "servers"
"""Seen by the guest at the same path."""

GO: Final = str(Path(sys.executable).with_name("go"))
# Only the standard library is used: nothing may be fetched, the tool chain least of all.
GO_ENVIRONMENT: Final = {
    "CGO_ENABLED": "0",
    "GOFLAGS": "-mod=mod",
    "GOPROXY": "off",
    "GOTOOLCHAIN": "local",
    "GOCACHE": str(BUILT.parent / "go-build"),
}


def is_older(built: Path, sources: list[Path]) -> bool:
    """Whether something must be built anew."""
    return not built.exists() or built.stat().st_mtime < max(
        path.stat().st_mtime for path in sources
    )


def run(command: list[str], *, cwd: Path, env: dict[str, str]) -> None:
    """Run a compiler; what it says is the error if it fails."""
    done = subprocess.run(
        command, cwd=cwd, env={**os.environ, **env}, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}:\n{done.stdout}{done.stderr}")


def build() -> None:
    """Compile what is older than its source."""
    BUILT.mkdir(parents=True, exist_ok=True)
    build_databases(BUILT)
    ways = BUILT / "ways"
    if is_older(ways, [SOURCES / "ways.c"]):
        compiler = ["cc", "-O2", "-Wall", "-Werror", "-o", str(ways), "ways.c", "-luring"]
        run(compiler, cwd=SOURCES, env={})
    for name in ("goserver", "goresolve"):
        if is_older(BUILT / name, list((SOURCES / name).iterdir())):
            run([GO, "build", "-o", str(BUILT / name), "."], cwd=SOURCES / name, env=GO_ENVIRONMENT)


if __name__ == "__main__":
    build()
