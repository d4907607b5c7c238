"""Looks into maps, by the bpf(2) system call: no library is mapped for it."""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct
from typing import TYPE_CHECKING, Final

from agent.errors import KernelError, LoadError

if TYPE_CHECKING:
    from collections.abc import Iterator

_SYSCALL: Final = {"x86_64": 321, "aarch64": 280}
_MAP_CREATE, _GET_INFO = 0, 15
_MISSES_AT: Final = 208
"""Offset of recursion_misses in struct bpf_prog_info, which only grows at its end."""
_LOOK_UP, _UPDATE, _DELETE, _NEXT_KEY = 1, 2, 3, 4
_EXPECTED: Final = frozenset((errno.ENOENT, errno.E2BIG, errno.ENOMEM))
"""No such key, or no room."""

_libc = ctypes.CDLL(None, use_errno=True)


class _Element(ctypes.Structure):
    """The part of union bpf_attr that the BPF_MAP_*_ELEM commands use."""

    _fields_ = (
        ("map_fd", ctypes.c_uint32),
        ("_pad", ctypes.c_uint32),
        ("key", ctypes.c_uint64),
        ("value", ctypes.c_uint64),
        ("flags", ctypes.c_uint64),
    )


class Map:
    """One hash or array map. Keys and values are bytes of the map's sizes."""

    def __init__(self, descriptor: int, *, key_size: int, value_size: int) -> None:
        self._descriptor = descriptor
        self._key = ctypes.create_string_buffer(key_size)
        self._value = ctypes.create_string_buffer(value_size)
        self._attribute = _Element(
            map_fd=descriptor,
            key=ctypes.addressof(self._key),
            value=ctypes.addressof(self._value),
        )
        # The kernel refuses a deletion that has more than a key.
        self._only_key = _Element(map_fd=descriptor, key=ctypes.addressof(self._key))

    def look_up(self, key: bytes) -> bytes | None:
        """The value; None without one."""
        self._key.raw = key
        return self._value.raw if self._call(_LOOK_UP, self._attribute) else None

    def update(self, key: bytes, value: bytes) -> bool:
        """Set a value; False if there is no room."""
        self._key.raw = key
        self._value.raw = value
        return self._call(_UPDATE, self._attribute)

    def delete(self, key: bytes) -> bool:
        """Remove a value; False if there was none."""
        self._key.raw = key
        return self._call(_DELETE, self._only_key)

    def keys(self, limit: int) -> Iterator[bytes]:
        """At most `limit` keys; one that is deleted meanwhile may be missing, or the walk start again."""
        next_key = ctypes.create_string_buffer(len(self._key))
        walk = _Element(map_fd=self._descriptor, key=0, value=ctypes.addressof(next_key))
        for _ in range(limit):
            if bpf_call(_NEXT_KEY, walk) < 0:
                return
            self._key.raw = next_key.raw
            walk.key = ctypes.addressof(self._key)
            yield next_key.raw

    def _call(self, command: int, attribute: _Element) -> bool:
        if bpf_call(command, attribute) >= 0:
            return True
        code = ctypes.get_errno()
        if code in _EXPECTED:
            return False
        raise KernelError(f"a BPF map cannot be used: {os.strerror(code)}")


def bpf_call(command: int, attribute: ctypes.Structure) -> int:
    """bpf(2): the result, or -1 with errno set."""
    number = _SYSCALL.get(platform.machine())
    if number is None:
        raise KernelError(f"the processor {platform.machine()} is not supported")
    return int(_libc.syscall(number, command, ctypes.byref(attribute), ctypes.sizeof(attribute)))


class _NewMap(ctypes.Structure):
    """The part of union bpf_attr that BPF_MAP_CREATE uses."""

    _fields_ = (
        ("kind", ctypes.c_uint32),
        ("key_size", ctypes.c_uint32),
        ("value_size", ctypes.c_uint32),
        ("max_entries", ctypes.c_uint32),
        ("flags", ctypes.c_uint32),
        ("inner_map", ctypes.c_uint32),
        ("numa_node", ctypes.c_uint32),
        ("name", ctypes.c_char * 16),
    )


class _Info(ctypes.Structure):
    """The part of union bpf_attr that BPF_OBJ_GET_INFO_BY_FD uses."""

    _fields_ = (
        ("descriptor", ctypes.c_uint32),
        ("size", ctypes.c_uint32),
        ("info", ctypes.c_uint64),
    )


def map_facts(descriptor: int) -> tuple[int, int, int, int, int]:
    """Of a map: kind, bytes of a key and of a value, entries, flags."""
    kind, _, *rest = struct.unpack("<6I", _info(descriptor, 24))
    return kind, rest[0], rest[1], rest[2], rest[3]


def make_map(
    name: str, kind: int, key_size: int, value_size: int, max_entries: int, flags: int
) -> int:
    """A new map's descriptor."""
    attribute = _NewMap(
        kind=kind,
        key_size=key_size,
        value_size=value_size,
        max_entries=max_entries,
        flags=flags,
        name=name.encode()[:15],
    )
    descriptor = bpf_call(_MAP_CREATE, attribute)
    if descriptor < 0:
        raise LoadError(f"the map {name} cannot be made: {os.strerror(ctypes.get_errno())}")
    return descriptor


def _info(descriptor: int, size: int) -> bytes:
    """The first `size` bytes of what the kernel tells of a program or a map, or fewer, if it tells less."""
    info = ctypes.create_string_buffer(size)
    attribute = _Info(descriptor=descriptor, size=size, info=ctypes.addressof(info))
    if bpf_call(_GET_INFO, attribute) < 0:
        raise KernelError(
            f"a BPF program or map cannot be asked: {os.strerror(ctypes.get_errno())}"
        )
    return info.raw[: attribute.size]


def recursion_misses(program: int) -> int:
    """How often the kernel did not run a program, since it was running on that processor already.

    0 where the kernel does not tell (before Linux 5.12).
    """
    return int.from_bytes(_info(program, _MISSES_AT + 8)[_MISSES_AT:], "little")


def possible_cpus() -> int:
    """How many values a per-CPU map has for each key."""
    with open("/sys/devices/system/cpu/possible", encoding="ascii") as file:
        last = file.read().strip().split(",")[-1]
    return int(last.split("-")[-1]) + 1
