"""PostgreSQL's messages as they are on the wire, for tests."""

from __future__ import annotations

SYNC = b"S\0\0\0\x04"
FLUSH = b"H\0\0\0\x04"
PARSED = b"1\0\0\0\x04"
BOUND = b"2\0\0\0\x04"
CLOSED = b"3\0\0\0\x04"
NO_DATA = b"n\0\0\0\x04"
EMPTY = b"I\0\0\0\x04"
SUSPENDED = b"s\0\0\0\x04"


def message(kind: bytes, body: bytes = b"") -> bytes:
    return kind + (len(body) + 4).to_bytes(4, "big") + body


def startup(**parameters: str) -> bytes:
    body = b"".join(f"{key}\0{value}\0".encode() for key, value in parameters.items()) + b"\0"
    return (len(body) + 8).to_bytes(4, "big") + b"\0\x03\0\0" + body


def asking(code: int, more: bytes = b"") -> bytes:
    return (8 + len(more)).to_bytes(4, "big") + code.to_bytes(4, "big") + more


SSL = asking(80877103)
GSS = asking(80877104)
CANCEL = asking(80877102, b"\0\0\0\x07\1\2\3\4")


def query(text: str) -> bytes:
    return message(b"Q", text.encode() + b"\0")


def parse(text: str, name: str = "", types: int = 0) -> bytes:
    return message(
        b"P",
        name.encode() + b"\0" + text.encode() + b"\0" + types.to_bytes(2, "big") + bytes(4 * types),
    )


def bind(name: str = "", portal: str = "", *values: bytes) -> bytes:
    given = b"".join(len(value).to_bytes(4, "big") + value for value in values)
    body = f"{portal}\0{name}\0".encode() + b"\0\0" + len(values).to_bytes(2, "big") + given
    return message(b"B", body + b"\0\0")


def describe(kind: str = "P", name: str = "") -> bytes:
    return message(b"D", f"{kind}{name}\0".encode())


def execute(portal: str = "", limit: int = 0) -> bytes:
    return message(b"E", f"{portal}\0".encode() + limit.to_bytes(4, "big"))


def close(kind: str = "S", name: str = "") -> bytes:
    return message(b"C", f"{kind}{name}\0".encode())


def ready(status: str = "I") -> bytes:
    return message(b"Z", status.encode())


def columns(*names: str) -> bytes:
    fields = b"".join(name.encode() + b"\0" + bytes(18) for name in names)
    return message(b"T", len(names).to_bytes(2, "big") + fields)


def row(*values: bytes) -> bytes:
    given = b"".join(len(value).to_bytes(4, "big") + value for value in values)
    return message(b"D", len(values).to_bytes(2, "big") + given)


def complete(tag: str) -> bytes:
    return message(b"C", tag.encode() + b"\0")


def error(code: str = "42P01", text: str = 'relation "carts" does not exist') -> bytes:
    body = f"SERROR\0VERROR\0C{code}\0M{text}\0Fparse_relation.c\0L1392\0\0"
    return message(b"E", body.encode())


def notice(text: str = "table is not there, skipping") -> bytes:
    return message(b"N", f"SNOTICE\0VNOTICE\0C00000\0M{text}\0\0".encode())


def parameter(key: str, value: str) -> bytes:
    return message(b"S", f"{key}\0{value}\0".encode())


def results(*rows: bytes, tag: str | None = None) -> bytes:
    """Columns, rows and the end of a SELECT."""
    shown = b"".join(row(value) for value in rows)
    return columns("id") + shown + complete(tag or f"SELECT {len(rows)}")
