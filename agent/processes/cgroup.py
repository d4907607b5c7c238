"""What a process's control group says: its container and its systemd unit.

Shapes of a container's group, the id being 64 hexadecimal digits:

    /docker/<id>                                            Docker, cgroupfs driver
    /system.slice/docker-<id>.scope                         Docker, systemd driver
    /kubepods/burstable/pod<uid>/<id>                       Kubernetes, cgroupfs driver
    /kubepods.slice/…/cri-containerd-<id>.scope             Kubernetes, containerd
    /kubepods.slice/…/crio-<id>.scope                       Kubernetes, CRI-O
    /kubepods-…-pod<uid>.slice:cri-containerd:<id>          containerd with a systemd name under cgroupfs
    /machine.slice/libpod-<id>.scope/container              Podman
    /user.slice/…/user.slice/libpod-<id>.scope              Podman without root
    /ecs/<task>/<32 digits>-<number>                        Amazon ECS

`crio-conmon-<id>` and `libpod-conmon-<id>` hold the monitor of a container, not the container. The innermost id
counts: that is the container the process sees itself in.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from agent.processes.text import clean

MAX_PATH: Final = 1024
"""PATH_MAX is 4096; the longest names that Kubernetes makes are about 350 bytes."""
MAX_LINES: Final = 64
"""cgroup v1 has about a dozen hierarchies."""

_CONTAINER: Final = re.compile(r"(?:^|[-:])([0-9a-f]{64}|[0-9a-f]{32}-[0-9]{8,12})(?:\.scope)?$")
_USER_MANAGER: Final = re.compile(r"user@\d+\.service$")
_ESCAPED: Final = re.compile(r"\\x([0-9a-f]{2})")


@dataclass(frozen=True, slots=True)
class Cgroup:
    """A process's place in the control group tree."""

    path: str = ""
    """In the hierarchy that tells most: the container's, systemd's, or cgroup v2."""
    container_id: str = ""
    """Empty outside containers."""
    unit: str = ""
    """systemd service without `.service`; empty in containers, login sessions and where there is no systemd."""


def parse(raw: bytes) -> Cgroup:
    """Read the content of /proc/PID/cgroup, `hierarchy:controllers:path` a line."""
    paths: dict[str, str] = {}
    for line in raw.split(b"\n", MAX_LINES)[:MAX_LINES]:
        fields = line.split(b":", 2)
        if len(fields) == 3:
            paths[clean(fields[1], limit=MAX_PATH)] = clean(fields[2], limit=MAX_PATH)
    for path in paths.values():
        if container := _container_of(path):
            return Cgroup(path, container)
    for path in (paths.get("name=systemd", ""), paths.get("", "")):
        if unit := _unit_of(path):
            return Cgroup(path, unit=unit)
    return Cgroup(paths.get("") or paths.get("name=systemd", ""))


def _container_of(path: str) -> str:
    for part in reversed(path.split("/")):
        found = _CONTAINER.search(part)
        if found and "conmon" not in part:
            return found[1]
    return ""


def _unit_of(path: str) -> str:
    for part in reversed(path.split("/")):
        if part.endswith(".service") and not _USER_MANAGER.match(part):
            return _ESCAPED.sub(_unescaped, part.removesuffix(".service"))
    return ""


def _unescaped(match: re.Match[str]) -> str:
    """systemd.unit(5): other characters are escaped as `\\x2d`; only printable ones are put back."""
    character = chr(int(match[1], 16))
    return character if character.isprintable() else match[0]
