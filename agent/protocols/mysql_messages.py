"""MySQL's and MariaDB's packets: how they are framed, how they begin, and what is read of one.

https://dev.mysql.com/doc/dev/mysql-server/latest/PAGE_PROTOCOL.html
https://mariadb.com/kb/en/clientserver-protocol/

    packet   length (3 bytes, little-endian), sequence number, payload; a payload of 0xffffff bytes goes on in the next
    command  the first packet of a client, with sequence number 0: a command byte, then what it needs

No protocol by itself: `mysql.py` has the conversation.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from agent.errors import Gap, ProtocolError
from agent.protocols import MAX_CLASSIFY, Verdict
from agent.protocols.captured import read_head
from agent.stream import EndOfStream

if TYPE_CHECKING:
    from agent.stream import Read, Stream

MORE: Final = 0xFFFFFF
"""Bytes of a payload that goes on in the next packet."""
MAX_PARTS: Final = 128
"""Packets of one payload: 2 GB, twice the server's own limit (max_allowed_packet)."""

OK, ERROR, EOF, LOCAL_INFILE = 0x00, 0xFF, 0xFE, 0xFB
"""First bytes of responses."""

# Capabilities (group__group__cs__capabilities__flags.html).
CLIENT_CONNECT_WITH_DB: Final = 1 << 3
CLIENT_COMPRESS: Final = 1 << 5
CLIENT_PROTOCOL_41: Final = 1 << 9
CLIENT_SSL: Final = 1 << 11
CLIENT_SECURE_CONNECTION: Final = 1 << 15
CLIENT_PLUGIN_AUTH_LENENC: Final = 1 << 21
CLIENT_DEPRECATE_EOF: Final = 1 << 24
CLIENT_ZSTD: Final = 1 << 26

# Status flags (mysql__com_8h.html).
MORE_RESULTS: Final = 0x0008
CURSOR_EXISTS: Final = 0x0040
NO_BACKSLASH_ESCAPES: Final = 0x0200

COM_QUIT, COM_INIT_DB, COM_QUERY, COM_FIELD_LIST, COM_PROCESS_INFO = 0x01, 0x02, 0x03, 0x04, 0x0A
COM_CHANGE_USER, COM_BINLOG_DUMP, COM_BINLOG_DUMP_GTID = 0x11, 0x12, 0x1E
COM_STMT_PREPARE, COM_STMT_EXECUTE, COM_STMT_SEND_LONG_DATA = 0x16, 0x17, 0x18
COM_STMT_CLOSE, COM_STMT_FETCH, COM_STMT_BULK_EXECUTE = 0x19, 0x1C, 0xFA

COMMANDS: Final = {
    COM_QUIT: "QUIT", COM_INIT_DB: "USE", COM_QUERY: "QUERY", COM_FIELD_LIST: "FIELD LIST", 0x05: "CREATE DATABASE",
    0x06: "DROP DATABASE", 0x07: "REFRESH", 0x08: "SHUTDOWN", 0x09: "STATISTICS", COM_PROCESS_INFO: "PROCESS INFO",
    0x0C: "KILL", 0x0D: "DEBUG", 0x0E: "PING", COM_CHANGE_USER: "CHANGE USER", COM_BINLOG_DUMP: "BINLOG DUMP",
    0x15: "REGISTER REPLICA", COM_STMT_PREPARE: "PREPARE", COM_STMT_EXECUTE: "EXECUTE",
    COM_STMT_SEND_LONG_DATA: "SEND LONG DATA", COM_STMT_CLOSE: "CLOSE", 0x1A: "RESET", 0x1B: "SET OPTION",
    COM_STMT_FETCH: "FETCH", COM_BINLOG_DUMP_GTID: "BINLOG DUMP", 0x1F: "RESET CONNECTION",
    COM_STMT_BULK_EXECUTE: "EXECUTE",
}  # fmt: skip
"""Commands that clients send (my_command.h); db.operation.name of those that are no statements."""
UNANSWERED: Final = frozenset((COM_QUIT, COM_STMT_SEND_LONG_DATA, COM_STMT_CLOSE))
EXECUTES: Final = frozenset((COM_STMT_EXECUTE, COM_STMT_BULK_EXECUTE))
TEXTS: Final = frozenset((COM_QUERY, COM_STMT_PREPARE))


@dataclass(frozen=True, slots=True)
class Session:
    """What is known of a connection."""

    system: str = "mysql"
    """db.system.name."""
    database: str = ""
    user: str = ""
    has_backslash: bool = True
    """A backslash escapes in strings."""


@dataclass(slots=True)
class Command:
    """A request."""

    command: int
    text: bytes | None
    """The statement, without its trace context; None where there is none, or where it is not known."""
    session: Session
    carrier: dict[str, str] | None = None
    missing: str = ""
    """Why the text is not known."""
    size: int = 0
    is_truncated: bool = False


@dataclass(slots=True)
class Result:
    """A response."""

    rows: int | None = None
    """Rows that were returned."""
    error: int = 0
    """The server's number of the error that ended it."""
    sqlstate: str = ""
    status: int = 0
    """Status flags that came with its end."""
    size: int = 0
    is_truncated: bool = False
    is_end_guessed: bool = False
    """Packets of it lay in a hole: where it ended is known from the end of its turn only."""


def read_packet(stream: Stream) -> Read[tuple[int, int]]:
    """A packet's payload size and its sequence number; its four bytes are consumed."""
    while len(head := stream.peek(4)) < 4:
        if stream.position + len(head) < stream.end:
            raise Gap("a packet's beginning was not captured")
        if stream.is_closed:
            raise EndOfStream("the stream has ended within a packet's beginning")
        yield None
    stream.take(4)
    return int.from_bytes(head[:3], "little"), head[3]


def read_payload(stream: Stream, size: int, limit: int) -> Read[bytes]:
    """The first bytes of a payload, at most `limit`, those of a payload in several packets included in the walk."""
    head = yield from read_head(stream, size, limit)
    for _ in range(MAX_PARTS):
        if size < MORE:
            return head
        size, _ = yield from read_packet(stream)
        yield from stream.skip(size)
    raise ProtocolError("a payload that does not end")


def lenenc(payload: bytes, at: int = 0) -> tuple[int, int]:
    """A length-encoded integer, and where it ends; (-1, …) where it is cut or none."""
    first = payload[at] if at < len(payload) else 0xFF
    size = {0xFC: 2, 0xFD: 3, 0xFE: 8}.get(first, 0)
    end = at + 1 + size
    if first in (0xFB, 0xFF) or end > len(payload):
        return -1, end
    return (int.from_bytes(payload[at + 1 : end], "little") if size else first), end


def error_of(payload: bytes) -> tuple[int, str]:
    """Number and SQLSTATE of an error packet."""
    number = int.from_bytes(payload[1:3], "little")
    state = payload[4:9] if payload[3:4] == b"#" else b""
    return number, state.decode("ascii") if _SQLSTATE.fullmatch(state) else ""


def status_of(payload: bytes) -> int:
    """Status flags of an OK packet, whichever its first byte."""
    _, at = lenenc(payload, 1)
    _, at = lenenc(payload, at)
    return int.from_bytes(payload[at : at + 2], "little")


MAX_LAST: Final = 512
"""Bytes that are looked at of what ends a result; it is shorter."""
_SQLSTATE = re.compile(rb"[0-9A-Z]{5}")


def is_end(payload: bytes) -> bool:
    """EOF, the OK in its place, or an error: no row begins so, unless it is 16 MB long."""
    return payload[:1] == b"\xff" or (payload[:1] == b"\xfe" and len(payload) < MAX_LAST)


def judge(payload: bytes, result: Result) -> None:
    """What the last packet of a result says."""
    first = payload[:1]
    if first == b"\xff":
        result.error, result.sqlstate = error_of(payload)
        result.is_truncated |= len(payload) < 9
        result.status = 0
    elif first == b"\xfe" and len(payload) == 5:
        result.status = int.from_bytes(payload[3:5], "little")
    elif first in (b"\0", b"\xfe"):
        result.status = status_of(payload)


@dataclass(frozen=True, slots=True)
class Handshake:
    """What a client answers to the greeting."""

    capabilities: int
    user: bytes = b""
    database: bytes = b""
    is_request_for_tls: bool = False


def handshake(payload: bytes) -> Handshake:
    """HandshakeResponse41 or SSLRequest; the authentication in it is stepped over."""
    capabilities = int.from_bytes(payload[:4], "little")
    if not capabilities & CLIENT_PROTOCOL_41:
        return Handshake(capabilities)
    if len(payload) == 32:
        return Handshake(capabilities, is_request_for_tls=bool(capabilities & CLIENT_SSL))
    user, _, rest = payload[32:].partition(b"\0")
    if capabilities & CLIENT_PLUGIN_AUTH_LENENC:
        size, at = lenenc(rest)
    elif capabilities & CLIENT_SECURE_CONNECTION:
        size, at = rest[0] if rest else 0, 1
    else:
        size, at = rest.find(b"\0"), 1
    if not capabilities & CLIENT_CONNECT_WITH_DB or size < 0:
        return Handshake(capabilities, user)
    return Handshake(capabilities, user, rest[at + size :].partition(b"\0")[0])


# How the beginnings look.


def classify(head: bytes) -> Verdict:  # noqa: PLR0911  (each field may refuse)
    """What the first bytes of one direction are: a greeting, a statement, or the beginning of its result."""
    if len(head) < 5:
        return Verdict.MORE if head[3:4] in (b"", b"\0", b"\x01") else Verdict.NO
    size, sequence, first = int.from_bytes(head[:3], "little"), head[3], head[4]
    body = head[4 : 4 + size]
    is_all = len(body) == size or len(head) >= MAX_CLASSIFY
    if sequence == 0 and first == 0x0A and size <= 1024:
        return _judge_greeting(body, size, is_all=is_all)
    if sequence == 0 and first == ERROR and size <= 1024:
        return _judge_refusal(body, is_all=is_all)
    if sequence == 0 and first in (COM_QUERY, COM_STMT_PREPARE):
        return _judge_text(body, size, is_all=is_all)
    if sequence == 0 and first == COM_STMT_EXECUTE:
        return _judge_execute(body, size)
    if sequence == 1 and first == ERROR and size <= 1024:
        return _judge_error(body, size, is_all=is_all)
    if sequence == 1 and size == 1 and 1 <= first < 0xFB:
        return _judge_columns(head)
    return Verdict.NO


def _judge_greeting(body: bytes, size: int, *, is_all: bool) -> Verdict:
    """Protocol version 10, and the server's version: 8.0.36, 5.5.5-10.11.6-MariaDB."""
    version, end, rest = body[1:].partition(b"\0")
    if size < 24 or _VERSION.match(version + end) is None:
        return Verdict.NO
    if not is_all:
        return Verdict.MORE
    # Behind the thread's number and 8 bytes of the challenge there is a zero.
    return Verdict.GREETING if end and rest[12:13] in (b"", b"\0") else Verdict.NO


_VERSION = re.compile(rb"\d{0,2}\Z|\d{1,2}\.(?:\d{0,2}\Z|\d{1,2}(?:\.[\x20-\x7e]*)?\0?\Z)")


def _judge_refusal(body: bytes, *, is_all: bool) -> Verdict:
    """An error in place of a greeting: too many connections, host blocked, host not allowed."""
    if len(body) >= 3 and int.from_bytes(body[1:3], "little") not in (1040, 1129, 1130):
        return Verdict.NO
    if _PRINTABLE.fullmatch(body[3:]) is None:
        return Verdict.NO
    return Verdict.GREETING if is_all and len(body) > 12 else Verdict.MORE


_PRINTABLE = re.compile(rb"[\x20-\x7e\x80-\xff]*")
_TEXT = re.compile(rb"[\t\n\r\x20-\x7e\x80-\xff]+")
_TEXT_FIRST = re.compile(rb"[\s;(/\-#A-Za-z]")


def statement_at(body: bytes) -> int:
    """Where a COM_QUERY's text begins: behind the attributes that MySQL 8 may send, of which none is the rule."""
    return 3 if body[:3] == b"\x03\0\x01" else 1


def _judge_text(body: bytes, size: int, *, is_all: bool) -> Verdict:
    text = body[statement_at(body) :]
    if size < 4 or (text and _TEXT_FIRST.match(text) is None):
        if body in (b"\x03", b"\x03\0") and size >= 4:
            return Verdict.MORE
        return Verdict.NO
    if text and _TEXT.fullmatch(text) is None:
        return Verdict.NO
    return Verdict.REQUEST if is_all and text else Verdict.MORE


def _judge_execute(body: bytes, size: int) -> Verdict:
    """The statement's number, flags, 1."""
    if size < 10 or (len(body) > 5 and body[5] > 0x0F):
        return Verdict.NO
    if body[6:10] != b"\x01\0\0\0"[: len(body[6:10])]:
        return Verdict.NO
    return Verdict.REQUEST if len(body) >= 10 else Verdict.MORE


def _judge_error(body: bytes, size: int, *, is_all: bool) -> Verdict:
    if size < 9 or body[3:4] not in (b"", b"#"):
        return Verdict.NO
    if re.fullmatch(rb"[0-9A-Z]*", body[4:9]) is None or _PRINTABLE.fullmatch(body[9:]) is None:
        return Verdict.NO
    return Verdict.RESPONSE if is_all else Verdict.MORE


def _judge_columns(head: bytes) -> Verdict:
    """A column count of one byte, then the first column: its catalog is always `def`."""
    expected = {7: 0, 8: 2, 9: 3, 10: 0x64, 11: 0x65, 12: 0x66}
    for at, byte in expected.items():
        if at < len(head) and head[at] != byte:
            return Verdict.NO
    return Verdict.RESPONSE if len(head) > 12 else Verdict.MORE
