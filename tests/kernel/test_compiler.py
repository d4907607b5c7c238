"""The compiler on texts without maps: nothing of them reaches the kernel."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

import pytest

from agent.errors import CompileError
from agent.kernel import compiler
from agent.kernel.compiled import Compiled, MapSpec
from agent.kernel.compiler import Compiler, hide_kernel_addresses
from agent.kernel.programs import probes_folder
from tests.kernel.bpf_map import ARRAY, HASH, may_make_maps

pytestmark = pytest.mark.skipif(not compiler.is_available(), reason="needs libbcc")

CAP_SYSLOG = 34
EXIT = (0x95).to_bytes(8, "little")


@pytest.fixture(autouse=True)
def stub(monkeypatch):
    monkeypatch.setenv("BCC_KERNEL_SOURCE", str(probes_folder() / "stub"))
    # It is for the loader process, which lives for a second, and not for all tests that follow.
    monkeypatch.setattr(compiler, "hide_kernel_addresses", lambda: None)


def test_code_of_a_program():
    found = Compiler().compile("int f(void *ctx) { return NUMBER; }\n", ["-DNUMBER=7"])
    assert found == Compiled((), {"f": (0xB7 | 7 << 32).to_bytes(8, "little") + EXIT})


@pytest.mark.skipif(not may_make_maps(), reason="needs the right to make BPF maps")
def test_maps_of_a_text():
    text = """
        BPF_HASH(first, u64, u32, 7);
        BPF_F_TABLE("array", u32, u64, second, 8, BPF_F_MMAPABLE);
        int f(void *ctx) { u32 key = 0; u64 *found = second.lookup(&key); return found != 0; }
    """
    found = Compiler().compile(text, [])
    assert found.maps == (
        MapSpec("first", HASH, 8, 4, 7, 0),
        MapSpec("second", ARRAY, 4, 8, 8, 1024),
    )
    # The instructions name the map by its place.
    assert found.linked("f", [1000, 1001]) != found.programs["f"]
    assert found.linked("f", [0, 1]) == found.programs["f"]


def test_text_that_does_not_compile():
    with pytest.raises(CompileError, match="do not compile"):
        Compiler().compile("int f(void *ctx) { return nonsense; }\n", [])


def test_headers_are_there(monkeypatch):
    monkeypatch.setenv("BCC_KERNEL_SOURCE", "/nowhere")
    with pytest.raises(CompileError, match="not installed whole"):
        Compiler()


def test_library_that_is_missing(monkeypatch):
    monkeypatch.setattr(compiler, "LIBRARY", "libnowhere.so.0")
    with pytest.raises(CompileError, match="libbpfcc"):
        Compiler()


def _effective_afterwards(results) -> None:
    hide_kernel_addresses()
    lines = Path("/proc/self/status").read_text().splitlines()
    results.put(next(int(line.split()[1], 16) for line in lines if line.startswith("CapEff:")))


def test_one_right_is_given_up_and_no_other():
    lines = Path("/proc/self/status").read_text().splitlines()
    before = next(int(line.split()[1], 16) for line in lines if line.startswith("CapEff:"))
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    process = context.Process(target=_effective_afterwards, args=(results,))
    process.start()
    assert results.get(timeout=60) == before & ~(1 << CAP_SYSLOG)
    process.join()
