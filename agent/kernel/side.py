"""The kernel side while it runs: its ring, its maps, its counters."""

from __future__ import annotations

import mmap
import struct
from typing import TYPE_CHECKING, Final

from agent.kernel.layout import enum, structs
from agent.kernel.maps import Map, possible_cpus, recursion_misses
from agent.kernel.ring import Ring

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from agent.kernel.loader import Attached

_KEY: Final = struct.Struct("<Q")
_INDEX: Final = struct.Struct("<I")
MAX_STATEMENTS: Final = 2048
"""Entries of `running_statements` in probes/include/sqlite.h."""
CLOSE_ENDED_BY_PEER: Final = 0x80000000
"""Its namesake in probes/include/events.h."""


class KernelSide:
    """What is attached, and how to talk to it. User space steers it through maps only."""

    def __init__(self, attached: Attached, *, ring_bytes: int, max_sockets: int) -> None:
        self.attached = attached
        self._max_sockets = max_sockets
        self._state = structs("maps.h")["socket_state"]
        self._control = structs("maps.h")["socket_control"]
        self._progress = structs("events.h")["progress_event"]
        self._close = structs("events.h")["close_event"]
        self._end = structs("events.h")["end_event"]
        self._kinds = enum("events.h", "event_kind")
        self._untold = enum("maps.h", "ended")["ENDED_UNTOLD"]
        maps = attached.maps
        self._ring = Ring(maps["records"], ring_bytes)
        self._sockets = Map(maps["sockets"], key_size=8, value_size=self._state.size)
        self._controls = Map(maps["controls"], key_size=8, value_size=self._control.size)
        self._runtime_kinds = enum("maps.h", "runtime_kind")
        self._runtime = structs("maps.h")["runtime"]
        self._runtimes = Map(maps["runtimes"], key_size=4, value_size=self._runtime.size)
        self._statement = structs("sqlite.h")["statement_key"]
        self._statements = None
        if "running_statements" in maps:  # only where SQLite is traced
            size = structs("sqlite.h")["running_statement"].size
            self._statements = Map(
                maps["running_statements"], key_size=self._statement.size, value_size=size
            )
        self._cpus = possible_cpus()
        self._counters = Map(maps["counters"], key_size=4, value_size=8 * self._cpus)
        self._names = [
            name.removeprefix("COUNT_").lower()
            for name in enum("maps.h", "counter")
            if name != "COUNT_MAX"
        ]

    def wait(self, timeout_s: float) -> None:
        """Until the kernel side asks to be read, or the time is over."""
        self._ring.wait(timeout_s)

    def drain(self, take: Callable[[memoryview, int, int], None]) -> int:
        """Give `take` every record; how many there were."""
        return self._ring.drain(take)

    def mute(self, socket: int) -> None:
        """Tell no more of a socket."""
        key = _KEY.pack(socket)
        if self._sockets.look_up(key) is not None:
            self._set_control(key, is_muted=1)

    def set_budget(self, socket: int, direction: int, size: int) -> None:
        """Capture up to `size` bytes of each turn in a direction."""
        key = _KEY.pack(socket)
        if self._sockets.look_up(key) is None:
            return
        before = self._controls.look_up(key)
        control = self._control.unpack(before) if before else {}
        control[f"budget_{direction}"] = size
        self._set_control(key, **control)

    def set_runtime(self, pid: int, kind: str, fields: Mapping[str, int]) -> bool:
        """How to read a process's runtime: `kind` and the other fields of `struct runtime`. False without room."""
        value = self._runtime.pack(kind=self._runtime_kinds[kind], **fields)
        return self._runtimes.update(_INDEX.pack(pid), value)

    def forget_statement(self, pid: int, statement: int) -> None:
        """A statement will not end: its process is gone."""
        if self._statements is not None:
            self._statements.delete(self._statement.pack(statement=statement, tgid=pid))

    def forget_statements(self, is_gone: Callable[[int], bool]) -> int:
        """Those of processes that are gone, of whose beginning no record told. How many there were."""
        if self._statements is None:
            return 0
        gone = [
            key
            for key in list(self._statements.keys(MAX_STATEMENTS))
            if is_gone(self._statement.unpack(key)["tgid"])
        ]
        return sum(self._statements.delete(key) for key in gone)

    def _set_control(self, key: bytes, **control: int) -> None:
        """Only of a socket that lives: nobody would delete the control of one that is gone."""
        self._controls.update(key, self._control.pack(**control))
        if self._sockets.look_up(key) is None:
            # It was closed meanwhile, perhaps before there was a control to delete with it.
            self._controls.delete(key)

    def progress(self, sockets: Iterable[int]) -> Iterator[bytes]:
        """A progress_event for each socket, as a record; and an end_event for each direction whose end was not told."""
        for socket in sockets:
            value = self._sockets.look_up(_KEY.pack(socket))
            if value is None:
                continue
            state = self._state.unpack(value)
            yield self._progress.pack(
                kind=self._kinds["EVENT_PROGRESS"],
                socket=socket,
                ingress_position=state["position_0"],
                egress_position=state["position_1"],
                ingress_last_ns=state["last_ns_0"],
                egress_last_ns=state["last_ns_1"],
                tail=state["tail"],
                turn=state["turn"],
                direction=state["direction"],
            )
            for direction, ended in enumerate(state["is_ended"]):
                if ended == self._untold:
                    yield self._end.pack(
                        kind=self._kinds["EVENT_END"],
                        tgid=state["tgid"],
                        time_ns=max(state["last_ns_0"], state["last_ns_1"]),
                        socket=socket,
                        position=state[f"position_{direction}"],
                        direction=direction,
                    )

    def collect_closed(self) -> list[bytes]:
        """A close_event, as a record, for each socket whose own found no room; they are forgotten then."""
        closed = []
        for key in list(self._sockets.keys(self._max_sockets)):
            value = self._sockets.look_up(key)
            state = self._state.unpack(value) if value else None
            if state is None or not state["is_closed"]:
                continue
            self._sockets.delete(key)
            self._controls.delete(key)
            closed.append(
                self._close.pack(
                    kind=self._kinds["EVENT_CLOSE"],
                    tgid=state["tgid"],
                    time_ns=max(state["last_ns_0"], state["last_ns_1"]),
                    socket=_KEY.unpack(key)[0],
                    ingress_position=state["position_0"],
                    egress_position=state["position_1"],
                    ingress_last_ns=state["last_ns_0"],
                    egress_last_ns=state["last_ns_1"],
                    turn=state["turn"],
                    error=CLOSE_ENDED_BY_PEER if state["is_ended"][0] == self._untold else 0,
                )
            )
        return closed

    def counters(self) -> dict[str, int]:
        """What the programs counted, summed over the processors; and the runs that they missed."""
        counts = {}
        for index, name in enumerate(self._names):
            value = self._counters.look_up(_INDEX.pack(index)) or bytes(8 * self._cpus)
            counts[name] = sum(struct.unpack(f"<{self._cpus}Q", value))
        counts["recursion_misses"] = sum(self.recursion_misses().values())
        return counts

    def recursion_misses(self) -> dict[str, int]:
        """How often each program, by its hook, was not run, since it was running on that processor already."""
        return {hook: recursion_misses(program) for hook, program in self.attached.programs.items()}

    def detach(self) -> None:
        """Stop all programs; what they wrote and missed can still be read."""
        self.attached.detach()

    def close(self) -> None:
        """Let everything go."""
        self._ring.close()
        self.attached.close()


class Watches:
    """The watch decisions, one byte per tgid, as the kernel side reads them."""

    def __init__(self, descriptor: int, pids: int) -> None:
        self._map = mmap.mmap(descriptor, pids, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)
        self._pids = pids

    def set(self, pid: int, watch: int) -> None:
        """`watch` is one of `enum watch` in maps.h."""
        if 0 <= pid < self._pids:
            self._map[pid] = watch

    def add(self, pid: int, flag: int) -> None:
        """Set a flag beside the decision."""
        if 0 <= pid < self._pids:
            self._map[pid] |= flag

    def close(self) -> None:
        """Unmap."""
        self._map.close()
