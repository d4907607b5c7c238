"""The kernel's type information: a hand-made one, and this machine's."""

from __future__ import annotations

import pytest

from agent.errors import KernelError
from agent.kernel import btf as btf_module
from agent.kernel.btf import VMLINUX, Btf
from tests.kernel.btf_blob import sample

NAMES = (
    "thing",
    "bits",
    "iter_type",
    "tcp_sendmsg",
    "nothing_taken",
    "last",
    "btf_trace_sched_process_exec",
    "wide",
)


@pytest.fixture
def btf() -> Btf:
    return Btf(sample(), NAMES)


@pytest.mark.parametrize(
    ("struct", "path", "expected"),
    [
        ("thing", "first", 0),
        ("thing", "left", 8),
        ("thing", "deep", 16),
        ("thing", "ns.inum", 36),
        ("thing", "ns", 32),
        ("thing", "ns.nothing", None),
        ("thing", "first.inum", None),
        ("thing", "nothing", None),
        ("bits", "one", 0),
        ("bits", "two", 5),
        ("last", "x", 16),
        ("nothing", "x", None),
        ("iter_type", "x", None),
    ],
)
def test_offset(btf, struct, path, expected):
    assert btf.offset(struct, path) == expected


@pytest.mark.parametrize(
    ("enum", "name", "expected"),
    [
        ("iter_type", "ITER_IOVEC", 1),
        ("iter_type", "ITER_LAST", -1),
        ("iter_type", "NO", None),
        ("thing", "NO", None),
    ],
)
def test_enum_value(btf, enum, name, expected):
    assert btf.enum_value(enum, name) == expected


def test_argument_count(btf):
    assert btf.argument_count("tcp_sendmsg") == 3
    assert btf.argument_count("nothing_taken") == 0
    assert btf.argument_count("thing") is None


def test_has_typedef(btf):
    assert btf.has_typedef("btf_trace_sched_process_exec")
    assert not btf.has_typedef("thing")


def test_only_names_that_were_asked_for_are_kept():
    assert Btf(sample(), ["last"]).offset("thing", "first") is None


@pytest.mark.parametrize("data", [b"", b"\x9f\xeb", b"\0" * 100])
def test_what_is_no_btf(data):
    with pytest.raises(KernelError, match="not in the known format"):
        Btf(data, NAMES)


def test_kernel_without_btf(tmp_path, monkeypatch):
    monkeypatch.setattr(btf_module, "VMLINUX", tmp_path / "vmlinux")
    with pytest.raises(KernelError, match="CONFIG_DEBUG_INFO_BTF"):
        Btf.of_kernel(NAMES)


@pytest.mark.skipif(not VMLINUX.exists(), reason="this kernel has no BTF")
def test_this_kernel():
    btf = Btf.of_kernel(
        ["sock_common", "sock", "tcp_sendmsg", "socket_state", "task_struct", "list_head"]
    )
    assert btf.offset("sock_common", "skc_daddr") == 0
    assert btf.offset("list_head", "prev") == 8
    assert btf.offset("sock", "__sk_common.skc_family") == btf.offset("sock_common", "skc_family")
    assert btf.enum_value("socket_state", "SS_CONNECTED") is None  # an anonymous enum's typedef
    assert btf.argument_count("tcp_sendmsg") == 3
    assert (btf.offset("task_struct", "tgid") or 0) > 0
