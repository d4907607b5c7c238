"""How Cassandra's frames and segments begin: what the first bytes of one direction are.

A private sibling of the Cassandra protocol, and no protocol itself: it registers nothing.
"""

from __future__ import annotations

import re
from typing import Final

from agent.protocols import MAX_CLASSIFY, Verdict
from agent.protocols.cassandra_messages import (
    AUTH_CHALLENGE,
    AUTH_RESPONSE,
    AUTH_SUCCESS,
    AUTHENTICATE,
    BATCH,
    COMPRESSED,
    ERROR,
    ERRORS,
    EVENT,
    EXECUTE,
    HEADER,
    MAX_FLAGS,
    OPTIONS,
    PAYLOAD,
    PREPARE,
    QUERY,
    READY,
    REGISTER,
    REQUESTS,
    RESPONSE,
    RESPONSES,
    RESULT,
    STARTUP,
    SUPPORTED,
    TRACED,
    VERSIONS,
    WARNED,
    decompressed,
)
from agent.protocols.cassandra_segments import beginning_of, kind_of, may_begin

MAX_FIRST: Final = 1 << 24
"""Bytes of a body by which a connection is recognized."""
_WORD = re.compile(rb"[A-Z_]+")
_STATEMENT = re.compile(rb"[\s(]*(?:[A-Za-z/\-][\t\n\r\x20-\x7e\x80-\xff]*)?")


def classify(head: bytes) -> Verdict:
    """What the first bytes of one direction are: a frame, or a segment that begins one."""
    verdict = _judge_frame(head, is_all=len(head) >= MAX_CLASSIFY)
    if verdict is not Verdict.NO or not may_begin(head):
        return verdict
    kind = kind_of(head)
    frame = beginning_of(head, kind) if kind else b""
    if not frame:
        return Verdict.NO if len(head) >= MAX_CLASSIFY else Verdict.MORE
    # So many bits are in its checksum that the version is enough.
    return {5: Verdict.REQUEST, 5 ^ RESPONSE: Verdict.RESPONSE}.get(frame[0], Verdict.NO)


def _judge_frame(head: bytes, *, is_all: bool) -> Verdict:  # noqa: PLR0911  (each field may refuse)
    if not _is_header(head):
        return Verdict.NO
    if len(head) < HEADER:
        return Verdict.MORE
    bit, opcode = head[0] & RESPONSE, head[4]
    size = int.from_bytes(head[5:HEADER], "big")
    if size > MAX_FIRST:
        return Verdict.NO
    body = head[HEADER : HEADER + size]
    is_all = is_all or len(body) == size
    flags = head[1]
    if flags & COMPRESSED and head[0] ^ bit < 5:
        body, size, is_whole = decompressed(body), MAX_FIRST, False
    else:
        is_whole = len(body) == size
    if flags & PAYLOAD or (bit and flags & (TRACED | WARNED)):
        return Verdict.NO  # something else comes first; another frame will do
    fits = _JUDGES[opcode](body, size)
    if fits is False or (fits is None and (is_all or is_whole)):
        return Verdict.NO
    if fits is None:
        return Verdict.MORE
    return Verdict.RESPONSE if bit else Verdict.REQUEST


def _is_header(head: bytes) -> bool:
    """Whether a frame may begin so; only an event has a stream below 0."""
    bit = head[0] & RESPONSE if head else 0
    if head[:1] and head[0] ^ bit not in VERSIONS:
        return False
    if head[1:2] > bytes([MAX_FLAGS]) or (head[2:3] > b"\x7f" and not bit):
        return False
    if len(head) < 5:
        return True
    is_event = head[4] == EVENT
    return head[4] in (RESPONSES if bit else REQUESTS) and (head[2] <= 0x7F or is_event)


# Each says whether a body may begin so; None: it is too little to tell.


def _is_empty(body: bytes, size: int) -> bool | None:
    del body
    return size == 0


def _is_words(body: bytes, size: int) -> bool | None:
    """A number of strings, the first of which is in capitals: options, or kinds of events."""
    if len(body) < 5:
        return None if size >= 5 else False
    count, length = int.from_bytes(body[:2], "big"), int.from_bytes(body[2:4], "big")
    if not 0 < count < 64 or not 0 < length <= 64:
        return False
    word = body[4 : 4 + length]
    return _WORD.fullmatch(word) is not None and (None if len(word) < min(length, 8) else True)


def _is_word(body: bytes, size: int) -> bool | None:
    """A string in capitals: the kind of an event."""
    return _is_words(b"\0\1" + body, size + 2)


def _is_statement(body: bytes, size: int) -> bool | None:
    if len(body) < 5:
        return None if size >= 5 else False
    length = int.from_bytes(body[:4], "big")
    if not 0 < length <= size - 4:
        return False
    text = body[4 : 4 + length]
    return _STATEMENT.fullmatch(text) is not None and (None if len(text) < min(length, 8) else True)


def _is_id(body: bytes, size: int) -> bool | None:
    """An id is an MD5."""
    if len(body) < 2:
        return None if size >= 20 else False
    return body[:2] == b"\0\x10" and size >= 20 and (None if len(body) < 18 else True)


def _is_batch(body: bytes, size: int) -> bool | None:
    if len(body) < 6:
        return None if size >= 6 else False
    if body[0] > 2 or body[3] > 1 or body[1:3] == b"\0\0":
        return False
    rest = body[4:]
    return _is_id(rest, size - 4) if body[3] else _is_statement(rest, size - 4)


def _is_bytes(body: bytes, size: int) -> bool | None:
    """Bytes and nothing else, or none."""
    if len(body) < 4:
        return None if size >= 4 else False
    length = int.from_bytes(body[:4], "big", signed=True)
    return max(length, 0) == size - 4


def _is_class(body: bytes, size: int) -> bool | None:
    """The name of an authenticator's class."""
    if len(body) < 3:
        return None if size >= 3 else False
    return int.from_bytes(body[:2], "big") == size - 2 and body[2:3].isalpha()


def _is_result(body: bytes, size: int) -> bool | None:
    if len(body) < 4:
        return None if size >= 4 else False
    kind = int.from_bytes(body[:4], "big")
    return kind in (2, 3, 4, 5) or (kind == 1 and size in (4, MAX_FIRST))


def _is_error(body: bytes, size: int) -> bool | None:
    if len(body) < 6:
        return None if size >= 6 else False
    return (
        int.from_bytes(body[:4], "big") in ERRORS and int.from_bytes(body[4:6], "big") <= size - 6
    )


_JUDGES: Final = {
    ERROR: _is_error, STARTUP: _is_words, READY: _is_empty, AUTHENTICATE: _is_class, OPTIONS: _is_empty,
    SUPPORTED: _is_words, QUERY: _is_statement, RESULT: _is_result, PREPARE: _is_statement, EXECUTE: _is_id,
    REGISTER: _is_words, EVENT: _is_word, BATCH: _is_batch, AUTH_CHALLENGE: _is_bytes, AUTH_RESPONSE: _is_bytes,
    AUTH_SUCCESS: _is_bytes,
}  # fmt: skip
