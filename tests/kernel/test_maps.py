"""The bpf(2) system call on real maps; needs the right to make some (root)."""

from __future__ import annotations

import os
import platform
from pathlib import Path

import pytest

from agent.errors import KernelError, LoadError
from agent.kernel import maps
from agent.kernel.maps import Map, make_map, map_facts, possible_cpus, recursion_misses
from tests.kernel.bpf_map import ARRAY, HASH, PERCPU_ARRAY, bpf_map, may_make_maps

needs_maps = pytest.mark.skipif(not may_make_maps(), reason="needs the right to make BPF maps")
ONE, TWO, THREE = (number.to_bytes(8, "little") for number in (1, 2, 3))


@needs_maps
def test_hash():
    with bpf_map(HASH, key_size=8, value_size=4, entries=2) as descriptor:
        table = Map(descriptor, key_size=8, value_size=4)
        assert table.look_up(ONE) is None
        assert table.update(ONE, b"aaaa")
        assert table.update(TWO, b"b\0b\0")
        assert table.update(ONE, b"cccc")
        assert (table.look_up(ONE), table.look_up(TWO)) == (b"cccc", b"b\0b\0")
        assert sorted(table.keys(10)) == [ONE, TWO]
        assert len(list(table.keys(1))) == 1
        assert table.delete(ONE)
        assert not table.delete(ONE)
        assert table.look_up(ONE) is None


@needs_maps
def test_full_hash_takes_no_more():
    with bpf_map(HASH, key_size=8, value_size=4, entries=2) as descriptor:
        table = Map(descriptor, key_size=8, value_size=4)
        assert [table.update(key, b"aaaa") for key in (ONE, TWO, THREE)] == [True, True, False]
        assert table.update(TWO, b"bbbb")


@needs_maps
def test_array():
    with bpf_map(ARRAY, key_size=4, value_size=8, entries=2) as descriptor:
        table = Map(descriptor, key_size=4, value_size=8)
        assert table.look_up(b"\1\0\0\0") == bytes(8)
        assert table.update(b"\1\0\0\0", ONE)
        assert table.look_up(b"\1\0\0\0") == ONE
        assert table.look_up(b"\2\0\0\0") is None


@needs_maps
def test_values_of_a_per_cpu_array_are_those_of_all_processors():
    size = 8 * possible_cpus()
    with bpf_map(PERCPU_ARRAY, key_size=4, value_size=8, entries=1) as descriptor:
        table = Map(descriptor, key_size=4, value_size=size)
        assert table.update(bytes(4), ONE * possible_cpus())
        assert table.look_up(bytes(4)) == ONE * possible_cpus()


def test_what_is_no_map():
    with open(os.devnull) as file, pytest.raises(KernelError, match="cannot be used"):
        Map(file.fileno(), key_size=8, value_size=4).look_up(ONE)


def test_walk_over_what_is_no_map_is_empty():
    with open(os.devnull) as file:
        assert list(Map(file.fileno(), key_size=8, value_size=4).keys(5)) == []


def test_unknown_processor(monkeypatch):
    monkeypatch.setattr(platform, "machine", lambda: "pdp11")
    with pytest.raises(KernelError, match="pdp11 is not supported"):
        Map(0, key_size=8, value_size=4).look_up(ONE)


def test_possible_cpus():
    listed = Path("/sys/devices/system/cpu/possible").read_text()
    assert possible_cpus() >= (os.cpu_count() or 1)
    assert str(possible_cpus() - 1) in listed
    assert maps.possible_cpus() == possible_cpus()


@needs_maps
def test_map_that_is_made_is_as_it_was_asked_for():
    descriptor = make_map("a_name", HASH, 8, 4, 7, 1)
    try:
        assert map_facts(descriptor) == (HASH, 8, 4, 7, 1)
    finally:
        os.close(descriptor)
    with pytest.raises(LoadError, match="map odd cannot be made"):
        make_map("odd", HASH, 0, 0, 0, 0)


@needs_maps
def test_misses_of_what_is_no_program():
    with bpf_map(HASH, key_size=8, value_size=8, entries=1) as descriptor:
        assert recursion_misses(descriptor) == 0, "the kernel tells less of a map"
    with pytest.raises(KernelError, match="cannot be asked"):
        recursion_misses(-1)
