"""NATS: messages published and delivered, requests and their replies, JetStream's acknowledgements.

https://docs.nats.io/reference/reference-protocols/nats-protocol

The lines are read in `nats_messages.py`; here is what becomes of them.

    PUB, HPUB            sent, and over with its last byte; where the client is verbose, with +OK or -ERR
      with a reply subject that the client listens to: a `request`, which waits for the reply. JetStream's
                         acknowledgement of a message to a stream is such a reply
    MSG, HMSG            comes in, and is over with its last byte
      with a reply subject: lasts until something is published there. That is the reply, or an acknowledgement to
                         JetStream ($JS.ACK.…), and is no message of its own
    -ERR                 fails the message that it is about: the last one to the subject that it names, or the last one
    a reply of status 503, nobody listens, fails its request. Other messages with a status are JetStream's own, as are
                         pulls of messages: they are no exchanges

An error that nothing waited for is told if it comes before the span is made, a tenth of a second after the message.

The server speaks first. Where it wants TLS the connection is opaque; WebSocket is not recognised.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from agent import redaction
from agent.errors import ProtocolError
from agent.protocols import (
    CAPTURE_ALL,
    About,
    Description,
    Protocol,
    Verdict,
    Wire,
    register,
)
from agent.protocols.answers import MAX_WAITING, Answer
from agent.protocols.captured import read_head
from agent.protocols.messaging_semantics import (
    MAX_DESTINATION,
    REQUEST,
    Message,
    describe,
)
from agent.protocols.nats_messages import (
    MAX_NAME,
    Subscriptions,
    classify,
    error_of,
    find,
    is_verbose,
    read_end,
    read_headers,
    read_line,
    size_of,
    subject_of,
    wants_tls,
)
from agent.spans import semconv

if TYPE_CHECKING:
    from agent.protocols.answers import Key
    from agent.protocols.pairing import Exchange
    from agent.stream import Read, Stream

MAX_SENT: Final = 64
"""Subjects of which the last message is known, for an error that comes later."""
NO_RESPONDERS: Final = 503
_PULL: Final = b"$JS.API.CONSUMER.MSG.NEXT."
_ACK: Final = b"$JS.ACK."
_IN_PROGRESS: Final = b"+WPI"
_REFUSALS: Final = {b"-NAK": "nak", b"-TER": "term"}
"""https://docs.nats.io/nats-concepts/jetstream/consumers#acknowledgment-models"""
_OPERANDS: Final = {b"PUB": (2, 3), b"HPUB": (3, 4), b"MSG": (3, 4), b"HMSG": (4, 5)}
"""How many words follow, without a reply subject and with one."""


@register
class Nats(Protocol):
    """One connection."""

    name = "nats"
    is_stateful = True
    is_database = True
    is_duplex = True
    capture = CAPTURE_ALL
    about = About(
        title="NATS",
        captured="messages sent and received: subject, size, queue group, trace context; requests until their reply, deliveries until their reply or JetStream's acknowledgement; errors",
        omitted="what lies beyond the first 16 KB of one call, but for the rest of a payload; payloads, other headers, what CONNECT says; JetStream's answers in their payload; subscriptions; pulls and status messages; what follows TLS (recognized, then muted); WebSocket; leaf nodes and routes",
        tested="nats-server 2.9 with nats-py 2, core and JetStream, as a proxy recorded them; requests and messages with headers also in the kernel's sight (6.1)",
        roles="producer, consumer, broker",
    )

    def __init__(self) -> None:
        super().__init__()
        self._subscriptions = Subscriptions()
        self._asked: OrderedDict[bytes, None] = OrderedDict()
        """Reply subjects of the client's requests without a reply."""
        self._owed: OrderedDict[bytes, None] = OrderedDict()
        """Reply subjects of deliveries without a reply."""
        self._sent: OrderedDict[bytes, Message] = OrderedDict()
        self._confirmed: deque[Key | None] | None = None
        """Verbose: what +OK is due to, in order; None for what is no message."""
        self._number = 0
        """Verbose: of the last message."""

    @classmethod
    def classify(cls, head: bytes) -> Verdict:
        """By the first line."""
        return classify(head)

    @classmethod
    def find(cls, data: bytes, *, is_server: bool) -> int:
        """A line that is all there."""
        return find(data, is_server=is_server)

    def missed(self, *, is_server: bool) -> None:
        """It is not known any more what +OK is due to."""
        del is_server
        self._confirmed = None

    def request(self, stream: Stream) -> Wire[Message | Answer]:
        """What the client says: one line, and what belongs to it."""
        yield from stream.wait()
        stream.begin()
        if stream.peek(1) == b"\x16":
            self.is_opaque, self.opaque_cause = True, "tls"
            return None
        line, words = yield from read_line(stream)
        verb = words[0].upper()
        if verb in (b"PUB", b"HPUB"):
            return (yield from self._published(stream, verb, words[1:]))
        if verb == b"SUB" and len(words) in (3, 4):
            self._subscriptions.add(words[-1], words[1], words[2] if len(words) == 4 else b"")
        elif verb == b"UNSUB" and len(words) == 2:
            self._subscriptions.remove(words[1])
        elif verb == b"CONNECT":
            self._confirmed = deque() if is_verbose(line) else None
        elif verb not in (b"PING", b"PONG", b"UNSUB"):
            raise ProtocolError("a line that no client says")
        if verb not in (b"PING", b"PONG"):
            self._confirm(None)
        return None

    def response(self, stream: Stream) -> Wire[Message | Answer]:
        """What the server says: one line, and what belongs to it."""
        yield from stream.wait()
        stream.begin()
        line, words = yield from read_line(stream)
        verb = words[0].upper()
        if verb in (b"MSG", b"HMSG"):
            return (yield from self._delivered(stream, verb, words[1:]))
        if verb == b"INFO":
            if wants_tls(line):
                self.is_opaque, self.opaque_cause = True, "tls"
        elif verb == b"+OK" or verb == b"-ERR":
            answer = self._judged(error_of(line) if verb == b"-ERR" else "", line)
            if answer is not None:
                yield answer
                return answer
        elif verb not in (b"PING", b"PONG"):
            raise ProtocolError("a line that no server says")
        return None

    @staticmethod
    def describe(exchange: Exchange) -> Description:
        """By the conventions for messaging."""
        return describe(exchange, "nats", temporary=(b"_INBOX.", b"_R_."))

    def _published(self, stream: Stream, verb: bytes, words: list[bytes]) -> Wire[Message | Answer]:
        said = _operands(verb, words)
        subject, reply = said.subject, said.reply
        if subject in self._owed or subject.startswith((_ACK, _PULL)):
            return (yield from self._replied(stream, said))
        _, carrier, is_whole = yield from _headers(stream, said)
        message = _message(said, carrier, is_whole=is_whole)
        if 0 < len(reply) <= MAX_NAME and self._subscriptions.hears(reply):
            message.operation, message.key = REQUEST, (reply,)
            _remember(self._asked, reply, None, MAX_WAITING)
            self._confirm(None)
        else:
            message.key = self._confirm(message)
        _remember(self._sent, message.destination, message, MAX_SENT)
        yield message
        yield from read_end(stream, said.body_size)
        return message

    def _replied(self, stream: Stream, said: Operands) -> Wire[Message | Answer]:
        """The client answers a delivery, or asks JetStream for some."""
        self._confirm(None)
        subject = said.subject
        is_ack = subject.startswith(_ACK)
        yield from stream.skip(said.header_size or 0)
        word = b""
        if is_ack:
            word = yield from read_head(stream, said.body_size, 4)
        rest = 0 if is_ack else said.body_size
        if subject not in self._owed or word == _IN_PROGRESS:
            yield from read_end(stream, rest)
            return None
        del self._owed[subject]
        answer = Answer((subject,), _REFUSALS.get(word, ""), body_size=said.body_size)
        yield answer
        yield from read_end(stream, rest)
        return answer

    def _delivered(self, stream: Stream, verb: bytes, words: list[bytes]) -> Wire[Message | Answer]:
        said = _operands(verb, words)
        subject, rest = said.subject, said.body_size
        status, carrier, is_whole = yield from _headers(stream, said)
        if subject in self._asked:
            del self._asked[subject]
            error = str(status) if status >= 400 else ""
            answer = Answer((subject,), error, body_size=rest)
            yield answer
            yield from read_end(stream, rest)
            return answer
        if status:
            yield from read_end(stream, rest)
            return None
        message = _message(said, carrier, is_whole=is_whole)
        queue = self._subscriptions.queue(words[1])
        if queue:
            message.facts = ((semconv.MESSAGING_CONSUMER_GROUP_NAME, redaction.key(queue)),)
        if 0 < len(said.reply) <= MAX_NAME:
            message.key = (said.reply,)
            _remember(self._owed, said.reply, None, MAX_WAITING)
        yield message
        yield from read_end(stream, rest)
        return message

    def _confirm(self, message: Message | None) -> Key | None:
        """The client said something that +OK is due to; gives the key of a message that waits for it."""
        if self._confirmed is None:
            return None
        if len(self._confirmed) >= MAX_WAITING:
            self._confirmed = None
            return None
        key: Key | None = None
        if message is not None:
            self._number += 1
            key = (self._number,)
        self._confirmed.append(key)
        return key

    def _judged(self, error: str, line: bytes) -> Answer | None:
        """The server said that it took something, or did not."""
        if self._confirmed:
            key = self._confirmed.popleft()
            return Answer(key, error) if key is not None else None
        subject = subject_of(line) if error else None
        if subject is not None and self._sent:
            named = subject[: MAX_DESTINATION + 1]
            message = self._sent.get(named or next(reversed(self._sent)))
            if message is not None:
                message.error = error
        return None


def _remember(kept: OrderedDict[bytes, Any], key: bytes, value: Any, limit: int) -> None:
    """The newest is the last; beyond `limit` the oldest goes."""
    kept.pop(key, None)
    kept[key] = value
    if len(kept) > limit:
        kept.popitem(last=False)


@dataclass(frozen=True, slots=True)
class Operands:
    """What stands behind PUB, HPUB, MSG or HMSG."""

    subject: bytes
    reply: bytes
    """Empty without one."""
    header_size: int | None
    """None where there are no headers."""
    body_size: int


def _operands(verb: bytes, words: list[bytes]) -> Operands:
    without, with_reply = _OPERANDS[verb]
    if len(words) not in (without, with_reply):
        raise ProtocolError("a message with too few or too many words")
    size = size_of(words[-1])
    header_size = size_of(words[-2]) if verb[:1] == b"H" else None
    if header_size is not None and header_size > size:
        raise ProtocolError("headers that are longer than their message")
    # Between them and the subject a delivery has the subscription's number.
    reply = words[2 if b"MSG" in verb else 1] if len(words) == with_reply else b""
    return Operands(words[0], reply, header_size, size - (header_size or 0))


def _message(said: Operands, carrier: dict[str, str] | None, *, is_whole: bool) -> Message:
    subject = said.subject[: MAX_DESTINATION + 1]
    return Message(subject, said.body_size, carrier=carrier, is_truncated=not is_whole)


def _headers(stream: Stream, said: Operands) -> Read[tuple[int, dict[str, str] | None, bool]]:
    if said.header_size is None:
        return 0, None, True
    return (yield from read_headers(stream, said.header_size))
