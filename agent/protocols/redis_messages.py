"""Redis' messages: RESP2 and RESP3, commands and replies, one at a time.

https://redis.io/docs/latest/develop/reference/protocol-spec/

    command   *<count> CRLF, then that many $<size> CRLF <bytes> CRLF; or a line of words (inline)
    reply     one of + - : $ * _ # , ( ! = % ~ > and, before any of them, | (attributes)

A reply has no number: the nth reply that is no push answers the nth command, but for commands that are answered by
pushes (`is_subscription`), by several replies or by none (`CLIENT REPLY`, MONITOR). RESP3 begins where a HELLO 3 is
answered; the types tell themselves apart, so nothing here depends on it.

Kept of a command: its first words, each cut. Kept of a reply: what kind it is, whether it is null, an error's first
word. Never kept: what follows AUTH, HELLO and other commands that carry passwords; values.

Where a size or a type lies in a hole, the end of the message is not known. It is taken to end with its turn, and
`is_truncated` says so: other messages may have ended with it.
"""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Final

from agent.errors import ProtocolError
from agent.protocols import Verdict
from agent.protocols.captured import read_head

if TYPE_CHECKING:
    from agent.stream import Read, Stream

MAX_WORDS: Final = 64
"""Words of a command that are kept."""
MAX_WORD: Final = 256
"""Bytes of a word that are kept; keys are shorter."""
MAX_ARGUMENTS: Final = 1024 * 1024
"""Of a command: Redis' own limit (networking.c)."""
MAX_BULK: Final = 4 * 1024 * 1024 * 1024
"""Bytes of a string: proto-max-bulk-len may be raised from 512 MB."""
MAX_LINE: Final = 64 * 1024
"""Redis' limit of an inline command, PROTO_INLINE_MAX_SIZE."""
MAX_NUMBER: Final = 32
"""Bytes of a line that holds a size."""
MAX_DEPTH: Final = 16
"""Nested aggregates; COMMAND DOCS and CLUSTER SHARDS have 6."""
MAX_ERROR: Final = 128
"""Bytes of an error that are looked at."""

_SIZE = re.compile(rb"(?:0|[1-9][0-9]{0,10})\r\n")
_NULL_SIZE = b"-1\r\n"
_ERROR_CODE = re.compile(rb"[A-Z][A-Z0-9_]{1,31}(?![a-z0-9])")
_REDIRECTION = re.compile(rb"(MOVED|ASK) (\d{1,5}) ([\w.:\-\[\]]{1,255})\Z")

PASSWORDS: Final = frozenset((b"AUTH", b"HELLO", b"MIGRATE"))
"""Commands of which only the name is kept."""
PASSWORD_SUBCOMMANDS: Final = frozenset((b"ACL", b"CONFIG", b"SENTINEL"))
"""Commands of which the name and the subcommand are kept."""
SUBSCRIPTIONS: Final = frozenset(
    (b"SUBSCRIBE", b"UNSUBSCRIBE", b"PSUBSCRIBE", b"PUNSUBSCRIBE", b"SSUBSCRIBE", b"SUNSUBSCRIBE")
)
_CONFIRMATIONS = frozenset(name.lower() for name in SUBSCRIPTIONS)
PUSHES = {b"message": 3, b"pmessage": 4, b"smessage": 3, **dict.fromkeys(_CONFIRMATIONS, 3)}
"""What an array that is sent to a subscriber begins with, and how long it is."""

# How the beginnings look. Each is written so that a prefix of it matches, too: the last group is there in whole ones.
_COMMAND = re.compile(
    rb"\*(?:[1-9][0-9]{0,6}(?:\r(?:\n(?:\$(?:[1-9][0-9]?(?:\r(?:\n([A-Za-z].*)?)?)?)?)?)?)?)?",
    re.DOTALL,
)
_NUMBER_REPLY = re.compile(rb"[$*:%~>](?:-?(?:[0-9]{1,19}(?:\r(?:(\n).*)?)?)?)?", re.DOTALL)
_COMMAND_NAME = re.compile(rb"[A-Za-z][A-Za-z0-9._|\-]*")
_SIMPLE_REPLIES = (b"+OK\r\n", b"+PONG\r\n", b"+QUEUED\r\n", b"_\r\n", b"#t\r\n", b"#f\r\n")
_ERRORS = (
    *(b"-ERR " + text for text in (b"unknown command", b"wrong number", b"syntax error", b"value is not", b"no such key",
                                   b"invalid", b"index out", b"max number", b"AUTH", b"Client sent AUTH", b"DISCARD", b"EXEC")),
    *(b"-" + code + b" " for code in (b"WRONGTYPE", b"NOAUTH", b"WRONGPASS", b"NOPERM", b"NOSCRIPT", b"LOADING", b"BUSY",
                                      b"MOVED", b"ASK", b"CLUSTERDOWN", b"CROSSSLOT", b"TRYAGAIN", b"MASTERDOWN", b"READONLY",
                                      b"EXECABORT", b"OOM", b"MISCONF", b"NOREPLICAS", b"BUSYKEY", b"NOPROTO", b"UNBLOCKED",
                                      b"BUSYGROUP", b"NOGROUP", b"DENIED", b"NOTBUSY")),
)  # fmt: skip


class Kind(enum.Enum):
    """What a reply is; RESP2's null bulk string and null array are NULL."""

    STRING = "string"
    ERROR = "error"
    NUMBER = "number"
    NULL = "null"
    ARRAY = "array"
    """Also a set."""
    MAP = "map"
    BATCH = "batch"
    """The replies to commands that were sent together (redis_batches.py)."""


@dataclass(slots=True)
class Command:
    """A command."""

    words: tuple[bytes, ...]
    """The first ones, cut, name first as sent; without what may be a password."""
    count: int
    """Of all words."""
    size: int
    """Bytes on the wire."""
    is_inline: bool = False
    is_truncated: bool = False
    """A word was not captured whole."""
    is_end_guessed: bool = False
    """Its end is the end of the turn, for want of anything better."""
    shape: tuple[bytes, ...] | None = field(default=None, compare=False)
    """`redaction.shape` of the words, where that is known already."""
    carrier: ClassVar[None] = None

    @property
    def name(self) -> bytes:
        """In capitals; empty for an empty line."""
        return self.words[0].upper() if self.words else b""

    @property
    def is_subscription(self) -> bool:
        """Answered by pushes, one for each channel, in RESP2 by arrays like them."""
        return self.name in SUBSCRIPTIONS


@dataclass(slots=True)
class Reply:
    """A reply or a push."""

    kind: Kind
    size: int
    """Bytes on the wire, its attributes included."""
    count: int = 0
    """Elements of an array, pairs of a map, bytes of a string, replies to a batch."""
    error: str = ""
    """An error's code, its first word, such as WRONGTYPE; `ERR` where it has none."""
    redirection: str = ""
    """Of MOVED and ASK: the node's address."""
    is_push: bool = False
    """RESP3's push: answers no command."""
    push: bytes = b""
    """What an array or push for subscribers begins with: `message`, `subscribe`, …; empty for all else."""
    subscriptions: int = 0
    """Of a confirmation: how many there are now."""
    is_truncated: bool = False
    """Something that would tell more, or where it ended, was not captured."""
    failures: int = 0
    """Errors among the replies to a batch; `error` is the first one's."""


def classify(head: bytes) -> Verdict:
    """What the first bytes of one direction are. Inline commands claim nothing: other protocols have lines, too.

    An array of strings is a command if its first string is a command's name, as all of them that clients send are; it
    is one, too, for a reply that looks so.
    """
    first = head[:1]
    if first == b"*":
        found = _COMMAND.fullmatch(head)
        if found is not None:
            return _judge_command(head, found)
    if first in b"$*:%~>" and first:
        found = _NUMBER_REPLY.fullmatch(head)
        if found is None:
            return Verdict.NO
        return Verdict.RESPONSE if found[1] else Verdict.MORE
    return _classify_line(head)


def read_command(stream: Stream) -> Read[Command]:
    """One command, after any empty lines."""
    yield from stream.wait()
    while stream.peek(1) in (b"\r", b"\n"):
        yield from stream.skip(1)
        yield from stream.wait()
    stream.begin()
    begun = stream.position
    if stream.peek(1) not in (b"*", b""):
        return (yield from _read_inline(stream))
    count = yield from _read_size(stream, b"*", MAX_ARGUMENTS)
    if count is None:
        yield from stream.skip_turn(b"")
        return Command((), 0, stream.position - begun, is_truncated=True, is_end_guessed=True)
    words: list[bytes] = []
    is_cut = False
    for index in range(max(count, 0)):
        size = yield from _read_size(stream, b"$", MAX_BULK)
        if size is None:
            yield from stream.skip_turn(b"")
            size = stream.position - begun
            return Command(kept(words), count, size, is_truncated=True, is_end_guessed=True)
        if size < 0:
            raise ProtocolError("a word of a command is null")
        word = yield from read_head(stream, size, MAX_WORD)
        yield from stream.skip(2)
        if index < MAX_WORDS:
            words.append(word)
            is_cut = is_cut or len(word) < min(size, MAX_WORD)
    size = stream.position - begun
    return Command(kept(words), max(count, 0), size, is_truncated=is_cut)


def read_reply(stream: Stream) -> Read[Reply]:  # noqa: C901  (each way in which a reply may go on)
    """One reply, with all that is in it."""
    yield from stream.wait()
    stream.begin()
    begun = stream.position
    waiting = [1]
    """Elements still to come, of each aggregate that is open."""
    top: Reply | None = None
    push: bytes | None = None
    is_cut = False
    subscriptions = 0
    while waiting:
        if len(waiting) > MAX_DEPTH:
            raise ProtocolError(f"a reply is nested deeper than {MAX_DEPTH}")
        if waiting[-1] == 0:
            waiting.pop()
            continue
        if (yield from _is_hole(stream)):
            return (yield from _give_up(stream, top, begun))
        mark = stream.peek(1)
        element = yield from _read_element(stream, mark)
        if element is None:
            return (yield from _give_up(stream, top, begun))
        reply, inner, word = element
        if mark != b"|":
            waiting[-1] -= 1
            if len(waiting) == 1:
                top = _plain(reply)
            elif top is not None and top.kind is Kind.ARRAY and len(waiting) == 2:
                if push is None:
                    push, is_cut = word, reply.is_truncated
                subscriptions = reply.count if mark == b":" else 0
        if inner:
            waiting.append(inner)
    assert top is not None
    top.size = stream.position - begun
    top.is_truncated |= is_cut
    if push in PUSHES and top.count == PUSHES[push]:
        top.push, top.subscriptions = push, subscriptions
    return top


def resync(head: bytes) -> int | None:
    """Where in `head` a command or a reply begins, after a loss: behind a line end, and whole enough to be one."""
    at = 0
    while True:
        if classify(head[at : at + 64]) in (Verdict.REQUEST, Verdict.RESPONSE):
            return at
        end = head.find(b"\r\n", at)
        if end < 0:
            return None
        at = end + 2


def _judge_command(head: bytes, found: re.Match[bytes]) -> Verdict:
    rest = found[1]
    if rest is None:
        return Verdict.MORE
    size = int(head[head.index(b"$") + 1 : found.start(1) - 2])
    name = rest[:size]
    if _COMMAND_NAME.fullmatch(name) is None:
        return Verdict.RESPONSE
    if len(rest) < size + 2:
        return Verdict.MORE if rest[size:] in (b"", b"\r") else Verdict.NO
    return Verdict.REQUEST if rest[size : size + 2] == b"\r\n" else Verdict.NO


def _classify_line(head: bytes) -> Verdict:
    if head.startswith((*_SIMPLE_REPLIES, *_ERRORS)):
        return Verdict.RESPONSE
    if any(text.startswith(head) for text in (*_SIMPLE_REPLIES, *_ERRORS)):
        return Verdict.MORE
    return Verdict.NO


def _read_inline(stream: Stream) -> Read[Command]:
    """Words in a line; quotes are not looked into."""
    begun = stream.position
    size = yield from stream.find((b"\n",), MAX_LINE)
    if size < 0:
        yield from stream.skip_turn(b"\n")
        size = stream.position - begun
        return Command((), 0, size, is_inline=True, is_truncated=True, is_end_guessed=True)
    line = stream.take(size)
    if b"\x00" in line or line[:1] > b"\x7f":
        raise ProtocolError("a command is neither an array nor a line of words")
    words = line.split()
    first = kept([word[:MAX_WORD] for word in words[:MAX_WORDS]])
    return Command(first, len(words), size, is_inline=True)


def kept(words: list[bytes]) -> tuple[bytes, ...]:
    """Without what may be a password."""
    name = words[0].upper() if words else b""
    if name in PASSWORDS:
        return tuple(words[:1])
    return tuple(words[:2]) if name in PASSWORD_SUBCOMMANDS else tuple(words)


def _read_size(stream: Stream, mark: bytes, limit: int) -> Read[int | None]:
    """A line of a mark and a size; -1 for null, None in a hole."""
    if (yield from _is_hole(stream)):
        return None
    if stream.peek(1) != mark:
        raise ProtocolError(f"{stream.peek(1)!r} where {mark!r} should be")
    size = yield from stream.find((b"\n",), MAX_NUMBER)
    if size < 0:
        return None
    return _size(stream.take(size)[1:], limit)


def _size(digits: bytes, limit: int) -> int:
    if digits == _NULL_SIZE:
        return -1
    if _SIZE.fullmatch(digits) is None:
        raise ProtocolError(f"{digits!r} is no size")
    value = int(digits)
    if value > limit:
        raise ProtocolError(f"size {value} exceeds {limit}")
    return value


def _is_hole(stream: Stream) -> Read[bool]:
    yield from stream.wait()
    return stream.is_at_gap


def _read_element(stream: Stream, mark: bytes) -> Read[tuple[Reply, int, bytes] | None]:
    """One element without those in it: itself, how many are in it, its first bytes. None in a hole."""
    if mark in b"+-:#,(_":
        return (yield from _read_line(stream, mark))
    if mark not in b"$!=*~>%|":
        raise ProtocolError(f"{mark!r} begins no reply")
    size = yield from _read_size(stream, mark, MAX_BULK)
    if size is None:
        return None
    if size < 0:
        return Reply(Kind.NULL, 0), 0, b""
    if mark in b"$!=":
        head = yield from read_head(stream, size, MAX_ERROR)
        yield from stream.skip(2)
        reply = error_of(head) if mark == b"!" else Reply(Kind.STRING, 0, size)
        reply.is_truncated = len(head) < min(size, MAX_ERROR)
        return reply, 0, head
    if mark in b"%|":
        return Reply(Kind.MAP, 0, size), 2 * size, b""
    return Reply(Kind.ARRAY, 0, size, is_push=mark == b">"), size, b""


def _read_line(stream: Stream, mark: bytes) -> Read[tuple[Reply, int, bytes] | None]:
    size = yield from stream.find((b"\n",), MAX_LINE)
    if size < 0:
        return None
    line = stream.take(size)[1:-2]
    if mark == b"-":
        return error_of(line), 0, b""
    if mark == b"_":
        return Reply(Kind.NULL, 0), 0, b""
    if mark == b"+":
        return Reply(Kind.STRING, 0, len(line)), 0, line
    return Reply(Kind.NUMBER, 0, _count(line) if mark == b":" else 0), 0, b""


def _plain(reply: Reply) -> Reply:
    """What is asked for by itself: a number's value does not matter, nor whether a string was captured whole."""
    if reply.kind is Kind.NUMBER:
        reply.count = 0
    elif reply.kind is Kind.STRING:
        reply.is_truncated = False
    return reply


def _count(digits: bytes) -> int:
    """An integer, if it is as small as the number of something."""
    return int(digits) if digits.isdigit() and len(digits) < MAX_NUMBER else 0


def error_of(text: bytes) -> Reply:
    """What an error's text says."""
    code = _ERROR_CODE.match(text[:MAX_ERROR])
    moved = _REDIRECTION.match(text[:MAX_ERROR])
    return Reply(
        Kind.ERROR,
        0,
        error=code[0].decode("ascii") if code is not None else "ERR",
        redirection=moved[3].decode("ascii") if moved is not None else "",
    )


def _give_up(stream: Stream, top: Reply | None, begun: int) -> Read[Reply]:
    """The rest of the turn."""
    yield from stream.skip_turn(b"")
    top = top or Reply(Kind.STRING, 0)
    top.size = stream.position - begun
    top.is_truncated = True
    return top
