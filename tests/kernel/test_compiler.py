"""The compiler on texts without maps: nothing of them reaches the kernel."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

import pytest

from agent.errors import CompileError
from agent.kernel import compiler
from agent.kernel.compiler import Compiler, hide_kernel_addresses
from agent.kernel.programs import probes_folder

pytestmark = pytest.mark.skipif(not compiler.is_available(), reason="needs libbcc")

CAP_SYSLOG = 34
EXIT = (0x95).to_bytes(8, "little")


@pytest.fixture(autouse=True)
def stub(monkeypatch):
    monkeypatch.setenv("BCC_KERNEL_SOURCE", str(probes_folder() / "stub"))
    # It is for the loader process, which lives for a second, and not for all tests that follow.
    monkeypatch.setattr(compiler, "hide_kernel_addresses", lambda: None)


def test_code_of_a_program():
    found = Compiler()
    found.compile("int f(void *ctx) { return NUMBER; }\n", ["-DNUMBER=7"])
    assert found.code("f") == (0xB7 | 7 << 32).to_bytes(8, "little") + EXIT
    with pytest.raises(CompileError, match="no function g"):
        found.code("g")


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
