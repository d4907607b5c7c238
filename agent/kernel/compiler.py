"""The compiler: libbcc, without its Python module.

bcc's module imports 5000 lines of what we do not need and the same library. This is the only file that knows the library.
It is used by the loader process alone (`bpf.py`), since it maps 60 MB of LLVM.
"""

from __future__ import annotations

import contextlib
import ctypes
import ctypes.util
import os
from typing import TYPE_CHECKING, Final

from agent.errors import CompileError
from agent.kernel.compiled import Compiled, MapSpec, unlinked
from agent.kernel.maps import map_facts

if TYPE_CHECKING:
    from collections.abc import Sequence

LIBRARY: Final = "libbcc.so.0"

_ALLOW_RLIMIT: Final = 1
_CAP_SYSLOG: Final = 34
_CAPABILITY_VERSION_3: Final = 0x20080522


class Compiler:
    """libbcc."""

    def __init__(self) -> None:
        """Load the library. Raises a CompileError that says what is missing."""
        stub = os.environ["BCC_KERNEL_SOURCE"]
        if not os.path.isdir(stub):
            raise CompileError(
                f"the header tree {stub} is missing: zerospan is not installed whole"
            )
        try:
            lib = ctypes.CDLL(LIBRARY)
        except OSError as error:
            raise CompileError(
                f"bcc's library cannot be loaded ({error}): install the distribution's package python3-bpfcc "
                "or libbpfcc"
            ) from error
        lib.bpf_module_create_c_from_string.restype = ctypes.c_void_p
        for name in ("bpf_function_name", "bpf_table_name"):
            getattr(lib, name).restype = ctypes.c_char_p
        lib.bpf_function_start.restype = ctypes.c_void_p
        for name in ("bpf_function_size", "bpf_num_functions", "bpf_num_tables"):
            getattr(lib, name).restype = ctypes.c_size_t
        self._lib = lib

    def compile(self, text: str, flags: Sequence[str]) -> Compiled:
        """Compile a text. Raises a CompileError; the compiler's words go to stderr."""
        lib = self._lib
        # Without debug information, which nobody reads: that takes an eighth of the time.
        words = [flag.encode() for flag in (*flags, "-Wno-macro-redefined", "-g0")]
        hide_kernel_addresses()
        created = lib.bpf_module_create_c_from_string(
            *(text.encode(), 0, (ctypes.c_char_p * len(words))(*words), len(words)),
            *(_ALLOW_RLIMIT, None),
        )
        if not created:
            raise CompileError("the BPF programs do not compile")
        module = ctypes.c_void_p(created)
        try:
            # bcc makes the maps as well: they tell what they are, and go with the module.
            descriptors, maps = [], []
            for index in range(lib.bpf_num_tables(module)):
                place = ctypes.c_size_t(index)
                descriptors.append(int(lib.bpf_table_fd_id(module, place)))
                name = lib.bpf_table_name(module, place).decode()
                maps.append(MapSpec(name, *map_facts(descriptors[-1])))
            places = {descriptor: place for place, descriptor in enumerate(descriptors)}
            programs = {}
            for index in range(lib.bpf_num_functions(module)):
                name = lib.bpf_function_name(module, ctypes.c_size_t(index))
                code = ctypes.string_at(
                    lib.bpf_function_start(module, name), lib.bpf_function_size(module, name)
                )
                programs[name.decode()] = unlinked(code, places)
            return Compiled(maps=tuple(maps), programs=programs)
        finally:
            lib.bpf_module_destroy(module)


def is_available() -> bool:
    """Whether the library is installed; it is not loaded for that."""
    return ctypes.util.find_library("bcc") is not None


def hide_kernel_addresses() -> None:
    """Give up the right to see kernel addresses (CAP_SYSLOG), in this process.

    Whatever it compiles, bcc reads /proc/kallsyms into a hash table to find out whether the kernel has
    bpf_probe_read_kernel, which our programs call by number. Symbols without an address it passes over, which takes a
    third of the time.
    """
    libc = ctypes.CDLL(None)
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    # Twice effective, permitted, inheritable: the lower and the upper 32 capabilities (capget(2)).
    sets = (ctypes.c_uint32 * 6)()
    with contextlib.suppress(AttributeError):
        if libc.capget(header, sets) == 0:
            sets[3] &= ~(1 << _CAP_SYSLOG - 32)
            libc.capset(header, sets)
