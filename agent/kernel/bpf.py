"""Compiles, loads and attaches the programs.

It runs as a process of its own that lives for a second: bcc maps 60 MB of compiler (`compiler.py`), which the agent does
not need afterwards. It hands the file descriptors of maps and attachments to the agent over a Unix socket and exits without
detaching. A program stays attached as long as somebody holds the descriptor of its attachment, so nothing outlives the
agent, however it ends.

    agent -> loader   a JSON object: text, flags, programs, maps
    loader -> agent   {"maps": [...]} with their descriptors: loaded
    agent -> loader   "attach"
    loader -> agent   {"attached": [[function, hook], ...], "programs": [hook, ...], "failed": {hook: reason}} with the
                      descriptors of attachments and programs; exit
    loader -> agent   {"error": kind, "message": text} instead, at any point
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import json
import os
import platform
import resource
import socket
import sys
from dataclasses import astuple
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn

from agent.errors import AttachError, KernelError, LoadError
from agent.kernel import cache
from agent.kernel.compiled import INSTRUCTION, Compiled
from agent.kernel.compiler import LIBRARY, Compiler
from agent.kernel.maps import bpf_call, make_map

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MAX_MESSAGE: Final = 4 * 1024 * 1024
DESCRIPTORS_PER_MESSAGE: Final = 200
"""The kernel passes 253 at the most (SCM_MAX_FD)."""

_ATTACH_TYPES: Final = {"fentry": 24, "fexit": 25}
"""BPF_TRACE_FENTRY, BPF_TRACE_FEXIT."""
_PROGRAM_TYPES: Final = {
    "kprobe": 2,
    "kretprobe": 2,
    "uprobe": 2,
    "uretprobe": 2,
    "sock_ops": 13,
    "sk_msg": 16,
    "raw_tracepoint": 17,
    "fentry": 26,
    "fexit": 26,
}
"""BPF_PROG_TYPE_KPROBE, _SOCK_OPS, _SK_MSG, _RAW_TRACEPOINT, _TRACING."""
_BPF_PROG_LOAD, _BPF_PROG_ATTACH, _BPF_RAW_TRACEPOINT_OPEN, _BPF_LINK_CREATE = 5, 8, 17, 28
_CGROUP_SOCK_OPS, _SK_MSG_VERDICT = 3, 7
"""BPF_CGROUP_SOCK_OPS, BPF_SK_MSG_VERDICT: how a program is attached to a control group, and to a map of sockets."""
_KPROBE_TYPE: Final = Path("/sys/bus/event_source/devices/kprobe/type")
_KPROBE_RETURN_BIT: Final = Path("/sys/bus/event_source/devices/kprobe/format/retprobe")
_PERF_EVENT_OPEN: Final = {"x86_64": 298, "aarch64": 241}
_PERF_FLAG_FD_CLOEXEC: Final = 8
_PERF_ENABLE, _PERF_SET_BPF = 0x2400, 0x40042408
_LOG_BYTES: Final = 1 << 20
_VARIANT_MARK: Final = 0x7A000001
"""VARIANT_MARK in probes/include/hooks.h."""
_MOV64_IMMEDIATE: Final = 0xB7


def main() -> NoReturn:
    """The loader process: descriptor 3 is the socket to the agent."""
    channel = socket.socket(fileno=3)
    try:
        # Loading the compiler takes as long as the agent takes to find out what to compile; but it may be needless.
        compiler = None if cache.has_any() else Compiler()
        request = receive_text(channel)
        if request:
            _serve(channel, compiler, json.loads(request))
    except KernelError as error:
        send_message(channel, {"error": type(error).__name__, "message": str(error)})
    # Not sys.exit(): bcc's clean-up would disable what the agent now holds.
    sys.stderr.flush()
    os._exit(0)


def _serve(channel: socket.socket, compiler: Compiler | None, request: dict[str, Any]) -> None:
    # Before Linux 5.11 maps count as locked memory.
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(
            resource.RLIMIT_MEMLOCK, (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
        )
    compiled = compile_or_remember(request["text"], request["flags"], compiler)
    maps = {spec.name: make_map(*astuple(spec)) for spec in compiled.maps}
    programs, failed = _load_all(request["programs"], compiled, maps)
    shared = [name for name in request["maps"] if name in maps]
    send_message(channel, {"maps": shared}, [maps[name] for name in shared])
    if receive_text(channel) != "attach":
        return
    attached: list[tuple[str, str]] = []
    descriptors = []
    for spec, program in programs:
        for hook in spec["hooks"]:
            if hook.startswith(("uprobe:", "uretprobe:", "sk_msg:")):
                continue  # the agent attaches it, to each file that it finds (uprobes.py); a map has its program already
            descriptor = attach(program, hook)
            if descriptor >= 0:
                attached.append((spec["function"], hook))
                descriptors.append(descriptor)
            elif spec["is_required"]:
                raise AttachError(
                    f"cannot attach {spec['function']} to {hook}, which is required: "
                    f"{os.strerror(-descriptor)}"
                )
            else:
                failed[hook] = os.strerror(-descriptor)
    descriptors += [program for _, program in programs]
    send_message(
        channel,
        {
            "attached": attached,
            "programs": names_of([spec for spec, _ in programs]),
            "failed": failed,
        },
        descriptors,
    )


def _load_all(
    specs: Sequence[dict[str, Any]], compiled: Compiled, maps: Mapping[str, int]
) -> tuple[list[tuple[dict[str, Any], int]], dict[str, str]]:
    """The programs with their descriptors; and those that may be missing and are, with the reason."""
    programs, failed = [], {}
    for spec in specs:
        try:
            program = load(spec, compiled.linked(spec["function"], [*maps.values()]))
        except LoadError as error:
            if spec["is_required"]:
                raise
            failed[spec["hooks"][0]] = str(error)
            continue
        kind, _, name = spec["hooks"][0].partition(":")
        if kind == "sk_msg":
            _attach_to_map(program, name, maps[name])
        programs.append((spec, program))
    return programs, failed


def names_of(specs: Sequence[dict[str, Any]]) -> list[str]:
    """What each program is known by: its first hook, with its name where another one is at the same function."""
    names: list[str] = []
    for spec in specs:
        hook = spec["hooks"][0]
        names.append(f"{hook} {spec['function']}" if hook in names else hook)
    return names


def compile_or_remember(text: str, flags: Sequence[str], compiler: Compiler | None) -> Compiled:
    """What this text becomes, with the help of what is kept from an earlier start."""
    identity = cache.compiler_identity(LIBRARY)
    if identity is None:
        return (compiler or Compiler()).compile(text, flags)
    key = cache.key_of(text, flags, identity)
    compiled = cache.read(key)
    if compiled is None:
        compiled = (compiler or Compiler()).compile(text, flags)
        cache.write(key, compiled)
    return compiled


def load(spec: dict[str, Any], code: bytes) -> int:
    """Load one program; its descriptor. Raises a LoadError with the kernel's words on stderr.

    Not through libbcc: to find what a trampoline hooks it reads all of the kernel's type information again for every
    program, 0.4 s each in a guest; we have read it once.
    """
    code = put_variant(code, spec["variant"])
    kind, _, target = spec["hooks"][0].partition(":")
    attach_type = _ATTACH_TYPES.get(kind)
    if attach_type is not None and not spec["target"]:
        raise LoadError(f"this kernel has no function {target} that {spec['function']} could hook")
    instructions = ctypes.create_string_buffer(code, len(code))
    license_text = ctypes.create_string_buffer(b"GPL")
    attribute = _LoadAttribute(
        prog_type=_PROGRAM_TYPES[kind],
        insn_cnt=len(code) // INSTRUCTION.size,
        insns=ctypes.addressof(instructions),
        license=ctypes.addressof(license_text),
        prog_name=spec["function"].encode()[:15],
    )
    if attach_type is not None:
        attribute.expected_attach_type, attribute.attach_btf_id = attach_type, spec["target"]
    elif kind == "sock_ops":
        attribute.expected_attach_type = _CGROUP_SOCK_OPS
    elif kind == "sk_msg":
        attribute.expected_attach_type = _SK_MSG_VERDICT
    descriptor = bpf_call(_BPF_PROG_LOAD, attribute)
    if descriptor < 0:
        reason = os.strerror(ctypes.get_errno())
        log = ctypes.create_string_buffer(_LOG_BYTES)
        attribute.log_level, attribute.log_size, attribute.log_buf = (
            1,
            _LOG_BYTES,
            ctypes.addressof(log),
        )
        bpf_call(_BPF_PROG_LOAD, attribute)
        print(log.value.decode(errors="replace"), file=sys.stderr)  # noqa: T201  (the agent reads its end)
        raise LoadError(f"the kernel refuses {spec['function']} for {spec['hooks'][0]}: {reason}")
    return descriptor


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


def _attach_to_map(program: int, name: str, sockets: int) -> None:
    """Give a map of sockets its program, before there is a socket in it. It has it as long as it exists itself.

    Links for that came with Linux 6.10; since the map goes with its last descriptor, nothing stays without them.
    """
    attribute = _MapAttribute(target_fd=sockets, prog_fd=program, attach_type=_SK_MSG_VERDICT)
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
        attribute = _LinkAttribute(prog_fd=program, target_fd=group, attach_type=_CGROUP_SOCK_OPS)
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


def attach_event(program: int, kind: int, name: bytes, offset: int, *, config: int = 0) -> int:
    """A probe of a dynamic kind at an offset in a function or file; its descriptor, or a negative errno."""
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
    for request, argument in ((_PERF_SET_BPF, program), (_PERF_ENABLE, 0)):
        if libc.ioctl(descriptor, request, argument) < 0:
            reason = ctypes.get_errno()
            os.close(descriptor)
            return -reason
    return descriptor


class _LoadAttribute(ctypes.Structure):
    """The part of union bpf_attr that BPF_PROG_LOAD uses, as far as attach_btf_id."""

    _fields_ = (
        ("prog_type", ctypes.c_uint32),
        ("insn_cnt", ctypes.c_uint32),
        ("insns", ctypes.c_uint64),
        ("license", ctypes.c_uint64),
        ("log_level", ctypes.c_uint32),
        ("log_size", ctypes.c_uint32),
        ("log_buf", ctypes.c_uint64),
        ("kern_version", ctypes.c_uint32),
        ("prog_flags", ctypes.c_uint32),
        ("prog_name", ctypes.c_char * 16),
        ("prog_ifindex", ctypes.c_uint32),
        ("expected_attach_type", ctypes.c_uint32),
        ("prog_btf_fd", ctypes.c_uint32),
        ("func_info_rec_size", ctypes.c_uint32),
        ("func_info", ctypes.c_uint64),
        ("func_info_cnt", ctypes.c_uint32),
        ("line_info_rec_size", ctypes.c_uint32),
        ("line_info", ctypes.c_uint64),
        ("line_info_cnt", ctypes.c_uint32),
        ("attach_btf_id", ctypes.c_uint32),
    )


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


def put_variant(code: bytes, variant: int | None) -> bytes:
    """Instructions with the number put in where the mark stands."""
    if variant is None:
        return code
    patched = bytearray(code)
    for at in range(0, len(code), INSTRUCTION.size):
        opcode, registers, offset, immediate = INSTRUCTION.unpack_from(code, at)
        if opcode == _MOV64_IMMEDIATE and immediate == _VARIANT_MARK:
            INSTRUCTION.pack_into(patched, at, opcode, registers, offset, variant)
    return bytes(patched)


def send_message(
    channel: socket.socket, message: dict[str, object], descriptors: Sequence[int] = ()
) -> None:
    """One line of JSON, its descriptors beside it."""
    payload = json.dumps(message).encode() + b"\n"
    assert len(descriptors) <= DESCRIPTORS_PER_MESSAGE, len(descriptors)
    sent = socket.send_fds(channel, [payload], list(descriptors))
    channel.sendall(payload[sent:])


def receive_text(channel: socket.socket) -> str:
    """One line; empty if the other side is gone."""
    parts = []
    while chunk := channel.recv(65536):
        parts.append(chunk)
        if chunk.endswith(b"\n"):
            break
        if sum(map(len, parts)) > MAX_MESSAGE:
            raise KernelError("the loader was sent too much")
    return b"".join(parts).decode().rstrip("\n")


if __name__ == "__main__":
    main()
