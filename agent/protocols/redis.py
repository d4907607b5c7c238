"""Redis and what speaks like it (Valkey, KeyDB, Dragonfly): commands and their replies, RESP2 and RESP3.

https://redis.io/docs/latest/develop/reference/protocol-spec/

The messages are in `redis_messages.py`; here is which belong together. The nth reply answers the nth command, but

    pushes              RESP3's, and RESP2's messages to subscribers: answer nothing, and are read over
    SUBSCRIBE a b       is answered by one confirmation for each channel: the last one ends the exchange
    UNSUBSCRIBE         by one for each channel that was subscribed to, at least one
    MONITOR, PSYNC      after the reply the server streams: `is_opaque`
    CLIENT REPLY OFF    neither it nor what follows is answered: it ends with itself, and `is_opaque`; also SKIP and SYNC

Within MULTI each command is answered by +QUEUED and is an exchange, and so is EXEC, whose reply has the results. A
redirection (MOVED, ASK) fails the command; the client's next try is a command like any other.

Attributes are the conventions' for databases. The text has the command, the patterns of its keys, and no values; of a
command that may carry a password only the name. Whether a read hit is in `zerospan.cache.hit`.

https://opentelemetry.io/docs/specs/semconv/database/redis/

Not claimed: connections that begin with an inline command, which is a line of words like many others.
"""

from __future__ import annotations

import re
from functools import lru_cache
from ipaddress import IPv6Address
from typing import TYPE_CHECKING, Any, Final

from agent import redaction
from agent.protocols import About, Description, Protocol, Role, Shortcut, Verdict, Wire, register
from agent.protocols.pairing import Exchange, Failure
from agent.protocols.redis_messages import (
    MAX_BULK,
    MAX_WORD,
    MAX_WORDS,
    PUSHES,
    SUBSCRIPTIONS,
    Command,
    Kind,
    Reply,
    classify,
    error_of,
    kept,
    read_command,
    read_reply,
)
from agent.spans import semconv
from agent.spans.span import Attributes, Value

if TYPE_CHECKING:
    from agent.stream import Stream

PIPELINE_CAPTURE: Final = 16 * 1024
"""Bytes of a turn that are wanted where commands are pipelined: as many as a record can hold."""
MAX_BLOCKS: Final = 4096
"""Texts that are kept, with what the replies said: patterns of keys are few, at about 1 KB each."""

READS: Final = frozenset(
    (b"GET", b"GETEX", b"GETDEL", b"HGET", b"HGETALL", b"DUMP", b"LINDEX", b"JSON.GET")
)
"""Commands that ask for one thing by its key, and get null, or nothing, if it is not there."""
_STREAMS = frozenset((b"MONITOR", b"PSYNC"))
_STATEFUL = SUBSCRIPTIONS | _STREAMS | {b"SYNC", b"CLIENT"}
"""Commands that change what comes next: the readers take care of them."""

_OK = Reply(Kind.STRING, 5, 2)
_REPLIES: Final = {
    b"+OK\r\n": _OK,
    b"+PONG\r\n": Reply(Kind.STRING, 7, 4),
    b"+QUEUED\r\n": Reply(Kind.STRING, 9, 6),
    b"$-1\r\n": Reply(Kind.NULL, 5),
    b"*-1\r\n": Reply(Kind.NULL, 5),
    b"_\r\n": Reply(Kind.NULL, 3),
    b":0\r\n": Reply(Kind.NUMBER, 4),
    b":1\r\n": Reply(Kind.NUMBER, 4),
}
"""What most replies are, ready-made."""


class RedisShortcut(Shortcut):
    """A command, or a reply without nested ones, that is whole in one piece."""

    def request(self, data: bytes) -> Command | None:
        """The command, if `data` is exactly one that changes nothing for those that follow."""
        words = _flat(data, b"*")
        if not words or words[0].upper() in _STATEFUL:
            return None
        count = len(words)
        if count > MAX_WORDS:
            del words[MAX_WORDS:]
        if len(data) > MAX_WORD:
            words = [word[:MAX_WORD] for word in words]
        return Command(kept(words), count, len(data))

    def response(  # noqa: PLR0911  # the hot path: one look at each kind
        self, data: bytes, size: int, request: Command
    ) -> Reply | None:
        """The reply of which `size` bytes begin with `data`."""
        del request
        known = _REPLIES.get(data)
        if known is not None and size == known.size:
            return known
        mark = data[:1]
        if mark == b"$":
            return _bulk(data, size)
        if len(data) != size or data[-2:] != b"\r\n":
            return None
        if mark == b"*":
            words = _flat(data, b"*")
            if not words or words[0] in PUSHES:
                return None
            return Reply(Kind.ARRAY, size, len(words))
        if data.find(b"\n") != size - 1:
            return None
        if mark == b":":
            return Reply(Kind.NUMBER, size)
        if mark == b"+":
            return Reply(Kind.STRING, size, size - 3)
        if mark == b"-":
            error = error_of(data[1:-2])
            error.size = size
            return error
        return None


@register
class Redis(Protocol):
    """One connection."""

    name = "redis"
    about = About(
        title="Redis, RESP2 and RESP3",
        captured="command, patterns of its keys, kind of the reply, an error's code, whether a read hit",
        omitted="values; what follows AUTH, HELLO and other commands with passwords; pushes; streams after MONITOR and PSYNC; connections that begin with an inline command",
        tested="no real server yet",
    )
    shortcut = RedisShortcut

    def __init__(self) -> None:
        super().__init__()
        self._channels: dict[bytes, int] = {}
        """By the confirmation that begins it: how many subscriptions there are."""
        self._total: dict[bool, int] = {}
        """The number that the last confirmation told; of sharded channels, and of others."""

    @classmethod
    def classify(cls, head: bytes) -> Verdict:
        """An array of strings that begins with a command's name, or a reply."""
        return classify(head)

    def request(self, stream: Stream) -> Wire[Command]:
        """Read one command. Empty ones are not answered, and are read over."""
        command = yield from read_command(stream)
        while not command.count and not command.is_truncated:
            command = yield from read_command(stream)
        if self.pairing.pending or command.is_truncated:
            self.wants_capture = PIPELINE_CAPTURE
        if not self.is_answered(command):
            self.is_opaque = True
        yield command
        return command

    def response(self, stream: Stream) -> Wire[Reply]:
        """Read one answer; pushes, and the confirmations before the last, are read over."""
        confirmed = expected = 0
        while True:
            reply = yield from read_reply(stream)
            exchange = self.pairing.answering()
            command = None if exchange is None else exchange.request
            if not self._is_push(reply, command):
                break
            if reply.push.endswith(b"subscribe"):
                before = self._confirm(reply)
                if command is not None and command.name.lower() == reply.push:
                    expected = expected or command.count - 1 or max(1, before)
                    confirmed += 1
                    if confirmed == expected:
                        break
        if command is not None and command.name in _STREAMS and reply.kind is not Kind.ERROR:
            self.is_opaque = True
        if reply.is_truncated:
            self.wants_capture = PIPELINE_CAPTURE
        yield reply
        return reply

    @staticmethod
    def describe(exchange: Exchange) -> Description:
        """Name, text and outcome."""
        command, reply = exchange.request, exchange.response
        error, is_hit = "", None
        if reply is not None:
            error = reply.error
            if command.words and command.words[0].upper() in READS:
                is_hit = _is_hit(reply)
        words = redaction.shape(command.words) if command.words else ()
        name, block = _common(words, error, is_hit)
        blocks = (block, *_server(exchange))
        failure = exchange.failure
        if failure is not None and failure is not Failure.AGENT_EXIT:
            return Description(name, blocks, failure.value)
        return Description(name, blocks, error or None)

    @staticmethod
    def is_end_sure(response: Reply) -> bool:
        """Not where a size was not captured."""
        return not response.is_truncated

    @staticmethod
    def is_answered(request: Command) -> bool:
        """All are but for those that say so."""
        name = request.name
        if name == b"CLIENT" and len(request.words) > 2 and request.words[1].upper() == b"REPLY":
            return request.words[2].upper() == b"ON"
        return name != b"SYNC"

    def _is_push(self, reply: Reply, command: Command | None) -> bool:
        """Whether it may answer nothing. Arrays like those for subscribers are answers where there are none."""
        if not reply.push or reply.is_push:
            return reply.is_push
        return command is None or command.is_subscription or any(self._channels.values())

    def _confirm(self, reply: Reply) -> int:
        """Subscriptions have changed; gives how many of this kind there were before."""
        kind = reply.push.replace(b"unsubscribe", b"subscribe")
        is_sharded = kind == b"ssubscribe"
        grown = reply.subscriptions - self._total.get(is_sharded, 0)
        self._total[is_sharded] = reply.subscriptions
        before = self._channels.get(kind, 0)
        self._channels[kind] = max(0, before + grown)
        return before


def _flat(data: bytes, mark: bytes) -> list[bytes] | None:
    """The strings of an array that holds nothing else and ends with `data`. None also where one has a line end."""
    parts = data.split(b"\r\n")
    count = len(parts) // 2 - 1
    if parts[0] != mark + b"%d" % count or parts[-1] or len(parts) & 1:
        return None
    words = parts[2:-1:2]
    for size, word in zip(parts[1:-1:2], words, strict=True):
        length = len(word)
        if size != (_SIZES[length] if length < len(_SIZES) else b"$%d" % length):
            return None
    return words


_SIZES = tuple(b"$%d" % size for size in range(256))
_BULK = re.compile(rb"\$(0|[1-9][0-9]{0,10})\r\n")


def _bulk(data: bytes, size: int) -> Reply | None:
    """A string that is whole, or goes on after these `size` bytes."""
    found = _BULK.match(data)
    if found is None:
        return None
    count = int(found[1])
    whole = found.end() + count + 2
    return Reply(Kind.STRING, whole, count) if count <= MAX_BULK and whole >= size else None


def _is_hit(reply: Reply) -> bool | None:
    """Whether a read found what it asked for; None if the reply does not tell."""
    if reply.kind is Kind.NULL:
        return False
    if reply.kind in (Kind.ARRAY, Kind.MAP):
        return reply.count > 0
    # A simple string, with three bytes around it, is +QUEUED.
    if reply.kind is Kind.ERROR or reply.size - reply.count == 3:
        return None
    return True


@lru_cache(MAX_BLOCKS)
def _common(words: tuple[bytes, ...], error: str, is_hit: bool | None) -> tuple[str, Attributes]:  # noqa: FBT001  # a part of the key
    """Name and attributes of all commands of one pattern and outcome."""
    text = redaction.command(words) or "?"
    name = text.partition(" ")[0].upper()
    items: list[tuple[str, Value]] = [
        (semconv.DB_SYSTEM_NAME, "redis"),
        (semconv.DB_OPERATION_NAME, name),
        (semconv.DB_QUERY_TEXT, text),
    ]
    if error:
        items.append((semconv.DB_RESPONSE_STATUS_CODE, error))
    if is_hit is not None:
        items.append((semconv.CACHE_HIT, is_hit))
    return name, Attributes(items)


def _server(exchange: Exchange) -> tuple[Attributes, ...]:
    """Who was asked; nothing for Unix sockets."""
    connection: Any = exchange.connection
    is_client = exchange.role is Role.CLIENT
    port = connection.remote_port if is_client else connection.local_port
    if not port:
        return ()
    return (_address(connection.remote_address if is_client else connection.local_address, port),)


@lru_cache(1024)
def _address(packed: bytes, port: int) -> Attributes:
    address = IPv6Address(packed)
    shown = str(address.ipv4_mapped or address)
    return Attributes(((semconv.SERVER_ADDRESS, shown), (semconv.SERVER_PORT, port)))
