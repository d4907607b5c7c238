"""The head of an HTTP/1 message (RFC 9112 §2 to §6): start line, field lines, and what they say of its body.

A private sibling of `http1`, which reads streams and calls these. Everything here is a pure function of a head's
bytes, or a value. Limits carry what implementations choose.
"""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass
from typing import Final

from agent.errors import Gap, ProtocolError
from agent.protocols import MAX_CLASSIFY, Verdict

# The IANA HTTP Method Registry without PRI, which begins HTTP/2, and with PURGE, which caches answer. Only these
# claim a connection; once it is HTTP, any token is a method.
METHODS: Final = {
    method.encode(): method
    for method in (
        *("CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE"),
        *("ACL", "BASELINE-CONTROL", "BIND", "CHECKIN", "CHECKOUT", "COPY", "LABEL", "LINK"),
        *("LOCK", "MERGE", "MKACTIVITY", "MKCALENDAR", "MKCOL", "MKREDIRECTREF", "MKWORKSPACE"),
        *("MOVE", "ORDERPATCH", "PROPFIND", "PROPPATCH", "PURGE", "QUERY", "REBIND", "REPORT"),
        *("SEARCH", "UNBIND", "UNCHECKOUT", "UNLINK", "UNLOCK", "UPDATE", "UPDATEREDIRECTREF"),
        "VERSION-CONTROL",
    )
}

MAX_HEAD: Final = 64 * 1024
"""Bytes of a head. Servers take by default: nginx 4 x 8 KiB, Apache 100 lines of 8190, Node, HAProxy and IIS 16 KiB,
Go 1 MiB; clients: Chrome 256 KiB, curl 300 KiB. What is longer than this, hardly any pair of them exchanges."""
MAX_TARGET: Final = 8000
"""Bytes of a request's target that are kept; RFC 9112 §3 recommends that all parties support this much."""
MAX_METHOD: Final = 32
"""The longest registered method has 17."""
MAX_LENGTH_DIGITS: Final = 18
"""Of a Content-Length: below 2**63, as in all implementations."""

MAX_CHUNK_DIGITS: Final = 15
"""Hexadecimal digits of a chunk size: below 2**63."""

LAST_CHUNK: Final = b"\r\n0\r\n\r\n"
"""How a chunked message without trailer fields ends."""

_TOKEN = re.compile(rb"[!#$%%&'*+\-.^_`|~0-9A-Za-z]{1,%d}" % MAX_METHOD)
_VERSION = re.compile(rb" HTTP/1\.[0-9]")
STATUS_LINE: Final = re.compile(rb"HTTP/1\.([0-9]) ([1-9][0-9]{2})(?: .*)?", re.DOTALL)
_CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]{1,%d})[ \t]*(?:;.*)?" % MAX_CHUNK_DIGITS, re.DOTALL)
# RFC 9112 §5.2: obs-fold = OWS CRLF RWS; it is to be replaced "with one or more SP octets".
_FOLD = re.compile(rb"\r\n[ \t]+")
_FOLD_LF = re.compile(rb"\r?\n[ \t]+")
# The forms of RFC 9112 §3.2: origin, asterisk, absolute, authority.
_TARGET = rb"(?:/[!-~\x80-\xff]*|\*|(?i:https?)://[!-~\x80-\xff]+|[!-.0-~]+:[0-9]{1,5})"
TARGET_START: Final = re.compile(
    rb"/[!-~\x80-\xff]*|\*|(?i:https?):/(?:/[!-~\x80-\xff]*)?|[!-.0-~]+"
)
START_LINE: Final = re.compile(
    rb"^(?:(?:%s) %s HTTP/1\.[0-9]|HTTP/1\.[0-9] [1-5][0-9]{2}(?: [^\r\n]*)?)\r?\n"
    % (b"|".join(map(re.escape, METHODS)), _TARGET),
    re.MULTILINE,
)
_FRAMING_FIELDS = frozenset((b"content-length", b"transfer-encoding"))
CONTEXT_FIELDS: Final = frozenset(
    (
        *(b"traceparent", b"tracestate", b"b3", b"uber-trace-id", b"x-amzn-trace-id"),
        *(b"x-b3-traceid", b"x-b3-spanid", b"x-b3-sampled", b"x-b3-flags"),
        *(b"x-datadog-trace-id", b"x-datadog-parent-id"),
        *(b"x-datadog-sampling-priority", b"x-datadog-tags"),
    )
)
"""Fields that may hold a trace context, in any format (docs/propagation.md)."""
LISTED_FIELDS: Final = frozenset((b"tracestate", b"x-datadog-tags"))
"""Those that are lists: several lines of one are one list (RFC 9110 §5.3)."""
_FIELDS = _FRAMING_FIELDS | CONTEXT_FIELDS | {b"host", b"user-agent", b"upgrade"}


class Framing(enum.Enum):
    """What tells where a message ends (RFC 9112 §6.3)."""

    NONE = "none"
    """It has no body."""
    LENGTH = "length"
    CHUNKED = "chunked"
    CLOSE = "close"
    """The end of the connection."""
    UNKNOWN = "unknown"
    """It was not captured, or is invalid: the end of the turn."""


# Neither frozen, for sizes are known later than the head, nor with slots, so that defaults are the class's: the hot path sets
# only what differs, which takes half of the time.
@dataclass
class Request:
    """A request, as far as a span needs it."""

    method: str
    target: bytes
    """As sent, at most MAX_TARGET bytes."""
    version: str
    """`1.1`; empty where the request line was cut before it."""
    host: bytes | None = None
    user_agent: bytes | None = None
    carrier: dict[str, str] | None = None
    """Trace context as it came, by field in lower case; None without any."""
    framing: Framing = Framing.NONE
    content_length: int | None = None
    """What the head announces, where that is what counts."""
    head_size: int | None = None
    """None where the end of the head was not captured."""
    body_size: int | None = None
    """Bytes of the content, without the framing of chunks. None while not known."""
    size: int | None = None
    """All bytes of the message. None while not known."""
    is_truncated: bool = False
    """The head was not captured whole: fields may be missing."""


@dataclass
class Response:
    """A response, as far as a span needs it; fields as in `Request`."""

    status: int
    version: str
    framing: Framing = Framing.NONE
    content_length: int | None = None
    upgrade: bytes | None = None
    """Of a 101: what the connection speaks from here on."""
    head_size: int | None = None
    body_size: int | None = None
    size: int | None = None
    is_truncated: bool = False


@dataclass(slots=True)
class Head:
    """Header fields that matter, names in lower case; several of one name in their order."""

    fields: dict[bytes, list[bytes]]
    captured: int
    """Bytes seen, the start line's included."""
    size: int | None
    """Bytes of the head; None if more was there than was captured."""


def parse_request_line(line: bytes) -> Request:
    """RFC 9112 §3: method SP request-target SP HTTP-version."""
    method, _, rest = line.partition(b" ")
    if _TOKEN.fullmatch(method) is None:
        raise ProtocolError(f"{method[:MAX_METHOD]!r} is no method")
    name = METHODS.get(method) or method.decode("ascii")
    if not line.endswith(b"\n"):
        target = rest.partition(b" ")[0]
        if not target:
            raise Gap("a request line was not captured")
        return Request(name, target[:MAX_TARGET], "")
    rest = rest[: -2 if rest.endswith(b"\r\n") else -1]
    if _VERSION.fullmatch(rest[-9:]) is None or len(rest) == 9:
        raise ProtocolError(f"{line[:MAX_CLASSIFY]!r} is no request line")
    return Request(name, rest[:-9][:MAX_TARGET], rest[-3:].decode("ascii"))


def parse_status_line(line: bytes) -> Response:
    """RFC 9112 §4: HTTP-version SP status-code SP [reason-phrase]; the second SP may be missing."""
    if line.endswith(b"\n"):
        line = line.removesuffix(b"\n").removesuffix(b"\r")
    elif len(line) < 12:
        raise Gap("a status line was not captured")
    found = STATUS_LINE.fullmatch(line)
    if found is None:
        raise ProtocolError(f"{line[:MAX_CLASSIFY]!r} is no status line")
    return Response(int(found[2]), f"1.{found[1].decode('ascii')}")


def parse_fields(block: bytes, *, is_crlf: bool) -> dict[bytes, list[bytes]]:
    """RFC 9112 §5: field lines. Those that are none are passed over, as nothing depends on them."""
    fields: dict[bytes, list[bytes]] = {}
    block = (_FOLD if is_crlf else _FOLD_LF).sub(b" ", block)
    for line in block.split(b"\r\n" if is_crlf else b"\n"):
        name, colon, value = line.partition(b":")
        name = name.lower()
        if name not in _FIELDS:
            # §5.1: a space before the colon "MUST be rejected": with framing fields it serves request smuggling.
            name = name.rstrip()
            if name not in _FRAMING_FIELDS:
                continue
            value = b"invalid"
        if colon:
            fields.setdefault(name, []).append(value.strip())
    return fields


def first_value(fields: dict[bytes, list[bytes]], name: bytes) -> bytes | None:
    """A field's first value, None without the field."""
    values = fields.get(name)
    return values[0] if values else None


def carrier_of(fields: dict[bytes, list[bytes]]) -> dict[str, str] | None:
    """The fields of trace contexts. Of one that may come once and came twice nobody can say which counts: it is left
    out (W3C Trace Context §3.2 demands it of traceparent).
    """
    carrier = {}
    for name in CONTEXT_FIELDS & fields.keys():
        values = fields[name]
        if name in LISTED_FIELDS:
            value = b",".join(filter(None, values))
        else:
            value = values[0] if len(values) == 1 else b""
        if value:
            carrier[name.decode("ascii")] = value.decode("latin-1")
    return carrier or None


def framing_of(head: Head, version: str, default: Framing) -> tuple[Framing, int | None]:
    """RFC 9112 §6.3, rules 3 to 8: the framing, and the length that the head announces."""
    codings = _listed(head.fields, b"transfer-encoding")
    lengths = set(_listed(head.fields, b"content-length"))
    framing = default
    length = None
    if codings:
        if codings[-1] == b"chunked" and codings.count(b"chunked") == 1:
            framing = Framing.CHUNKED
        elif default is Framing.NONE or b"chunked" in codings:
            framing = Framing.UNKNOWN
        if version == "1.0":
            framing = Framing.UNKNOWN
    elif lengths:
        digits = lengths.pop()
        framing = Framing.UNKNOWN
        if not lengths and digits.isdigit() and len(digits) <= MAX_LENGTH_DIGITS:
            framing = Framing.LENGTH
            length = int(digits)
    return (Framing.UNKNOWN if head.size is None else framing), length


def _listed(fields: dict[bytes, list[bytes]], name: bytes) -> list[bytes]:
    """The members of a list-valued field (RFC 9110 §5.6.1), in lower case."""
    if name not in fields:
        return []
    return [member.strip().lower() for member in b",".join(fields[name]).split(b",")]


def ending_of(head: Head) -> bytes:
    """The last bytes of a message whose framing is unknown, if they can be told from any other."""
    return LAST_CHUNK if b"chunked" in _listed(head.fields, b"transfer-encoding") else b""


def parse_chunk_size(line: bytes) -> int:
    """RFC 9112 §7.1: 1*HEXDIG, then extensions."""
    found = _CHUNK_SIZE.fullmatch(line.removesuffix(b"\n").removesuffix(b"\r"))
    if found is None:
        raise ProtocolError(f"{line[:MAX_CHUNK_DIGITS]!r} is no chunk size")
    return int(found[1], 16)


def classify_beginning(line: bytes) -> Verdict:
    """What a start line without its end may become; MORE is "a request line, as far as one can see" too."""
    if line.startswith(b"HTTP/1."):
        sample = line + b"HTTP/1.1 200 "[len(line) :]
        if STATUS_LINE.fullmatch(sample) is None:
            return Verdict.NO
        return Verdict.RESPONSE if sample == line else Verdict.MORE
    method, has_target, rest = line.partition(b" ")
    if not has_target:
        is_start = any(known.startswith(line) for known in (*METHODS, b"HTTP/1."))
        return Verdict.MORE if is_start else Verdict.NO
    target, _, version = rest.partition(b" ")
    is_target = not rest or TARGET_START.fullmatch(target) is not None
    is_version = b"HTTP/1.".startswith(version[:7])
    return Verdict.MORE if method in METHODS and is_target and is_version else Verdict.NO
