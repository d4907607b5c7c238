"""Reads the kernel's own type information: offsets, enum values, function signatures.

bcc has no CO-RE relocation, so what other tools let the loader patch in, we look up here and hand to the compiler as
constants. The format is described in the kernel's Documentation/bpf/btf.rst: a header, a list of types, whose ids are
their positions, and a string section. /sys/kernel/btf/vmlinux has some 100,000 types, so the list is walked once, only
the types whose names were asked for are kept by name, and members are decoded when somebody looks.
"""

from __future__ import annotations

import re
import struct
from pathlib import Path
from typing import TYPE_CHECKING, Final

from agent.errors import KernelError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

VMLINUX: Final = Path("/sys/kernel/btf/vmlinux")

_MAGIC: Final = 0xEB9F
_HEADER: Final = struct.Struct("<HBBIIIII")
_TYPE: Final = struct.Struct("<III")
"""name offset, info (kind in bits 24 to 28, member count in the low 16), size or type."""

_INT, _ARRAY, _STRUCT, _UNION, _ENUM, _FUNC, _FUNC_PROTO = 1, 3, 4, 5, 6, 12, 13
_TYPEDEF, _VAR, _DATASEC, _DECL_TAG, _ENUM64 = 8, 14, 15, 17, 19
_QUALIFIERS: Final = frozenset({_TYPEDEF, 9, 10, 11, 18})
"""typedef, volatile, const, restrict, type tag: name another type."""

_FIXED: Final = {_INT: 4, _ARRAY: 12, _VAR: 4, _DECL_TAG: 4}
_PER_MEMBER: Final = {_STRUCT: 12, _UNION: 12, _ENUM: 8, _FUNC_PROTO: 8, _DATASEC: 12, _ENUM64: 12}


class Btf:
    """The types of one kernel."""

    def __init__(self, data: bytes, names: Iterable[str]) -> None:
        """Walk `data`, remembering the types called `names`."""
        if len(data) < _HEADER.size or _HEADER.unpack_from(data)[0] != _MAGIC:
            raise KernelError("the kernel's type information (BTF) is not in the known format")
        _, _, _, header_size, type_at, type_size, string_at, string_size = _HEADER.unpack_from(data)
        self._data = data
        self._strings = header_size + string_at
        self._offsets = [0]
        self._named: dict[tuple[str, int], int] = {}
        wanted = self._name_offsets(names, self._strings + string_size)
        at, end = header_size + type_at, header_size + type_at + type_size
        unpack, offsets = _TYPE.unpack_from, self._offsets
        while at < end:
            name, info, _ = unpack(data, at)
            kind = info >> 24 & 31
            if name in wanted:
                self._named.setdefault((wanted[name], kind), len(offsets))
            offsets.append(at)
            at += 12 + _FIXED.get(kind, 0) + _PER_MEMBER.get(kind, 0) * (info & 0xFFFF)

    @classmethod
    def of_kernel(cls, names: Iterable[str]) -> Btf:
        """The running kernel's; KernelError without any."""
        try:
            data = VMLINUX.read_bytes()
        except OSError as error:
            raise KernelError(
                f"this kernel gives no type information ({VMLINUX}: {error.strerror}); "
                "it must be built with CONFIG_DEBUG_INFO_BTF=y, as current distributions do"
            ) from error
        return cls(data, names)

    def offset(self, struct_name: str, path: str) -> int | None:
        """Bytes from the start of a struct to a member, `path` being dotted; None if there is none."""
        at = self._named.get((struct_name, _STRUCT))
        bits = 0
        for name in path.split("."):
            found = self._member(at, name) if at is not None else None
            if found is None:
                return None
            at, member_bits = self._resolve(found[0]), found[1]
            bits += member_bits
        return bits // 8

    def enum_value(self, enum_name: str, name: str) -> int | None:
        """The number behind an enumerator; None if there is none."""
        at = self._named.get((enum_name, _ENUM))
        if at is None:
            return None
        _, info, _ = self._type(at)
        for index in range(info & 0xFFFF):
            name_at, value = struct.unpack_from(
                "<Ii", self._data, self._offsets[at] + 12 + 8 * index
            )
            if self._string(name_at) == name:
                return int(value)
        return None

    def argument_count(self, function: str) -> int | None:
        """How many arguments a kernel function takes; None if BTF does not know it."""
        at = self._named.get((function, _FUNC))
        if at is None:
            return None
        _, info, _ = self._type(self._type(at)[2])
        return info & 0xFFFF

    def function_id(self, function: str) -> int | None:
        """The type id of a kernel function, which a trampoline is attached by; None if BTF does not know it."""
        return self._named.get((function, _FUNC))

    def has_typedef(self, name: str) -> bool:
        """Whether there is a typedef of that name; each tracepoint has one, `btf_trace_<name>`."""
        return (name, _TYPEDEF) in self._named

    def _name_offsets(self, names: Iterable[str], end: int) -> dict[int, str]:
        """Where each name stands in the string section, as types refer to it."""
        choice = b"|".join(re.escape(name.encode()) for name in sorted(set(names)))
        pattern = re.compile(rb"\0(" + choice + rb")(?=\0)")
        return {
            match.start(1) - self._strings: match.group(1).decode()
            for match in pattern.finditer(self._data, self._strings, end)
        }

    def _type(self, number: int) -> tuple[int, int, int]:
        return _TYPE.unpack_from(self._data, self._offsets[number])

    def _string(self, at: int) -> str:
        start = self._strings + at
        return self._data[start : self._data.index(b"\0", start)].decode()

    def _resolve(self, number: int) -> int:
        """The type behind qualifiers and typedefs."""
        while True:
            _, info, target = self._type(number)
            if info >> 24 & 31 not in _QUALIFIERS:
                return number
            number = target

    def _members(self, number: int) -> Iterator[tuple[str, int, int]]:
        """Name, type and offset in bits."""
        _, info, _ = self._type(number)
        has_bitfields = info >> 31
        for index in range(info & 0xFFFF):
            name, kind, offset = _TYPE.unpack_from(
                self._data, self._offsets[number] + 12 + 12 * index
            )
            yield self._string(name), kind, offset & 0xFFFFFF if has_bitfields else offset

    def _member(self, number: int, name: str) -> tuple[int, int] | None:
        """Type and offset in bits of a member, also of one inside an anonymous struct or union."""
        if self._type(number)[1] >> 24 & 31 not in (_STRUCT, _UNION):
            return None
        for member, kind, offset in self._members(number):
            if member == name:
                return kind, offset
            if not member:
                inner = self._member(self._resolve(kind), name)
                if inner is not None:
                    return inner[0], offset + inner[1]
        return None
