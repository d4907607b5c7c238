"""Makes small ELF files, and Go build infos to put into them."""

from __future__ import annotations

import struct

MAGIC = b"\xff Go buildinf:"
FRAME = bytes(range(16))


def build_info(version: str, modules: str = "", *, flags: int = 2) -> bytes:
    """`.go.buildinfo` as Go since 1.18 writes it."""
    framed = FRAME + modules.encode() + FRAME if modules else b""
    head = MAGIC + bytes([8, flags]) + bytes(16)
    return head + _text(version.encode()) + _text(framed)


def elf(
    sections: dict[str, bytes], *, stripped: bool = False, position_independent: bool = False
) -> bytes:
    """A 64-bit file with these sections, all of them in one writable segment."""
    kind = 3 if position_independent else 2
    start = 64 + 56
    body = b""
    rows = [bytes(64)]
    names = b"\0"
    for name, content in {**sections, ".shstrtab": b""}.items():
        index = len(names)
        names += name.encode() + b"\0"
        content = names if name == ".shstrtab" else content
        body += bytes(-len(body) % 16)
        rows.append(
            struct.pack(
                "<IIQQQQIIQQ", index, 1, 3, 0, start + 8 + len(body), len(content), 0, 0, 16, 0
            )
        )
        body += content
    body = bytes(8) + body
    segment = struct.pack("<IIQQQQQQ", 1, 6, start + 8, 0, 0, len(body) - 8, len(body), 4096)
    table = 0 if stripped else start + len(body)
    count = 0 if stripped else len(rows)
    header = struct.pack(
        "<16sHHIQQQIHHHHHH",
        b"\x7fELF\x02\x01\x01",
        kind,
        62,
        1,
        0x401000,
        64,
        table,
        0,
        64,
        56,
        1,
        64,
        count,
        max(count - 1, 0),
    )
    return header + segment + body + (b"" if stripped else b"".join(rows))


def _text(content: bytes) -> bytes:
    length, size = b"", len(content)
    while size >= 0x80:
        length += bytes([size & 0x7F | 0x80])
        size >>= 7
    return length + bytes([size]) + content
