"""Layouts as we read them, and as the compiler has them."""

from __future__ import annotations

import re
import shutil
import struct as packing
import subprocess
from pathlib import Path

import pytest

from agent.errors import LayoutError
from agent.kernel import layout
from agent.kernel.layout import Struct, enum, fingerprint, numbers, structs
from agent.kernel.programs import probes_folder

TYPES = {"u8": "unsigned char", "u16": "unsigned short", "u32": "unsigned int", "u64": "unsigned long long",
         "s32": "int", "s64": "long long"}  # fmt: skip
WRITTEN = {
    "events.h": [name for name in structs("events.h")],
    "insertion.h": ["insertion"],
    "maps.h": ["watch_slot", "runtime", "socket_state", "socket_control"],
}


def c_text(header: str) -> str:
    """The header for a compiler of the host: bcc's macros and everything that calls helpers left out."""
    text = (probes_folder() / "include" / header).read_text()
    lines = [f"typedef {c} {name};" for name, c in TYPES.items()]
    skipping = False
    for line in text.splitlines():
        skipping = skipping or line.startswith("static ")
        if not skipping and not line.startswith("BPF_"):
            lines.append(line)
        skipping = skipping and line != "}"
    return "\n".join(lines) + "\n"


def members(struct: Struct) -> dict[str, tuple[int, int]]:
    """Offset and size of each field."""
    found: dict[str, tuple[int, int]] = {}
    offset = 0
    values = struct.packer.unpack(bytes(struct.size))
    for index, (name, value) in enumerate(zip(struct.fields, values, strict=True)):
        size = len(value) if isinstance(value, bytes) else 0
        after = offset + (size or size_of(struct, index))
        found[name] = (offset, after - offset)
        offset = after
    return found


def size_of(struct: Struct, index: int) -> int:
    """Of the integer at `index`, from its code."""
    codes = re.findall(r"\d*s|[A-Za-z]", struct.format)
    return packing.calcsize("<" + codes[index])


@pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")
@pytest.mark.parametrize("header", WRITTEN)
def test_offsets_and_sizes_are_the_compilers(header, tmp_path: Path):
    expected: dict[str, int | tuple[int, ...]] = {}
    asks = []
    for name in WRITTEN[header]:
        struct = structs(header)[name]
        asks.append(f'printf("{name} %zu\\n", sizeof(struct {name}));')
        expected[name] = struct.size
        embedded = structs(header).get("event_header")
        inner = set(embedded.fields) if embedded and struct is not embedded else set()
        origin = structs(header).get("origin")
        behind = set(origin.fields) if origin and struct is not origin else set()
        for field, (offset, size) in members(struct).items():
            if field in inner and field != "_pad":
                access = f"header.{field}"
            elif field in behind:
                access = f"origin.{field}"
            elif field == "_pad":
                continue
            else:
                stem, _, index = field.rpartition("_")
                access = f"{stem}[{index}]" if index.isdigit() else field
            asks.append(
                f'printf("{name}.{access} %zu %zu\\n", (size_t)&((struct {name} *)0)->{access}, '
                f"sizeof(((struct {name} *)0)->{access}));"
            )
            expected[f"{name}.{access}"] = (offset, size)
    source = tmp_path / "layout.c"
    source.write_text(
        "#include <stdio.h>\n#include <stddef.h>\n"
        + c_text(header)
        + "int main(void) {\n"
        + "\n".join(asks)
        + "\nreturn 0;\n}\n"
    )
    program = tmp_path / "layout"
    subprocess.run(
        ["cc", "-Wall", "-Wpadded", "-Werror", "-Wno-unused", "-o", program, source], check=True
    )
    told = subprocess.run([program], capture_output=True, text=True, check=True).stdout
    found: dict[str, int | tuple[int, ...]] = {}
    for line in told.splitlines():
        name, *numbers = line.split()
        found[name] = int(numbers[0]) if len(numbers) == 1 else tuple(map(int, numbers))
    assert found == expected


def test_embedded_struct_stands_in_its_place():
    assert structs("events.h")["exit_event"].fields == ("time_ns", "tgid", "tid", "kind", "_pad")
    assert structs("events.h")["data_event"].size == 120


def test_pack_and_unpack():
    struct = structs("maps.h")["socket_control"]
    packed = struct.pack(is_muted=1, budget_1=4096)
    assert struct.unpack(b"xx" + packed, 2) == {
        "is_muted": 1,
        "budget_0": 0,
        "budget_1": 4096,
        "_pad": 0,
    }


def test_enums():
    assert enum("events.h", "event_kind")["EVENT_PROGRESS"] == 9
    assert numbers("maps.h")["WATCH_RUNTIME"] == 8
    counters = enum("maps.h", "counter")
    assert list(counters.values()) == list(range(len(counters)))
    with pytest.raises(LayoutError, match=r"events\.h has no enum nothing"):
        enum("events.h", "nothing")


@pytest.fixture
def header(tmp_path, monkeypatch):
    """A header of the test's own."""
    (tmp_path / "include").mkdir()
    monkeypatch.setattr(layout, "probes_folder", lambda: tmp_path)

    def write(name: str, text: str) -> dict[str, Struct]:
        (tmp_path / "include" / name).write_text(text)
        return structs(name)

    return write


def test_all_shapes_of_fields(header):
    found = header(
        "a.h",
        "#define MANY 3\nstruct inner {\n\tu64 a;\t/* why */\n};\n"
        "struct outer {\n\tstruct inner header;\n\tu8 name[16];\n\ts64 t;\n\tu16 n[2];\n\tu8 rest[MANY];\n\tu8 x;\n};\n",
    )
    assert found["outer"] == Struct(
        "outer", ("a", "name", "t", "n_0", "n_1", "rest", "x"), "Q16sqHH3sB"
    )


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("\tu8 a;\n\tu32 b;\n", "implicit padding before b"),
        ("\tu8 a;\n\tu16 b[2];\n", "implicit padding before b"),
        ("\tint a;\n", "a is of type int"),
        ("\tstruct other a;\n", "a is of struct other, which is not known"),
        ("\tu64 a;\n\tu8 b;\n", "implicit padding at its end"),
        ("\tu64 a;\n\tvoid *b;\n", "not all of its fields can be read"),
        ("\tu32 a : 3;\n", "not all of its fields can be read"),
    ],
)
def test_what_may_not_cross_the_border(header, body, told):
    with pytest.raises(LayoutError, match=told):
        header(f"{abs(hash(body))}.h", f"struct thing {{\n{body}}};\n")


def test_fingerprint_changes_with_the_layout(header):
    before = fingerprint()
    assert len(before) == 16
    structs.cache_clear()
    header("events.h", "struct other {\n\tu64 a;\n};\n")
    changed = fingerprint()
    structs.cache_clear()
    assert changed != before
