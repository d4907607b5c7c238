"""MySQL and MariaDB, client/server protocol 4.1: commands and their results.

https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_command_phase.html

The server speaks first. What passes until it accepts the client is part of no exchange, and of the client's answer only
the user and the database are kept. Then every command that is answered is an exchange:

    COM_QUERY, COM_STMT_EXECUTE   one result or, with SERVER_MORE_RESULTS_EXISTS, several; each is OK, an error, or
                                  columns and rows up to EOF; or the server asks for a file (LOCAL INFILE), then OK
    COM_STMT_PREPARE              the statement's number, its parameters, its columns
    COM_STMT_FETCH                rows up to EOF
    all others                    one packet

What ends columns and rows shows in itself: EOF has 5 bytes, the OK that stands in its place with CLIENT_DEPRECATE_EOF
has 7 or more. Only behind a preparation it must be known which of the two is spoken.

Statements are known by the number that the server gave them. TLS, compression, and replication make the connection
opaque. A response whose packets lie in a hole ends with its turn.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from agent.errors import Gap, ProtocolError
from agent.protocols import About, Description, Protocol, Verdict, Wire, register
from agent.protocols.db_semantics import block, describe, operation, sql_operation
from agent.protocols.mysql_messages import (
    CLIENT_COMPRESS,
    CLIENT_DEPRECATE_EOF,
    CLIENT_ZSTD,
    COM_BINLOG_DUMP,
    COM_BINLOG_DUMP_GTID,
    COM_CHANGE_USER,
    COM_FIELD_LIST,
    COM_INIT_DB,
    COM_PROCESS_INFO,
    COM_QUERY,
    COM_STMT_CLOSE,
    COM_STMT_FETCH,
    COM_STMT_PREPARE,
    COMMANDS,
    CURSOR_EXISTS,
    EOF,
    ERROR,
    EXECUTES,
    LOCAL_INFILE,
    MORE_RESULTS,
    NO_BACKSLASH_ESCAPES,
    OK,
    TEXTS,
    UNANSWERED,
    Command,
    Result,
    Session,
    classify,
    handshake,
    is_end,
    judge,
    lenenc,
    read_packet,
    read_payload,
    statement_at,
)
from agent.redaction import text as readable
from agent.spans import semconv
from agent.sql import DIALECTS, MAX_STATEMENT, split_comment

if TYPE_CHECKING:
    from agent.protocols.pairing import Exchange
    from agent.spans.span import Attributes
    from agent.stream import Read, Stream

MAX_STATEMENTS: Final = 1024
"""Prepared statements of a connection whose text is kept."""
MAX_TEXT: Final = MAX_STATEMENT + 4096
MAX_NAME: Final = 64
MAX_HEAD: Final = 512
"""Bytes of a packet of a response that are looked at."""
MIN_HEAD: Final = 32
"""Bytes of a packet that must be captured: what says whether it is the end, and whether another result follows."""
MAX_COLUMNS: Final = 4096
"""The server's own limit."""
LAST_PREPARED: Final = 0xFFFFFFFF
"""MariaDB: execute what was prepared last, whose number is not known yet."""

PREPARED_BEFORE: Final = "prepared_before_attach"
FORGOTTEN: Final = "forgotten"

_RESULTS: Final = EXECUTES | {COM_QUERY, COM_PROCESS_INFO}
_USE = re.compile(rb"\s*USE\s+`?([\w$\-]{1,64})`?\s*;?\s*", re.IGNORECASE)


@register
class Mysql(Protocol):
    """One connection."""

    name = "mysql"
    is_stateful = True
    is_database = True
    about = About(
        title="MySQL, MariaDB",
        captured="statements without their values (text, prepared, several in one), commands such as PING, rows returned, the error's number, database, user",
        omitted="values, rows, error messages, authentication; files of LOCAL INFILE; what follows where TLS, compression or replication begins (recognized, then muted); the text of statements prepared before zerospan came",
        tested="MariaDB 10.11 with PyMySQL, mysqlclient, mysql-connector-python, the mariadb client, mysqlslap",
    )

    def __init__(self) -> None:
        super().__init__()
        self.session = Session()
        self.statements: OrderedDict[int, bytes] = OrderedDict()
        """By number: text."""
        self.last_prepared: bytes | None = None
        self.is_seen_from_start = False
        self.is_connecting = False
        """The server has not accepted the client yet."""
        self.has_eof: bool | None = None
        """Columns and rows end with EOF; None: not known."""
        self.is_uploading = False
        """The client sends a file."""
        self._is_compressed = False

    @classmethod
    def classify(cls, head: bytes) -> Verdict:
        """As packets look."""
        return classify(head)

    def request(self, stream: Stream) -> Wire[Command]:
        """Read one command, or a packet that is none."""
        yield from stream.wait()
        if self.is_uploading:
            # What lies in holes cannot be told apart; the server answers when all of it has come.
            yield from stream.skip_turn()
            return None
        stream.begin()
        begun = stream.position
        size, sequence = yield from read_packet(stream)
        if sequence:
            yield from self._read_answer(stream, size, sequence)
            return None
        if not size:
            raise ProtocolError("an empty command")
        yield from stream.wait()
        head = stream.peek(1)
        if not head:
            raise Gap("a command was not captured")
        code = head[0]
        if code not in COMMANDS:
            raise ProtocolError(f"there is no command {code}")
        payload = yield from read_payload(stream, size, MAX_TEXT)
        if code in UNANSWERED:
            if code == COM_STMT_CLOSE:
                self.statements.pop(int.from_bytes(payload[1:5], "little"), None)
            return None
        command = self._command(code, payload)
        command.is_truncated = len(payload) < min(size, MAX_TEXT)
        if code in (COM_BINLOG_DUMP, COM_BINLOG_DUMP_GTID):
            self.is_opaque, self.opaque_cause = True, "replication"
            return None
        command.size = stream.position - begun
        yield command
        return command

    def response(self, stream: Stream) -> Wire[Result]:
        """Read what answers the oldest command, or a packet that answers none."""
        yield from stream.wait()
        stream.begin()
        begun = stream.position
        exchange = self.pairing.answering()
        if exchange is None:
            yield from self._read_aside(stream)
            return None
        command: Command = exchange.request
        payload = yield from self._packet(stream)
        if payload[:1] == b"\xfe" and len(payload) == 5 and command.command not in _ONE_EOF:
            # Left over from a preparation of which it was not known how it ends.
            self.has_eof = True
            return None
        result = Result()
        yield result
        try:
            yield from self._read_result(stream, command, payload, result)
        except Gap:
            result.is_truncated = result.is_end_guessed = True
            result.rows = None
            yield from stream.skip_turn()
        self._follow(command, result)
        result.size = stream.position - begun
        return result

    @staticmethod
    def describe(exchange: Exchange) -> Description:
        """By the conventions for databases."""
        command: Command = exchange.request
        result: Result | None = exchange.response
        session = command.session
        if command.text is not None:
            dialect = DIALECTS[session.system]
            if not session.has_backslash:
                dialect = dialect.with_backslash(escapes=False)
            verb = "PREPARE" if command.command == COM_STMT_PREPARE else ""
            asked = sql_operation(command.text, dialect, session.database, verb=verb)
        else:
            name = "" if command.missing else COMMANDS[command.command]
            asked = operation(session.system, name, namespace=session.database)
        extra: tuple[Attributes, ...] = ()
        if session.user:
            extra = (block((semconv.DB_USER, session.user)),)
        if command.missing:
            extra += (block((semconv.DB_QUERY_MISSING, command.missing)),)
        if result is None:
            return describe(exchange, asked, extra=extra)
        code = str(result.error) if result.error else ""
        return describe(
            exchange,
            asked,
            rows=result.rows,
            status_code=code,
            error_type=code or None,
            message=f"SQLSTATE {result.sqlstate}" if result.sqlstate else "",
            extra=extra,
        )

    @staticmethod
    def is_end_sure(response: Result) -> bool:
        """Not where packets lay in a hole."""
        return not response.is_end_guessed

    def forget(self) -> None:
        """Statements keep their numbers."""
        super().forget()
        self.last_prepared = None
        self.is_connecting = self.is_uploading = False

    # What a client sends.

    def _read_answer(self, stream: Stream, size: int, sequence: int) -> Read[None]:
        """A step of an authentication; the first one says who the client is."""
        if sequence != 1 or not self.is_connecting or size < 32:
            yield from stream.skip(size)
            return
        said = handshake((yield from read_payload(stream, size, 1024)))
        self.has_eof = not said.capabilities & CLIENT_DEPRECATE_EOF
        self._is_compressed = bool(said.capabilities & (CLIENT_COMPRESS | CLIENT_ZSTD))
        self.session = replace(
            self.session,
            user=readable(said.user[:MAX_NAME]),
            database=readable(said.database[:MAX_NAME]),
        )
        if said.is_request_for_tls:
            self.is_opaque, self.opaque_cause = True, "tls"

    def _command(self, code: int, payload: bytes) -> Command:
        session = self.session
        if code in TEXTS:
            at = statement_at(payload)
            text, carrier = split_comment(payload[at:])
            return Command(code, text, session, carrier)
        if code in EXECUTES:
            number = int.from_bytes(payload[1:5], "little")
            found = self.last_prepared if number == LAST_PREPARED else self.statements.get(number)
            why = FORGOTTEN if self.is_seen_from_start else PREPARED_BEFORE
            return Command(code, found, session, missing="" if found is not None else why)
        if code == COM_INIT_DB:
            name = readable(payload[1 : 1 + MAX_NAME])
            return Command(code, None, replace(session, database=name))
        if code == COM_CHANGE_USER:
            user = readable(payload[1:].partition(b"\0")[0][:MAX_NAME])
            return Command(code, None, replace(session, user=user, database=""))
        return Command(code, None, session)

    # What a server sends.

    def _packet(self, stream: Stream) -> Read[bytes]:
        """The first bytes of a packet that must be there."""
        yield from stream.wait()
        size, _ = yield from read_packet(stream)
        payload = yield from read_payload(stream, size, MAX_HEAD)
        if len(payload) < min(size, MIN_HEAD):
            raise Gap("a packet's beginning was not captured")
        return payload

    def _read_aside(self, stream: Stream) -> Read[None]:
        """A packet that answers no command: the greeting, and the steps of the authentication."""
        size, sequence = yield from read_packet(stream)
        payload = yield from read_payload(stream, size, MAX_HEAD)
        first = payload[:1]
        if sequence == 0 and first == b"\x0a":
            self.is_connecting = self.is_seen_from_start = True
            if b"MariaDB" in payload[1:].partition(b"\0")[0]:
                self.session = replace(self.session, system="mariadb")
        elif self.is_connecting and first == b"\0":
            self.is_connecting = False
            if self._is_compressed:
                self.is_opaque, self.opaque_cause = True, "compressed"

    def _read_result(
        self, stream: Stream, command: Command, payload: bytes, result: Result
    ) -> Read[None]:
        """All packets of a response, of which the first is `payload`."""
        code = command.command
        if code in _RESULTS:
            while (yield from self._read_one(stream, payload, result)):
                payload = yield from self._packet(stream)
        elif code == COM_CHANGE_USER:
            while payload[:1] in (b"\xfe", b"\x01"):  # the authentication goes on
                payload = yield from self._packet(stream)
            judge(payload, result)
        elif code == COM_STMT_PREPARE:
            yield from self._read_prepared(stream, command, payload, result)
        elif code in (COM_FIELD_LIST, COM_STMT_FETCH):
            yield from self._read_rows(stream, payload, result)
        else:
            judge(payload, result)

    def _read_one(self, stream: Stream, payload: bytes, result: Result) -> Read[bool]:
        """One of the results of a statement; gives whether another one follows."""
        first = payload[0] if payload else OK
        if first == LOCAL_INFILE:
            self.is_uploading = True
            return True
        self.is_uploading = False
        if first in (OK, ERROR) or (first == EOF and len(payload) < 9):
            judge(payload, result)
            return bool(result.status & MORE_RESULTS) and not result.error
        count, at = lenenc(payload)
        if not 0 < count <= MAX_COLUMNS:
            raise ProtocolError("no count of columns")
        # MariaDB may leave the columns out which its client has: a byte behind the count says so.
        if at == len(payload) or payload[at] != 0:
            for _ in range(count):
                yield from self._packet(stream)
        payload = yield from self._packet(stream)
        if payload[:1] == b"\xfe" and len(payload) == 5:
            self.has_eof = True
            status = int.from_bytes(payload[3:5], "little")
            if status & CURSOR_EXISTS:
                result.status = status
                return False
            payload = yield from self._packet(stream)
        yield from self._read_rows(stream, payload, result)
        return bool(result.status & MORE_RESULTS) and not result.error

    def _read_rows(self, stream: Stream, payload: bytes, result: Result) -> Read[None]:
        """Rows up to what ends them."""
        count = 0
        while not is_end(payload):
            count += 1
            payload = yield from self._packet(stream)
        judge(payload, result)
        result.rows = None if result.error else (result.rows or 0) + count

    def _read_prepared(
        self, stream: Stream, command: Command, payload: bytes, result: Result
    ) -> Read[None]:
        """A statement's number; the names of its parameters and columns."""
        if payload[:1] != b"\0":
            judge(payload, result)
            return
        if len(payload) < 12:
            raise Gap("a statement's number was not captured")
        number = int.from_bytes(payload[1:5], "little")
        columns = int.from_bytes(payload[5:7], "little")
        parameters = int.from_bytes(payload[7:9], "little")
        if command.text is not None:
            self.last_prepared = self.statements[number] = command.text
            if len(self.statements) > MAX_STATEMENTS:
                self.statements.popitem(last=False)
        for count in (parameters, columns):
            for _ in range(count):
                packet = yield from self._packet(stream)
                if packet[:1] == b"\xfe" and len(packet) == 5:
                    # The one behind the parameters: the last column comes after all.
                    self.has_eof = True
                    yield from self._packet(stream)
            if count and self.has_eof:
                yield from self._packet(stream)

    def _follow(self, command: Command, result: Result) -> None:
        """What a command that was done changes for those after it."""
        if result.error or result.is_end_guessed:
            return
        session = self.session
        if command.command in (COM_INIT_DB, COM_CHANGE_USER):
            session = command.session
        elif command.command == COM_QUERY and command.text is not None:
            found = _USE.fullmatch(command.text)
            if found is not None:
                session = replace(session, database=readable(found[1]))
        has_backslash = not result.status & NO_BACKSLASH_ESCAPES
        if has_backslash is not session.has_backslash:
            session = replace(session, has_backslash=has_backslash)
        self.session = session


_ONE_EOF: Final = frozenset((COM_FIELD_LIST, COM_STMT_FETCH, COM_CHANGE_USER, 0x0D, 0x1B))
"""Commands that may be answered with EOF alone."""
