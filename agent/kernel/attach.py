"""Attaches loaded programs, each to where its kind belongs.

Every attachment is a descriptor, and is gone with it; that of a map of sockets is gone with the map.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
from pathlib import Path
from typing import Final

from agent.errors import AttachError
from agent.kernel.maps import bpf_call

CGROUP_SOCK_OPS, SK_MSG_VERDICT = 3, 7
"""BPF_CGROUP_SOCK_OPS, BPF_SK_MSG_VERDICT: how a program is attached to a control group, and to a map of sockets."""
_BPF_PROG_ATTACH, _BPF_RAW_TRACEPOINT_OPEN, _BPF_LINK_CREATE = 8, 17, 28
_KPROBE_TYPE: Final = Path("/sys/bus/event_source/devices/kprobe/type")
_KPROBE_RETURN_BIT: Final = Path("/sys/bus/event_source/devices/kprobe/format/retprobe")
_PERF_EVENT_OPEN: Final = {"x86_64": 298, "aarch64": 241}
_PERF_FLAG_FD_CLOEXEC: Final = 8
_PERF_ENABLE, _PERF_SET_BPF = 0x2400, 0x40042408
_BPF_PERF_EVENT: Final = 41
"""How a program is attached to a perf event by a link, which may carry a number for it (since Linux 5.15)."""


def attach(program: int, hook: str) -> int:
    """Attach; the descriptor that holds the attachment, or a negative errno."""
    kind, _, name = hook.partition(":")
    if kind in ("kprobe", "kretprobe"):
        return _attach_kprobe(program, name, is_return=kind == "kretprobe")
    if kind == "sock_ops":
        return _attach_to_group(program, name)
    tracepoint = ctypes.create_string_buffer(name.encode()) if kind == "raw_tracepoint" else None
    # For fentry and fexit, too: what they hook was said when they were loaded.
    attribute = _AttachAttribute(
        name=ctypes.addressof(tracepoint) if tracepoint else 0, prog_fd=program
    )
    descriptor = bpf_call(_BPF_RAW_TRACEPOINT_OPEN, attribute)
    return descriptor if descriptor >= 0 else -ctypes.get_errno()


def attach_to_map(program: int, name: str, sockets: int) -> None:
    """Give a map of sockets its program, before there is a socket in it. It has it as long as it exists itself.

    Links for that came with Linux 6.10; since the map goes with its last descriptor, nothing stays without them.
    """
    attribute = _MapAttribute(target_fd=sockets, prog_fd=program, attach_type=SK_MSG_VERDICT)
    if bpf_call(_BPF_PROG_ATTACH, attribute) < 0:
        reason = os.strerror(ctypes.get_errno())
        raise AttachError(f"cannot give the map {name} its program, which is required: {reason}")


def _attach_to_group(program: int, path: str) -> int:
    """To all sockets of a control group and of those below it, by a link, which goes with its descriptor.

    The older BPF_PROG_ATTACH would outlive us.
    """
    try:
        group = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        return -(error.errno or errno.EINVAL)
    try:
        attribute = _LinkAttribute(prog_fd=program, target_fd=group, attach_type=CGROUP_SOCK_OPS)
        descriptor = bpf_call(_BPF_LINK_CREATE, attribute)
        return descriptor if descriptor >= 0 else -ctypes.get_errno()
    finally:
        os.close(group)


def _attach_kprobe(program: int, function: str, *, is_return: bool) -> int:
    """A kprobe that exists as long as its descriptor (perf_event_open(2), since Linux 4.17)."""
    try:
        kind = int(_KPROBE_TYPE.read_text())
        bit = int(_KPROBE_RETURN_BIT.read_text().strip().removeprefix("config:"))
    except (OSError, ValueError):
        return -errno.EOPNOTSUPP
    return attach_event(program, kind, function.encode(), 0, config=is_return << bit)


def attach_event(
    program: int, kind: int, name: bytes, offset: int, *, config: int = 0, cookie: int = 0
) -> int:
    """A probe of a dynamic kind at an offset in a function or file; its descriptor, or a negative errno.

    `cookie`: a number that the program is told, where it serves several places; 0 for none.
    """
    where = ctypes.create_string_buffer(name)
    attribute = _EventAttribute(
        type=kind,
        size=ctypes.sizeof(_EventAttribute),
        config=config,
        sample_period=1,
        wakeup_events=1,
        kprobe_func=ctypes.addressof(where),
        probe_offset=offset,
    )
    libc = ctypes.CDLL(None, use_errno=True)
    descriptor = int(
        libc.syscall(
            _PERF_EVENT_OPEN[platform.machine()],
            ctypes.byref(attribute),
            *(-1, 0, -1, _PERF_FLAG_FD_CLOEXEC),
        )
    )
    if descriptor < 0:
        return -ctypes.get_errno()
    if cookie:
        attribute_of_link = _EventLinkAttribute(
            prog_fd=program, target_fd=descriptor, attach_type=_BPF_PERF_EVENT, cookie=cookie
        )
        link = bpf_call(_BPF_LINK_CREATE, attribute_of_link)
        reason = ctypes.get_errno()
        os.close(descriptor)  # the link holds the event
        return link if link >= 0 else -reason
    for request, argument in ((_PERF_SET_BPF, program), (_PERF_ENABLE, 0)):
        if libc.ioctl(descriptor, request, argument) < 0:
            reason = ctypes.get_errno()
            os.close(descriptor)
            return -reason
    return descriptor


class _AttachAttribute(ctypes.Structure):
    """The part of union bpf_attr that BPF_RAW_TRACEPOINT_OPEN uses."""

    _fields_ = (("name", ctypes.c_uint64), ("prog_fd", ctypes.c_uint32), ("_pad", ctypes.c_uint32))


class _LinkAttribute(ctypes.Structure):
    """The part of union bpf_attr that BPF_LINK_CREATE uses."""

    _fields_ = (
        ("prog_fd", ctypes.c_uint32),
        ("target_fd", ctypes.c_uint32),
        ("attach_type", ctypes.c_uint32),
        ("flags", ctypes.c_uint32),
    )


class _EventLinkAttribute(ctypes.Structure):
    """The same for a perf event."""

    _fields_ = (
        ("prog_fd", ctypes.c_uint32),
        ("target_fd", ctypes.c_uint32),
        ("attach_type", ctypes.c_uint32),
        ("flags", ctypes.c_uint32),
        ("cookie", ctypes.c_uint64),
    )


class _MapAttribute(ctypes.Structure):
    """The part of union bpf_attr that BPF_PROG_ATTACH uses."""

    _fields_ = (
        ("target_fd", ctypes.c_uint32),
        ("prog_fd", ctypes.c_uint32),
        ("attach_type", ctypes.c_uint32),
        ("flags", ctypes.c_uint32),
    )


class _EventAttribute(ctypes.Structure):
    """struct perf_event_attr of 64 bytes, its first version, and 8 for the second address."""

    _fields_ = (
        ("type", ctypes.c_uint32),
        ("size", ctypes.c_uint32),
        ("config", ctypes.c_uint64),
        ("sample_period", ctypes.c_uint64),
        ("sample_type", ctypes.c_uint64),
        ("read_format", ctypes.c_uint64),
        ("flags", ctypes.c_uint64),
        ("wakeup_events", ctypes.c_uint32),
        ("bp_type", ctypes.c_uint32),
        ("kprobe_func", ctypes.c_uint64),
        ("probe_offset", ctypes.c_uint64),
    )
