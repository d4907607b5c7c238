"""`zerospan check`: whether `zerospan run` would work here, what it would attach, and what that can do."""

from __future__ import annotations

import os
import platform
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from agent.errors import AgentError
from agent.kernel import compiler
from agent.kernel.btf import VMLINUX, Btf
from agent.kernel.layout import structs
from agent.kernel.loader import Plan, plan

if TYPE_CHECKING:
    from collections.abc import Iterator

OLDEST_KERNEL: Final = (5, 8)
"""The ring buffer came with 5.8. What is asked for besides is asked of BTF, not of the version."""
PROCESSORS: Final = ("x86_64",)
CAPABILITIES: Final = {
    "CAP_BPF": 39,
    "CAP_PERFMON": 38,
    "CAP_SYS_PTRACE": 19,
    "CAP_DAC_READ_SEARCH": 2,
    "CAP_SYS_RESOURCE": 24,
}
_SYS_ADMIN: Final = 21

WRITING_HELPERS: Final = frozenset(
    (
        "bpf_probe_write_user",
        "bpf_override_return",
        "bpf_send_signal",
        "bpf_send_signal_thread",
        "bpf_msg_push_data",
        "bpf_msg_pop_data",
        "bpf_msg_redirect_hash",
        "bpf_msg_redirect_map",
        "bpf_sk_redirect_hash",
        "bpf_sk_redirect_map",
        "bpf_sock_hash_update",
        "bpf_sock_map_update",
        "bpf_store_hdr_opt",
        "bpf_reserve_hdr_opt",
        "bpf_skb_store_bytes",
        "bpf_setsockopt",
    )
)
"""Helpers with which a program could change what a traced program does, reads or sends."""

CONTEXT_BYTES: Final = 800
"""Of the maps of probes/include/flow.h and probes/tcp_option.c, for each entry: keys and values are 16 to 72 bytes, and the kernel adds 64."""

_HELPER: Final = re.compile(r"\bbpf_[a-z_0-9]+(?=\()|BPF_FUNC_([a-z_0-9]+)")
_NOT_HELPERS: Final = frozenset(("bpf_ringbuf_output",))
"""Names in the text that are not called (probes/include/submit.h tells why)."""
_METHODS: Final = {
    "lookup": "bpf_map_lookup_elem",
    "update": "bpf_map_update_elem",
    "delete": "bpf_map_delete_elem",
    "ringbuf_reserve": "bpf_ringbuf_reserve",
    "ringbuf_submit": "bpf_ringbuf_submit",
    "sock_hash_update": "bpf_sock_hash_update",
}
_METHOD: Final = re.compile(r"\b\w+\.(" + "|".join(_METHODS) + r")\(")


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    subject: str
    state: str
    """What was found."""
    is_fine: bool
    advice: str = ""
    """What to do about it; only where it is not fine."""
    is_fatal: bool = True
    """Whether `zerospan run` cannot work because of it."""


def findings(settings: dict[str, int], *, force_kprobes: bool = False) -> Iterator[Finding]:
    """Look at the machine, then at each program."""
    yield _processor()
    yield _kernel()
    yield _btf()
    yield _compiler()
    yield _rights()
    yield from _lockdown()
    if not VMLINUX.exists():
        return
    try:
        planned = plan(settings, force_kprobes=force_kprobes)
    except AgentError as error:
        yield Finding("programs", str(error), is_fine=False)
        return
    yield Finding(
        "hooks",
        "BPF trampolines (fentry, fexit)" if planned.has_trampolines else "kprobes: they cost more",
        is_fine=True,
    )
    yield from _programs(planned)
    yield from _footprint(planned)


def helpers(text: str) -> set[str]:
    """The BPF helpers that a program text calls."""
    bare = re.sub(
        r"/\*.*?\*/|//[^\n]*",
        lambda m: m.group(0) if "BPF_FUNC" in m.group(0) else "",
        text,
        flags=re.DOTALL,
    )
    found = {match.group(0) for match in _HELPER.finditer(bare)}
    found = {
        f"bpf_{name.removeprefix('BPF_FUNC_')}" if name.startswith("BPF_") else name
        for name in found
    }
    found |= {_METHODS[match.group(1)] for match in _METHOD.finditer(bare)}
    return found - _NOT_HELPERS


def map_bytes(settings: dict[str, int]) -> dict[str, int]:
    """About what each map occupies: entries, plus what the kernel adds to a hash entry (48 bytes, and its bucket)."""
    state = structs("maps.h")["socket_state"].size
    control = structs("maps.h")["socket_control"].size
    sockets = settings["MAX_SOCKETS"]
    found = {
        "records (ring buffer)": settings["RING_PAGES"] * 4096,
        "sockets": sockets * (8 + state + 64),
        "controls": sockets * (8 + control + 64),
        "watches": settings["WATCH_SLOTS"] * 64,
    }
    if settings.get("PROPAGATE"):
        found["contexts"] = settings["MAX_FLOWS"] * CONTEXT_BYTES
    return found


def _processor() -> Finding:
    machine = platform.machine()
    return Finding(
        "processor",
        machine,
        is_fine=machine in PROCESSORS,
        advice=f"zerospan runs on {', '.join(PROCESSORS)} only",
    )


def _kernel() -> Finding:
    release = platform.release()
    found = re.match(r"(\d+)\.(\d+)", release)
    version = (int(found.group(1)), int(found.group(2))) if found else (0, 0)
    oldest = ".".join(map(str, OLDEST_KERNEL))
    return Finding(
        "kernel",
        f"Linux {release}",
        is_fine=version >= OLDEST_KERNEL,
        advice=f"Linux {oldest} or newer is needed (BPF ring buffer)",
    )


def _btf() -> Finding:
    return Finding(
        "BTF",
        str(VMLINUX) if VMLINUX.exists() else f"{VMLINUX} is missing",
        is_fine=VMLINUX.exists(),
        advice="use a kernel built with CONFIG_DEBUG_INFO_BTF=y, as current distributions' are",
    )


def _compiler() -> Finding:
    found = compiler.is_available()
    return Finding(
        "bcc",
        "found" if found else "its library is missing",
        is_fine=found,
        advice="install the distribution's python3-bpfcc or libbpfcc",
    )


def _rights() -> Finding:
    lines = Path("/proc/self/status").read_text().splitlines()
    effective = next(int(line.split()[1], 16) for line in lines if line.startswith("CapEff:"))
    lacking = [
        name
        for name, bit in CAPABILITIES.items()
        if not effective >> bit & 1 and not effective >> _SYS_ADMIN & 1
    ]
    return Finding(
        "rights",
        f"lacks {', '.join(lacking)}" if lacking else f"sufficient (uid {os.geteuid()})",
        is_fine=not lacking,
        advice="run zerospan as root (sudo zerospan run); in a container, give it these capabilities",
    )


def _lockdown() -> Iterator[Finding]:
    path = Path("/sys/kernel/security/lockdown")
    try:
        text = path.read_text()
    except OSError:
        return
    found = re.search(r"\[(\w+)\]", text)
    mode = found.group(1) if found else text.strip()
    yield Finding(
        "lockdown",
        mode,
        is_fine=mode != "confidentiality",
        advice="lockdown=confidentiality forbids BPF to read kernel memory; boot with lockdown=integrity or none",
    )


def _programs(planned: Plan) -> Iterator[Finding]:
    names = {hook.partition(":")[2] for program in planned.programs for hook in program.hooks}
    names.add("tcp_bpf_sendmsg")
    btf = Btf.of_kernel(names | {f"btf_trace_{name}" for name in names})
    symbols = _symbols(names)
    for program in planned.programs:
        for hook in program.hooks:
            kind, _, name = hook.partition(":")
            if kind == "sock_ops":
                exists = Path(name, "cgroup.procs").exists()
            elif kind == "sk_msg":
                exists = btf.argument_count("tcp_bpf_sendmsg") is not None
            elif kind == "raw_tracepoint":
                exists = btf.has_typedef(f"btf_trace_{name}")
            elif kind in ("uprobe", "uretprobe"):
                exists = Path("/sys/bus/event_source/devices/uprobe").exists()
            elif kind in ("fentry", "fexit"):
                exists = btf.argument_count(name) is not None
            else:
                exists = name in symbols
            yield Finding(
                f"  {program.function}",
                hook if exists else f"{hook}: {_missing(kind)}",
                is_fine=exists or not program.is_required,
                advice="this kernel lacks what zerospan hooks; please report it with the kernel's version",
            )


def _missing(kind: str) -> str:
    return (
        "there is no such control group"
        if kind == "sock_ops"
        else "this kernel has no such function"
    )


def _symbols(names: set[str]) -> set[str]:
    try:
        with open("/proc/kallsyms", encoding="ascii", errors="replace") as lines:
            return {word for line in lines if (word := line.split()[2]) in names}
    except OSError:
        return set()


def _footprint(planned: Plan) -> Iterator[Finding]:
    used = helpers(planned.text)
    writing = sorted(used & WRITING_HELPERS)
    yield Finding(
        "footprint",
        f"{len(planned.programs)} programs; helpers: {', '.join(sorted(used))}",
        is_fine=True,
    )
    yield Finding(
        "observe only",
        f"NO: {', '.join(writing)}"
        if writing
        else "yes: no helper that writes to user memory, packets or sockets, no signal, no sockmap",
        is_fine=not writing,
        is_fatal=False,
    )
    sizes = map_bytes(planned.constants)
    total = sum(sizes.values()) / (1024 * 1024)
    parts = ", ".join(f"{name} {size / (1024 * 1024):.1f}" for name, size in sizes.items())
    yield Finding("maps", f"about {total:.0f} MiB locked: {parts}", is_fine=True)
