"""What `zerospan check` finds, and what it says of the programs."""

from __future__ import annotations

import platform

import pytest

from agent import check
from agent.check import WRITING_HELPERS, Finding, findings, helpers, map_bytes
from agent.config import Config
from agent.daemon import kernel_settings
from agent.kernel import loader
from agent.kernel.btf import VMLINUX
from agent.kernel.layout import structs
from agent.kernel.programs import load_probes
from agent.kernel.source import program_text

SETTINGS = kernel_settings(Config(), 32768)
needs_btf = pytest.mark.skipif(not VMLINUX.exists(), reason="this kernel has no BTF")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("bpf_ktime_get_ns()", {"bpf_ktime_get_ns"}),
        ("x = sockets.lookup(&key); sockets.update(&key, &x);", {"bpf_map_lookup_elem", "bpf_map_update_elem"}),
        ("sockets.delete(&key)", {"bpf_map_delete_elem"}),
        ("records.ringbuf_reserve(8); records.ringbuf_submit(r, 0);", {"bpf_ringbuf_reserve", "bpf_ringbuf_submit"}),
        ("(void *)46;	/* BPF_FUNC_get_socket_cookie */", {"bpf_get_socket_cookie"}),
        ("(void *)36;	/* BPF_FUNC_probe_write_user */", {"bpf_probe_write_user"}),
        ("bpf_probe_write_user(to, from, 8)", {"bpf_probe_write_user"}),
        ("/* bpf_probe_write_user() is not called */ // bpf_send_signal(9)\n", set()),
        ("records.ringbuf_output(NULL, 0, 1)", set()),
    ],
)  # fmt: skip
def test_helpers(text, expected):
    assert helpers(text) == expected


def test_our_programs_write_nothing():
    used = helpers(program_text(probe for probe in load_probes() if probe.is_wanted({})))
    assert not used & WRITING_HELPERS
    assert {"bpf_probe_read_user", "bpf_ringbuf_reserve", "bpf_ringbuf_query"} <= used


def test_map_bytes():
    sizes = map_bytes(SETTINGS)
    assert sizes["records (ring buffer)"] == 8192 * 1024
    assert sizes["watches"] == 32768
    state = structs("maps.h")["socket_state"].size
    assert sizes["sockets"] == Config().max_connections * (8 + state + 64)
    assert sum(sizes.values()) < 32 * 1024 * 1024, "locked memory by default"


def of(subject: str, **more) -> Finding:
    (found,) = [f for f in findings(SETTINGS, **more) if f.subject == subject]
    return found


def test_this_machine():
    found = list(findings(SETTINGS))
    assert [f.subject for f in found[:5]] == ["processor", "kernel", "BTF", "bcc", "rights"]
    assert all(f.advice for f in found if not f.is_fine and f.subject != "programs")


@needs_btf
@pytest.mark.skipif(not any(loader.hook_kinds()), reason="this kernel has no hooks")
def test_footprint_of_this_machine():
    told = {f.subject: f for f in findings(SETTINGS)}
    assert told["observe only"] == Finding(
        "observe only",
        "yes: no helper that writes to user memory, packets or sockets, no signal, no sockmap",
        is_fine=True,
        is_fatal=False,
    )
    assert told["footprint"].state.partition(" ")[0].isdigit()
    assert told["maps"].state.startswith("about ")


@needs_btf
def test_kernel_without_hooks(monkeypatch):
    monkeypatch.setattr(loader, "hook_kinds", lambda *_: (False, False))
    found = of("programs")
    assert (found.is_fine, found.is_fatal) == (False, True)
    assert "neither BPF trampolines" in found.state


@needs_btf
def test_kernel_with_kprobes_only(monkeypatch):
    monkeypatch.setattr(loader, "hook_kinds", lambda *_: (False, True))
    assert of("hooks") == Finding("hooks", "kprobes: they cost more", is_fine=True)


@needs_btf
def test_kprobes_that_are_asked_for_and_missing(monkeypatch):
    monkeypatch.setattr(loader, "hook_kinds", lambda *_: (True, False))
    assert not of("programs", force_kprobes=True).is_fine


@needs_btf
def test_function_that_is_missing(monkeypatch):
    monkeypatch.setattr(loader, "hook_kinds", lambda *_: (False, True))
    monkeypatch.setattr(
        check, "_symbols", lambda names: set(names) - {"tcp_sendmsg", "sock_splice_read"}
    )
    lacking = {f.state: f for f in findings(SETTINGS) if "no such function" in f.state}
    required = [f for f in lacking.values() if not f.is_fine]
    assert any(f.state.endswith("tcp_sendmsg: this kernel has no such function") for f in required)
    assert all("sock_splice_read" not in f.state for f in required)
    assert any("sock_splice_read" in state for state in lacking)


@pytest.mark.parametrize(
    ("release", "is_fine"),
    [
        ("6.1.0-41-amd64", True),
        ("5.8.0", True),
        ("5.7.19", False),
        ("4.19.0", False),
        ("10.0", True),
        ("odd", False),
    ],
)
def test_kernel_version(monkeypatch, release, is_fine):
    monkeypatch.setattr(platform, "release", lambda: release)
    found = of("kernel")
    assert (found.state, found.is_fine) == (f"Linux {release}", is_fine)


def test_processor(monkeypatch):
    monkeypatch.setattr(platform, "machine", lambda: "pdp11")
    assert not of("processor").is_fine


def test_kernel_without_btf(monkeypatch, tmp_path):
    monkeypatch.setattr(check, "VMLINUX", tmp_path / "vmlinux")
    found = list(findings(SETTINGS))
    assert [f.subject for f in found if not f.is_fine and f.subject == "BTF"] == ["BTF"]
    assert "hooks" not in {f.subject for f in found}


def test_symbols_of_this_kernel():
    assert check._symbols({"tcp_sendmsg", "no_such_function"}) <= {"tcp_sendmsg"}
