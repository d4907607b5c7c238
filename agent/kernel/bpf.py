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
import json
import os
import resource
import socket
import sys
from dataclasses import astuple
from typing import TYPE_CHECKING, Any, Final, NoReturn

from agent.errors import AttachError, KernelError, LoadError
from agent.kernel import cache
from agent.kernel.attach import CGROUP_SOCK_OPS, SK_MSG_VERDICT, attach, attach_to_map
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
_BPF_PROG_LOAD: Final = 5
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
            attach_to_map(program, name, maps[name])
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
        attribute.expected_attach_type = CGROUP_SOCK_OPS
    elif kind == "sk_msg":
        attribute.expected_attach_type = SK_MSG_VERDICT
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
