"""The layout of what crosses the border, read out of the C headers that define it.

`probes/include/events.h` describes the records, `maps.h` the maps' values; nobody writes a layout down twice. The C
subset is small: fixed-width integers, arrays of bytes or integers, earlier structs, and padding that is written out.
Implicit padding is refused, so the offsets here are the compiler's.
"""

from __future__ import annotations

import hashlib
import re
import struct
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Final

from agent.errors import LayoutError
from agent.kernel.programs import probes_folder

_STRUCT: Final = re.compile(r"^struct (\w+) \{\n(.*?)^\};", re.MULTILINE | re.DOTALL)
_ENUM: Final = re.compile(r"^enum (\w+) \{\n(.*?)^\};", re.MULTILINE | re.DOTALL)
_FIELD: Final = re.compile(r"^\t(struct )?(\w+) (\w+)(?:\[(\w+)\])?;", re.MULTILINE)
_ENUMERATOR: Final = re.compile(r"^\t(\w+)(?: = (\d+))?,", re.MULTILINE)
_DEFINE: Final = re.compile(r"^#define (\w+) (\d+)$", re.MULTILINE)
_COMMENT: Final = re.compile(r"/\*.*?\*/", re.DOTALL)
_CODES: Final = {
    "u8": "B",
    "u16": "H",
    "u32": "I",
    "u64": "Q",
    "s32": "i",
    "s64": "q",
}


@dataclass(slots=True)
class Struct:
    """One C struct."""

    name: str
    fields: tuple[str, ...]
    """Names in order; those of an embedded struct stand in its place. An array of bytes is one field, of bytes."""
    format: str
    """For the struct module, without byte order."""
    packer: struct.Struct = field(init=False, repr=False, compare=False)
    """Unpacks into the fields. Made once: making one costs more than using it, and every record is unpacked."""
    size: int = field(init=False, repr=False)
    """Bytes."""

    def __post_init__(self) -> None:
        self.packer = struct.Struct("<" + self.format)
        self.size = self.packer.size

    def unpack(self, data: bytes | memoryview, at: int = 0) -> dict[str, Any]:
        """The fields by name; arrays of integers become tuples."""
        return dict(zip(self.fields, self.packer.unpack_from(data, at), strict=True))

    def pack(self, **fields: Any) -> bytes:
        """The reverse; what is not given is zero."""
        zeros = self.packer.unpack(bytes(self.size))
        values = [fields.get(name, zero) for name, zero in zip(self.fields, zeros, strict=True)]
        return self.packer.pack(*values)


@cache
def structs(header: str) -> dict[str, Struct]:
    """All structs of a header in probes/include."""
    text = _COMMENT.sub("", (probes_folder() / "include" / header).read_text())
    numbers = {name: int(value) for name, value in _DEFINE.findall(text)}
    found: dict[str, Struct] = {}
    for match in _STRUCT.finditer(text):
        found[match.group(1)] = _struct(match.group(1), match.group(2), found, numbers)
    return found


@cache
def enum(header: str, name: str) -> dict[str, int]:
    """The enumerators of one enum."""
    text = _COMMENT.sub("", (probes_folder() / "include" / header).read_text())
    for match in _ENUM.finditer(text):
        if match.group(1) == name:
            values: dict[str, int] = {}
            for enumerator, value in _ENUMERATOR.findall(match.group(2)):
                values[enumerator] = int(value) if value else len(values)
            return values
    raise LayoutError(f"probes/include/{header} has no enum {name}")


def numbers(header: str) -> dict[str, int]:
    """The decimal constants that a header defines."""
    text = (probes_folder() / "include" / header).read_text()
    return {name: int(value) for name, value in _DEFINE.findall(text)}


def fingerprint() -> str:
    """Changes whenever a record's layout does: recordings carry it."""
    text = repr([(s.name, s.fields, s.format) for s in structs("events.h").values()])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _struct(name: str, body: str, known: dict[str, Struct], numbers: dict[str, int]) -> Struct:
    fields: list[str] = []
    code = ""
    found = _FIELD.findall(body)
    if len(found) != body.count(";"):
        raise LayoutError(f"struct {name}: not all of its fields can be read")
    for is_struct, kind, member, count in found:
        if is_struct:
            if kind not in known:
                raise LayoutError(
                    f"struct {name}: {member} is of struct {kind}, which is not known"
                )
            fields += known[kind].fields
            code += known[kind].format
            continue
        if kind not in _CODES:
            raise LayoutError(
                f"struct {name}: {member} is of type {kind}, which may not cross the border"
            )
        size = int(numbers.get(count, count or 0)) if count else 0
        if kind == "u8" and count:
            part = f"{size}s"
            fields.append(member)
        elif count:
            part = _CODES[kind] * size
            fields += [f"{member}_{index}" for index in range(size)]
        else:
            part = _CODES[kind]
            fields.append(member)
        if struct.calcsize("=" + code) % struct.calcsize("=" + (_CODES[kind])):
            raise LayoutError(f"struct {name}: implicit padding before {member}")
        code += part
    widest = max(struct.calcsize("=" + letter) for letter in code if letter.isalpha())
    if struct.calcsize("=" + code) % widest:
        raise LayoutError(f"struct {name}: implicit padding at its end")
    return Struct(name, tuple(fields), code)
