"""Makes BTF (the kernel's Documentation/bpf/btf.rst), a few types of it."""

from __future__ import annotations

import struct

INT, POINTER, ARRAY, STRUCT, UNION, ENUM = 1, 2, 3, 4, 5, 6
TYPEDEF, CONST, FUNC, FUNC_PROTO, VAR, DATASEC, FLOAT = 8, 10, 12, 13, 14, 15, 16
ENUM64 = 19


class Blob:
    """Types get the ids 1, 2, … in the order in which they are added."""

    def __init__(self) -> None:
        self._strings = b"\0"
        self._types = b""
        self._count = 0

    def name(self, text: str) -> int:
        """Where a name stands among the strings."""
        if not text:
            return 0
        self._strings += text.encode() + b"\0"
        return len(self._strings) - len(text) - 1

    def add(
        self,
        kind: int,
        name: str = "",
        *,
        count: int = 0,
        size: int = 0,
        flag: int = 0,
        tail: bytes = b"",
    ) -> int:
        """One type; gives its id."""
        info = flag << 31 | kind << 24 | count
        self._types += struct.pack("<III", self.name(name), info, size) + tail
        self._count += 1
        return self._count

    def integer(self, name: str, size: int) -> int:
        """An int."""
        return self.add(INT, name, size=size, tail=struct.pack("<I", size * 8))

    def members(
        self, kind: int, name: str, *fields: tuple[str, int, int], has_bitfields: bool = False
    ) -> int:
        """A struct or union: name, type, offset in bits of each."""
        tail = b"".join(struct.pack("<III", self.name(field), of, at) for field, of, at in fields)
        return self.add(kind, name, count=len(fields), flag=int(has_bitfields), tail=tail)

    def enum(self, name: str, **values: int) -> int:
        """An enum."""
        tail = b"".join(struct.pack("<Ii", self.name(key), value) for key, value in values.items())
        return self.add(ENUM, name, count=len(values), size=4, tail=tail)

    def function(self, name: str, *arguments: int) -> int:
        """A function and its prototype."""
        tail = b"".join(struct.pack("<II", 0, argument) for argument in arguments)
        prototype = self.add(FUNC_PROTO, count=len(arguments), tail=tail)
        return self.add(FUNC, name, size=prototype)

    def build(self) -> bytes:
        """The blob."""
        header = struct.pack(
            "<HBBIIIII", 0xEB9F, 1, 0, 24, 0, len(self._types), len(self._types), len(self._strings)
        )
        return header + self._types + self._strings


def sample() -> bytes:
    """Something of everything."""
    blob = Blob()
    u32 = blob.integer("unsigned int", 4)
    u64 = blob.integer("long", 8)
    inner = blob.members(STRUCT, "", ("deep", u64, 64))
    anonymous = blob.members(UNION, "", ("left", u32, 0), ("", inner, 0))
    named = blob.members(STRUCT, "net_ns", ("inum", u32, 32))
    alias = blob.add(TYPEDEF, "ns_t", size=blob.add(CONST, size=named))
    blob.add(ARRAY, tail=struct.pack("<III", u32, u32, 4))
    blob.members(STRUCT, "thing", ("first", u32, 0), ("", anonymous, 64), ("ns", alias, 256))
    blob.members(
        STRUCT, "bits", ("one", u32, 3 << 24 | 0), ("two", u32, 5 << 24 | 40), has_bitfields=True
    )
    blob.enum("iter_type", ITER_UBUF=0, ITER_IOVEC=1, ITER_LAST=-1)
    blob.add(VAR, "thing", size=u32, tail=struct.pack("<I", 0))
    blob.add(DATASEC, ".data", count=1, tail=struct.pack("<III", 11, 0, 4))
    blob.add(ENUM64, "wide", count=1, size=8, tail=struct.pack("<III", blob.name("BIG"), 0, 1))
    blob.add(FLOAT, "double", size=8)
    blob.function("tcp_sendmsg", u64, u64, u32)
    blob.function("nothing_taken")
    blob.add(TYPEDEF, "btf_trace_sched_process_exec", size=u64)
    blob.members(STRUCT, "last", ("x", u64, 128))
    return blob.build()
