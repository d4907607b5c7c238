"""The hot path of Redis: commands and replies of common shapes, read from bytes that are all there.

Two ways, both without a generator: `RedisShortcut` takes one message that is whole in one piece, and `command_at` and
`reply_at` the one that a buffer begins with, for pipelines. What they give equals what `redis_messages.py` reads, or
is None; tests compare them.

A private sibling of the Redis protocol, and no protocol itself: it registers nothing.
"""

from __future__ import annotations

import re
from typing import Final

from agent.protocols import Shortcut
from agent.protocols.redis_messages import (
    MAX_BULK,
    MAX_WORD,
    MAX_WORDS,
    PASSWORD_SUBCOMMANDS,
    PASSWORDS,
    PUSHES,
    SUBSCRIPTIONS,
    Command,
    Kind,
    Reply,
    error_of,
)

_UNUSUAL: Final = (
    SUBSCRIPTIONS | PASSWORDS | PASSWORD_SUBCOMMANDS | {b"MONITOR", b"PSYNC", b"SYNC", b"CLIENT"}
)
"""Commands that change what comes next, or of which not every word is kept: the readers take care of them."""

_SIZES: Final = tuple(b"$%d" % size for size in range(MAX_WORD + 1))
_COUNTS: Final = tuple(b"*%d" % count for count in range(MAX_WORDS + 1))
_NUMBERS: Final = {b"%d" % number: number for number in range(MAX_WORD + 1)}
_size_of = _SIZES.__getitem__
_number_of = _NUMBERS.get
_DOLLAR: Final = 36
_NUMBER_END: Final = 6
"""Where the line end of a size is looked for: the numbers here have three digits."""

_BULK = re.compile(rb"\$(0|[1-9][0-9]{0,10})\r\n")
_REPLIES: Final = {
    b"+OK\r\n": Reply(Kind.STRING, 5, 2),
    b"+PONG\r\n": Reply(Kind.STRING, 7, 4),
    b"+QUEUED\r\n": Reply(Kind.STRING, 9, 6),
    b"$-1\r\n": Reply(Kind.NULL, 5),
    b"*-1\r\n": Reply(Kind.NULL, 5),
    b"_\r\n": Reply(Kind.NULL, 3),
    b":0\r\n": Reply(Kind.NUMBER, 4),
    b":1\r\n": Reply(Kind.NUMBER, 4),
}
"""What most replies are, ready-made: replies are never changed."""
_known = _REPLIES.get


class RedisShortcut(Shortcut):
    """A command, or a reply without nested ones, that is whole in one piece."""

    remembers = False

    def request(self, data: bytes) -> Command | None:
        """The command, if `data` is exactly one that changes nothing for those that follow."""
        words = _flat(data)
        if not words or words[0].upper() in _UNUSUAL:
            return None
        return Command(tuple(words), len(words), len(data))

    def response(self, data: bytes, size: int, request: Command) -> Reply | None:
        """The reply of which `size` bytes begin with `data`."""
        del request
        reply = _known(data)
        if reply is not None:
            return reply if size == reply.size else None
        if data[:1] == b"$":
            reply = _bulk(data)
            return reply if reply is not None and reply.size >= size else None
        if len(data) != size or data[-2:] != b"\r\n":
            return None
        if data[:1] == b"*":
            words = _flat(data)
            if not words or words[0] in PUSHES:
                return None
            return Reply(Kind.ARRAY, size, len(words))
        return _line(data) if data.find(b"\n") == size - 1 else None


def command_at(data: bytes) -> Command | None:
    """The command that `data` begins with, if it is whole there, and its words are short and no passwords."""
    if data[:1] != b"*":
        return None
    find = data.find
    end = find(b"\r\n", 1, _NUMBER_END)
    count = _number_of(data[1:end])
    if not count or count > MAX_WORDS:
        return None
    at = end + 2
    words = []
    for _ in range(count):
        end = find(b"\r\n", at, at + _NUMBER_END)
        size = _number_of(data[at + 1 : end])
        if end < 0 or size is None or data[at] != _DOLLAR:
            return None
        at = end + 2 + size
        words.append(data[end + 2 : at])
        at += 2
    if at > len(data) or words[0].upper() in _UNUSUAL:
        return None
    return Command(tuple(words), count, at)


def reply_at(data: bytes) -> Reply | None:
    """The reply that `data` begins with, if it is whole there and has nothing nested in it."""
    if data[:1] == b"$":
        reply = _bulk(data)
        if reply is not None:
            return reply if reply.size <= len(data) else None
    end = data.find(b"\r\n") + 2
    if end < 2:
        return None
    line = data[:end]
    return _known(line) or _line(line)


def _flat(data: bytes) -> list[bytes] | None:
    """The short strings of an array that holds nothing else and ends with `data`. None also where one has a line end."""
    parts = data.split(b"\r\n")
    words = parts[2:-1:2]
    try:
        if parts[-1] or len(parts) & 1 or parts[0] != _COUNTS[len(words)]:
            return None
        return words if list(map(_size_of, map(len, words))) == parts[1:-1:2] else None
    except IndexError:
        return None  # one is long, or there are many


def _bulk(data: bytes) -> Reply | None:
    """A string, all of which need not be there."""
    found = _BULK.match(data)
    if found is None:
        return None
    count = int(found[1])
    return Reply(Kind.STRING, found.end() + count + 2, count) if count <= MAX_BULK else None


def _line(line: bytes) -> Reply | None:
    """A reply that is one line, with its end."""
    mark = line[:1]
    if mark == b":":
        return Reply(Kind.NUMBER, len(line))
    if mark == b"+":
        return Reply(Kind.STRING, len(line), len(line) - 3)
    if mark != b"-":
        return None
    error = error_of(line[1:-2])
    error.size = len(line)
    return error
