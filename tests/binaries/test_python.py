"""Where an interpreter keeps its thread state: the table, held to the interpreters that are on this machine."""

from __future__ import annotations

import glob
import json
import platform
import subprocess
from pathlib import Path

import pytest

from agent.binaries.elf import open_elf
from agent.binaries.python import read_interpreter, version_of
from agent.processes.proc import Proc
from agent.processes.process import Process
from agent.processes.runtime import Kind, Runtime
from agent.processes.tasks import THREAD_SPECIFIC, layout_of

PROGRAM = r"""
import contextvars, ctypes, json, sys, threading
variable = contextvars.ContextVar("variable")
lib = ctypes.pythonapi
libc = ctypes.CDLL(None)
libc.pthread_self.restype = lib.PyThreadState_Get.restype = ctypes.c_void_p

def look():
    context = contextvars.copy_context()
    def inside():
        variable.set(1)
        print(json.dumps([libc.pthread_self(), lib.PyThreadState_Get(), id(context)]), flush=True)
        sys.stdin.readline()
    context.run(inside)

threads = threading.Thread(target=look)
threads.start()
threads.join()
look()
"""


def interpreters() -> list[str]:
    found = ["/usr/bin/python3", *glob.glob(str(Path.home() / ".pyenv/versions/*/bin/python3"))]
    known = []
    for path in found:
        real = Path(path).resolve()
        if real.exists() and version_of(str(real)):
            known.append(path)
    return known


class Known:
    """As much of a process as a reader looks at."""

    runtime = Runtime(Kind.PYTHON)

    def __init__(self, pid: int) -> None:
        self.pid = pid


@pytest.mark.skipif(platform.machine() != "x86_64", reason="the offsets are of x86_64")
@pytest.mark.parametrize("path", interpreters())
def test_the_current_context_is_found_in_memory(path: str):
    """What the kernel side does, by /proc/PID/mem: thread pointer, thread-specific data, thread state, context."""
    with subprocess.Popen(
        [path, "-c", PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as running:
        assert running.stdin is not None
        assert running.stdout is not None
        for _ in range(2):  # in a thread, and in the main one
            thread, state, context = json.loads(running.stdout.readline())
            layout = layout_of(Known(running.pid), Proc())
            assert layout is not None
            assert layout.kind == "RUNTIME_PYTHON"
            with open(f"/proc/{running.pid}/mem", "rb") as memory:

                def read(address: int, size: int) -> int:
                    memory.seek(address)
                    return int.from_bytes(memory.read(size), "little")

                key = read(layout.addresses[0], 4)
                assert read(thread + THREAD_SPECIFIC + 16 * key + 8, 8) == state
                assert read(state + layout.offsets[0], 8) == context
            ((hook, file, offset),) = layout.probes
            assert hook == "uretprobe:PyContext_CopyCurrent"
            assert offset > 0
            assert Path(file).exists()
            running.stdin.write("\n")
            running.stdin.flush()
    assert running.returncode == 0


@pytest.mark.parametrize(
    ("path", "version"),
    [
        ("/usr/bin/python3.11", (3, 11)),
        ("/usr/lib/libpython3.9.so.1.0", (3, 9)),
        ("/opt/libpython3.13.so", (3, 13)),
        ("/usr/bin/python3.13t", None),
        ("/usr/bin/python3.11d", None),
        ("/usr/bin/python3.14", None),
        ("/usr/bin/python3.8", None),
        ("/usr/bin/python3", None),
        ("/usr/lib/x.cpython-311-x86_64-linux-gnu.so", None),
    ],
)
def test_versions_that_are_known(path: str, version: tuple[int, int] | None):
    assert version_of(path) == version


def test_what_is_no_interpreter_is_not_read():
    elf = open_elf("/bin/true")
    assert elf is not None
    with elf:
        assert read_interpreter(elf, (3, 11)) is None


def test_processes_are_as_readers_take_them():
    assert {"pid", "runtime"} <= set(dir(Process))
