"""MongoDB and what speaks like it (DocumentDB, FerretDB): commands and their replies.

https://www.mongodb.com/docs/manual/reference/mongodb-wire-protocol/

The messages are in `mongodb_messages.py` and `mongodb_commands.py`; here is which belong together. A reply says which message it answers, but

    moreToCome of a command   nothing answers it (unacknowledged writes): it ends with itself
    moreToCome of a reply     another one comes unasked, and says that it answers this one (exhaust): it is read over
    hello, authentication     are part of no exchange; nothing of them is kept

Attributes are the conventions' for databases. The text has the command, the names of fields, and no values. Errors
are told by their number: of a command that failed, else the first of a write that did, else of its write concern.

https://opentelemetry.io/docs/specs/semconv/database/mongodb/
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from agent.errors import ProtocolError
from agent.protocols import About, Description, Protocol, Verdict, Wire, register
from agent.protocols.db_semantics import block, describe, operation
from agent.protocols.mongodb_commands import HANDSHAKE, Command, Reply, command_of, reply_of
from agent.protocols.mongodb_messages import (
    REQUESTS,
    RESPONSES,
    classify,
    read_body,
    read_header,
)
from agent.protocols.pairing import ById
from agent.spans import semconv

if TYPE_CHECKING:
    from agent.protocols.pairing import Exchange
    from agent.spans.span import Attributes
    from agent.stream import Stream

CAPTURE: Final = 4096
"""Bytes of a turn that are wanted: drivers put the database's name behind all else that is asked."""
MAX_ASIDE: Final = 64
"""Messages of a handshake whose replies are awaited."""


@register
class Mongodb(Protocol):
    """One connection."""

    name = "mongodb"
    is_database = True
    capture = CAPTURE
    about = About(
        title="MongoDB",
        captured="commands without their values, database, collection, documents returned, the error's number and name; OP_MSG, the older messages, compression with zlib and snappy, with zstd where Python's `zstandard` is installed",
        omitted="values, documents, error messages; hello and authentication; replies after the first of an exhaust cursor",
        tested="PyMongo 4 against a scripted server (find, cursors, inserts, errors, unacknowledged writes, compression), as the server recorded them; not tried against a real server, nor in the kernel's sight",
    )
    pairing: ById

    def __init__(self) -> None:
        super().__init__()
        self.pairing = ById()
        self._aside: dict[int, None] = {}
        """Messages whose reply is part of no exchange."""

    @classmethod
    def classify(cls, head: bytes) -> Verdict:
        """As messages look."""
        return classify(head)

    def request(self, stream: Stream) -> Wire[Command]:
        """Read one command, or a step of a handshake."""
        yield from stream.wait()
        stream.begin()
        begun = stream.position
        header = yield from read_header(stream, REQUESTS)
        opcode, body, size = yield from read_body(stream, header)
        command = command_of(header, opcode, body, size)
        left = command.size - (stream.position - begun)
        if command.name in HANDSHAKE:
            self._expect_aside(command.id)
            yield from stream.skip(left)
            return None
        if self.pairing.is_pending(command.id):
            raise ProtocolError(f"message {command.id} comes twice")
        yield command
        yield from stream.skip(left)
        return command

    def response(self, stream: Stream) -> Wire[Reply]:
        """Read one reply."""
        yield from stream.wait()
        stream.begin()
        begun = stream.position
        header = yield from read_header(stream, RESPONSES)
        opcode, body, size = yield from read_body(stream, header)
        reply = reply_of(header, opcode, body, size)
        left = reply.size - (stream.position - begun)
        if reply.has_more:
            self._expect_aside(reply.id)
        if reply.answers in self._aside:
            del self._aside[reply.answers]
            yield from stream.skip(left)
            return None
        if not self.pairing.choose(reply.answers):
            yield from stream.skip(left)
            return None
        yield reply
        yield from stream.skip(left)
        return reply

    @staticmethod
    def describe(exchange: Exchange) -> Description:
        """By the conventions for databases."""
        command: Command = exchange.request
        reply: Reply | None = exchange.response
        asked = operation(
            "mongodb",
            command.name,
            namespace=command.database,
            collection=command.collection,
            summary=f"{command.name} {command.collection}" if command.collection else "",
            text=command.text,
            batch_size=command.count,
        )
        extra: tuple[Attributes, ...] = ()
        if command.missing:
            extra = (block((semconv.DB_QUERY_MISSING, command.missing)),)
        if reply is None:
            return describe(exchange, asked, extra=extra)
        return describe(
            exchange,
            asked,
            rows=reply.rows,
            status_code=str(reply.code) if reply.code else "",
            is_error=bool(reply.code),
            message=reply.error,
            extra=extra,
        )

    @staticmethod
    def is_answered(request: Command) -> bool:
        """Not where the client said that it does not want to know."""
        return request.is_answered

    def _expect_aside(self, number: int) -> None:
        self._aside[number] = None
        if len(self._aside) > MAX_ASIDE:
            del self._aside[next(iter(self._aside))]
