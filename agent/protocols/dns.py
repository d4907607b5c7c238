"""DNS over UDP and TCP (RFC 1035, RFC 7766; EDNS: RFC 6891): one query, one answer.

    message  = header (12 bytes), questions, answers, authorities, additional records
    over TCP = its size in 2 bytes, then the message

Read are the header, the one question that everybody sends, and the addresses and names in the answers. A query and its
answer share the id and the question; over TCP answers may come in any order, but clients that do not pipeline are the
rule: pairing is in order there, and an answer with another id is refused.

Not taken for DNS: multicast DNS (its ids are 0 and nobody owns a query), LLMNR, updates, notifications, zone transfers.
What /etc/hosts or nscd answer never becomes a datagram.
"""

from __future__ import annotations

import contextlib
import struct
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import TYPE_CHECKING, Any, Final

from agent.errors import Gap, ProtocolError
from agent.protocols import (
    MAX_CLASSIFY,
    About,
    Datagram,
    Description,
    Protocol,
    Role,
    Verdict,
    Wire,
    register,
)
from agent.protocols.pairing import Failure
from agent.spans import semconv
from agent.spans.span import Attributes, Value

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from agent.protocols.pairing import Exchange
    from agent.stream import Read, Stream

_HEADER: Final = struct.Struct("!HHHHHH")
_QUESTION: Final = struct.Struct("!HH")
_RECORD: Final = struct.Struct("!HHIH")

MAX_NAME: Final = 255
"""RFC 1035 §2.3.4."""
MAX_POINTERS: Final = 32
"""Compression pointers followed in one name."""
MAX_ANSWERS: Final = 16
"""Records whose data become an attribute."""
MAX_RECORDS: Final = 64
"""Records looked at."""
MAX_QUERY: Final = 1024
"""Bytes of a query: header, name, type and class, and options."""
MAX_COUNT: Final = 1024
"""Records of a section in an answer that is taken for one."""

_IS_ANSWER: Final = 0x8000
_OPCODE: Final = 0x7800
_TRUNCATED: Final = 0x0200
_RESERVED: Final = 0x0040

_A, _CNAME, _AAAA = 1, 5, 28
_CLASSES: Final = frozenset((1, 3, 4, 255))
"""IN, CH, HS, any (RFC 1035 §3.2.4); the highest bit, which mDNS uses, is in none."""
_TYPES: Final = {
    1: "A", 2: "NS", 5: "CNAME", 6: "SOA", 12: "PTR", 13: "HINFO", 15: "MX", 16: "TXT", 28: "AAAA",
    29: "LOC", 33: "SRV", 35: "NAPTR", 39: "DNAME", 43: "DS", 44: "SSHFP", 46: "RRSIG", 47: "NSEC",
    48: "DNSKEY", 50: "NSEC3", 52: "TLSA", 64: "SVCB", 65: "HTTPS", 99: "SPF", 255: "ANY", 257: "CAA",
}  # fmt: skip
"""IANA, DNS parameters: those that are in use. A query for another one is not taken for DNS."""
_CODES: Final = {
    1: "FORMERR", 2: "SERVFAIL", 3: "NXDOMAIN", 4: "NOTIMP", 5: "REFUSED", 6: "YXDOMAIN", 7: "YXRRSET",
    8: "NXRRSET", 9: "NOTAUTH", 10: "NOTZONE",
}  # fmt: skip
"""RFC 1035 §4.1.1, RFC 2136 §2.2."""
NO_ANSWER: Final = "EAI_AGAIN"
"""What getaddrinfo tells the program when nobody answers."""


@dataclass(slots=True)
class Message:
    """A query or an answer."""

    id: int
    name: str
    """Without the last dot, in lower case; `.` for the root."""
    type: str
    code: int = 0
    """Response code."""
    is_short: bool = False
    """The answer did not fit into a datagram: the client asks again over TCP."""
    answers: tuple[str, ...] = ()
    """Addresses and names, at most MAX_ANSWERS."""
    is_answer: bool = False
    is_truncated: bool = False
    """The message was not captured whole: answers may be missing."""
    carrier: None = None

    @property
    def key(self) -> tuple[int, str, str]:
        """What a query and its answer have in common."""
        return (self.id, self.name, self.type)


def parse(data: bytes) -> Message | None:
    """The message that `data` is, or begins with; None if it is no query or answer with one question."""
    if len(data) < _HEADER.size + 5:
        return None
    number, flags, questions, answers, authorities, additional = _HEADER.unpack_from(data)
    is_answer = bool(flags & _IS_ANSWER)
    if questions != 1 or flags & (_OPCODE | _RESERVED):
        return None
    if not is_answer and (answers or authorities or additional > 2 or flags & 0x0F):
        return None
    try:
        name, at = _name(data, _HEADER.size)
        kind, group = _QUESTION.unpack_from(data, at)
    except (ProtocolError, struct.error):
        return None
    if group not in _CLASSES or kind not in _TYPES:
        return None
    message = Message(number, name, _TYPES[kind], flags & 0x0F, bool(flags & _TRUNCATED))
    if is_answer:
        message.is_answer = True
        message.answers = _answers(data, at + _QUESTION.size, answers)
    return message


def _answers(data: bytes, at: int, count: int) -> tuple[str, ...]:
    """The data of the answer section's A, AAAA and CNAME records, as far as they were captured."""
    found: list[str] = []
    try:
        for _ in range(min(count, MAX_RECORDS)):
            _, at = _name(data, at)
            kind, _, _, size = _RECORD.unpack_from(data, at)
            at += _RECORD.size
            value = data[at : at + size]
            if len(value) < size or len(found) == MAX_ANSWERS:
                break
            if kind == _A and size == 4:
                found.append(str(IPv4Address(value)))
            elif kind == _AAAA and size == 16:
                found.append(str(IPv6Address(value)))
            elif kind == _CNAME:
                found.append(_name(data, at)[0])
            at += size
    except (ProtocolError, struct.error):
        pass  # what was read so far holds
    return tuple(found)


def _name(data: bytes, at: int) -> tuple[str, int]:
    """RFC 1035 §4.1.4: labels, each with its size, up to an empty one or a pointer back; and where the name ends."""
    labels: list[str] = []
    end = -1
    size = 0
    for _ in range(MAX_NAME):
        if at >= len(data):
            raise ProtocolError("a name is cut")
        length = data[at]
        if length >= 0xC0:
            if at + 1 >= len(data):
                raise ProtocolError("a name is cut")
            end = at + 2 if end < 0 else end
            target = (length & 0x3F) << 8 | data[at + 1]
            if target >= at:
                raise ProtocolError("a name points forward")
            at = target
            continue
        if length >= 0x40:
            raise ProtocolError("a label of an unknown kind")
        at += 1
        if not length:
            return ".".join(labels) or ".", at if end < 0 else end
        label = data[at : at + length]
        size += length + 1
        if len(label) < length or size > MAX_NAME:
            raise ProtocolError("a name is cut or too long")
        labels.append(_label(label))
        at += length
    raise ProtocolError("a name without an end")


def _label(label: bytes) -> str:
    """Printable ASCII in lower case; other bytes, and the dot, as RFC 1035 §5.1 writes them."""
    if label.isascii() and label.decode("ascii").isprintable() and b"." not in label:
        return label.decode("ascii").lower()
    return "".join(
        chr(byte).lower() if 0x20 < byte < 0x7F and byte != 0x2E else f"\\{byte:03}"
        for byte in label
    )


@register
class Dns(Protocol):
    """DNS over TCP, one connection; and the reading of datagrams."""

    name = "dns"
    about = About(
        title="DNS over UDP and TCP",
        captured="name and type asked for, addresses and names answered, response code, truncation",
        omitted="multicast DNS, LLMNR, updates, zone transfers, several questions in one message; other records' data; over TCP, an answer behind a long one in the same turn (counted as a gap); what /etc/hosts or nscd answer is no DNS",
        tested="dnsmasq 2.90 with glibc's getaddrinfo (threads, asyncio, Node.js), c-ares (Node.js) and Go's own resolver: names that are quick, slow, too long for a datagram, and not there; in the kernel's sight (6.1)",
    )
    reads_datagrams = True

    @classmethod
    def datagram(cls, data: bytes) -> Datagram | None:
        """A message, unless it is multicast DNS's."""
        message = parse(data)
        if message is None or not message.id:
            return None
        return Datagram(message.is_answer, message.key, message, message.is_short)

    @classmethod
    def classify(cls, head: bytes) -> Verdict:
        """A size that fits, and a message that is whole as far as the question goes."""
        if len(head) < 2:
            return Verdict.MORE
        size = int.from_bytes(head[:2], "big")
        if size < _HEADER.size + 5:
            return Verdict.NO
        body = head[2 : 2 + size]
        is_query = len(body) > 2 and not body[2] & 0x80
        if not _begins(body) or (is_query and size > MAX_QUERY):
            return Verdict.NO
        message = parse(body)
        if message is None:
            # A name may be longer than what decides.
            if len(body) == size or len(head) < MAX_CLASSIFY:
                return Verdict.NO if len(body) == size else Verdict.MORE
            return Verdict.RESPONSE if body[2] & 0x80 else Verdict.REQUEST
        return Verdict.RESPONSE if message.is_answer else Verdict.REQUEST

    def request(self, stream: Stream) -> Wire[Message]:
        """Read one query."""
        return (yield from self._read(stream, is_answer=False))

    def response(self, stream: Stream) -> Wire[Message]:
        """Read one answer."""
        message = yield from self._read(stream, is_answer=True)
        exchange = self.pairing.answering()
        if exchange is not None and exchange.request.id != message.id:
            raise ProtocolError("an answer to another query: they are pipelined")
        return message

    def _read(self, stream: Stream, *, is_answer: bool) -> Generator[Message | None, None, Message]:
        yield from stream.wait()
        stream.begin()
        size = int.from_bytes((yield from stream.read(2)), "big")
        head = yield from _captured(stream, size)
        message = parse(head)
        if message is None or message.is_answer is not is_answer:
            raise ProtocolError("no DNS message with one question")
        message.is_truncated = len(head) < size
        yield message
        yield from stream.skip(size - len(head))
        return message

    @staticmethod
    def names(exchange: Exchange) -> Iterator[tuple[bytes, str]]:
        """The answered addresses; those of an alias are the asked name's."""
        answer = exchange.response
        if answer is not None and not answer.code:
            for value in answer.answers:
                with contextlib.suppress(ValueError):
                    yield _packed(value), exchange.request.name

    @staticmethod
    def describe(exchange: Exchange) -> Description:
        """Attributes of the registry's `dns` group; there is no convention for spans of look-ups yet."""
        query, answer = exchange.request, exchange.response
        blocks: tuple[Attributes, ...] = (_asked(query.name, query.type), _server(exchange))
        error = None
        if answer is not None:
            if answer.answers:
                blocks += (Attributes(((semconv.DNS_ANSWERS, answer.answers),)),)
            error = _CODES.get(answer.code, f"RCODE{answer.code}") if answer.code else None
            if answer.is_short:
                blocks += (_TRUNCATED_BLOCK,)
        elif exchange.failure is not None and exchange.failure is not Failure.AGENT_EXIT:
            is_timeout = exchange.failure is Failure.TIMEOUT
            error = NO_ANSWER if is_timeout else exchange.failure.value
        message = "the resolver did not answer" if error == NO_ANSWER else ""
        return Description(f"DNS {query.type}", blocks, error, message)


def _packed(address: str) -> bytes:
    """16 bytes, IPv4 mapped. ValueError for what is no address."""
    parsed = ip_address(address)
    return parsed.packed if parsed.version == 6 else bytes(10) + b"\xff\xff" + parsed.packed


def _captured(stream: Stream, size: int) -> Read[bytes]:
    """The next `size` bytes, or as many of them as were captured."""
    while True:
        head = stream.peek(size)
        if len(head) == size or stream.position + len(head) < stream.end:
            break
        if stream.is_closed:
            raise Gap("the stream ended within a message")
        yield None
    return stream.take(len(head))


def _begins(body: bytes) -> bool:
    """Whether a message with one question may begin so."""
    if body[4:6] != b"\0\1"[: len(body[4:6])]:
        return False
    flags = int.from_bytes(body[2:4].ljust(2, b"\0"), "big")
    if flags & (_OPCODE | _RESERVED) or (flags & 0x0F and not flags & _IS_ANSWER):
        return False
    if len(body) < _HEADER.size:
        return True
    counts = _HEADER.unpack_from(body)[3:]
    if flags & _IS_ANSWER:
        return max(counts) <= MAX_COUNT and _begins_name(body)
    return counts[:2] == (0, 0) and counts[2] <= 2 and _begins_name(body)


def _begins_name(body: bytes) -> bool:
    """Whether a question's name may begin so: it is the first one, and has nothing to point back to."""
    at = _HEADER.size
    while at < len(body):
        length = body[at]
        label = body[at + 1 : at + 1 + length]
        if length > 63 or not all(0x21 <= byte < 0x7F for byte in label):
            return False
        if not length:
            break
        at += 1 + length
    return True


_TRUNCATED_BLOCK: Final = Attributes(((semconv.DNS_TRUNCATED, True),))


@lru_cache(4096)
def _asked(name: str, kind: str) -> Attributes:
    items: tuple[tuple[str, Value], ...] = (
        (semconv.NETWORK_PROTOCOL_NAME, "dns"),
        (semconv.DNS_QUESTION_NAME, name),
        (semconv.DNS_QUESTION_TYPE, kind),
    )
    return Attributes(items)


def _server(exchange: Exchange) -> Attributes:
    """The resolver that was asked."""
    connection: Any = exchange.connection
    if exchange.role is Role.CLIENT:
        return _resolver(connection.remote_address, connection.remote_port)
    return _resolver(connection.local_address, connection.local_port)


@lru_cache(1024)
def _resolver(packed: bytes, port: int) -> Attributes:
    address = IPv6Address(packed)
    items: tuple[tuple[str, Value], ...] = ((semconv.SERVER_PORT, port),)
    if int(address) and address.ipv4_mapped != IPv4Address(0):
        items = ((semconv.SERVER_ADDRESS, str(address.ipv4_mapped or address)), *items)
    return Attributes(items)
