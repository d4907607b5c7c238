"""What the compiler gives: instructions that name maps by number, and what those maps are.

Instructions as the kernel takes them name maps by descriptors, which are new in every run. Here each stands as the place
of its map in `maps`, so the same instructions can be kept (`cache.py`) and linked again.
"""

from __future__ import annotations

import base64
import json
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from agent.errors import CompileError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

INSTRUCTION: Final = struct.Struct("<BBhi")
"""Operation, registers (the source in the upper four bits), offset, immediate value."""

_LOAD_64: Final = 0x18
_MAP: Final = 1
"""BPF_PSEUDO_MAP_FD, as the source register: the immediate value is a map's descriptor."""


@dataclass(frozen=True, slots=True)
class MapSpec:
    """What BPF_MAP_CREATE is told."""

    name: str
    kind: int
    """enum bpf_map_type."""
    key_size: int
    value_size: int
    max_entries: int
    flags: int


@dataclass(frozen=True, slots=True)
class Compiled:
    """All programs of a text."""

    maps: tuple[MapSpec, ...]
    programs: dict[str, bytes]
    """Instructions by function."""

    def linked(self, function: str, descriptors: Sequence[int]) -> bytes:
        """A program for the kernel; `descriptors` are those of `maps`, in that order."""
        if function not in self.programs:
            raise CompileError(f"the program text has no function {function}")
        return _with_maps(self.programs[function], dict(enumerate(descriptors)))

    def to_json(self) -> bytes:
        """As one text."""
        return json.dumps(
            {
                "maps": [
                    [m.name, m.kind, m.key_size, m.value_size, m.max_entries, m.flags]
                    for m in self.maps
                ],
                "programs": {
                    function: base64.b64encode(code).decode()
                    for function, code in self.programs.items()
                },
            }
        ).encode()

    @classmethod
    def from_json(cls, text: bytes) -> Compiled:
        """The reverse. Raises ValueError, TypeError or AttributeError for anything else."""
        found = json.loads(text)
        if not isinstance(found, dict) or found.keys() != {"maps", "programs"}:
            raise ValueError("not what to_json gives")
        return cls(
            maps=tuple(MapSpec(str(name), *map(int, numbers)) for name, *numbers in found["maps"]),
            programs={
                str(function): base64.b64decode(code, validate=True)
                for function, code in found["programs"].items()
            },
        )


def unlinked(code: bytes, places: Mapping[int, int]) -> bytes:
    """Instructions that name maps by descriptor, by place instead; `places` are those of the descriptors."""
    return _with_maps(code, places)


def _with_maps(code: bytes, numbers: Mapping[int, int]) -> bytes:
    if len(code) % INSTRUCTION.size:
        raise CompileError("a program ends within an instruction")
    changed = bytearray(code)
    for at in range(0, len(code), INSTRUCTION.size):
        operation, registers, offset, value = INSTRUCTION.unpack_from(code, at)
        if operation == _LOAD_64 and registers >> 4 == _MAP:
            if value not in numbers:
                raise CompileError(f"a program names a map that is not there: {value}")
            INSTRUCTION.pack_into(changed, at, operation, registers, offset, numbers[value])
    return bytes(changed)
