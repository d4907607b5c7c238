"""MySQL's packets as they are on the wire, for tests."""

from __future__ import annotations

PROTOCOL_41 = 1 << 9
SECURE = 1 << 15
WITH_DB = 1 << 3
LENENC = 1 << 21
DEPRECATE_EOF = 1 << 24
COMPRESS = 1 << 5
SSL = 1 << 11
USUAL = PROTOCOL_41 | SECURE | WITH_DB | LENENC | DEPRECATE_EOF


def packet(sequence: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "little") + bytes([sequence]) + payload


def packets(*payloads: bytes, first: int = 1) -> bytes:
    """One after the other, numbered."""
    return b"".join(packet((first + n) & 0xFF, payload) for n, payload in enumerate(payloads))


def greeting(version: str = "8.0.36") -> bytes:
    body = b"\x0a" + version.encode() + b"\0" + b"\x07\0\0\0" + b"8bytes!!" + b"\0"
    return packet(
        0,
        body
        + b"\xff\xff\xff\x02\0\xff\xdf\x15"
        + bytes(10)
        + b"12 more byte\0"
        + b"mysql_native_password\0",
    )


def answer(
    user: str = "app",
    database: str = "shop",
    capabilities: int = USUAL,
    secret: bytes = b"hunter2-scrambled-20",
) -> bytes:
    body = capabilities.to_bytes(4, "little") + b"\0\0\0\x01\xff" + bytes(23)
    if capabilities & SSL:
        return packet(1, body)
    body += user.encode() + b"\0" + bytes([len(secret)]) + secret
    if capabilities & WITH_DB:
        body += database.encode() + b"\0"
    return packet(1, body + b"mysql_native_password\0")


def command(code: int, body: bytes = b"") -> bytes:
    return packet(0, bytes([code]) + body)


def query(text: str) -> bytes:
    return command(3, text.encode())


def prepare(text: str) -> bytes:
    return command(0x16, text.encode())


def execute(number: int, values: bytes = b"", flags: int = 0) -> bytes:
    return command(0x17, number.to_bytes(4, "little") + bytes([flags]) + b"\1\0\0\0" + values)


def ok(status: int = 2, affected: int = 0) -> bytes:
    """An OK packet's payload."""
    return bytes([0, affected, 0]) + status.to_bytes(2, "little") + b"\0\0"


def end(status: int = 2) -> bytes:
    """The OK in place of EOF."""
    return b"\xfe\0\0" + status.to_bytes(2, "little") + b"\0\0"


def eof(status: int = 2) -> bytes:
    return b"\xfe\0\0" + status.to_bytes(2, "little")


def error(
    number: int = 1062, state: str = "23000", text: str = "Duplicate entry 'ada' for key 'name'"
) -> bytes:
    return b"\xff" + number.to_bytes(2, "little") + b"#" + state.encode() + text.encode()


def column(name: str = "id") -> bytes:
    shown = b"".join(
        bytes([len(word)]) + word
        for word in (b"def", b"shop", b"users", b"users", name.encode(), name.encode())
    )
    return shown + b"\x0c\x3f\0\x0b\0\0\0\x03\x03\x42\0\0\0"


def row(*values: bytes) -> bytes:
    return b"".join(bytes([len(value)]) + value for value in values)


def results(*rows: bytes, status: int = 2, has_eof: bool = False) -> list[bytes]:
    """The payloads of one result of one column."""
    middle = [eof(status)] if has_eof else []
    last = eof(status) if has_eof else end(status)
    return [b"\1", column(), *middle, *rows, last]


def prepared(
    number: int = 1, parameters: int = 1, columns: int = 1, *, has_eof: bool = False
) -> list[bytes]:
    head = (
        b"\0"
        + number.to_bytes(4, "little")
        + columns.to_bytes(2, "little")
        + parameters.to_bytes(2, "little")
        + b"\0\0\0"
    )
    last = [eof()] if has_eof else []
    more = (
        [column("?")] * parameters
        + last * bool(parameters)
        + [column()] * columns
        + last * bool(columns)
    )
    return [head, *more]
