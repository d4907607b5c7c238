"""Compiles, loads and attaches the programs; the only file that imports bcc.

It runs as a process of its own that lives for a second: bcc maps 60 MB of compiler, which the agent does not need
afterwards. It hands the file descriptors of maps and attachments to the agent over a Unix socket and exits without
detaching. A program stays attached as long as somebody holds the descriptor of its attachment, so nothing outlives the
agent, however it ends.

    agent -> loader   a JSON object: text, flags, programs, maps
    loader -> agent   {"maps": [...]} with their descriptors: loaded
    agent -> loader   "attach"
    loader -> agent   {"attached": [[function, hook], ...], "failed": {hook: reason}} with the descriptors; exit
    loader -> agent   {"error": kind, "message": text} instead, at any point
"""

from __future__ import annotations

import ctypes
import json
import os
import socket
import struct
import sys
from typing import TYPE_CHECKING, Any, Final, NoReturn

from agent.errors import AttachError, CompileError, KernelError, LoadError
from agent.kernel.maps import bpf_call

if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_MESSAGE: Final = 4 * 1024 * 1024
DESCRIPTORS_PER_MESSAGE: Final = 200
"""The kernel passes 253 at the most (SCM_MAX_FD)."""

_KPROBE_ENTRY, _KPROBE_RETURN = 0, 1
_ATTACH_TYPES: Final = {"fentry": 24, "fexit": 25}
"""BPF_TRACE_FENTRY, BPF_TRACE_FEXIT."""
_BPF_PROG_LOAD, _BPF_PROG_TYPE_TRACING = 5, 26
_LOG_BYTES: Final = 1 << 20
_NO_ATTACH_TYPE: Final = 0xFFFFFFFF
_VARIANT_MARK: Final = 0x7A000001
"""VARIANT_MARK in probes/include/hooks.h."""
_MOV64_IMMEDIATE: Final = 0xB7
_INSTRUCTION: Final = struct.Struct("<BBhi")


def main() -> NoReturn:
    """The loader process: descriptor 3 is the socket to the agent."""
    channel = socket.socket(fileno=3)
    try:
        compiler = _Compiler()
        request = receive_text(channel)
        if request:
            _serve(channel, compiler, json.loads(request))
    except KernelError as error:
        send_message(channel, {"error": type(error).__name__, "message": str(error)})
    # Not sys.exit(): bcc's clean-up would disable what the agent now holds.
    sys.stderr.flush()
    os._exit(0)


def _serve(channel: socket.socket, loaded: _Compiler, request: dict[str, Any]) -> None:
    loaded.compile(request["text"], request["flags"])
    failed: dict[str, str] = {}
    programs = []
    for spec in request["programs"]:
        try:
            programs.append((spec, loaded.load(spec)))
        except LoadError as error:
            if spec["is_required"]:
                raise
            failed[spec["hooks"][0]] = str(error)
    send_message(channel, {"maps": request["maps"]}, [loaded.map(name) for name in request["maps"]])
    if receive_text(channel) != "attach":
        return
    attached: list[tuple[str, str]] = []
    descriptors = []
    for spec, program in programs:
        for hook in spec["hooks"]:
            descriptor = loaded.attach(program, hook)
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
    send_message(channel, {"attached": attached, "failed": failed}, descriptors)


class _Compiler:
    """bcc, and the one program text that it compiles here."""

    def __init__(self) -> None:
        stub = os.environ["BCC_KERNEL_SOURCE"]
        if not os.path.isdir(stub):
            raise CompileError(
                f"the header tree {stub} is missing: zerospan is not installed whole"
            )
        try:
            from bcc import BPF  # noqa: PLC0415  (after the environment is known to be right)
            from bcc.libbcc import lib  # noqa: PLC0415
        except ImportError as error:
            raise CompileError(
                "bcc's Python module is missing: install the distribution's package python3-bpfcc "
                "and run zerospan with the distribution's Python"
            ) from error
        self._lib = lib

        class Quiet(BPF):  # type: ignore[misc]  # bcc has no types
            """Does not attach by itself: the agent first says which processes are watched."""

            def _trace_autoload(self) -> None:
                pass

        self._make = Quiet
        self._bpf: Any = None
        self._types = {
            "kprobe": BPF.KPROBE,
            "kretprobe": BPF.KPROBE,
            "raw_tracepoint": BPF.RAW_TRACEPOINT,
        }

    def compile(self, text: str, flags: Sequence[str]) -> None:
        """Compile the text and make its maps."""
        try:
            self._bpf = self._make(text=text, cflags=[*flags, "-Wno-macro-redefined"])
        except Exception as error:
            raise CompileError(f"the BPF programs do not compile: {error}") from error

    def load(self, spec: dict[str, Any]) -> int:
        """Load one program; its descriptor."""
        lib, module, function = self._lib, self._bpf.module, spec["function"].encode()
        size = lib.bpf_function_size(module, function)
        code = put_variant(
            ctypes.string_at(lib.bpf_function_start(module, function), size), spec["variant"]
        )
        kind = spec["hooks"][0].partition(":")[0]
        if kind in _ATTACH_TYPES:
            return _load_tracing(spec, code)
        descriptor = lib.bcc_func_load(
            module,
            self._types[kind],
            function,
            ctypes.create_string_buffer(code, size),
            size,
            lib.bpf_module_license(module),
            lib.bpf_module_kern_version(module),
            0,
            None,
            0,
            None,
            _NO_ATTACH_TYPE,
        )
        if descriptor < 0:
            reason = os.strerror(ctypes.get_errno())
            raise LoadError(
                f"the kernel refuses {spec['function']} for {spec['hooks'][0]}: {reason}"
            )
        return int(descriptor)

    def map(self, name: str) -> int:
        """The descriptor of a map."""
        return int(self._lib.bpf_table_fd(self._bpf.module, name.encode()))

    def attach(self, program: int, hook: str) -> int:
        """Attach; the descriptor that holds the attachment, or a negative errno."""
        kind, _, name = hook.partition(":")
        if kind in ("fentry", "fexit"):
            descriptor = self._lib.bpf_attach_kfunc(program)
        elif kind == "raw_tracepoint":
            descriptor = self._lib.bpf_attach_raw_tracepoint(program, name.encode())
        else:
            is_return = _KPROBE_RETURN if kind == "kretprobe" else _KPROBE_ENTRY
            event = f"zerospan_{kind}_{name}".encode()
            descriptor = self._lib.bpf_attach_kprobe(program, is_return, event, name.encode(), 0, 0)
        return int(descriptor) if descriptor >= 0 else -(abs(descriptor) if descriptor < -1 else 2)


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


def _load_tracing(spec: dict[str, Any], code: bytes) -> int:
    """Load an fentry or fexit program.

    Not through libbcc: to find what a program hooks it reads all of the kernel's type information again for every one,
    0.4 s each in a guest; we have read it once.
    """
    kind, _, target = spec["hooks"][0].partition(":")
    if not spec["target"]:
        raise LoadError(f"this kernel has no function {target} that {spec['function']} could hook")
    instructions = ctypes.create_string_buffer(code, len(code))
    license_text = ctypes.create_string_buffer(b"GPL")
    attribute = _LoadAttribute(
        prog_type=_BPF_PROG_TYPE_TRACING,
        insn_cnt=len(code) // _INSTRUCTION.size,
        insns=ctypes.addressof(instructions),
        license=ctypes.addressof(license_text),
        prog_name=spec["function"].encode()[:15],
        expected_attach_type=_ATTACH_TYPES[kind],
        attach_btf_id=spec["target"],
    )
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


def put_variant(code: bytes, variant: int | None) -> bytes:
    """Instructions with the number put in where the mark stands."""
    if variant is None:
        return code
    patched = bytearray(code)
    for at in range(0, len(code), _INSTRUCTION.size):
        opcode, registers, offset, immediate = _INSTRUCTION.unpack_from(code, at)
        if opcode == _MOV64_IMMEDIATE and immediate == _VARIANT_MARK:
            _INSTRUCTION.pack_into(patched, at, opcode, registers, offset, variant)
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
