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

from functools import lru_cache
from typing import TYPE_CHECKING, Final

from agent import redaction
from agent.protocols import About, Description, Protocol, Role, Verdict, Wire, register
from agent.protocols.db_semantics import operation, server_at
from agent.protocols.pairing import Exchange, Failure
from agent.protocols.redis_messages import (
    Command,
    Kind,
    Reply,
    classify,
    read_command,
    read_reply,
)
from agent.protocols.redis_shortcut import RedisShortcut, command_at, reply_at
from agent.spans import semconv
from agent.spans.span import Attributes

if TYPE_CHECKING:
    from agent.stream import Read, Stream

PIPELINE_CAPTURE: Final = 16 * 1024
"""Bytes of a turn that are wanted where commands are pipelined: as many as a record can hold."""
LOOK: Final = 1024
"""Bytes at a time that are looked at for a message that is all there."""
MAX_BLOCKS: Final = 4096
"""Texts that are kept, with what the replies said: patterns of keys are few, at about 1 KB each."""

READS: Final = frozenset(
    (b"GET", b"GETEX", b"GETDEL", b"HGET", b"HGETALL", b"DUMP", b"LINDEX", b"JSON.GET")
)
"""Commands that ask for one thing by its key, and get null, or nothing, if it is not there."""
# A member of an enum takes 40 ns to get at through its class.
_CLIENT = Role.CLIENT
_AGENT_EXIT = Failure.AGENT_EXIT
_STRING, _NULL, _AGGREGATES = Kind.STRING, Kind.NULL, (Kind.ARRAY, Kind.MAP)

_STREAMS = frozenset((b"MONITOR", b"PSYNC"))


@register
class Redis(Protocol):
    """One connection."""

    name = "redis"
    is_database = True
    about = About(
        title="Redis, RESP2 and RESP3",
        captured="command, patterns of its keys, kind of the reply, an error's code, whether a read hit",
        omitted="values; what follows AUTH, HELLO and other commands with passwords; pushes; streams after MONITOR and PSYNC; connections that begin with an inline command",
        tested="Redis 7.0 with redis-cli, redis-py 8 (both versions of the protocol) and redis-benchmark, pipelines of 16, as a proxy recorded them; not yet in the kernel's sight",
    )
    shortcut = RedisShortcut
    capture = PIPELINE_CAPTURE

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
        command = yield from _read_command(stream)
        while not command.count and not command.is_truncated:
            command = yield from _read_command(stream)
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
            reply = yield from _read_reply(stream)
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
        words, reply = exchange.request.words, exchange.response
        error, is_hit = (reply.error, _is_hit(reply)) if reply is not None else ("", None)
        connection, failure = exchange.connection, exchange.failure
        if exchange.role is _CLIENT:
            server = (
                connection.remote_address,
                connection.remote_port,
                connection.server_name,
            )
        else:
            server = (connection.local_address, connection.local_port, "")
        found = _described(redaction.shape(words) if words else (), error, is_hit, server)
        if failure is None or failure is _AGENT_EXIT:
            return found
        return Description(found.name, found.attributes, failure.value)

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


def _read_command(stream: Stream) -> Read[Command]:
    """One command: at once if it can be, else as it comes."""
    command = command_at(stream.peek(LOOK))
    if command is None:
        return (yield from read_command(stream))
    stream.begin()
    stream.take(command.size)
    return command


def _read_reply(stream: Stream) -> Read[Reply]:
    """One reply, likewise."""
    reply = reply_at(stream.peek(LOOK))
    if reply is None:
        return (yield from read_reply(stream))
    stream.begin()
    stream.take(reply.size)
    return reply


def _is_hit(reply: Reply) -> bool | None:
    """Whether a read, if it was one, found what it asked for; None if the reply does not tell."""
    kind = reply.kind
    if kind is _STRING:
        # A simple string, with three bytes around it, is +QUEUED.
        return True if reply.size - reply.count != 3 else None
    if kind is _NULL:
        return False
    return reply.count > 0 if kind in _AGGREGATES else None


@lru_cache(MAX_BLOCKS)
def _described(
    words: tuple[bytes, ...],
    error: str,
    is_hit: bool | None,  # noqa: FBT001  # a part of the key, not a switch of behaviour
    server: tuple[bytes, int, str],
) -> Description:
    """All commands of one pattern and outcome, at one server: its address, port and name."""
    asked = _common(words, error, is_hit if words and words[0].upper() in READS else None)
    blocks = (asked, *server_at(*server).attributes) if server[1] else (asked,)
    return Description(str(asked.items[1][1]), blocks, error or None)


@lru_cache(MAX_BLOCKS)
def _common(words: tuple[bytes, ...], error: str, is_hit: bool | None) -> Attributes:  # noqa: FBT001  # likewise
    """The block that they share, whoever is asked."""
    text = redaction.command(words) or "?"
    items = operation("redis", text.partition(" ")[0].upper(), text=text).attributes.items
    if error:
        items += ((semconv.DB_RESPONSE_STATUS_CODE, error),)
    if is_hit is not None:
        items += ((semconv.CACHE_HIT, is_hit),)
    return Attributes(items)
