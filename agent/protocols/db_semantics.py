"""What databases, caches and stores share: an exchange described by the stable conventions for database spans.

https://opentelemetry.io/docs/specs/semconv/database/database-spans/ (1.37)

A private sibling of their protocols, and no protocol itself: it registers nothing. A protocol says what was asked
(`operation`, or `sql_operation` for statements as they were sent), and `describe` adds how it went:

    name       db.query.summary, else db.operation.name with its target, else the target, else db.system.name
    target     db.collection.name, db.stored_procedure.name, db.namespace, the server's address: the first that is known
    error.type the status code that the server answered, else why there is no answer

Exchanges that ask the same share one block of attributes, made once: those are memos of pure functions, each with a
cap. Text must be redacted before it comes here; that of statements is (agent/sql).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING, Any, Final

from agent.protocols import Description, Role
from agent.protocols.pairing import Exchange, Failure
from agent.spans import semconv
from agent.spans.span import Attributes, Value
from agent.sql import MAX_KEPT_BYTES, Dialect, Statement, statement

if TYPE_CHECKING:
    from collections.abc import Hashable

MAX_BLOCKS: Final = 4096
"""Operations that are kept, at about 1 KB each."""
MAX_NAME: Final = 255
"""Characters of a span's name, as of a summary."""
AF_NONE: Final = 0
AF_UNIX: Final = 1

# A member of an enum takes 40 ns to get at through its class.
_CLIENT: Final = Role.CLIENT
_AGENT_EXIT: Final = Failure.AGENT_EXIT


@dataclass(frozen=True, slots=True)
class Operation:
    """What is asked of a store, as all exchanges that ask it share it."""

    name: str
    """The span's; empty where nothing is known but the server."""
    attributes: Attributes


@lru_cache(MAX_BLOCKS)
def operation(  # noqa: PLR0913  (the conventions' attributes, one by one)
    system: str,
    name: str = "",
    *,
    namespace: str = "",
    collection: str = "",
    procedure: str = "",
    summary: str = "",
    text: str = "",
    batch_size: int = 0,
) -> Operation:
    """`system` and `name` are db.system.name and db.operation.name; `batch_size` is given from 2."""
    items: tuple[tuple[str, Value], ...] = tuple(
        (key, value)
        for key, value in (
            (semconv.DB_SYSTEM_NAME, system),
            (semconv.DB_NAMESPACE, namespace),
            (semconv.DB_OPERATION_NAME, name),
            (semconv.DB_COLLECTION_NAME, collection),
            (semconv.DB_STORED_PROCEDURE_NAME, procedure),
            (semconv.DB_QUERY_SUMMARY, summary),
            (semconv.DB_QUERY_TEXT, text),
            (semconv.DB_OPERATION_BATCH_SIZE, batch_size if batch_size > 1 else 0),
        )
        if value
    )
    target = collection or procedure or namespace
    called = summary or (f"{name} {target}" if name and target else name or target)
    return Operation(called[:MAX_NAME], Attributes(items))


def sql_operation(
    raw: bytes, dialect: Dialect, namespace: str = "", *, verb: str = ""
) -> Operation:
    """A statement as it was sent, without its trace context (agent/sql/comment.py).

    `verb` is what is done with it, where that is not to run it: `PREPARE`.
    """
    if len(raw) <= MAX_KEPT_BYTES:
        return _by_bytes(raw, dialect, namespace, verb)
    return _by_statement(statement(raw, dialect), dialect.system, namespace, verb)


@lru_cache(MAX_BLOCKS)
def _by_bytes(raw: bytes, dialect: Dialect, namespace: str, verb: str) -> Operation:
    return _by_statement(statement(raw, dialect), dialect.system, namespace, verb)


@lru_cache(MAX_BLOCKS)
def _by_statement(said: Statement, system: str, namespace: str, verb: str) -> Operation:
    summary = said.summary
    return operation(
        system,
        verb or summary.operation,
        namespace=namespace,
        collection=summary.collection,
        procedure=summary.procedure,
        summary=f"{verb} {summary.text}".strip()[:MAX_NAME],
        text=said.text,
        batch_size=summary.batch_size,
    )


def describe(  # noqa: PLR0913  (what may be known of an outcome, by name)
    exchange: Exchange,
    asked: Operation,
    *,
    rows: int | None = None,
    status_code: str = "",
    is_error: bool = False,
    error_type: str | None = None,
    message: str = "",
    extra: tuple[Attributes, ...] = (),
) -> Description:
    """An exchange that asked for `asked`. `status_code` is the server's own, and an error where `is_error` says so.

    `error_type` rules over it, and over why the exchange failed.
    """
    server = _server(exchange)
    blocks = (asked.attributes, *server.attributes, *extra)
    if rows is not None or status_code:
        blocks += (_outcome(rows, status_code),)
    name = asked.name or server.name or str(asked.attributes.items[0][1])
    if error_type is not None:
        return Description(name, blocks, error_type, message)
    failure = exchange.failure
    if failure is not None and failure is not _AGENT_EXIT:
        return Description(name, blocks, failure.value, message)
    return Description(name, blocks, (status_code or "_OTHER") if is_error else None, message)


@lru_cache(MAX_BLOCKS)
def _outcome(rows: int | None, status_code: str) -> Attributes:
    """What the server answered."""
    items: tuple[tuple[str, Value], ...] = ()
    if rows is not None:
        items += ((semconv.DB_RESPONSE_RETURNED_ROWS, rows),)
    if status_code:
        items += ((semconv.DB_RESPONSE_STATUS_CODE, status_code),)
    return Attributes(items)


@dataclass(frozen=True, slots=True)
class Server:
    """Who was asked."""

    name: str
    """Address and port; empty for Unix sockets."""
    attributes: tuple[Attributes, ...]


_NOBODY: Final = Server("", ())


def _server(exchange: Exchange) -> Server:
    """Who was asked; of a Unix socket nothing is known but that it is one, and an embedded database has no socket at all."""
    connection: Any = exchange.connection
    if connection.family in (AF_NONE, AF_UNIX):
        return _NOBODY
    if exchange.role is _CLIENT:
        return server_at(connection.remote_address, connection.remote_port, connection.server_name)
    return server_at(connection.local_address, connection.local_port)


@lru_cache(1024)
def server_at(packed: bytes, port: int, name: str = "") -> Server:
    """The server at an address (16 bytes, IPv4 mapped) and port; `name` is what the client knows it by."""
    address = IPv6Address(packed)
    items: tuple[tuple[str, Value], ...] = ((semconv.SERVER_PORT, port),)
    if not int(address) or address.ipv4_mapped == IPv4Address(0):
        return Server("", (Attributes(items),))
    host = name or str(address.ipv4_mapped or address)
    shown = f"[{host}]" if ":" in host else host
    return Server(f"{shown}:{port}", (Attributes(((semconv.SERVER_ADDRESS, host), *items)),))


@lru_cache(MAX_BLOCKS)
def block(*items: tuple[str, Hashable]) -> Attributes:
    """Attributes that many exchanges share."""
    return Attributes(items)  # type: ignore[arg-type]  # values are hashable, all of them
