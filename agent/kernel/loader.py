"""The agent's side of loading: asks the loader process (`bpf.py`) and keeps what it hands over."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
from contextlib import ExitStack
from dataclasses import dataclass, field
from importlib.resources import as_file
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from agent import errors
from agent.errors import KernelError
from agent.kernel.bpf import DESCRIPTORS_PER_MESSAGE
from agent.kernel.programs import Probe, ProgramSpec, load_probes, probes_folder
from agent.kernel.source import constants, flags, program_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

MAPS: Final = (
    *("records", "watches", "sockets", "controls", "counters", "runtimes"),
    *("running_statements", "insertions", "header_sockets"),
)
"""Those that the agent uses; the last ones only where SQLite is traced, and where contexts travel in headers."""

_TRAMPOLINES: Final = frozenset(("bpf_trampoline_link_prog", "register_ftrace_direct"))
"""Kernel functions whose presence means that fentry and fexit work: a trampoline is entered through ftrace."""
_KPROBES: Final = frozenset(("register_kprobe", "register_kretprobe"))
_ATTACHING: Final = frozenset(f"HAS_FUNCTION_{name}" for name in _TRAMPOLINES | _KPROBES)


@dataclass(slots=True)
class Attached:
    """What is loaded and attached; closing it detaches everything."""

    maps: dict[str, int]
    hooks: list[tuple[str, str]] = field(default_factory=list)
    """Function and hook of each attachment."""
    failed: dict[str, str] = field(default_factory=dict)
    """Optional hooks that could not be attached, and why."""
    descriptors: list[int] = field(default_factory=list)
    """Of the attachments."""
    programs: dict[str, int] = field(default_factory=dict)
    """Descriptor of each program, by its first hook (bpf.names_of)."""

    def detach(self) -> None:
        """Detach all programs; the maps stay."""
        # The kernel lets go of one trampoline after another, however many threads ask for it, and waits a tenth of a
        # second for each, until no task can be inside. Kprobes wait for something else, and do so meanwhile.
        groups: dict[bool, list[int]] = {}
        for (_, hook), descriptor in zip(self.hooks, self.descriptors, strict=True):
            groups.setdefault(hook.startswith("k"), []).append(descriptor)
        beside = threading.Thread(target=_close_all, args=(groups.get(True, ()),))
        beside.start()
        _close_all(groups.get(False, ()))
        beside.join()
        self.hooks.clear()
        self.descriptors.clear()

    def close(self) -> None:
        """Detach, and let the maps go."""
        self.detach()
        for held in (self.programs, self.maps):
            _close_all(held.values())
            held.clear()


def _close_all(descriptors: Iterable[int]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)


@dataclass(frozen=True, slots=True)
class Plan:
    """What would be loaded on this kernel."""

    text: str
    constants: dict[str, int]
    programs: tuple[ProgramSpec, ...]
    has_trampolines: bool


def hook_kinds(known: Mapping[str, int] | None = None) -> tuple[bool, bool]:
    """Whether this kernel can attach at functions: by trampolines, by kprobes.

    `known` are the constants of this kernel, where they are there already. Its type information names its functions, and
    reading that takes a tenth of what /proc/kallsyms takes.
    """
    if known is None:
        try:
            known = constants(" ".join(_ATTACHING))
        except KernelError:
            known = {}
    trampolines, kprobes = (
        all(known.get(f"HAS_FUNCTION_{name}") for name in names)
        for names in (_TRAMPOLINES, _KPROBES)
    )
    return trampolines, kprobes


def plan(
    settings: Mapping[str, int],
    *,
    probes: Sequence[Probe] | None = None,
    force_kprobes: bool = False,
) -> Plan:
    """Find out what to load here. `settings` are the constants that do not come from the kernel."""
    probes = [
        probe
        for probe in (load_probes() if probes is None else probes)
        if probe.is_wanted(settings)
    ]
    text = program_text(probes)
    # Asked for like any other constant: the type id of every function that a trampoline may hook, and what attaches.
    names = {f"FUNCTION_ID_{target}" for target in _targets(probes)}
    names |= _ATTACHING
    names |= {p.condition.lstrip("!") for probe in probes for p in probe.programs if p.condition}
    known = constants("\n".join((text, *sorted(names))))
    has_trampolines, has_kprobes = hook_kinds(known)
    if force_kprobes and not has_kprobes:
        raise KernelError("this kernel has no kprobes (CONFIG_KPROBES); run without --kprobes")
    if not has_trampolines and not has_kprobes:
        raise KernelError(
            "this kernel can attach no program to its functions: it has neither BPF trampolines "
            "(CONFIG_FUNCTION_TRACER, CONFIG_BPF_JIT) nor kprobes (CONFIG_KPROBES)"
        )
    trampolines = has_trampolines and not force_kprobes
    if not trampolines and settings.get("PROPAGATE"):
        raise KernelError(
            "contexts can be propagated only where the kernel has BPF trampolines, without --kprobes"
        )
    known |= dict(settings) | {"HAVE_TRAMPOLINES": int(trampolines)}
    programs = tuple(
        program
        for probe in probes
        for program in probe.programs
        if program.holds(known)
        and not (program.needs_trampolines and not trampolines)
        and not (program.is_fallback and trampolines)
    )
    return Plan(text=text, constants=known, programs=programs, has_trampolines=trampolines)


def _targets(probes: Iterable[Probe]) -> set[str]:
    """The kernel functions that programs hook."""
    return {hook.partition(":")[2] for probe in probes for p in probe.programs for hook in p.hooks}


class Loader:
    """The loader process. Made early, it imports the compiler while the agent finds out what to load."""

    def __init__(self) -> None:
        self._files = ExitStack()
        stub = self._files.enter_context(as_file(probes_folder() / "stub"))
        self._libraries: set[str] = set()
        self._channel, theirs = socket.socketpair()
        self._process = subprocess.Popen(
            [sys.executable, "-c", _START.format(descriptor=theirs.fileno())],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            pass_fds=[theirs.fileno()],
            env={
                **os.environ,
                "BCC_KERNEL_SOURCE": str(stub),
                "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
            },
        )
        theirs.close()

    @property
    def pid(self) -> int:
        """The process, which must not be traced itself."""
        return self._process.pid

    def start(self, plan: Plan) -> None:
        """Let it compile and load."""
        request = {
            "text": plan.text,
            "flags": flags(plan.constants),
            "maps": MAPS,
            "programs": [
                {
                    "function": p.function,
                    "hooks": p.hooks,
                    "is_required": p.is_required,
                    "variant": p.variant,
                    "target": plan.constants.get(f"FUNCTION_ID_{p.hooks[0].partition(':')[2]}", 0),
                }
                for p in plan.programs
            ],
        }
        self._send(json.dumps(request))

    def finish(self, prepare: Callable[[Mapping[str, int]], None]) -> Attached:
        """When all is loaded: call `prepare` with the maps' descriptors, then attach.

        Raises a KernelError that says what failed.
        """
        reply, descriptors = self._receive()
        attached = Attached(maps=dict(zip(reply["maps"], descriptors, strict=True)))
        self._libraries = _mapped_files(self._process.pid)
        try:
            prepare(attached.maps)
        except BaseException:
            attached.close()
            raise
        self._send("attach")
        reply, descriptors = self._receive()
        attached.hooks = [(function, hook) for function, hook in reply["attached"]]
        count = len(attached.hooks)
        attached.descriptors = descriptors[:count]
        attached.programs = dict(zip(reply["programs"], descriptors[count:], strict=True))
        attached.failed = reply["failed"]
        return attached

    def close(self) -> None:
        """End the process, whatever it is doing."""
        self._channel.close()
        self._process.kill()
        self._process.communicate()
        self._files.close()
        _let_go(self._libraries)

    def _send(self, text: str) -> None:
        try:
            self._channel.sendall(text.encode() + b"\n")
        except BrokenPipeError as error:
            raise KernelError(f"the loader ended early: {self._last_words()}") from error

    def _receive(self) -> tuple[dict[str, Any], list[int]]:
        payload = b""
        descriptors: list[int] = []
        while not payload.endswith(b"\n"):
            try:
                chunk, passed, _, _ = socket.recv_fds(self._channel, 65536, DESCRIPTORS_PER_MESSAGE)
            except ConnectionResetError:
                chunk, passed = b"", []
            descriptors += passed
            if not chunk:
                raise KernelError(f"the loader ended early: {self._last_words()}")
            payload += chunk
        reply = json.loads(payload)
        if "error" in reply:
            kind = getattr(errors, reply["error"])
            raise kind(f"{reply['message']}\n{self._last_words()}".rstrip())
        return reply, descriptors

    def _last_words(self, count: int = 12) -> str:
        """The end of the compiler's or the verifier's log: there the reason stands."""
        assert self._process.stdout is not None
        output = self._process.stdout.read().decode(errors="replace")
        return "\n".join(output.strip().splitlines()[-count:])


def _mapped_files(pid: int) -> set[str]:
    """The files that a process has mapped; none if it is gone."""
    try:
        lines = Path(f"/proc/{pid}/maps").read_text().splitlines()
    except OSError:
        return set()
    return {line[at:] for line in lines if (at := line.find("/")) >= 0}


def _let_go(files: Iterable[str]) -> None:
    """Tell the kernel that the compiler's files need not stay in memory for us.

    Its libraries, 130 MB of page cache, are charged to the agent's control group, which read them first. Pages that
    any process has mapped stay.
    """
    for name in files:
        with contextlib.suppress(OSError):
            descriptor = os.open(name, os.O_RDONLY | os.O_CLOEXEC)
            try:
                os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            finally:
                os.close(descriptor)


_START: Final = (
    "import os; os.dup2({descriptor}, 3) if {descriptor} != 3 else None; "
    "from agent.kernel.bpf import main; main()"
)
