"""Attaches programs to functions of executables and libraries, while the agent runs.

An attachment belongs to a file, not to a process: one serves all processes that run it, now and later, in every container
that shares it. It is a perf event whose descriptor the agent holds, so it goes when the agent goes. It is let go when the
last process that it was asked for has ended. The kernel waits for every program that may be running before it lets go,
some 20 ms each: so many are let go beside the main loop, all at once.

perf_event_open(2) takes the file by its path, which is looked up at once: /proc/PID/exe leads to the file in whatever mount
namespace it is.
"""

from __future__ import annotations

import errno
import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Final

from agent.kernel.attach import attach_event
from agent.kernel.layout import enum, numbers

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

MAX_FILES: Final = 512
"""Places to which something is attached at once, of all files; beyond, processes go without."""
_TYPE: Final = Path("/sys/bus/event_source/devices/uprobe/type")
_RETURN_BIT: Final = Path("/sys/bus/event_source/devices/uprobe/format/retprobe")
_LETTING_GO: Final = 8
"""Threads that let go of many."""

Place = tuple[int, int, str, int]
"""Device and inode of the file, the hook, and the offset."""


class Uprobes:
    """What is attached to files, and for whom."""

    def __init__(
        self,
        programs: Mapping[str, int],
        attach: Callable[[int, str, int, int], int] | None = None,
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
        self._going: list[threading.Thread] = []

    def attach(self, pid: int, hook: str, path: str, offset: int, cookie: int = 0) -> bool:
        """Attach the program of a hook at an offset of a file, for a process. False if it could not be done.

        `cookie` is a number that the program is told; 0 for none.
        """
        program = self._programs.get(hook)
        try:
            status = os.stat(path)
        except OSError:
            return False
        place = (status.st_dev, status.st_ino, hook, offset)
        if place not in self._held:
            if program is None or len(self._held) >= self._limit:
                return False
            attach = self._attach or _ATTACH[hook.partition(":")[0]]
            descriptor = attach(program, path, offset, cookie)
            if descriptor < 0:
                return False
            self._held[place] = descriptor
        self._users.setdefault(place, set()).add(pid)
        self._of.setdefault(pid, set()).add(place)
        return True

    def exited(self, pid: int) -> None:
        """A process ended, or became another program."""
        self._let_go(self._left_by(pid))

    def let_go(self) -> None:
        """Begin to detach everything."""
        self._let_go([descriptor for pid in list(self._of) for descriptor in self._left_by(pid)])

    def close(self) -> None:
        """Detach everything, and wait for it."""
        self.let_go()
        for thread in self._going:
            thread.join()
        self._going.clear()

    def _left_by(self, pid: int) -> list[int]:
        """The attachments that nobody needs without this process."""
        left = []
        for place in self._of.pop(pid, ()):
            users = self._users[place]
            users.discard(pid)
            if not users:
                del self._users[place]
                left.append(self._held.pop(place))
        return left

    def _let_go(self, descriptors: Sequence[int]) -> None:
        if len(descriptors) < 2:
            _close_all(descriptors)
            return
        self._going = [thread for thread in self._going if thread.is_alive()]
        for first in range(min(_LETTING_GO, len(descriptors))):
            thread = threading.Thread(target=_close_all, args=(descriptors[first::_LETTING_GO],))
            thread.start()
            self._going.append(thread)


def _close_all(descriptors: Sequence[int]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)


def sqlite_cookie(function: str, text_at: int) -> int:
    """What a place in SQLite's library tells: one of `enum sqlite_function`, and where a statement has its text."""
    kind = enum("sqlite.h", "sqlite_function")[function]
    return text_at << numbers("sqlite.h")["SQLITE_FUNCTION_BITS"] | kind


def attach_uprobe(program: int, path: str, offset: int, cookie: int) -> int:
    """At an instruction: the descriptor that holds the attachment, or a negative errno."""
    return _attach_at(program, path, offset, cookie, is_return=False)


def attach_uretprobe(program: int, path: str, offset: int, cookie: int) -> int:
    """At the return of the function that begins there."""
    return _attach_at(program, path, offset, cookie, is_return=True)


def _attach_at(program: int, path: str, offset: int, cookie: int, *, is_return: bool) -> int:
    try:
        kind = int(_TYPE.read_text())
        bit = int(_RETURN_BIT.read_text().strip().removeprefix("config:"))
    except (OSError, ValueError):
        return -errno.EOPNOTSUPP
    return attach_event(
        program, kind, path.encode(), offset, config=is_return << bit, cookie=cookie
    )


_ATTACH: Final[Mapping[str, Callable[[int, str, int, int], int]]] = {
    "uprobe": attach_uprobe,
    "uretprobe": attach_uretprobe,
}
