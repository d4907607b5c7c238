r"""NATS' messages: lines, two kinds of them with a payload behind, and headers.

https://docs.nats.io/reference/reference-protocols/nats-protocol

    client    CONNECT {json}   PUB <subject> [reply] <size>   HPUB <subject> [reply] <header size> <size>
              SUB <subject> [queue] <sid>   UNSUB <sid> [max]   PING   PONG
    server    INFO {json}   MSG <subject> <sid> [reply] <size>   HMSG <subject> <sid> [reply] <header size> <size>
              +OK   -ERR '<text>'   PING   PONG

Headers are `NATS/1.0[ status[ text]]` and then lines as in HTTP/1. Of CONNECT, which carries passwords and tokens, only
`verbose` is looked at; of -ERR only which of the documented errors it is.

No protocol by itself: nothing is registered here.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from agent.errors import ProtocolError
from agent.protocols import MAX_CLASSIFY, Verdict
from agent.protocols.captured import read_head
from agent.protocols.messaging_semantics import Carrier

if TYPE_CHECKING:
    from agent.stream import Read, Stream

MAX_LINE: Final = 64 * 1024
"""INFO lists a cluster's servers; of other lines the server takes 4 KB by default (max_control_line)."""
MAX_PAYLOAD: Final = 64 * 1024 * 1024
"""The server's own limit of max_payload."""
MAX_NAME: Final = 256
"""Bytes of a subject, so that it is remembered; NATS advises to stay far below."""
MAX_HEADER: Final = 16 * 1024
"""Bytes of headers that are looked at: as many as a record can hold."""

_TOKEN = rb"[!-~\x80-\xff]+"
_CLIENT_LINE = re.compile(
    rb"(?:PUB " + _TOKEN + rb" +(?:" + _TOKEN + rb" +)?\d{1,9}"
    rb"|HPUB " + _TOKEN + rb" +(?:" + _TOKEN + rb" +)?\d{1,9} +\d{1,9}"
    rb"|SUB " + _TOKEN + rb" +(?:" + _TOKEN + rb" +)?[0-9A-Za-z]{1,32}"
    rb"|UNSUB [0-9A-Za-z]{1,32}(?: +\d{0,9})?) *\r\n"
)  # fmt: skip
_SERVER_LINE = re.compile(
    rb"(?:MSG " + _TOKEN + rb" +[0-9A-Za-z]{1,32} +(?:" + _TOKEN + rb" +)?\d{1,9}"
    rb"|HMSG " + _TOKEN + rb" +[0-9A-Za-z]{1,32} +(?:" + _TOKEN + rb" +)?\d{1,9} +\d{1,9}) *\r\n"
)  # fmt: skip
_BEGUN = re.compile(
    rb"(?:H?PUB|SUB|H?MSG) (?:" + _TOKEN + rb"(?: +[!-~\x80-\xff]*){0,4}\r?)?"
    rb"|UNSUB (?:[0-9A-Za-z]{1,32}(?: +\d{0,9})? *\r?)?"
    rb'|(?:CONNECT|INFO) *(?:\{ *(?:"[a-z_]{0,24}(?:" *)?)?)?'
)
"""A line of which the end has not come."""
_OPERATIONS: Final = (b"CONNECT ", b"INFO ", b"PUB ", b"HPUB ", b"SUB ", b"UNSUB ", b"MSG ", b"HMSG ", b"-ERR '", b"PING\r\n", b"PONG\r\n")  # fmt: skip
_BEATS = re.compile(rb"\A(?:P[IO]NG\r\n)+")
MIN_TELLING: Final = 16
"""Bytes of a line without an end that must be there after PING and PONG."""
_JSON = rb' *\{ *"[a-z_]{1,24}" *:'
_FIRST_LINES: Final = (
    (Verdict.REQUEST, re.compile(rb"CONNECT" + _JSON)),
    (Verdict.GREETING, re.compile(rb"INFO" + _JSON)),
    (Verdict.REQUEST, _CLIENT_LINE),
    (Verdict.RESPONSE, _SERVER_LINE),
    (Verdict.RESPONSE, re.compile(rb"-ERR '[A-Z]")),
)
_NEXT = {
    is_server: re.compile(rb"(?:\A|\r\n)(?=" + line.pattern + rb"|(?:PING|PONG|\+OK)\r\n)")
    for is_server, line in ((False, _CLIENT_LINE), (True, _SERVER_LINE))
}
_STATUS = re.compile(rb"NATS/1\.0 +(\d{3})")
_HEADER = re.compile(rb"^([^:\r\n]{1,64}):[ \t]*([^\r\n]*?)[ \t]*\r\n", re.MULTILINE)
_VERBOSE = re.compile(rb'"verbose"\s*:\s*true')
_TLS = re.compile(rb'"tls_required"\s*:\s*true')

_ERRORS: Final = (
    *("unknown protocol operation", "attempted to connect to route port", "authorization violation"),
    *("authorization timeout", "invalid client protocol", "maximum control line exceeded", "parser error"),
    *("secure connection - tls required", "stale connection", "maximum connections exceeded", "slow consumer"),
    *("maximum payload violation", "invalid subject", "invalid publish subject", "permissions violation"),
    *("user authentication expired", "account authentication expired", "user authentication revoked"),
    *("no responders", "server shutdown"),
)  # fmt: skip
"""https://docs.nats.io/reference/reference-protocols/nats-protocol#ok-err, and those of its source (server/errors.go)."""
_OF_A_MESSAGE = re.compile(rb"-ERR '(?:Permissions Violation for Publish to|Maximum Payload|Invalid (?:Publish )?Subject)", re.IGNORECASE)  # fmt: skip
_ITS_SUBJECT = re.compile(rb"for Publish to \"([^\"]{1,4096})\"", re.IGNORECASE)


def classify(head: bytes) -> Verdict:
    """By the first line that tells: PING and PONG are said by both sides. +OK is said in other protocols, too."""
    is_all = len(head) >= MAX_CLASSIFY
    head = _BEATS.sub(b"", head[:MAX_CLASSIFY])
    for verdict, line in _FIRST_LINES:
        if line.match(head):
            return verdict
    is_begun = any(word.startswith(head) for word in _OPERATIONS) or _BEGUN.fullmatch(head)
    if not is_begun:
        return Verdict.NO
    if not is_all:
        return Verdict.MORE
    if head.startswith(_OPERATIONS[:2]) or len(head) < MIN_TELLING:
        return Verdict.NO
    return Verdict.RESPONSE if b"MSG " in head[:5] else Verdict.REQUEST


def find(data: bytes, *, is_server: bool) -> int:
    """Where a line of that side begins that is hardly anything else; -1: nowhere."""
    found = _NEXT[is_server].search(data)
    return found.end() if found is not None else -1


def read_line(stream: Stream) -> Read[tuple[bytes, list[bytes]]]:
    """One line, and its words: at least one."""
    line = yield from stream.read_until(b"\n", MAX_LINE)
    words = line.split()
    if not words or not line.endswith(b"\r\n"):
        raise ProtocolError("a line that is no message")
    return line, words


def size_of(digits: bytes) -> int:
    """The size of a payload."""
    size = int(digits) if digits.isdigit() and len(digits) < 10 else -1
    if not 0 <= size <= MAX_PAYLOAD:
        raise ProtocolError("a message without its size")
    return size


def read_headers(stream: Stream, size: int) -> Read[tuple[int, dict[str, str] | None, bool]]:
    """Headers of `size` bytes: the status (0 without one), the trace context, and whether all of them were captured."""
    head = yield from read_head(stream, size, MAX_HEADER)
    status = _STATUS.match(head)
    carrier = Carrier()
    for found in _HEADER.finditer(head):
        carrier.add(found[1], found[2])
    return int(status[1]) if status else 0, carrier.found(), len(head) == min(size, MAX_HEADER)


def read_end(stream: Stream, size: int) -> Read[None]:
    """Walk over a payload of `size` bytes and what ends it."""
    yield from stream.skip(size)
    yield from stream.wait()
    end = stream.peek(2)
    yield from stream.skip(2)
    if not b"\r\n".startswith(end):
        raise ProtocolError("a payload that does not end where it should")


def error_of(line: bytes) -> str:
    """error.type of a -ERR line: which of the documented errors it is."""
    said = line[6:].strip(b"' \r\n").lower()
    for known in _ERRORS:
        if said.startswith(known.encode()):
            return known.replace(" - ", " ").replace(" ", "_")
    return "_OTHER"


def subject_of(line: bytes) -> bytes | None:
    """What was published where -ERR complains of a message; empty if it does not say, None if it complains of nothing such."""
    if _OF_A_MESSAGE.match(line) is None:
        return None
    found = _ITS_SUBJECT.search(line)
    return found[1] if found is not None else b""


def is_verbose(connect: bytes) -> bool:
    """Whether CONNECT asks for +OK after each of the client's messages."""
    return _VERBOSE.search(connect) is not None


def wants_tls(info: bytes) -> bool:
    """Whether INFO says that TLS comes next."""
    return _TLS.search(info) is not None


class Subscriptions:
    """What a client listens to; to tell replies to it from messages to others."""

    MAX: Final = 4096
    """Subscriptions of a connection that are known."""
    MAX_PATTERNS: Final = 64
    """Of those, the ones with wildcards that are compared with each subject."""

    def __init__(self) -> None:
        self._by_sid: dict[bytes, tuple[bytes, bytes]] = {}
        self._patterns: dict[bytes, list[bytes]] = {}
        self._subjects: set[bytes] = set()

    def add(self, sid: bytes, subject: bytes, queue: bytes) -> None:
        """SUB. Names longer than any are not kept."""
        if len(self._by_sid) >= self.MAX or len(sid) + len(subject) + len(queue) > 2 * MAX_NAME:
            return
        self._by_sid[sid] = (subject, queue)
        tokens = subject.split(b".")
        if b"*" not in tokens and b">" not in tokens:
            self._subjects.add(subject)
        elif len(self._patterns) < self.MAX_PATTERNS:
            self._patterns[subject] = tokens

    def remove(self, sid: bytes) -> None:
        """UNSUB."""
        subject, _ = self._by_sid.pop(sid, (b"", b""))
        self._subjects.discard(subject)
        self._patterns.pop(subject, None)

    def queue(self, sid: bytes) -> bytes:
        """The queue group of a subscription; empty without one."""
        return self._by_sid.get(sid, (b"", b""))[1]

    def hears(self, subject: bytes) -> bool:
        """Whether a message to `subject` comes in here: `*` stands for a token, `>` for the rest."""
        if subject in self._subjects:
            return True
        tokens = subject.split(b".")
        return any(_matches(pattern, tokens) for pattern in self._patterns.values())


def _matches(pattern: list[bytes], tokens: list[bytes]) -> bool:
    for at, token in enumerate(pattern):
        if token == b">":
            return len(tokens) > at
        if at >= len(tokens) or token not in (b"*", tokens[at]):
            return False
    return len(pattern) == len(tokens)
