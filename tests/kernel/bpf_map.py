"""Real BPF maps. A map is memory of the kernel's; no program is loaded."""

from __future__ import annotations

import ctypes
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager

HASH, ARRAY, PERCPU_ARRAY = 1, 2, 6
_CREATE = 0
_NUMBER = {"x86_64": 321, "aarch64": 280}
_libc = ctypes.CDLL(None, use_errno=True)


@contextmanager
def bpf_map(kind: int, *, key_size: int, value_size: int, entries: int) -> Iterator[int]:
    """The descriptor of a map that goes with it."""
    attributes = (ctypes.c_uint32 * 32)(kind, key_size, value_size, entries)
    descriptor = _libc.syscall(
        _NUMBER[platform.machine()], _CREATE, ctypes.byref(attributes), ctypes.sizeof(attributes)
    )
    if descriptor < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def may_make_maps() -> bool:
    """Whether this user on this machine may."""
    try:
        with bpf_map(ARRAY, key_size=4, value_size=8, entries=1):
            return True
    except OSError:
        return False
