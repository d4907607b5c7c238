"""Names of containers. The kernel knows ids only; Docker keeps the name in a file of its own."""

from __future__ import annotations

import json
import re
from collections import OrderedDict
from pathlib import Path
from typing import Final

from agent.processes.text import clean_text

DOCKER: Final = Path("/var/lib/docker/containers")
_MAX_FILE: Final = 1 << 20
_ID: Final = re.compile(r"[0-9a-f]{64}")


class ContainerNames:
    """Container id to name; empty where nobody says it. Bounded, the least recently asked forgotten."""

    def __init__(self, docker: Path = DOCKER, *, limit: int = 512) -> None:
        self._docker = docker
        self._limit = limit
        self._known: OrderedDict[str, str] = OrderedDict()

    def of(self, container_id: str) -> str:
        """The container's name."""
        if not _ID.fullmatch(container_id):
            return ""
        if container_id in self._known:
            self._known.move_to_end(container_id)
            return self._known[container_id]
        if len(self._known) >= self._limit:
            self._known.popitem(last=False)
        name = self._known[container_id] = self._read(container_id)
        return name

    def _read(self, container_id: str) -> str:
        try:
            with (self._docker / container_id / "config.v2.json").open("rb") as file:
                settings = json.loads(file.read(_MAX_FILE))
        except (OSError, ValueError, RecursionError):
            return ""
        name = settings.get("Name") if isinstance(settings, dict) else None
        return clean_text(name.removeprefix("/"), limit=128) if isinstance(name, str) else ""
