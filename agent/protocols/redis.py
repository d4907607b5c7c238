"""Redis and what speaks like it (Valkey, KeyDB, Dragonfly): commands and their replies, RESP2 and RESP3.

https://redis.io/docs/latest/develop/reference/protocol-spec/

The messages are in `redis_messages.py`; here is which belong together. The nth reply answers the nth command, but

    pushes              RESP3's, and RESP2's messages to subscribers: answer nothing, and are read over
    SUBSCRIBE a b       is answered by one confirmation for each channel: the last one ends the exchange
    UNSUBSCRIBE         by one for each channel that was subscribed to, at least one
    MONITOR, PSYNC      after the reply the server streams: `is_opaque`
    CLIENT REPLY OFF    neither it nor what follows is answered: it ends with itself, and `is_opaque`; also SKIP and SYNC

Commands that were sent together are one exchange (redis_batches.py). Within MULTI each command is answered by +QUEUED and is a
command like any other, and so is EXEC, whose reply has the results. A redirection (MOVED, ASK) fails the command; the
client's next try is a command like any other.

Attributes are the conventions' for databases. The text has the command, the patterns of its keys, and no values; of a
command that may carry a password only the name. Whether a read hit is in `zerospan.cache.hit`. A batch is `PIPELINE`, or
`PIPELINE GET` if it has nothing else, its text has each pattern once, and db.operation.batch.size all its commands; it
has failed if one of them has, with the first one's code, and `zerospan.db.batch.failures` says how many have.

https://opentelemetry.io/docs/specs/semconv/database/redis/

Not claimed: connections that begin with an inline command, which is a line of words like many others.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from agent import redaction
from agent.protocols import About, Description, Protocol, Role, Verdict, Wire, register
from agent.protocols.db_semantics import operation, server_at
from agent.protocols.pairing import Exchange, Failure
from agent.protocols.redis_batches import Batch, asked, is_usual, outcome, size_of, together
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

CAPTURE: Final = 16 * 1024
"""Bytes of a turn that are wanted, since commands may be pipelined: as many as a record can hold."""
LONG_CAPTURE: Final = 256 * 1024
"""The same where that was too few to tell how many commands there were."""
LOOK: Final = 8 * 1024
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
    has_batches = True
    about = About(
        title="Redis, RESP2 and RESP3",
        captured="command, patterns of its keys, kind of the reply, an error's code, whether a read hit; commands that are sent together as one span, with how many they are and how many of them failed",
        omitted="values; what follows AUTH, HELLO and other commands with passwords; pushes; streams after MONITOR and PSYNC; connections that begin with an inline command",
        tested="Redis 7.0 with redis-cli, redis-py 8 (both versions of the protocol) and redis-benchmark, pipelines of 16, as a proxy recorded them; redis-benchmark also in the kernel's sight (6.1)",
    )
    shortcut = RedisShortcut
    capture = CAPTURE

    def __init__(self) -> None:
        super().__init__()
        self._channels: dict[bytes, int] = {}
        """By the confirmation that begins it: how many subscriptions there are."""
        self._total: dict[bool, int] = {}
        """The number that the last confirmation told; of sharded channels, and of others."""
        self._answering: Exchange | None = None
        """The batch of which the last reply was read."""
        self._answers: Reply | None = None
        """All its replies so far."""

    @classmethod
    def classify(cls, head: bytes) -> Verdict:
        """An array of strings that begins with a command's name, or a reply."""
        return classify(head)

    def request(self, stream: Stream) -> Wire[Command]:
        """Read one command. Empty ones are not answered, and are read over."""
        command = yield from _read_command(stream)
        while not command.count and not command.is_truncated:
            command = yield from _read_command(stream)
        if command.is_end_guessed:
            self.wants_capture = LONG_CAPTURE
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
            self.wants_capture = LONG_CAPTURE
        yield reply
        return reply

    @staticmethod
    def describe(exchange: Exchange) -> Description:
        """Name, text and outcome."""
        request, reply = exchange.request, exchange.response
        error = reply.error if reply is not None else ""
        connection, failure = exchange.connection, exchange.failure
        if exchange.role is _CLIENT:
            server = (
                connection.remote_address,
                connection.remote_port,
                connection.server_name,
            )
        else:
            server = (connection.local_address, connection.local_port, "")
        if request.__class__ is Batch:
            found = _described_batch(request, reply, error, server)
        else:
            shape = request.shape
            if shape is None:
                shape = redaction.shape(request.words) if request.words else ()
            found = _described(shape, error, _is_hit(reply) if reply is not None else None, server)
        if failure is None or failure is _AGENT_EXIT:
            return found
        return Description(found.name, found.attributes, failure.value, own=found.own)

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

    def joins(self, exchange: Exchange, request: Command, *, is_together: bool) -> bool:
        """What was sent together is one batch, up to where something was not captured."""
        batch = exchange.request
        is_open = request.is_end_guessed
        if self.is_open(batch) or not (is_together or is_open):
            return False
        if not isinstance(batch, Batch):
            if not is_usual(batch) or not self.is_answered(batch):
                return False
            batch = Batch.of((batch.words,), 1)
            batch.is_partial = exchange.request.is_truncated
        elif not is_together:
            batch = replace(batch)  # others may have it, too
        if not is_usual(request):
            return False
        batch.add(request)
        exchange.request = batch
        return True

    def completes(self, exchange: Exchange, response: Reply) -> bool:
        """As many replies as there are commands."""
        batch = exchange.request
        if not isinstance(batch, Batch):
            if not batch.is_end_guessed:
                return True
            batch = exchange.request = Batch.of((batch.words,) if batch.words else (), 1)
            batch.is_open = batch.is_partial = True
        before = self._answers if exchange is self._answering else None
        self._answering = exchange
        self._answers = exchange.response = together(before, response)
        return not batch.is_open and self._answers.count == batch.count

    @staticmethod
    def is_open(request: Command | Batch) -> bool:
        """Whether a part of it was not captured."""
        return request.is_open if isinstance(request, Batch) else request.is_end_guessed

    def forget(self) -> None:
        """Messages were missed."""
        super().forget()
        self._answering = self._answers = None

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


def _described_batch(
    batch: Batch, reply: Reply | None, error: str, server: tuple[bytes, int, str]
) -> Description:
    """Commands that were sent together."""
    size = size_of(batch, reply)
    if size == 1:
        return _described(batch.shapes[0] if batch.shapes else (), error, None, server)
    shared = asked(batch.shapes, error, batch.is_partial)
    own = outcome(size, reply.failures if reply is not None else 0)
    blocks: tuple[Attributes, ...] = (shared,)
    if server[1]:
        blocks += server_at(*server).attributes
    return Description(str(shared.items[1][1]), blocks, error or None, own=own)


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
