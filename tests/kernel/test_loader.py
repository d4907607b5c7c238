"""What would be loaded, and the loader process up to where a program would be. No program is loaded here."""

from __future__ import annotations

import os

import pytest

from agent.check import WRITING_HELPERS, helpers
from agent.errors import CompileError, KernelError
from agent.kernel import compiler
from agent.kernel import loader as loader_module
from agent.kernel.bpf import names_of
from agent.kernel.btf import VMLINUX
from agent.kernel.loader import Loader, Plan, hook_kinds, plan
from agent.kernel.programs import load_probes

SETTINGS = {"RING_PAGES": 16}
needs_btf = pytest.mark.skipif(not VMLINUX.exists(), reason="this kernel has no BTF")
needs_bcc = pytest.mark.skipif(not compiler.is_available(), reason="needs libbcc")


def hooks(monkeypatch, *, trampolines: bool, kprobes: bool) -> None:
    monkeypatch.setattr(loader_module, "hook_kinds", lambda *_: (trampolines, kprobes))


def kinds(planned: Plan) -> set[str]:
    return {hook.partition(":")[0] for program in planned.programs for hook in program.hooks}


@needs_btf
def test_trampolines_are_preferred(monkeypatch):
    hooks(monkeypatch, trampolines=True, kprobes=True)
    planned = plan(SETTINGS)
    # What is rare is a kprobe in all cases.
    assert kinds(planned) == {"fentry", "fexit", "kprobe", "raw_tracepoint", "uprobe", "uretprobe"}
    assert planned.has_trampolines
    assert planned.constants.items() >= {"HAVE_TRAMPOLINES": 1, "RING_PAGES": 16}.items()


@needs_btf
@pytest.mark.parametrize(("trampolines", "force"), [(True, True), (False, False)])
def test_kprobes_stand_in(monkeypatch, trampolines, force):
    hooks(monkeypatch, trampolines=trampolines, kprobes=True)
    planned = plan(SETTINGS, force_kprobes=force)
    assert kinds(planned) == {"kprobe", "kretprobe", "raw_tracepoint", "uprobe", "uretprobe"}
    assert planned.constants["HAVE_TRAMPOLINES"] == 0


@needs_btf
def test_programs_whose_condition_fails_are_left_out(monkeypatch):
    hooks(monkeypatch, trampolines=True, kprobes=True)
    planned = plan(SETTINGS)
    assert all(p.holds(planned.constants) for p in planned.programs)
    wanted = {
        p.function
        for probe in load_probes()
        for p in probe.programs
        if not p.is_fallback and not p.condition and not probe.condition
    }
    assert wanted <= {p.function for p in planned.programs}


@needs_btf
def test_what_writes_is_loaded_only_where_it_is_asked_for(monkeypatch):
    hooks(monkeypatch, trampolines=True, kprobes=True)
    usual = plan(SETTINGS)
    asked = plan({**SETTINGS, "PROPAGATE": 1, "PROPAGATE_TCP_OPTION": 1})
    assert not helpers(usual.text) & WRITING_HELPERS
    assert helpers(asked.text) & WRITING_HELPERS == {"bpf_reserve_hdr_opt", "bpf_store_hdr_opt"}
    added = {p.function for p in asked.programs} - {p.function for p in usual.programs}
    assert added == {
        "propagate_sends",
        "propagate_received",
        "propagate_closes",
        "tcp_option_callbacks",
    }


@needs_btf
def test_what_puts_headers_in_is_loaded_only_where_it_is_asked_for(monkeypatch):
    hooks(monkeypatch, trampolines=True, kprobes=True)
    usual = plan(SETTINGS)
    asked = plan({**SETTINGS, "PROPAGATE": 1, "PROPAGATE_HTTP_HEADER": 1})
    writing = helpers(asked.text) & WRITING_HELPERS
    assert writing == {"bpf_msg_push_data", "bpf_sock_hash_update"}
    added = {(p.function, hook) for p in asked.programs for hook in p.hooks}
    added -= {(p.function, hook) for p in usual.programs for hook in p.hooks}
    assert added == {
        ("propagate_sends", "fentry:tcp_sendmsg"),
        ("propagate_sends", "fentry:tcp_bpf_sendmsg"),
        ("propagate_received", "fexit:tcp_recvmsg"),
        ("propagate_closes", "fentry:sock_close"),
        ("data_send_begins", "fentry:tcp_bpf_sendmsg"),
        ("data_moved", "fexit:tcp_bpf_sendmsg"),
        ("http_header_insert", "sk_msg:header_sockets"),
        ("http_header_callbacks", "sock_ops:/sys/fs/cgroup"),
    }


@needs_btf
def test_both_ways_are_those_of_each(monkeypatch):
    hooks(monkeypatch, trampolines=True, kprobes=True)
    option, header, both = (
        {(p.function, p.hooks) for p in plan({**SETTINGS, "PROPAGATE": 1, **ways}).programs}
        for ways in (
            {"PROPAGATE_TCP_OPTION": 1},
            {"PROPAGATE_HTTP_HEADER": 1},
            {"PROPAGATE_TCP_OPTION": 1, "PROPAGATE_HTTP_HEADER": 1},
        )
    )
    assert both == option | header
    assert ("tcp_option_callbacks", ("sock_ops:/sys/fs/cgroup",)) in both
    assert ("http_header_callbacks", ("sock_ops:/sys/fs/cgroup",)) in both


def test_propagation_needs_trampolines(monkeypatch):
    hooks(monkeypatch, trampolines=False, kprobes=True)
    with pytest.raises(KernelError, match="propagated only where the kernel has BPF trampolines"):
        plan({**SETTINGS, "PROPAGATE": 1})


@pytest.mark.parametrize(
    ("trampolines", "kprobes", "force", "told"),
    [
        (False, False, False, "neither BPF trampolines .* nor kprobes"),
        (True, False, True, "no kprobes"),
    ],
)
def test_kernel_that_cannot(monkeypatch, trampolines, kprobes, force, told):
    hooks(monkeypatch, trampolines=trampolines, kprobes=kprobes)
    with pytest.raises(KernelError, match=told):
        plan(SETTINGS, force_kprobes=force)


def test_hook_kinds_of_this_machine():
    with open("/proc/kallsyms") as symbols:
        names = {line.split()[2] for line in symbols}
    assert hook_kinds() == (
        "bpf_trampoline_link_prog" in names and "register_ftrace_direct" in names,
        "register_kprobe" in names and "register_kretprobe" in names,
    )


@needs_bcc
def test_text_that_does_not_compile_is_told_with_the_compilers_words():
    loader = Loader()
    try:
        loader.start(
            Plan(
                text='#line 7 "probes/odd.c"\nint f(void *c) { return nonsense; }\n',
                constants={},
                programs=(),
                has_trampolines=False,
            )
        )
        with pytest.raises(CompileError, match=r"(?s)do not compile.*probes/odd\.c:7:.*nonsense"):
            loader.finish(print)
    finally:
        loader.close()


def test_process_goes_with_the_loader():
    loader = Loader()
    pid = loader.pid
    loader.close()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_loader_that_dies_early_is_told_of(monkeypatch):
    monkeypatch.setattr(loader_module, "_START", "print('last words')")
    loader = Loader()
    try:
        with pytest.raises(KernelError, match="the loader ended early: last words"):
            loader.finish(print)
    finally:
        loader.close()


def test_programs_at_the_same_function_have_names_of_their_own():
    specs = [
        {"function": function, "hooks": [hook]}
        for function, hook in (
            ("data_moved", "fexit:tcp_recvmsg"),
            ("propagate_received", "fexit:tcp_recvmsg"),
            ("wake", "raw_tracepoint:sched_waking"),
        )
    ]
    assert names_of(specs) == [
        "fexit:tcp_recvmsg",
        "fexit:tcp_recvmsg propagate_received",
        "raw_tracepoint:sched_waking",
    ]
