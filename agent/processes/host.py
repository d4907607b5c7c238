"""The host that all processes are on, as OpenTelemetry describes a host."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from agent.processes.text import clean

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MACHINE_IDS: Final = (Path("/etc/machine-id"), Path("/var/lib/dbus/machine-id"))
"""machine-id(5); the second is where it was before systemd."""

_ARCHITECTURES: Final[Mapping[str, str]] = {
    "aarch64": "arm64",
    "armv7l": "arm32",
    "i386": "x86",
    "i686": "x86",
    "ppc64le": "ppc64",
    "x86_64": "amd64",
}
"""uname's words to those of the convention's `host.arch`; what is missing has the same word in both."""
_MAX_FILE: Final = 1 << 16


@dataclass(frozen=True, slots=True)
class Host:
    """Empty fields are not known."""

    name: str = ""
    id: str = ""
    arch: str = ""
    boot_id: str = ""
    users: Mapping[int, str] = field(default_factory=dict, repr=False)
    """Names in the host's own /etc/passwd. A directory service is not asked: that may block."""


def read_host(
    proc_root: Path = Path("/proc"),
    *,
    machine_ids: Sequence[Path] = MACHINE_IDS,
    passwd: Path = Path("/etc/passwd"),
) -> Host:
    """Read what identifies this host."""
    system = os.uname()
    return Host(
        name=clean(system.nodename.encode("utf-8", "replace"), limit=255),
        id=next(filter(None, map(_first_line, machine_ids)), ""),
        arch=_ARCHITECTURES.get(system.machine, system.machine),
        boot_id=_first_line(proc_root / "sys/kernel/random/boot_id"),
        users=_users(_content(passwd)),
    )


def _users(content: bytes) -> dict[int, str]:
    users: dict[int, str] = {}
    for line in content.split(b"\n"):
        fields = line.split(b":")
        if len(fields) > 2 and fields[2].isdigit() and len(fields[2]) < 11:
            users.setdefault(int(fields[2]), clean(fields[0], limit=64))
    return users


def _first_line(path: Path) -> str:
    return clean(_content(path).partition(b"\n")[0], limit=64).strip()


def _content(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(_MAX_FILE)
    except OSError:
        return b""
