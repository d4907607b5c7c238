"""The kernel side's maps and ring, without programs: the tests write what programs would."""

from __future__ import annotations

import mmap
import os
import struct
from contextlib import ExitStack

import pytest

from agent.connections import table
from agent.kernel.layout import enum, structs
from agent.kernel.loader import Attached
from agent.kernel.maps import Map, possible_cpus
from agent.kernel.programs import probes_folder
from agent.kernel.side import CLOSE_ENDED_BY_PEER, KernelSide, Watches
from tests.kernel.bpf_map import ARRAY, HASH, PERCPU_ARRAY, bpf_map, may_make_maps
from tests.kernel.memory_ring import PAGE, MemoryRing

pytestmark = pytest.mark.skipif(not may_make_maps(), reason="needs the right to make BPF maps")

STATE, CONTROL = structs("maps.h")["socket_state"], structs("maps.h")["socket_control"]
RUNTIME = structs("maps.h")["runtime"]
STATEMENT = structs("sqlite.h")["statement_key"]
RUNNING = structs("sqlite.h")["running_statement"]
KINDS = enum("events.h", "event_kind")
COUNTERS = enum("maps.h", "counter")


def key(socket: int) -> bytes:
    return socket.to_bytes(8, "little")


class Kernel:
    """What programs would write to."""

    def __init__(self, resources: ExitStack) -> None:
        def made(kind: int, key_size: int, value_size: int, entries: int) -> int:
            descriptor = resources.enter_context(
                bpf_map(kind, key_size=key_size, value_size=value_size, entries=entries)
            )
            # The side closes what it was handed.
            return os.dup(descriptor)

        self.ring = MemoryRing()
        resources.callback(self.ring.close)
        cpus = possible_cpus()
        self.descriptors = {
            "records": os.dup(self.ring.descriptor),
            "sockets": made(HASH, 8, STATE.size, 10),
            "controls": made(HASH, 8, CONTROL.size, 10),
            "runtimes": made(HASH, 4, RUNTIME.size, 10),
            "running_statements": made(HASH, STATEMENT.size, RUNNING.size, 10),
            "counters": made(PERCPU_ARRAY, 4, 8, len(COUNTERS)),
        }
        self.sockets = Map(self.descriptors["sockets"], key_size=8, value_size=STATE.size)
        self.controls = Map(self.descriptors["controls"], key_size=8, value_size=CONTROL.size)
        self.counters = Map(self.descriptors["counters"], key_size=4, value_size=8 * cpus)

    def control(self, socket: int) -> dict[str, int] | None:
        value = self.controls.look_up(key(socket))
        return CONTROL.unpack(value) if value else None


@pytest.fixture
def both():
    with ExitStack() as resources:
        kernel = Kernel(resources)
        side = KernelSide(Attached(maps=dict(kernel.descriptors)), ring_bytes=PAGE, max_sockets=10)
        yield kernel, side
        side.close()
        assert side.attached.maps == {}


def test_drain(both):
    kernel, side = both
    kernel.ring.submit(b"one")
    taken = []
    assert side.drain(lambda data, at, end: taken.append(bytes(data[at:end]))) == 1
    assert taken == [b"one"]


def test_mute_and_budget_go_to_sockets_that_live(both):
    kernel, side = both
    side.mute(7)
    side.set_budget(7, 1, 4096)
    assert kernel.control(7) is None
    kernel.sockets.update(key(7), STATE.pack())
    side.set_budget(7, 0, 2048)
    side.set_budget(7, 1, 4096)
    assert kernel.control(7) == {"is_muted": 0, "budget_0": 2048, "budget_1": 4096, "_pad": 0}
    side.mute(7)
    assert (kernel.control(7) or {})["is_muted"] == 1


def test_runtimes(both):
    kernel, side = both
    assert side.set_runtime(7, "RUNTIME_OTHER", {"locks_start": 1, "offset_5": 9})
    found = Map(kernel.descriptors["runtimes"], key_size=4, value_size=RUNTIME.size)
    told = RUNTIME.unpack(found.look_up((7).to_bytes(4, "little")) or b"")
    assert (told["kind"], told["locks_start"], told["offset_5"]) == (0, 1, 9)


def test_statements_of_processes_that_are_gone(both):
    kernel, side = both
    found = Map(
        kernel.descriptors["running_statements"],
        key_size=STATEMENT.size,
        value_size=RUNNING.size,
    )
    for pid, statement in ((5, 1), (5, 2), (6, 1)):
        found.update(STATEMENT.pack(tgid=pid, statement=statement), RUNNING.pack(rows=1))
    side.forget_statement(5, 2)
    side.forget_statement(5, 9)
    assert side.forget_statements(lambda pid: pid == 5) == 1
    assert [STATEMENT.unpack(key)["tgid"] for key in found.keys(10)] == [6]


def test_without_a_probe_for_statements(both):
    kernel, _ = both
    maps = {name: os.dup(fd) for name, fd in kernel.descriptors.items()}
    os.close(maps.pop("running_statements"))
    side = KernelSide(Attached(maps=maps), ring_bytes=PAGE, max_sockets=10)
    side.forget_statement(5, 2)
    assert side.forget_statements(lambda pid: True) == 0
    side.close()


MOVED = {
    "position_0": 10,
    "position_1": 20,
    "last_ns_0": 100,
    "last_ns_1": 90,
    "turn": 3,
    "tgid": 5,
}
TOTALS = {
    "ingress_position": 10,
    "egress_position": 20,
    "ingress_last_ns": 100,
    "egress_last_ns": 90,
}


def test_progress(both):
    kernel, side = both
    kernel.sockets.update(key(7), STATE.pack(**MOVED, direction=1, tail=77))
    (record,) = side.progress([6, 7])
    layout = structs("events.h")["progress_event"]
    expected = {"socket": 7, "turn": 3, "direction": 1, "tail": 77, "kind": KINDS["EVENT_PROGRESS"]}
    assert record == layout.pack(**TOTALS, **expected)


def test_ends_that_were_not_told_come_with_the_progress(both):
    kernel, side = both
    kernel.sockets.update(key(7), STATE.pack(**MOVED, is_ended=bytes((1, 2))))
    _, record = side.progress([7])
    expected = {"kind": KINDS["EVENT_END"], "tgid": 5, "time_ns": 100}
    expected |= {"socket": 7, "position": 20, "direction": 1}
    assert record == structs("events.h")["end_event"].pack(**expected)


def test_a_close_that_found_no_room_tells_of_the_peers_end(both):
    kernel, side = both
    kernel.sockets.update(key(7), STATE.pack(**MOVED, is_closed=1, is_ended=bytes((2, 0))))
    (record,) = side.collect_closed()
    assert structs("events.h")["close_event"].unpack(record)["error"] == CLOSE_ENDED_BY_PEER
    header = (probes_folder() / "include" / "events.h").read_text()
    assert f"#define CLOSE_ENDED_BY_PEER 0x{CLOSE_ENDED_BY_PEER:08x}\n" in header
    assert table.CLOSE_ENDED_BY_PEER == CLOSE_ENDED_BY_PEER


def test_ends_that_found_no_room_are_collected_once(both):
    kernel, side = both
    kernel.sockets.update(key(7), STATE.pack(**MOVED, is_closed=1))
    kernel.sockets.update(key(8), STATE.pack(**MOVED))
    kernel.controls.update(key(7), CONTROL.pack())
    (record,) = side.collect_closed()
    layout = structs("events.h")["close_event"]
    assert record == layout.pack(
        **TOTALS, time_ns=100, tgid=5, socket=7, turn=3, kind=KINDS["EVENT_CLOSE"]
    )
    assert side.collect_closed() == []
    assert kernel.sockets.look_up(key(7)) is None
    assert kernel.control(7) is None
    assert kernel.sockets.look_up(key(8)) is not None


def test_counters_are_summed_over_the_processors(both):
    kernel, side = both
    cpus = possible_cpus()
    index = struct.pack("<I", COUNTERS["COUNT_LOST_RING_FULL_CLOSE"])
    kernel.counters.update(index, struct.pack(f"<{cpus}Q", *range(1, cpus + 1)))
    counters = side.counters()
    assert counters["lost_ring_full_close"] == cpus * (cpus + 1) // 2
    told = {name.removeprefix("COUNT_").lower() for name in COUNTERS if name != "COUNT_MAX"}
    assert set(counters) == told | {"recursion_misses"}
    assert sum(counters.values()) == counters["lost_ring_full_close"]


def test_watches():
    """A mappable array, as the programs have it."""
    descriptor = os.memfd_create("watches")
    os.ftruncate(descriptor, PAGE)
    watches = Watches(descriptor, PAGE)
    watches.set(7, 2)
    watches.set(PAGE - 1, 1)
    watches.set(PAGE, 1)
    watches.set(-1, 1)
    with mmap.mmap(descriptor, PAGE) as memory:
        assert {at: byte for at, byte in enumerate(memory[:]) if byte} == {7: 2, PAGE - 1: 1}
    watches.close()
    os.close(descriptor)


def test_detaching_leaves_the_maps():
    hooks = [("f", "fentry:a"), ("g", "kprobe:b"), ("h", "raw_tracepoint:c")]
    descriptors = [os.memfd_create(function) for function, _ in hooks]
    attached = Attached(
        maps={"records": os.memfd_create("map")}, hooks=hooks, descriptors=[*descriptors]
    )
    attached.detach()
    for descriptor in descriptors:
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(descriptor)
    os.fstat(attached.maps["records"])
    attached.close()
    assert attached == Attached(maps={})


def test_array_maps_are_what_the_header_says():
    with bpf_map(ARRAY, key_size=4, value_size=structs("maps.h")["watch_slot"].size, entries=2):
        pass
