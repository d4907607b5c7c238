"""Cassandra and what speaks like it (ScyllaDB, Astra): CQL statements and their results, native protocol 3 to 5.

https://github.com/apache/cassandra/blob/trunk/doc/native_protocol_v4.spec, and v5

The messages are in `cassandra_messages.py`; here is which belong together. A response has the stream of its request, in
any order. QUERY, PREPARE, EXECUTE and BATCH are exchanges; the handshake, authentication, OPTIONS, REGISTER and events are
part of none, and nothing of an authentication is kept.

From version 5 on, segments (`cassandra_segments.py`) begin behind STARTUP and what answers it. On a connection that is
joined later, the first bytes of each direction tell.

Statements are known by the id that the server gave them, an MD5: the same on all connections to a cluster, so drivers
prepare on one and execute on others. What is known of them is shared by all connections to one port.

https://opentelemetry.io/docs/specs/semconv/database/cassandra/
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from agent.errors import ProtocolError
from agent.protocols import About, Description, Protocol, Verdict, Wire, register
from agent.protocols.cassandra_heads import classify
from agent.protocols.cassandra_messages import (
    AUTHENTICATE,
    BATCH,
    ERROR,
    ERRORS,
    EXECUTE,
    HEADER,
    MAX_BODY,
    PREPARE,
    PREPARED,
    QUERY,
    READY,
    REQUESTS,
    RESPONSE,
    RESPONSES,
    RESULT,
    ROWS,
    SET_KEYSPACE,
    STARTUP,
    Cursor,
    Frame,
    batch_of,
    consistency_of,
    page_size_of,
    plain,
    read_frame,
    rows_of,
    startup_of,
)
from agent.protocols.cassandra_segments import LZ4, PLAIN, Segments, detect
from agent.protocols.db_semantics import block, describe, operation, sql_operation
from agent.protocols.pairing import ById
from agent.redaction import mask
from agent.redaction import text as readable
from agent.spans import semconv
from agent.sql import DIALECTS, MAX_STATEMENT, split_comment

if TYPE_CHECKING:
    from collections.abc import Generator
    from typing import Any

    from agent.protocols.pairing import Exchange
    from agent.spans.span import Attributes
    from agent.stream import Stream

CAPTURE: Final = 16 * 1024
"""Bytes of a turn that are wanted: many requests are under way at once, and their frames follow each other."""
MAX_STATEMENTS: Final = 1024
"""Prepared statements whose text is kept, of all connections to one port."""
MAX_KEYSPACE: Final = 48
"""The server's limit."""
MAX_ASIDE: Final = 64
"""Streams of the handshake whose responses are awaited."""
PREPARED_BEFORE: Final = "prepared_before_attach"
NOT_CAPTURED: Final = "not_captured"
_DIALECT: Final = DIALECTS["cassandra"]
_EXCHANGES: Final = {QUERY: "QUERY", PREPARE: "PREPARE", EXECUTE: "EXECUTE", BATCH: "BATCH"}


@dataclass(slots=True)
class Statement:
    """A request."""

    id: int
    """Its stream."""
    opcode: int
    text: bytes | None = None
    """Without its trace context; of a batch, all of them. None where it is not known."""
    keyspace: str = ""
    carrier: dict[str, str] | None = None
    consistency: str = ""
    page_size: int = 0
    count: int = 0
    """Of a batch's statements."""
    missing: str = ""
    size: int = 0
    is_truncated: bool = False


@dataclass(slots=True)
class Result:
    """A response."""

    id: int
    rows: int | None = None
    error: int | None = None
    size: int = 0
    is_truncated: bool = False


@register
class Cassandra(Protocol):
    """One connection."""

    name = "cassandra"
    is_stateful = True
    is_database = True
    capture = CAPTURE
    about = About(
        title="Cassandra, native protocol 3 to 5",
        captured="CQL without its values (text, prepared, batches), keyspace, consistency, page size, rows returned, the error's number; many requests at once; compression with LZ4 and Snappy, segments of version 5",
        omitted="values, rows, error messages; the handshake, authentication and events; versions before 3 and DataStax' own (muted); the text of statements prepared before zerospan came",
        tested="the DataStax Python driver 3.30 against a scripted server (versions 4 and 5, LZ4, prepared, batches, errors, requests at once), as the server recorded them; not tried against a real server, nor in the kernel's sight",
    )
    pairing: ById

    def __init__(self) -> None:
        super().__init__()
        self.pairing = ById()
        self.keyspace = ""
        self._kinds: list[int | None] = [None, None]
        """By direction: the size of its segments' headers, 0 without segments, None while not known."""
        self._segments: list[Segments | None] = [None, None]
        self._next_kind = 0
        """With which headers it goes on behind the handshake."""
        self._aside: dict[int, None] = {}

    @classmethod
    def classify(cls, head: bytes) -> Verdict:
        """As frames or segments look."""
        return classify(head)

    def request(self, stream: Stream) -> Wire[Statement]:
        """Read one request, or a step of a handshake."""
        said: Statement | None = yield from self._read(0, stream, self._request)
        return said

    def response(self, stream: Stream) -> Wire[Result]:
        """Read one response, or an event."""
        result: Result | None = yield from self._read(1, stream, self._response)
        return result

    @staticmethod
    def describe(exchange: Exchange) -> Description:
        """By the conventions for databases."""
        said: Statement = exchange.request
        result: Result | None = exchange.response
        if said.text is not None:
            verb = "PREPARE" if said.opcode == PREPARE else ""
            asked = sql_operation(said.text, _DIALECT, said.keyspace, verb=verb)
        else:
            name = "BATCH" if said.opcode == BATCH else ""
            asked = operation("cassandra", name, namespace=said.keyspace, batch_size=said.count)
        extra: tuple[Attributes, ...] = ()
        if said.consistency:
            extra += (block((semconv.CASSANDRA_CONSISTENCY_LEVEL, said.consistency)),)
        if said.page_size:
            extra += (block((semconv.CASSANDRA_PAGE_SIZE, said.page_size)),)
        if said.missing:
            extra += (block((semconv.DB_QUERY_MISSING, said.missing)),)
        if result is None:
            return describe(exchange, asked, extra=extra)
        error = result.error
        return describe(
            exchange,
            asked,
            rows=result.rows,
            status_code="" if error is None else str(error),
            is_error=error is not None,
            message="" if error is None else ERRORS.get(error, ""),
            extra=extra,
        )

    def forget(self) -> None:
        """Whatever was left of a segment is gone; statements keep their ids."""
        super().forget()
        self._segments = [None, None]

    def missed(self, *, is_server: bool) -> None:
        """A frame lay in a hole of its segment, and with it all behind it."""
        self._segments[is_server] = None

    def _read(self, direction: int, stream: Stream, reader: Any) -> Generator[Any, None, Any]:
        """With or without segments."""
        yield from stream.wait()
        kind = self._kinds[direction]
        if kind is None:
            kind = yield from detect(stream)
            if kind:
                self._kinds = [kind, kind]
            else:
                self._kinds[direction] = 0
        if not kind:
            stream.begin()
            return (yield from reader(stream))
        segments = self._segments[direction]
        if segments is None:
            segments = self._segments[direction] = Segments(kind)
        return (yield from segments.read(stream, reader(segments.stream)))

    # What a client sends.

    def _request(self, stream: Stream) -> Wire[Statement]:
        begun = stream.position
        frame = yield from read_frame(stream, REQUESTS, 0)
        left = frame.size - (stream.position - begun - HEADER)
        if frame.opcode not in _EXCHANGES:
            self._aside[frame.stream] = None
            if len(self._aside) > MAX_ASIDE:
                del self._aside[next(iter(self._aside))]
            yield from stream.skip(left)
            if frame.opcode == STARTUP and frame.version == 5:
                is_lz4 = startup_of(plain(frame).body).get(b"COMPRESSION") == b"lz4"
                self._next_kind = LZ4 if is_lz4 else PLAIN
                self._kinds[0] = self._next_kind
            return None
        self._aside.pop(frame.stream, None)
        if self.pairing.is_pending(frame.stream):
            raise ProtocolError(f"stream {frame.stream} is in use")
        said = self._statement(plain(frame))
        said.size = frame.size + HEADER
        said.is_truncated = len(frame.body) < min(frame.size, MAX_BODY)
        yield said
        yield from stream.skip(left)
        return said

    def _statement(self, frame: Frame) -> Statement:
        said = Statement(frame.stream, frame.opcode, keyspace=self.keyspace)
        cursor = Cursor(frame.body)
        if frame.opcode == BATCH:
            self._read_batch(frame.body, said)
            return said
        if frame.opcode == EXECUTE:
            number = cursor.sized(2)
            if number is not None and not cursor.is_cut:
                said.text = self.shared.get(number)
                said.missing = PREPARED_BEFORE if said.text is None else ""
            else:
                said.missing = NOT_CAPTURED
            if frame.version == 5:
                cursor.sized(2)
        else:
            raw = cursor.sized(4)
            if raw:
                said.text, said.carrier = split_comment(raw[:MAX_STATEMENT])
            else:
                said.missing = NOT_CAPTURED
        if frame.opcode != PREPARE and not cursor.is_cut:
            said.consistency = consistency_of(cursor)
            said.page_size = page_size_of(cursor, frame.version)
        return said

    def _read_batch(self, body: bytes, said: Statement) -> None:
        said.count, each, said.consistency = batch_of(body)
        texts = [self.shared.get(what) if is_id else what for is_id, what in each]
        known = [text for text in texts if text is not None]
        if said.count and len(known) == said.count:
            said.text = b"; ".join(text.rstrip(b"; \n") for text in known)[:MAX_STATEMENT]
        else:
            said.missing = PREPARED_BEFORE if len(each) == said.count else NOT_CAPTURED

    # What a server sends.

    def _response(self, stream: Stream) -> Wire[Result]:
        begun = stream.position
        frame = yield from read_frame(stream, RESPONSES, RESPONSE)
        left = frame.size - (stream.position - begun - HEADER)
        is_aside = frame.opcode not in (RESULT, ERROR) or frame.stream in self._aside
        if is_aside or not self.pairing.choose(frame.stream):
            self._aside.pop(frame.stream, None)
            yield from stream.skip(left)
            if frame.opcode in (READY, AUTHENTICATE) and frame.version == 5 and self._next_kind:
                self._kinds[1] = self._next_kind
            return None
        exchange = self.pairing.answering()
        said: Statement | None = None if exchange is None else exchange.request
        result = self._result(plain(frame), said)
        result.size = frame.size + HEADER
        result.is_truncated = len(frame.body) < min(frame.size, MAX_BODY)
        yield result
        yield from stream.skip(left)
        return result

    def _result(self, frame: Frame, said: Statement | None) -> Result:
        result = Result(frame.stream)
        cursor = Cursor(frame.body)
        first = cursor.number(4)
        if frame.opcode == ERROR:
            result.error = first or 0
        elif first == ROWS:
            result.rows = rows_of(cursor)
        elif first == SET_KEYSPACE:
            name = cursor.sized(2)
            if name and not cursor.is_cut:
                self.keyspace = mask(readable(name[:MAX_KEYSPACE]))
        elif first == PREPARED and said is not None and said.text is not None:
            number = cursor.sized(2)
            if number and not cursor.is_cut:
                self._keep(number, said.text)
        return result

    def _keep(self, number: bytes, text: bytes) -> None:
        shared = self.shared
        shared[number] = text
        shared.move_to_end(number)
        if len(shared) > MAX_STATEMENTS:
            shared.popitem(last=False)
