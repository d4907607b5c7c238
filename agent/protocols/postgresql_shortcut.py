"""The hot path of PostgreSQL: one statement in one piece, and its response in another.

    Query
    [Parse] [Bind] [Describe] Execute Sync      in any order that ends so

It takes these and leaves everything else, by answering None, to the readers. What it does answer equals what the readers
would (tests/protocols/test_postgresql_shortcut.py). A private sibling of `postgresql`: there is one for each connection.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

from agent.protocols import Shortcut
from agent.protocols.postgresql_messages import (
    MAX_SMALL,
    SYNC,
    Kind,
    Reply,
    Statement,
    returned,
    sqlstate,
)
from agent.sql import MAX_STATEMENT, split_comment

if TYPE_CHECKING:
    from agent.protocols.postgresql import Postgresql

_HEAD: Final = struct.Struct(">BI")
_PARSE, _BIND, _DESCRIBE, _EXECUTE, _QUERY = b"PBDEQ"
_COMPLETE, _ROW, _ERROR = b"CDE"
_PASSED: Final = frozenset(b"12Tnt3Is")
"""Messages of a response that tell nothing; a notice before it is none of its own."""
_READY: Final = b"Z\0\0\0\x05"
_STATUS: Final = frozenset(b"ITE")
MAX_NAMES: Final = 250
"""Bytes of a message's names: readers look at 256."""

_AS_QUERY: Final = Kind.QUERY


class PostgresqlShortcut(Shortcut):
    """See the module's text."""

    def __init__(self, protocol: Postgresql) -> None:
        self._protocol = protocol

    def request(self, data: bytes) -> Statement | None:  # noqa: C901, PLR0911, PLR0912  # the hot path
        """One statement, with nothing before or behind it."""
        protocol = self._protocol
        size = len(data)
        if protocol.strays or protocol.is_copying or protocol.is_asking or size < 6:
            return None
        carrier: dict[str, str] | None = None
        if data[0] == _QUERY:
            text = data[5:-1]
            if int.from_bytes(data[1:5], "big") != size - 1 or data[-1] or b"\0" in text:
                return None
            if size > MAX_STATEMENT:
                return None
            if b"='" in text:
                text, carrier = split_comment(text)
            return Statement(_AS_QUERY, text, protocol.session, carrier, "", size)
        end = size - 5
        if data[end:] != SYNC:
            return None
        at = 0
        find = data.find
        unpack = _HEAD.unpack_from
        while at < end:
            kind, length = unpack(data, at)
            body = at + 5
            at += 1 + length
            if at > end or length < 4:
                return None
            if kind == _DESCRIBE:
                if length > MAX_SMALL:
                    return None
                continue
            first = find(b"\0", body, at)
            if first < 0:
                return None
            if kind == _EXECUTE:
                if at != end or first - body > MAX_NAMES or length > MAX_SMALL:
                    return None
                message = protocol.executed(data[body:first], carrier)
                message.size = size
                return message
            second = find(b"\0", first + 1, at)
            if second < 0:
                return None
            if kind == _BIND:
                if second - body > MAX_NAMES:
                    return None
                protocol.bound(data[body:first], data[first + 1 : second])
            elif kind == _PARSE and second - body < MAX_STATEMENT:
                text = data[first + 1 : second]
                carrier = None
                if b"='" in text:
                    text, carrier = split_comment(text)
                protocol.parsed(data[body:first], text)
            else:
                return None
        return None

    def response(self, data: bytes, size: int, request: Statement) -> Reply | None:  # noqa: C901
        """All of a response."""
        end = size - 6
        if end <= 0 or len(data) != size or data[end:-1] != _READY or data[-1] not in _STATUS:
            return None
        del request
        rows: int | None = None
        error = ""
        has_rows = False
        at = 0
        unpack = _HEAD.unpack_from
        while at < end:
            kind, length = unpack(data, at)
            body = at + 5
            at += 1 + length
            if at > end or length < 4:
                return None
            if kind == _ROW:
                has_rows = True
            elif kind == _COMPLETE:
                if length > 64 or error:
                    return None
                found = returned(data[body:at], has_rows=has_rows)
                has_rows = False
                if found is not None:
                    rows = found if rows is None else rows + found
            elif kind == _ERROR:
                if error or length > 1024:
                    return None
                error = sqlstate(data[body:at])
            elif kind not in _PASSED or (length > MAX_SMALL and kind != 0x54):
                return None
        if error:
            rows = None
        return Reply(rows, error, False, size)  # noqa: FBT003  # by position, on the hot path
