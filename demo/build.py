"""What is made on the host, before the guest is booted: it is 20 times faster here.

The inventory is compiled; PostgreSQL's empty data directory is made, and packed, for the guest unpacks it into memory.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

from deploy.guest import CHECKOUT, GuestError

BUILT: Final = CHECKOUT / ".cache" / "demo"
"""Seen by the guest at the same path."""
INVENTORY: Final = BUILT / "inventory"
DATA: Final = BUILT / "postgresql.tar"
SOURCES: Final = Path(__file__).resolve().parent / "shop" / "inventory"
# Only the standard library is used: nothing may be fetched, the tool chain least of all.
GO_ENVIRONMENT: Final = {
    "CGO_ENABLED": "0",
    "GOPROXY": "off",
    "GOTOOLCHAIN": "local",
    "GOCACHE": str(BUILT.parent / "go-build"),
}
NOBODY: Final = 65534
UNPRIVILEGED: Final = ("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups")
"""PostgreSQL refuses to be root."""


def postgresql() -> Path:
    """Where PostgreSQL's programs are: Debian does not have them on PATH."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not found:
        raise GuestError("PostgreSQL is not installed; run deploy/setup.sh demo")
    return found[-1].parent


def build() -> None:
    """Make what is not there, or is older than its source."""
    BUILT.mkdir(parents=True, exist_ok=True)
    newest = max(path.stat().st_mtime for path in SOURCES.iterdir())
    if not INVENTORY.exists() or INVENTORY.stat().st_mtime < newest:
        go = str(Path(sys.executable).with_name("go"))
        _run([go, "build", "-o", str(INVENTORY), "."], cwd=SOURCES, environment=GO_ENVIRONMENT)
    if not DATA.exists():
        _make_data()


def _make_data() -> None:
    with tempfile.TemporaryDirectory(prefix="zerospan-demo-") as place:
        data = Path(place) / "data"
        data.mkdir(mode=0o700)
        unprivileged: tuple[str, ...] = ()
        if os.geteuid() == 0:
            unprivileged = UNPRIVILEGED
            Path(place).chmod(0o755)
            os.chown(data, NOBODY, NOBODY)
        words = ["--auth=trust", "--username=shop", "--encoding=UTF8", "--no-locale", "--no-sync"]
        _run([*unprivileged, str(postgresql() / "initdb"), f"--pgdata={data}", *words], cwd=data)
        _run(["tar", "-cf", f"{DATA}.new", "-C", str(data), "."], cwd=BUILT)
    Path(f"{DATA}.new").rename(DATA)


def _run(command: list[str], *, cwd: Path, environment: dict[str, str] | None = None) -> None:
    """Run a command; what it says is the error if it fails."""
    done = subprocess.run(
        command,
        cwd=cwd,
        env={**os.environ, **(environment or {})},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise GuestError(f"{' '.join(command)}:\n{done.stdout}{done.stderr}")
