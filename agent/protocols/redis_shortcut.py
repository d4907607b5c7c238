"""The hot path of Redis: commands and replies of common shapes, read from bytes that are all there.

Two ways, both without a generator: `RedisShortcut` takes one command or one batch (redis_batches.py) that is whole in one
piece, and its replies; `command_at` and `reply_at` take the one that a buffer begins with. What they give equals what
`redis_messages.py` reads, but for words on which no text depends, or is None; tests compare them.

Commands of one pattern differ in digits only: in the last number of a key, or in a value. So what was read is kept by its
bytes with every digit made 0, and the digits on which something depends are compared at once, as one number.

A private sibling of the Redis protocol, and no protocol itself: it registers nothing.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from agent import redaction
from agent.protocols import Shortcut
from agent.protocols.redis_batches import UNUSUAL, Batch, succeeded
from agent.protocols.redis_messages import (
    MAX_BULK,
    MAX_WORD,
    MAX_WORDS,
    PUSHES,
    Command,
    Kind,
    Reply,
    error_of,
)

MAX_SMALL: Final = 4096
"""Bytes of a string whose reply is kept ready-made: 1 MB if all sizes come."""
MAX_KNOWN: Final = 64
"""Patterns that one shortcut keeps, with what was read of them."""
MAX_SEEN: Final = 256
"""Patterns that came once: one that comes again is worth keeping."""
MAX_KEPT: Final = 8192
"""Bytes of a pattern that is kept."""
MAX_ALL_KEPT: Final = 128 * 1024
"""Bytes of all of them; with what was read and how it is compared, it is four times as much."""

_SIZES: Final = tuple(b"$%d" % size for size in range(MAX_WORD + 1))
_STOPS: Final = {b"*%d" % count: 2 * count + 1 for count in range(1, MAX_WORDS + 1)}
"""How many lines a command of so many words has."""
_NUMBERS: Final = {b"%d" % number: number for number in range(MAX_WORD + 1)}
_DIGITS: Final = bytes.maketrans(b"0123456789", b"0" * 10)
_size_of = _SIZES.__getitem__
_number_of = _NUMBERS.get
_stop_of = _STOPS.get
_DOLLAR: Final = 36
_NUMBER_END: Final = 6
"""Where the line end of a count is looked for: the numbers here have three digits."""

_BULK = re.compile(rb"\$(0|[1-9][0-9]{0,10})\r\n")
_COUNT = re.compile(rb"\*([1-9][0-9]{0,5})\r\n")
_NUMBERS_AND_WORDS: Final = re.compile(rb"(?:[:+][^\r\n]*\r\n)+")
_NULL: Final = b"$-1\r\n"
_EMPTY: Final = (b"*0\r\n", b"*-1\r\n")
_LINES: Final = (b"+", b":", b"-", b"_")
_MINUS: Final = ord("-")
_REPLIES: Final = {
    b"+OK\r\n": Reply(Kind.STRING, 5, 2),
    b"+PONG\r\n": Reply(Kind.STRING, 7, 4),
    b"+QUEUED\r\n": Reply(Kind.STRING, 9, 6),
    _NULL: Reply(Kind.NULL, 5),
    b"*-1\r\n": Reply(Kind.NULL, 5),
    b"_\r\n": Reply(Kind.NULL, 3),
    b":0\r\n": Reply(Kind.NUMBER, 4),
    b":1\r\n": Reply(Kind.NUMBER, 4),
}
"""What most replies are, ready-made: replies are never changed."""
_known = _REPLIES.get
_NUMBER_REPLIES: Final = tuple(Reply(Kind.NUMBER, size) for size in range(32))
"""By their size."""
_BULKS: Final[dict[bytes, Reply]] = {}
"""Strings by their first line; of small sizes, so there are few."""
_bulk_of = _BULKS.get


class _Known(NamedTuple):
    """What was read, and the bytes on which that depends."""

    request: Command | Batch
    mask: int
    """The bytes that must be the same, all of whose bits are set here; the first is the lowest."""
    fixed: int
    """What they are."""


class RedisShortcut(Shortcut):
    """A command, or a batch, that is whole in one piece; replies without nested ones."""

    remembers = False

    def __init__(self) -> None:
        self._known: dict[bytes, _Known] = {}
        """By the bytes, each digit made 0; the oldest goes first."""
        self._kept = 0
        """Bytes of those."""
        self._seen: set[int] = set()
        """Hashes of such bytes."""

    def request(self, data: bytes) -> Command | Batch | None:
        """The commands, if `data` is exactly one or several that change nothing for those that follow."""
        pattern = data.translate(_DIGITS)
        known = self._known.get(pattern)
        if known is not None and int.from_bytes(data, "little") & known.mask == known.fixed:
            return known.request
        found = commands_in(data)
        if found is None:
            return None
        for words in found:
            if words[0].upper() in UNUSUAL:
                return None
        self._see(pattern, data, found)
        if len(found) > 1:
            return Batch.of(found, len(found))
        return Command(tuple(found[0][:MAX_WORDS]), len(found[0]), len(data))

    def response(self, data: bytes, size: int, request: Command | Batch) -> Reply | None:
        """The reply, or all of a batch's replies, of which `size` bytes begin with `data`."""
        if request.__class__ is Batch:
            return replies_in(data, request.count) if len(data) == size else None
        reply = _known(data)
        if reply is not None:
            return reply if size == reply.size else None
        if data[:1] == b"$":
            reply = _bulk_of(data[: data.find(b"\n") + 1]) or _bulk(data)
            return reply if reply is not None and reply.size >= size else None
        return _line_or_array(data) if len(data) == size and data[-2:] == b"\r\n" else None

    def _see(self, pattern: bytes, data: bytes, commands: list[list[bytes]]) -> None:
        """Keep what is of a pattern that came before."""
        seen, number = self._seen, hash(pattern)
        if number not in seen:
            if len(seen) >= MAX_SEEN:
                seen.clear()
            seen.add(number)
            return
        if len(data) > MAX_KEPT or max(map(len, commands)) > MAX_WORDS:
            return
        seen.discard(number)
        while len(self._known) >= MAX_KNOWN or self._kept > MAX_ALL_KEPT - len(data):
            oldest = next(iter(self._known))
            del self._known[oldest]
            self._kept -= len(oldest)
        self._kept += len(data)
        request: Command | Batch
        if len(commands) > 1:
            request = Batch.of(commands, len(commands))
        else:
            shape = redaction.shape(commands[0])
            request = Command(shape, len(commands[0]), len(data), shape=shape)
        mask = _mask(data, commands)
        self._known[pattern] = _Known(request, mask, int.from_bytes(data, "little") & mask)


def commands_in(data: bytes) -> list[list[bytes]] | None:
    """The words of all commands in `data`, if it is nothing but whole ones; as much of each word as is kept."""
    lines = data.split(b"\r\n")
    end = len(lines) - 1
    if lines[end] or not end:
        return None
    found = []
    at = 0
    try:
        while at < end:
            stop = at + _STOPS[lines[at]]
            words = lines[at + 2 : stop : 2]
            if list(map(_size_of, map(len, words))) != lines[at + 1 : stop : 2]:
                return _scanned(data)
            found.append(words)
            at = stop
    except (IndexError, KeyError):
        return _scanned(data)  # one is long, or has line ends, or there are many
    return found if at == end else None


def _scanned(data: bytes) -> list[list[bytes]] | None:
    """The same, one after the other."""
    found = []
    at = 0
    while at < len(data):
        words = _words_at(data, at)
        if words is None:
            return None
        found.append(words[0])
        at = words[1]
    return found


def replies_in(data: bytes, count: int) -> Reply | None:
    """What so many replies say that are all of `data`, if none of them has others in it."""
    size = len(data)
    one = data[: size // count]
    if one * count == data:
        # All are the same, mostly +OK.
        reply = reply_at(one)
        if reply is not None and reply.size == len(one) and not reply.error:
            return succeeded(count, size)
    if _NUMBERS_AND_WORDS.fullmatch(data) is not None and data.count(b"\n") == count:
        return succeeded(count, size)
    return _each_reply(data, count)


def _each_reply(data: bytes, count: int) -> Reply | None:
    """One after the other."""
    failures, error, at = 0, "", 0
    for _ in range(count):
        begin, at = at, _reply_end(data, at)
        if at < 0:
            return None
        if data[begin] == _MINUS:
            failures += 1
            error = error or error_of(data[begin + 1 : at - 2]).error
    if at != len(data):
        return None
    return (
        Reply(Kind.BATCH, at, count, error, failures=failures) if failures else succeeded(count, at)
    )


def _reply_end(data: bytes, at: int) -> int:
    """Where a reply ends that begins at a place and has none but strings in it; negative if it is not such a one."""
    mark = data[at : at + 1]
    end = data.find(b"\r\n", at) + 2
    if end < 2:
        return -1
    if mark == b"$":
        size = _number_of(data[at + 1 : end - 2])
        if size is not None:
            return end + size + 2
        bulk = _bulk(data[at:end])
        return at + bulk.size if bulk is not None else end if data[at:end] == _NULL else -1
    if mark == b"*":
        return _array_end(data, at, end)
    return end if mark in _LINES else -1


def _array_end(data: bytes, at: int, first: int) -> int:
    """Where an array of strings ends that begins at a place, its first element at another; negative if it is not such a one."""
    if data[at:first] in _EMPTY:
        return first
    found = _COUNT.match(data, at)
    if found is None or not data.startswith(b"$", first):
        return -1
    count = int(found[1])
    head = data.find(b"\r\n", first) + 2
    size = _number_of(data[first + 1 : head - 2])
    if head < 2 or size is None or data[head : head + size] in PUSHES:
        return -1
    # Most have elements of one size: then their heads are the same bytes in equal distances.
    step = head - first + size + 2
    end = first + count * step
    if end <= len(data) and all(
        data[place:end:step] == data[place : place + 1] * count for place in range(first, head)
    ):
        return end
    end = first
    for _ in range(count):
        found = _BULK.match(data, end)
        if found is not None:
            end = found.end() + int(found[1]) + 2
        elif data.startswith(_NULL, end):
            end += len(_NULL)
        else:
            return -1
    return end if end <= len(data) else -1


def command_at(data: bytes) -> Command | None:
    """The command that `data` begins with, if it is whole there, and its words are few and no passwords."""
    found = _words_at(data, 0)
    if found is None or found[0][0].upper() in UNUSUAL:
        return None
    return Command(tuple(found[0]), len(found[0]), found[1])


def _words_at(data: bytes, at: int) -> tuple[list[bytes], int] | None:
    """The strings of an array that is whole at a place in `data`, as much of each as is kept, and where it ends."""
    find = data.find
    end = find(b"\r\n", at, at + _NUMBER_END)
    stop = _stop_of(data[at:end]) if end > 0 else None
    if stop is None:
        return None
    at = end + 2
    words = []
    for _ in range(stop >> 1):
        end = find(b"\r\n", at, at + 2 * _NUMBER_END)
        if end < 0 or data[at] != _DOLLAR:
            return None
        size = _number_of(data[at + 1 : end])
        if size is None:
            found = _BULK.match(data, at)
            if found is None:
                return None
            size = int(found[1])
            words.append(data[end + 2 : end + 2 + min(size, MAX_WORD)])
        else:
            words.append(data[end + 2 : end + 2 + size])
        at = end + 2 + size + 2
    return (words, at) if at <= len(data) else None


def reply_at(data: bytes) -> Reply | None:
    """The reply that `data` begins with, if it is whole there and has nothing but strings in it."""
    if data[:1] == b"$":
        reply = _bulk(data)
        if reply is not None:
            return reply if reply.size <= len(data) else None
    end = data.find(b"\r\n") + 2
    if end < 2:
        return None
    if data[:1] == b"*" and data[:end] != b"*-1\r\n":
        size = _array_end(data, 0, end)
        return Reply(Kind.ARRAY, size, int(data[1 : end - 2])) if size > 0 else None
    line = data[:end]
    return _known(line) or _line(line)


def _mask(data: bytes, commands: list[list[bytes]]) -> int:
    """All bits of the bytes of `data` on which what is known of its commands depends."""
    mask = bytearray(b"\xff" * len(data))
    at = 0
    for words in commands:
        at = data.index(b"\r\n", at) + 2
        for word, free in zip(words, redaction.free_digits(words), strict=True):
            begin = data.index(b"\r\n", at) + 2
            size = int(data[at + 1 : begin - 2])
            at = begin + size
            if len(word) == size:
                for place in range(at - free, at):
                    if data[place : place + 1].isdigit():
                        mask[place] = 0
            at += 2
    return int.from_bytes(mask, "little")


def _line_or_array(data: bytes) -> Reply | None:
    """A reply that is all of `data`."""
    if data[:1] != b"*":
        return _line(data) if data.find(b"\n") == len(data) - 1 else None
    reply = reply_at(data)
    return reply if reply is not None and reply.size == len(data) else None


def _bulk(data: bytes) -> Reply | None:
    """A string, all of which need not be there."""
    found = _BULK.match(data)
    if found is None:
        return None
    count = int(found[1])
    if count > MAX_BULK:
        return None
    reply = Reply(Kind.STRING, found.end() + count + 2, count)
    if count <= MAX_SMALL:
        _BULKS[found[0]] = reply
    return reply


def _line(line: bytes) -> Reply | None:
    """A reply that is one line, with its end."""
    mark = line[:1]
    if mark == b":":
        size = len(line)
        return _NUMBER_REPLIES[size] if size < len(_NUMBER_REPLIES) else Reply(Kind.NUMBER, size)
    if mark == b"+":
        return Reply(Kind.STRING, len(line), len(line) - 3)
    if mark != b"-":
        return None
    error = error_of(line[1:-2])
    error.size = len(line)
    return error
