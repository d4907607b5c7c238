"""The hot path of HTTP/1: heads of the common shapes, each whole in one piece.

It takes the common shapes and leaves everything else, by answering None, to the readers. What it does answer equals
what the readers would (tests/protocols/test_http1_shortcut.py). A private sibling of `http1`.
"""

from __future__ import annotations

from typing import Final

from agent.protocols import Shortcut
from agent.protocols.http1_head import (
    CONTEXT_FIELDS,
    MAX_HEAD,
    MAX_LENGTH_DIGITS,
    MAX_TARGET,
    METHODS,
    Framing,
    Request,
    Response,
)

MAX_REPEATED: Final = 1024
"""Bytes of field lines that a connection remembers, in each direction."""

# A member of an enum takes 40 ns to get at through its class.
_NONE = Framing.NONE
_LENGTH = Framing.LENGTH
_STATUSES = {b"HTTP/1.1 %d " % status: status for status in range(200, 600)}
_BODILESS = frozenset((204, 304))
_UNUSUAL = frozenset(("HEAD", "CONNECT"))
"""Methods that decide over the end of their response."""

_HOST, _USER_AGENT, _CONTENT, _OTHER = range(1, 5)
_WANTED = {
    b"host": _HOST,
    b"user-agent": _USER_AGENT,
    b"content-length": _CONTENT,
    b"transfer-encoding": _OTHER,
    **dict.fromkeys(CONTEXT_FIELDS, _OTHER),
}
_FOLDS = b" \t"
"""How a line begins that goes on with the one before."""
_MAX_VALUES: Final = 4096
"""Lines that are known, of at most MAX_LINE bytes each: 1 MiB."""
MAX_LINE: Final = 160


def _table(wanted: dict[bytes, int]) -> tuple[tuple[int, ...], ...]:
    """What a line may be, by its first and its fourth byte; lines that go on with another one are _OTHER."""
    rows = [[0] * 256 for _ in range(256)]
    for fold in _FOLDS:
        rows[fold] = [_OTHER] * 256
    for name, what in wanted.items():
        fourth = (name[3:4].lower() + name[3:4].upper()) or range(256)
        for first in name[:1].lower() + name[:1].upper():
            for byte in fourth:
                rows[first][byte] = rows[first][byte] or what  # what comes first, comes most often
    return tuple(map(tuple, rows))


# By the numbers of two bytes: a slice of the line and a look-up in a dict take four times as long.
_IN_REQUESTS: Final = _table(_WANTED)
_IN_RESPONSES: Final = _table(
    {name: _WANTED[name] for name in (b"content-length", b"transfer-encoding")}
)


class _Values(dict[bytes, bytes | None]):
    """By whole line, the value of a field that repeats itself in many requests; None if the line is of another field."""

    def __init__(self, name: bytes) -> None:
        super().__init__()
        self._name = name

    def __missing__(self, line: bytes) -> bytes | None:
        name, colon, value = line.partition(b":")
        found = value.strip() if colon and name.lower() == self._name else None
        if len(line) <= MAX_LINE:
            if len(self) >= _MAX_VALUES:
                self.clear()
            self[line] = found
        return found


_HOSTS: Final = _Values(b"host")
_USER_AGENTS: Final = _Values(b"user-agent")
_new: Final = object.__new__


class Http1Shortcut(Shortcut):
    """What repeats among the connections of one process to one place."""

    def __init__(self) -> None:
        self._repeated_size = 0
        self._repeated = b""
        """The field lines of the last request that `quick_request` read: clients on a connection repeat themselves."""
        self._repeated_host: bytes | None = None
        self._repeated_user_agent: bytes | None = None
        self._answer = b""
        """The head of the last response that `quick_response` read: within a second, servers repeat themselves."""
        self._answer_length = 0

    def request(  # noqa: C901, PLR0911, PLR0912  # the hot path: calls would double its time
        self, data: bytes, size: int | None = None
    ) -> Request | None:
        """The request that begins with `data` and has `size` bytes, those of `data` if not given.

        None unless it is of a common shape: a whole head in `data`, CR LF, HTTP/1.1, a registered method, a body by
        Content-Length that ends where the message ends, no field that is wanted folded or repeated.
        """
        line_end = data.find(b"\n")
        method, _, target = data[: line_end - 10].partition(b" ")
        name = METHODS.get(method)
        if name is None or not target or not data.startswith(b" HTTP/1.1\r", line_end - 10):
            return None
        if len(target) > MAX_TARGET:
            return None
        if size is None:
            size = len(data)
        rest = size - line_end
        repeated = self._repeated
        if rest == len(repeated) and len(data) == size and data.endswith(repeated):
            host, user_agent = self._repeated_host, self._repeated_user_agent
            # Not by its constructor, which takes twice as long.
            request = _new(Request)
            request.method, request.target, request.version = name, target, "1.1"
            request.host, request.user_agent = host, user_agent
            request.head_size = request.size = size
            request.body_size = 0
            return request
        head_size = len(data)
        if not data.endswith(b"\r\n\r\n"):
            head_size = data.find(b"\r\n\r\n", line_end - 1) + 4
        if head_size == 3 or head_size > MAX_HEAD:
            return None
        host = user_agent = length = carrier = None
        # One split and a look at two bytes of each line: searches of the head for every name took twice as long, and so did a
        # regular expression.
        fields = data[line_end + 1 : head_size - 4]
        if not fields and head_size != line_end + 3:
            return None  # the head ended before
        for line in fields.split(b"\r\n") if fields else ():
            try:
                what = _IN_REQUESTS[line[0]][line[3]]
            except IndexError:
                return None  # shorter than fields are, or the empty line: the head ended before
            if not what:
                continue
            if what == _HOST:
                value = _HOSTS[line]
                if value is not None:
                    host = value if host is None else host
                    continue
            elif what == _USER_AGENT:
                value = _USER_AGENTS[line]
                if value is not None:
                    user_agent = value if user_agent is None else user_agent
                    continue
            elif line[:13] == b"traceparent: " and carrier is None:
                value = line[13:].strip()
                if value:
                    carrier = {"traceparent": value.decode("latin-1")}
                    continue
            field, colon, value = line.partition(b":")
            field = field.lower()
            if field in CONTEXT_FIELDS and colon:
                key = field.decode("ascii")
                value = value.strip()
                if carrier is None:
                    carrier = {}
                if not value or key in carrier:
                    return None
                carrier[key] = value.decode("latin-1")
            elif field == b"content-length":
                digits = value.strip()
                if length is not None or not digits.isdigit() or len(digits) > MAX_LENGTH_DIGITS:
                    return None
                length = int(digits)
            elif field.strip() in _WANTED or line[0] in _FOLDS:
                return None
        whole = head_size + (length or 0)
        if whole != size:
            return None
        if carrier is None and length is None and rest <= MAX_REPEATED:
            # Kept once its size has come twice: heads that never come again would only fill the processor's caches.
            self._repeated = data[line_end:] if rest == self._repeated_size else b""
            self._repeated_size = rest
            self._repeated_host = host
            self._repeated_user_agent = user_agent
        request = _new(Request)
        request.method, request.target, request.version = name, target, "1.1"
        request.host, request.user_agent, request.carrier = host, user_agent, carrier
        request.head_size, request.size = head_size, whole
        if length is None:
            request.body_size = 0
        else:
            request.framing = _LENGTH
            request.content_length = request.body_size = length
        return request

    def response(  # noqa: C901, PLR0911, PLR0912  # the hot path: calls would double its time
        self, data: bytes, size: int, request: Request | None
    ) -> Response | None:
        """The response to `request` of which `size` bytes begin with `data`; None unless of a common shape.

        More of its body may come: `Response.size` says where it ends, which is not before these `size` bytes.
        """
        status = _STATUSES.get(data[:13])
        if status is None:
            return None
        if request is not None and request.method in _UNUSUAL:
            return None
        head_size = len(self._answer)
        if head_size and data.startswith(self._answer):
            length = self._answer_length
        else:
            line_end = data.find(b"\n")
            head_size = data.find(b"\r\n\r\n", line_end - 1) + 4
            if head_size == 3 or head_size > MAX_HEAD or data[line_end - 1] != 13:
                return None
            if status in _BODILESS:
                if head_size != size:
                    return None
                return Response(status, "1.1", _NONE, None, None, head_size, 0, size)
            length = -1
            for line in data[line_end + 1 : head_size - 4].split(b"\r\n"):
                try:
                    what = _IN_RESPONSES[line[0]][line[3]]
                except IndexError:
                    return None  # shorter than fields are
                if what:
                    name, _, value = line.partition(b":")
                    name = name.lower()
                    if name == b"content-length" and length < 0:
                        value = value.strip()
                        if not value.isdigit() or len(value) > MAX_LENGTH_DIGITS:
                            return None
                        length = int(value)
                    elif name.strip() in _WANTED or line[0] in _FOLDS:
                        return None
            if length < 0:
                return None
            if head_size <= MAX_REPEATED:
                self._answer = data[:head_size]
                self._answer_length = length
        whole = head_size + length
        if whole < size:
            return None
        response = _new(Response)
        response.status, response.version, response.framing = status, "1.1", _LENGTH
        response.content_length = response.body_size = length
        response.head_size, response.size = head_size, whole
        return response
