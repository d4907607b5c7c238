"""PostgreSQL, frontend/backend protocol 3 (also CockroachDB, YugabyteDB, PgBouncer): statements and their results.

https://www.postgresql.org/docs/16/protocol-flow.html

An exchange is what a client waits for as one thing:

    Query                               until ReadyForQuery, whatever statements it holds
    [Parse] [Bind] [Describe] Execute   until ReadyForQuery if Sync follows, else (pipelines, Flush) until the
                                        statement's own end: CommandComplete, EmptyQueryResponse, PortalSuspended
    Parse without an Execute            a statement is prepared: until ReadyForQuery, or as many replies as it asked for
    FunctionCall                        until ReadyForQuery

After an error the server skips everything up to the next Sync: what was skipped has `is_skipped`. All other messages
(startup, authentication, notices, notifications, parameters, Describe or Close alone, data of COPY) are read over and
are part of no exchange; passwords are never looked at.

Statements are known by the name that Parse gave them, and portals by Bind. One that was prepared before its connection
was seen, or forgotten since (`MAX_STATEMENTS`), is told without its text.

TLS and GSS encryption, replication and cancel requests make the connection opaque. Where a hole hides what follows a
Bind, it is taken to be Execute and Sync, and the request to end with its turn; a response whose messages lie in a hole
ends with its turn, or where the bytes that passed last are a ReadyForQuery.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Final

from agent.errors import Gap, ProtocolError
from agent.protocols import About, Description, Protocol, Verdict, Wire, register
from agent.protocols.captured import read_head
from agent.protocols.db_semantics import block, describe, operation, sql_operation
from agent.protocols.postgresql_messages import (
    BACKEND,
    CANCEL,
    FRONTEND,
    READY,
    SSL,
    SYNC,
    Kind,
    Reply,
    Session,
    Statement,
    classify,
    parameters,
    read_frame,
    read_startup,
    returned,
    sqlstate,
)
from agent.protocols.postgresql_shortcut import PostgresqlShortcut
from agent.redaction import text as readable
from agent.spans import semconv
from agent.sql import DIALECTS, MAX_STATEMENT, split_comment

if TYPE_CHECKING:
    from agent.protocols.pairing import Exchange
    from agent.spans.span import Attributes
    from agent.stream import Read, Stream

MAX_STATEMENTS: Final = 1024
"""Prepared statements of a connection whose text is kept; drivers keep 100 to 256 by themselves."""
MAX_PORTALS: Final = 256
MAX_CAPTURE: Final = 16 * 1024
"""Captured bytes of a turn that are asked for where a batch was cut: as many as a record can hold."""
MAX_NAME: Final = 64
"""Of a database or user: NAMEDATALEN."""
MAX_TEXT: Final = MAX_STATEMENT + 4096
"""Of a message that holds a statement: the context in a comment may come behind."""
MAX_ERROR: Final = 2048
MAX_TAG: Final = 64
_DIALECT: Final = DIALECTS["postgresql"]

PREPARED_BEFORE: Final = "prepared_before_attach"
FORGOTTEN: Final = "forgotten"

_ASYNCHRONOUS: Final = frozenset(b"NASKRv")
"""Notices, notifications, parameters, the key to cancel with, authentication: they answer nothing here."""
_ENDS: Final = frozenset(b"CIs")
"""What ends an Execute: CommandComplete, EmptyQueryResponse, PortalSuspended."""
_COUNTED: Final = frozenset(b"12Tn3")
"""What Parse, Bind, Describe and Close are answered with, once each."""

CONDITIONS: Final = {
    "08006": "connection_failure", "22001": "string_data_right_truncation", "22003": "numeric_value_out_of_range",
    "22012": "division_by_zero", "22P02": "invalid_text_representation", "23502": "not_null_violation",
    "23503": "foreign_key_violation", "23505": "unique_violation", "23514": "check_violation",
    "25P02": "in_failed_sql_transaction", "25P03": "idle_in_transaction_session_timeout",
    "26000": "invalid_sql_statement_name", "28000": "invalid_authorization_specification", "28P01": "invalid_password",
    "3D000": "invalid_catalog_name", "40001": "serialization_failure", "40P01": "deadlock_detected",
    "42501": "insufficient_privilege", "42601": "syntax_error", "42703": "undefined_column",
    "42883": "undefined_function", "42P01": "undefined_table", "42P07": "duplicate_table", "53100": "disk_full",
    "53200": "out_of_memory", "53300": "too_many_connections", "55P03": "lock_not_available",
    "57014": "query_canceled", "57P01": "admin_shutdown", "57P03": "cannot_connect_now",
}  # fmt: skip
"""PostgreSQL 16, appendix A: names of the codes that are met most. The message itself may hold values."""


@register
class Postgresql(Protocol):
    """One connection."""

    name = "postgresql"
    is_stateful = True
    is_database = True
    about = About(
        title="PostgreSQL, protocol 3",
        captured="statements without their values (simple, extended, prepared, pipelined), function calls, rows returned, SQLSTATE, database, user",
        omitted="values, rows, error messages, authentication; data of COPY; replication, TLS, GSS encryption and cancel requests (recognized, then muted); the text of statements prepared before zerospan came",
        tested="PostgreSQL 15 with psql, pgbench (simple, extended, prepared), psycopg 3, asyncpg",
    )

    def __init__(self) -> None:
        super().__init__()
        self.session = Session()
        self.statements: OrderedDict[bytes, bytes] = OrderedDict()
        """By name: text."""
        self.portals: OrderedDict[bytes, bytes] = OrderedDict()
        """By name: the statement's name."""
        self.quick = PostgresqlShortcut(self)
        self.is_seen_from_start = False
        self.strays = 0
        """Synchronisations since the last request, to be answered by themselves."""
        self.is_asking = False
        """The answer to a request for encryption is next: one byte."""
        self.is_copying = False
        """The client sends data of COPY."""
        self._has_rows = False
        """The statement whose results are being read has returned some."""

    @classmethod
    def classify(cls, head: bytes) -> Verdict:
        """As messages look."""
        return classify(head)

    def request(self, stream: Stream) -> Wire[Statement]:
        """Read the messages of one request, or one that is part of none."""
        yield from stream.wait()
        if self.is_copying:
            # What lies in holes cannot be told apart; the server answers when all of it has come.
            yield from stream.skip_turn()
            return None
        if stream.peek(1) == b"\0":
            yield from self._start(stream)
            return None
        stream.begin()
        return (yield from self._read_batch(stream))

    def response(self, stream: Stream) -> Wire[Reply]:  # noqa: C901, PLR0911, PLR0912  (the cases of one conversation)
        """Read what answers the oldest request, or one message that answers none."""
        yield from stream.wait()
        stream.begin()
        if self.is_asking:
            yield from self._read_encryption(stream)
            return None
        exchange = self.pairing.answering()
        statement: Statement | None = None if exchange is None else exchange.request
        left = 0 if statement is None else statement.replies
        reply: Reply | None = None
        begun = stream.position
        while True:
            head = stream.peek(1)
            if head == b"Z" and reply is None and statement is not None:
                if statement.strays:
                    statement.strays -= 1
                    yield from _skip_frame(stream)
                    return None
                reply = Reply(is_skipped=True)
                yield reply
                if not statement.has_sync:
                    return reply
            try:
                kind, size = yield from read_frame(stream, BACKEND)
            except Gap:
                if reply is None:
                    raise
                return (yield from self._give_up(stream, reply, begun))
            if kind in _ASYNCHRONOUS or statement is None:
                yield from self._read_aside(stream, kind, size)
                if reply is None:
                    return None
            else:
                if reply is None:
                    reply = Reply()
                    yield reply
                yield from self._read_reply(stream, kind, size, reply)
                left -= kind in _COUNTED
                if _is_end(statement, kind, left):
                    reply.size = stream.position - begun
                    return reply
            yield from stream.wait()
            if stream.is_at_gap:
                return (yield from self._give_up(stream, reply, begun))

    @staticmethod
    def describe(exchange: Exchange) -> Description:
        """By the conventions for databases."""
        statement: Statement = exchange.request
        reply: Reply | None = exchange.response
        session = statement.session
        if statement.text is not None:
            dialect = _DIALECT
            if session.has_backslash:
                dialect = dialect.with_backslash(escapes=True)
            verb = "PREPARE" if statement.kind is Kind.PREPARE else ""
            asked = sql_operation(statement.text, dialect, session.database, verb=verb)
        else:
            name = "CALL" if statement.kind is Kind.CALL else ""
            asked = operation("postgresql", name, namespace=session.database)
        extra: tuple[Attributes, ...] = ()
        if session.user:
            extra = (block((semconv.DB_USER, session.user)),)
        if statement.missing:
            extra += (block((semconv.DB_QUERY_MISSING, statement.missing)),)
        if reply is None:
            return describe(exchange, asked, extra=extra)
        error = reply.error
        if reply.is_skipped:
            return describe(exchange, asked, extra=extra, error_type="pipeline_aborted")
        return describe(
            exchange,
            asked,
            rows=reply.rows,
            status_code=error,
            error_type=error or None,
            message=CONDITIONS.get(error, "") if error else "",
            extra=extra,
        )

    @staticmethod
    def is_end_sure(response: Reply) -> bool:
        """Not where messages lay in a hole."""
        return not response.is_end_guessed

    def forget(self) -> None:
        """Statements with a name keep it; the one without, and portals, are new with every use."""
        super().forget()
        self.statements.pop(b"", None)
        self.portals.clear()
        self.strays = 0
        self.is_asking = self.is_copying = self._has_rows = False

    # What a client sends.

    def parsed(self, name: bytes, text: bytes) -> None:
        """Parse: a statement has a name now."""
        statements = self.statements
        statements[name] = text
        if len(statements) > MAX_STATEMENTS:
            oldest, text = statements.popitem(last=False)
            if not oldest:  # the one without a name is always new
                statements[oldest] = text
                statements.popitem(last=False)

    def bound(self, portal: bytes, name: bytes) -> None:
        """Bind: a portal has a statement now."""
        self.portals[portal] = name
        if len(self.portals) > MAX_PORTALS:
            self.portals.popitem(last=False)

    def executed(self, portal: bytes, carrier: dict[str, str] | None) -> Statement:
        """Execute: the statement of a portal."""
        name = self.portals.get(portal)
        text = None if name is None else self.statements.get(name)
        statement = Statement(Kind.EXECUTE, text, self.session, carrier)
        if text is None:
            statement.missing = FORGOTTEN if self.is_seen_from_start else PREPARED_BEFORE
        return statement

    def _start(self, stream: Stream) -> Read[None]:
        code, body = yield from read_startup(stream)
        self.is_seen_from_start = True
        if code == CANCEL:
            self.is_opaque, self.opaque_cause = True, "cancel_request"
        elif code == SSL or code >> 16 != 3:
            self.is_asking = True
        else:
            said = parameters(body)
            user = readable(said.get(b"user", b"")[:MAX_NAME])
            self.session.user = user
            self.session.database = readable(said.get(b"database", b"")[:MAX_NAME]) or user
            if said.get(b"replication", b"false").lower() not in _OFF:
                self.is_opaque, self.opaque_cause = True, "replication"

    def _read_batch(self, stream: Stream) -> Wire[Statement]:  # noqa: C901, PLR0912  (a case for each message)
        """The messages up to one that makes a request of them."""
        begun = stream.position
        parsed: tuple[bytes, bool] | None = None
        carrier: dict[str, str] | None = None
        replies = 0
        is_bound = False
        while True:
            try:
                kind, size = yield from read_frame(stream, FRONTEND)
            except Gap:
                if parsed is None and not is_bound:
                    raise
                return (yield from self._cut(stream, begun, parsed, carrier, is_bound=is_bound))
            message: Statement | None = None
            if kind == 0x50:  # Parse
                name, raw, is_whole = yield from self._read_parse(stream, size)
                text, carrier = split_comment(raw)
                self.parsed(name, text)
                parsed = (text, is_whole)
            elif kind == 0x42:  # Bind
                portal, name = yield from self._read_names(stream, size)
                self.bound(portal, name)
                is_bound = True
            elif kind == 0x45:  # Execute
                (portal, _) = yield from self._read_names(stream, size)
                message = self.executed(portal, carrier)
            elif kind == 0x51:  # Query
                message = yield from self._read_query(stream, size)
            else:
                yield from stream.skip(size)
                if kind == 0x46:  # FunctionCall
                    message = Statement(Kind.CALL, None, self.session)
                elif kind in _ASKS:
                    if parsed is None:
                        self.strays += kind == 0x53
                        return None
                    message = Statement(Kind.PREPARE, parsed[0], self.session, carrier)
                    message.has_sync = kind == 0x53
                    message.replies = replies
                elif kind not in _STEPS:
                    return None
            replies += kind in _STEPS
            if message is not None:
                if parsed is not None:
                    message.is_truncated |= not parsed[1]
                return (yield from self._end(stream, begun, message, kind))
            yield from stream.wait()
            if stream.is_at_gap:
                return (yield from self._cut(stream, begun, parsed, carrier, is_bound=is_bound))

    def _end(self, stream: Stream, begun: int, message: Statement, kind: int) -> Wire[Statement]:
        """The request is known: see whether Sync follows an Execute."""
        message.strays, self.strays = self.strays, 0
        yield message
        if kind == 0x45:
            yield from stream.wait()
            if stream.is_at_gap:
                message.is_truncated = True
                self.wants_capture = MAX_CAPTURE
                yield from stream.skip_turn(SYNC)
            elif stream.peek(1) in (b"S", b"H"):
                message.has_sync = stream.peek(1) == b"S"
                _, size = yield from read_frame(stream, FRONTEND)
                yield from stream.skip(size)
            else:
                message.has_sync = False
        message.size = stream.position - begun
        return message

    def _cut(
        self,
        stream: Stream,
        begun: int,
        parsed: tuple[bytes, bool] | None,
        carrier: dict[str, str] | None,
        *,
        is_bound: bool,
    ) -> Wire[Statement]:
        """What follows was not captured."""
        if is_bound:
            message = self.executed(next(reversed(self.portals)), carrier)
        elif parsed is not None:
            message = Statement(Kind.EXECUTE, parsed[0], self.session, carrier)
        else:
            raise Gap("what follows was not captured")
        self.wants_capture = MAX_CAPTURE
        message.is_truncated = True
        message.strays, self.strays = self.strays, 0
        yield message
        yield from stream.skip_turn(SYNC)
        message.size = stream.position - begun
        return message

    def _read_parse(self, stream: Stream, size: int) -> Read[tuple[bytes, bytes, bool]]:
        body = yield from read_head(stream, size, MAX_TEXT)
        name, _, rest = body.partition(b"\0")
        text, end, _ = rest.partition(b"\0")
        return name, text, bool(end)

    def _read_query(self, stream: Stream, size: int) -> Read[Statement]:
        body = yield from read_head(stream, size, MAX_TEXT)
        text, carrier = split_comment(body.partition(b"\0")[0])
        message = Statement(Kind.QUERY, text, self.session, carrier)
        message.is_truncated = len(body) < size
        return message

    def _read_names(self, stream: Stream, size: int) -> Read[tuple[bytes, bytes]]:
        """The first two names of a message."""
        body = yield from read_head(stream, size, 256)
        first, end, rest = body.partition(b"\0")
        second, also, _ = rest.partition(b"\0")
        if not end or (not also and len(body) < min(size, 256)):
            raise Gap("names were not captured")
        return first, second

    # What a server sends.

    def _read_encryption(self, stream: Stream) -> Read[None]:
        """The answer to SSLRequest or GSSENCRequest."""
        self.is_asking = False
        answer = stream.peek(1)
        if answer == b"E":  # a server that is older than these requests, or has no room
            yield from _skip_frame(stream)
            return
        yield from stream.skip(1)
        if answer in (b"S", b"G"):
            self.is_opaque, self.opaque_cause = True, "tls"
        elif answer != b"N":
            raise ProtocolError(f"{answer!r} answers no request for encryption")

    def _read_aside(self, stream: Stream, kind: int, size: int) -> Read[None]:
        """A message that is part of no exchange."""
        body = yield from read_head(stream, size, 256)
        if kind == 0x53:  # ParameterStatus
            key, _, value = body.partition(b"\0")
            if key == b"standard_conforming_strings":
                self.session.has_backslash = value == b"off\0"
        elif kind == 0x57:  # CopyBothResponse
            self.is_opaque, self.opaque_cause = True, "replication"
        elif kind == 0x5A:
            self.strays = 0

    def _read_reply(self, stream: Stream, kind: int, size: int, reply: Reply) -> Read[None]:
        """One message of a response."""
        if kind == 0x43:  # CommandComplete
            tag = yield from read_head(stream, size, MAX_TAG)
            reply.is_truncated |= len(tag) < min(size, MAX_TAG)
            rows = returned(tag, has_rows=self._has_rows)
            self._has_rows = False
            if rows is not None:
                reply.rows = (reply.rows or 0) + rows
            return
        if kind == 0x45:  # ErrorResponse
            body = yield from read_head(stream, size, MAX_ERROR)
            reply.error = sqlstate(body)
            reply.is_truncated |= len(body) < min(size, MAX_ERROR)
            reply.rows, self._has_rows = None, False
            return
        yield from stream.skip(size)
        if kind == 0x44:  # DataRow
            self._has_rows = True
        elif kind == 0x47:  # CopyInResponse
            self.is_copying = True
        elif kind == 0x57:
            self.is_opaque, self.opaque_cause = True, "replication"
        if kind in _ENDS or kind == 0x5A:
            self.is_copying = False

    def _give_up(self, stream: Stream, reply: Reply, begun: int) -> Wire[Reply]:
        """The rest lies in a hole."""
        if len(self.pairing.pending) > 1:
            self.wants_capture = MAX_CAPTURE
        reply.is_truncated = reply.is_end_guessed = True
        reply.rows, self._has_rows = None, False
        yield from stream.skip_turn(*READY)
        reply.size = stream.position - begun
        return reply


_ASKS: Final = frozenset(b"SH")
_STEPS: Final = frozenset(b"PDCB")
_OFF: Final = frozenset((b"false", b"off", b"no", b"0", b""))


def _skip_frame(stream: Stream) -> Read[None]:
    _, size = yield from read_frame(stream, BACKEND)
    yield from stream.skip(size)


def _is_end(statement: Statement, kind: int, left: int) -> bool:
    """Whether a message ends the response to a request; `left` replies to a preparation must come."""
    if statement.has_sync:
        return kind == 0x5A
    if kind == 0x45:
        return True
    if statement.replies:
        return left <= 0
    return kind in _ENDS
