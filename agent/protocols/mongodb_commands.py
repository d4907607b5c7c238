"""MongoDB's commands and replies: what is kept of one.

https://www.mongodb.com/docs/manual/reference/command/

A command is a document whose first field names it, and `$db` its database. Kept are names: of the command, the
database, the collection, and of fields; values are dropped where they are read. Of commands by which clients
authenticate, or which make users, the name alone is kept.

A private sibling of the MongoDB protocol, and no protocol itself: it registers nothing.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass, replace
from typing import Final

from agent import redaction
from agent.errors import ProtocolError
from agent.protocols.mongodb_bson import (
    ARRAY,
    DOCUMENT,
    Document,
    Field,
    document,
    number,
    shape,
    shape_of,
    string,
)
from agent.protocols.mongodb_messages import (
    HEADER,
    MAX_BODY,
    MORE_TO_COME,
    OP_COMPRESSED,
    OP_DELETE,
    OP_INSERT,
    OP_KILL_CURSORS,
    OP_MSG,
    OP_QUERY,
    OP_REPLY,
    OP_UPDATE,
    REQUESTS,
    Header,
    Section,
    sections_of,
)

MAX_NAME: Final = 255
"""Of a namespace: the server's limit is 255 bytes."""
UNANSWERED: Final = frozenset((OP_UPDATE, OP_INSERT, OP_DELETE, OP_KILL_CURSORS))
QUERY_FAILURE: Final = 1 << 1
"""A flag of OP_REPLY."""
_REPLY = struct.Struct("<I12xI")
"""An OP_REPLY's flags and how many documents it has."""

HANDSHAKE: Final = frozenset(
    ("hello", "isMaster", "ismaster", "saslStart", "saslContinue", "authenticate", "getnonce")
)
"""Commands by which drivers greet, watch the server and authenticate."""
SENSITIVE: Final = frozenset(("createUser", "updateUser", "copydb", "copydbgetnonce", "copydbsaslstart"))  # fmt: skip
"""Of these only the name is kept (as in the drivers' Command Logging and Monitoring specification)."""
_ON_COLLECTIONS: Final = frozenset(
    (
        "aggregate", "collMod", "collStats", "compact", "convertToCapped", "count", "create", "createIndexes",
        "createSearchIndexes", "delete", "distinct", "drop", "dropIndexes", "find", "findAndModify", "findandmodify",
        "insert", "killCursors", "listIndexes", "mapReduce", "mapreduce", "planCacheClear", "reIndex", "update",
        "updateSearchIndex", "validate",
    )
)  # fmt: skip
"""Commands whose own field has the name of a collection."""
_ASIDE: Final = frozenset(
    (
        b"lsid", b"txnNumber", b"startTransaction", b"autocommit", b"readConcern", b"writeConcern", b"maxTimeMS",
        b"apiVersion", b"apiStrict", b"apiDeprecationErrors", b"comment", b"client", b"speculativeAuthenticate",
    )
)  # fmt: skip
"""Fields that say nothing of what is asked; so do those that begin with `$`."""
_OPERATIONS: Final = {b"documents", b"updates", b"deletes", b"ops"}
"""Lists of what is written."""
_COMMAND = re.compile(rb"[A-Za-z]{1,40}")
_CODE_NAME = re.compile(rb"[A-Za-z]{1,64}")
_TOO_LONG = "…"


@dataclass(slots=True)
class Command:
    """A request."""

    id: int
    name: str = ""
    """Empty where it was not captured, or cannot be read."""
    database: str = ""
    collection: str = ""
    text: str = ""
    """Its shape."""
    count: int = 0
    """Of what is written at once; 0 where that is not known."""
    is_answered: bool = True
    missing: str = ""
    """Why it is not known what is asked."""
    size: int = 0
    is_truncated: bool = False
    carrier: None = None


@dataclass(slots=True)
class Reply:
    """A response."""

    id: int
    answers: int
    rows: int | None = None
    """Documents of a cursor that came."""
    code: int = 0
    """Of the error that it is, or of the first among its writes."""
    error: str = ""
    """The code's name."""
    has_more: bool = False
    """The server sends another one without being asked."""
    size: int = 0
    is_truncated: bool = False


# What a client sends.


def command_of(header: Header, opcode: int, body: bytes | None, size: int) -> Command:
    """The command in a message of which `size` bytes begin with `body`."""
    command = Command(header.id, size=header.size + HEADER)
    if body is None:
        command.missing = "compressed"
        command.is_truncated = True
        return command
    if opcode == OP_MSG:
        flags, sections, is_all = sections_of(body, size)
        command.is_answered = not flags & MORE_TO_COME
        _read_command(body, sections, command)
    elif opcode in REQUESTS and opcode != OP_COMPRESSED:
        is_all = _read_old(opcode, body, command)
    else:
        raise ProtocolError(f"no compressed message {opcode}")
    command.is_truncated = not is_all or len(body) < min(size, MAX_BODY)
    if not command.name and command.is_truncated:
        command.missing = "not_captured"
    return command


def _read_command(body: bytes, sections: list[Section], command: Command) -> None:
    for section in sections:
        if not section.name:
            _name(body, document(body, section.first), command)
            break
    if not command.text:
        return
    more = []
    for section in sections:
        if section.name in _OPERATIONS:
            command.count = section.count
            first = '"?"'
            if section.name not in (b"documents", b"ops"):
                first = shape_of(body, _shown(document(body, section.first).fields))
            more.append(f'"{section.name.decode("ascii")}": [{first}]')
    if more:
        command.text = f"{command.text[:-1]}, {', '.join(more)}}}"
    command.text = _bounded(command.text)


def _name(body: bytes, said: Document, command: Command) -> None:
    """What the command's document says: the first field is its name, and its value the collection's, if it has one."""
    database = said.get(b"$db")
    command.database = _readable(string(body, database, MAX_NAME))
    if not said.fields:
        return
    first = said.fields[0]
    if _COMMAND.fullmatch(first.name) is None:
        raise ProtocolError("the first field is no command")
    name = redaction.mask(first.name.decode("ascii"))
    command.name = name
    if name in HANDSHAKE or name in SENSITIVE:
        return
    target = first
    if name == "explain" and first.kind == DOCUMENT:
        inner = document(body, first.start)
        explained = Command(0)
        _name(body, replace(inner, fields=inner.fields[:1]), explained)
        command.collection = explained.collection
    elif name == "getMore":
        target = said.get(b"collection") or first
        command.collection = _readable(string(body, target, MAX_NAME))
    elif name in _ON_COLLECTIONS:
        command.collection = _readable(string(body, target, MAX_NAME))
    for each in said.fields[1:]:
        if each.name in _OPERATIONS and each.kind == ARRAY:
            inner = document(body, each.start)
            command.count = len(inner.fields) * inner.is_whole
    command.text = _text(body, name, said.fields, command.collection)


def _text(body: bytes, name: str, fields: list[Field], collection: str) -> str:
    shown = [f'"{name}": {_value(body, fields[0], collection)}']
    for each in _shown(fields[1:]):
        if each.name in (b"documents", b"ops"):
            shown.append(f'"{each.name.decode("ascii")}": ["?"]')
        elif name == "getMore" and each.name == b"collection":
            shown.append(f'"collection": {_quoted(collection)}')
        else:
            shown.append(shape_of(body, [each])[1:-1])
    return f"{{{', '.join(shown)}}}"


def _value(body: bytes, first: Field, collection: str) -> str:
    """What the command's own field is shown with: the collection's name, a command that is explained, or nothing."""
    is_named = collection and first.kind not in (DOCUMENT, ARRAY)
    return _quoted(collection) if is_named and first.name != b"getMore" else shape(body, first)


def _quoted(name: str) -> str:
    return '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _shown(fields: list[Field]) -> list[Field]:
    return [each for each in fields if each.name not in _ASIDE and each.name[:1] != b"$"]


def _bounded(text: str) -> str:
    limit = redaction.MAX_TEXT
    return text if len(text) <= limit else text[: limit - 1] + _TOO_LONG


def _readable(raw: bytes) -> str:
    return redaction.mask(redaction.text(raw))


def _read_old(opcode: int, body: bytes, command: Command) -> bool:
    """OP_QUERY and the messages that were there before commands. Gives whether all that is wanted was captured."""
    command.is_answered = opcode not in UNANSWERED
    command.name = REQUESTS[opcode]
    if opcode == OP_KILL_CURSORS:
        return True
    end = body.find(b"\0", 4)
    if end < 0:
        if len(body) > 4 + MAX_NAME:
            raise ProtocolError("no namespace")
        command.name = ""
        return False
    database, dot, collection = body[4:end].partition(b".")
    if not dot:
        raise ProtocolError("no namespace")
    command.database = _readable(database[:MAX_NAME])
    if opcode != OP_QUERY:
        command.collection = _readable(collection[:MAX_NAME])
        return True
    said = document(body, end + 9)
    if collection != b"$cmd":
        command.collection = _readable(collection[:MAX_NAME])
        query = said.get(b"$query") or said.get(b"query")
        fields = said.fields if query is None or query.kind != DOCUMENT else document(body, query.start).fields  # fmt: skip
        text = shape_of(body, _shown(fields))
        command.text = _bounded(f'{{"find": {_quoted(command.collection)}, "filter": {text}}}')
        return said.is_whole
    named, command.database, command.name = command.database, "", ""
    if said.fields and said.fields[0].name in (b"$query", b"query"):
        said = document(body, said.fields[0].start)
    _name(body, said, command)
    command.database = command.database or named
    command.text = _bounded(command.text)
    return said.is_whole


# What a server sends.


def reply_of(header: Header, opcode: int, body: bytes | None, size: int) -> Reply:
    """The reply in a message of which `size` bytes begin with `body`."""
    reply = Reply(header.id, header.answers, size=header.size + HEADER)
    if body is None:
        reply.is_truncated = True
        return reply
    is_all = True
    if opcode == OP_MSG:
        flags, sections, is_all = sections_of(body, size)
        reply.has_more = bool(flags & MORE_TO_COME)
        for section in sections:
            if not section.name:
                is_all &= _judge(body, document(body, section.first), reply)
    elif opcode == OP_REPLY:
        is_all = _read_reply(body, reply)
    else:
        raise ProtocolError(f"no compressed message {opcode}")
    reply.is_truncated = not is_all or len(body) < min(size, MAX_BODY)
    return reply


def _read_reply(body: bytes, reply: Reply) -> bool:
    """OP_REPLY. A command's one document and a query's many cannot be told apart; the latter are gone."""
    if len(body) < 24:
        return False
    flags, count = _REPLY.unpack_from(body)
    said = document(body, 20)
    if flags & QUERY_FAILURE:
        reply.code = _code(number(body, said.get(b"code"))) or 1
        return True
    if count == 1 and said.get(b"ok") is not None:
        return _judge(body, said, reply)
    reply.rows = count
    return True


def _judge(body: bytes, said: Document, reply: Reply) -> bool:
    """What a reply's document says of its outcome. Gives whether all of it was captured."""
    if number(body, said.get(b"ok")) == 0:
        reply.code = _code(number(body, said.get(b"code"))) or 1
        reply.error = _code_name(body, said)
        return said.is_whole
    errors, concern = said.get(b"writeErrors"), said.get(b"writeConcernError")
    if errors is not None and errors.kind == ARRAY:
        failed = document(body, errors.start).fields[:1]
        if failed and failed[0].kind == DOCUMENT:
            reply.code = _code(number(body, document(body, failed[0].start).get(b"code"))) or 1
    elif concern is not None and concern.kind == DOCUMENT:
        said_of_it = document(body, concern.start)
        reply.code = _code(number(body, said_of_it.get(b"code"))) or 1
        reply.error = _code_name(body, said_of_it)
    cursor = said.get(b"cursor")
    if cursor is not None and cursor.kind == DOCUMENT:
        inner = document(body, cursor.start)
        batch = inner.get(b"firstBatch") or inner.get(b"nextBatch")
        if batch is not None and batch.kind == ARRAY:
            found = document(body, batch.start)
            reply.rows = len(found.fields) if found.is_whole else None
    return said.is_whole


def _code(value: float | None) -> int:
    """An error's number. 1, InternalError, stands for one that was not captured."""
    return int(value) if value is not None and abs(value) < 1 << 31 else 0


def _code_name(body: bytes, said: Document) -> str:
    name = string(body, said.get(b"codeName"), 65)
    return redaction.mask(name.decode("ascii")) if _CODE_NAME.fullmatch(name) else ""
