"""Attaches programs to functions of executables and libraries, while the agent runs.

An attachment belongs to a file, not to a process: one serves all processes that run it, now and later, in every container
that shares it. It is a perf event whose descriptor the agent holds, so it goes when the agent goes. It is let go when the
last process that it was asked for has ended.

perf_event_open(2) takes the file by its path, which is looked up at once: /proc/PID/exe leads to the file in whatever mount
namespace it is.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

from agent.kernel.attach import attach_event

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

MAX_FILES: Final = 512
"""Files to which something is attached at once; beyond, processes go without."""
_TYPE: Final = Path("/sys/bus/event_source/devices/uprobe/type")
_RETURN_BIT: Final = Path("/sys/bus/event_source/devices/uprobe/format/retprobe")

Place = tuple[int, int, str]
"""Device and inode of the file, and the hook."""


class Uprobes:
    """What is attached to files, and for whom."""

    def __init__(
        self,
        programs: Mapping[str, int],
        attach: Callable[[int, str, int], int] | None = None,
        *,
        limit: int = MAX_FILES,
    ) -> None:
        """`programs` are the descriptors of loaded programs by hook."""
        self._programs = programs
        self._attach = attach
        self._limit = limit
        self._held: dict[Place, int] = {}
        self._users: dict[Place, set[int]] = {}
        self._of: dict[int, set[Place]] = {}

    def attach(self, pid: int, hook: str, path: str, offset: int) -> bool:
        """Attach the program of a hook at an offset of a file, for a process. False if it could not be done."""
        program = self._programs.get(hook)
        try:
            status = os.stat(path)
        except OSError:
            return False
        place = (status.st_dev, status.st_ino, hook)
        if place not in self._held:
            if program is None or len(self._held) >= self._limit:
                return False
            attach = self._attach or _ATTACH[hook.partition(":")[0]]
            descriptor = attach(program, path, offset)
            if descriptor < 0:
                return False
            self._held[place] = descriptor
        self._users.setdefault(place, set()).add(pid)
        self._of.setdefault(pid, set()).add(place)
        return True

    def exited(self, pid: int) -> None:
        """A process ended, or became another program."""
        for place in self._of.pop(pid, ()):
            users = self._users[place]
            users.discard(pid)
            if not users:
                del self._users[place]
                os.close(self._held.pop(place))

    def close(self) -> None:
        """Detach everything."""
        for pid in list(self._of):
            self.exited(pid)


def attach_uprobe(program: int, path: str, offset: int) -> int:
    """At an instruction: the descriptor that holds the attachment, or a negative errno."""
    return _attach_at(program, path, offset, is_return=False)


def attach_uretprobe(program: int, path: str, offset: int) -> int:
    """At the return of the function that begins there."""
    return _attach_at(program, path, offset, is_return=True)


def _attach_at(program: int, path: str, offset: int, *, is_return: bool) -> int:
    try:
        kind = int(_TYPE.read_text())
        bit = int(_RETURN_BIT.read_text().strip().removeprefix("config:"))
    except (OSError, ValueError):
        return -errno.EOPNOTSUPP
    return attach_event(program, kind, path.encode(), offset, config=is_return << bit)


_ATTACH: Final[Mapping[str, Callable[[int, str, int], int]]] = {
    "uprobe": attach_uprobe,
    "uretprobe": attach_uretprobe,
}
