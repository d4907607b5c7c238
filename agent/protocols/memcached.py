"""Memcached: the text protocol with its meta commands. The binary protocol is recognised, and muted.

https://github.com/memcached/memcached/blob/master/doc/protocol.txt

    command   = a line of words; storage commands have a block of data behind it
    answer    = a line; of `get` and its kin any number of VALUE lines, each with data, and END; of `stats` likewise

Answers come in the order of commands. A command with `noreply` is not answered and ends with itself, and so do
`quit` and the meta commands with the flag q, which are answered only if something is unusual: their answers are read
over before that of `mn`. Where another command follows a quiet one it cannot be told whose the answer is: that is not
followed.

Lines are read, data is skipped. Kept of a command: its first words, of which keys leave as patterns; of an answer its
first word and how many values came with it. `watch` turns the connection into a stream of logs: `is_opaque`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, ClassVar, Final

from agent import redaction
from agent.errors import Gap, ProtocolError
from agent.protocols import (
    MAX_CLASSIFY,
    About,
    Description,
    Protocol,
    Verdict,
    Wire,
    register,
)
from agent.protocols.db_semantics import Operation, block, describe, operation
from agent.spans import semconv

if TYPE_CHECKING:
    from agent.protocols.pairing import Exchange
    from agent.stream import Read, Stream

MAX_LINE: Final = 64 * 1024
"""A get of many keys: memcached takes lines of 2 KB, and as many keys as follow in one that begins with get."""
MAX_WORDS: Final = 64
MAX_WORD: Final = 256
"""Keys have at most 250 bytes."""
MAX_DATA: Final = 1024 * 1024 * 1024
"""The largest item size that memcached can be started with (-I)."""
MAX_VALUES: Final = 65536
"""VALUE and STAT lines of one answer."""
MAX_CAPTURE: Final = 16 * 1024
"""Bytes of a turn that are wanted where a line was not captured: as many as a record can hold."""

STORAGE: Final = frozenset((b"set", b"add", b"replace", b"append", b"prepend", b"cas"))
RETRIEVAL: Final = frozenset((b"get", b"gets", b"gat", b"gats"))
META: Final = frozenset((b"mg", b"ms", b"md", b"ma", b"me"))

_KEY = rb"[!-~\x80-\xff]{1,250}"
_END = rb"(?: noreply)?\r?\n"
_COMMAND = re.compile(
    rb"(?:(?:set|add|replace|append|prepend) " + _KEY + rb" \d{1,10} -?\d{1,11} \d{1,10}" + _END
    + rb"|cas " + _KEY + rb" \d{1,10} -?\d{1,11} \d{1,10} \d{1,20}" + _END
    + rb"|gets?(?: " + _KEY + rb")+ ?\r?\n|gats? -?\d{1,11}(?: " + _KEY + rb")+ ?\r?\n"
    + rb"|(?:incr|decr|touch) " + _KEY + rb" -?\d{1,20}" + _END
    + rb"|delete " + _KEY + rb"(?: 0)?" + _END
    + rb"|(?:mg|md|ma) " + _KEY + rb"(?: [A-Za-z][!-~]*)* ?\r?\n"
    + rb"|ms " + _KEY + rb" S?\d{1,10}(?: [A-Za-z][!-~]*)* ?\r?\n"
    + rb"|me " + _KEY + rb"(?: b)?\r?\n|mn\r\n|version\r\n|stats(?: [a-z]{1,20}){0,2}\r\n"
    + rb"|flush_all(?: \d{1,10})?" + _END + rb"|verbosity \d{1,3}" + _END + rb")"
)  # fmt: skip
"""A whole line that is a command."""
_VERBS: Final = (
    *(word + b" " for word in (*STORAGE, *RETRIEVAL, *META)),
    *(b"incr ", b"decr ", b"touch ", b"delete ", b"flush_all ", b"verbosity ", b"stats "),
    *(b"mn\r\n", b"version\r\n", b"stats\r\n", b"flush_all\r\n"),
)
_LONG = re.compile(
    rb"(?:set|add|replace|append|prepend|cas|gets?|gats? -?\d+|incr|decr|touch|delete|m[gsdae]) [!-~\x80-\xff ]+"
)
"""A line of which only the beginning has come."""
_ANSWER = re.compile(
    rb"(?:STORED|NOT_STORED|EXISTS|NOT_FOUND|DELETED|TOUCHED|END|ERROR|(?:CLIENT|SERVER)_ERROR [ -~]*"
    rb"|VALUE " + _KEY + rb" \d{1,10} \d{1,10}(?: \d{1,20})?|VERSION \d[ -~]*|STAT [!-~]+ [ -~]*"
    rb"|VA \d{1,10}(?: [A-Za-z][!-~]*)*|(?:HD|NS|EX|NF)(?: [A-Za-z][!-~]*)*|EN|MN|ME " + _KEY + rb"[ -~]*)\r\n"
)  # fmt: skip
_ANSWER_WORDS: Final = (
    b"STORED\r\n", b"NOT_STORED\r\n", b"EXISTS\r\n", b"NOT_FOUND\r\n", b"DELETED\r\n", b"TOUCHED\r\n", b"END\r\n",
    b"ERROR\r\n", b"CLIENT_ERROR ", b"SERVER_ERROR ", b"VALUE ", b"VERSION ", b"STAT ", b"VA ", b"HD\r\n", b"HD ",
    b"EN\r\n", b"NS\r\n", b"NS ", b"EX\r\n", b"EX ", b"NF\r\n", b"NF ", b"MN\r\n", b"ME ",
)  # fmt: skip
_LONG_ANSWER = re.compile(
    rb"(?:VALUE |CLIENT_ERROR |SERVER_ERROR |STAT |VA |HD |ME |VERSION )[ -~\x80-\xff]*"
)
_WORD = re.compile(rb"[A-Z_]{2,16}")

_FAILED: Final = frozenset(("ERROR", "CLIENT_ERROR", "SERVER_ERROR"))
_MISSES: Final = frozenset((b"END", b"EN", b"NF"))
_HITS: Final = frozenset((b"VALUE", b"VA", b"HD"))

BINARY: Final = 0x80
_BINARY_HEADER: Final = 24
MAX_OPCODE: Final = 0x40
_WITHOUT_BODY: Final = frozenset((0x07, 0x08, 0x0A, 0x0B, 0x10, 0x17, 0x18))
"""Quit, flush, no-op, version, stat, and the quiet ones of the first two."""


@dataclass(slots=True)
class Command:
    """A line, without data."""

    words: tuple[bytes, ...]
    """The first ones, cut."""
    count: int
    size: int
    """Bytes on the wire, data included."""
    is_quiet: bool = False
    """Answered only where something is unusual, or not at all."""
    is_truncated: bool = False
    """The line was not captured whole: it is taken to end with its turn."""
    carrier: ClassVar[None] = None

    @property
    def verb(self) -> bytes:
        """Its name; memcached knows small letters only."""
        return self.words[0]


@dataclass(slots=True)
class Answer:
    """A whole answer."""

    status: bytes
    """The first word: of the last line, or `VALUE` where values came. Empty for a number."""
    values: int
    size: int
    is_truncated: bool = False


@register
class Memcached(Protocol):
    """One connection."""

    name = "memcached"
    is_database = True
    about = About(
        title="Memcached, text and meta commands",
        captured="command, patterns of its keys, the answer's first word, how many values came, whether a read hit",
        omitted="values; the binary protocol (recognized, then muted); a command that follows a quiet meta command other than `mn`; UDP; what follows `watch`",
        tested="Memcached 1.6 with pymemcache, as a proxy recorded them and in the kernel's sight (6.1)",
    )

    def __init__(self) -> None:
        super().__init__()
        self._quiet = 0
        """Meta commands that may have been answered, since the last one that surely was."""

    @classmethod
    def classify(cls, head: bytes) -> Verdict:
        """A line that is a command or an answer, or a header of the binary protocol."""
        head = head[:MAX_CLASSIFY]
        if head[:1] == b"\x80":
            return _classify_binary(head)
        line, is_whole, _ = head.partition(b"\n")
        if is_whole:
            line += b"\n"
            if _COMMAND.fullmatch(line):
                return Verdict.REQUEST
            return Verdict.RESPONSE if _ANSWER.fullmatch(line) else Verdict.NO
        if _is_begun(line, _VERBS, _LONG):
            return Verdict.MORE if len(head) < MAX_CLASSIFY else Verdict.REQUEST
        if _is_begun(line, _ANSWER_WORDS, _LONG_ANSWER):
            return Verdict.MORE if len(head) < MAX_CLASSIFY else Verdict.RESPONSE
        return Verdict.NO

    def request(self, stream: Stream) -> Wire[Command]:
        """Read one command."""
        yield from stream.wait()
        stream.begin()
        begun = stream.position
        if stream.peek(1) == b"\x80":
            self.is_opaque, self.opaque_cause = True, "memcached_binary"
            yield from stream.skip_to_end()
            return None
        size = yield from stream.find((b"\n",), MAX_LINE)
        if size < 0:
            self.wants_capture = MAX_CAPTURE
            words = stream.peek().split()[:MAX_WORDS]
            yield from stream.skip_turn(b"")
            command = Command(
                _kept(words) or (b"?",), 0, stream.position - begun, is_truncated=True
            )
            yield command
            return command
        words = stream.take(size).split()
        if not words or not words[0].replace(b"_", b"").isalpha():
            raise ProtocolError("a line that is no command")
        is_quiet = _is_quiet(words)
        command = Command(_kept(words), len(words), size, is_quiet)
        if words[0] == b"watch":
            self.is_opaque = True
        self._quiet = self._quiet + 1 if is_quiet and words[0] in META else self._quiet
        yield command
        data = _data_of(words)
        if data is not None:
            yield from stream.skip(data + 2)
            command.size += data + 2
        return command

    def response(self, stream: Stream) -> Wire[Answer]:
        """Read one answer: that to the oldest command that is sure to get one."""
        while True:
            answer = yield from _read_answer(stream)
            exchange = self.pairing.answering()
            if not self._quiet:
                break
            if exchange is None or exchange.request.verb != b"mn":
                raise Gap("whether a quiet command was answered is not known")
            if answer.status == b"MN":
                self._quiet = 0
                break
        if answer.is_truncated:
            self.wants_capture = MAX_CAPTURE
        yield answer
        return answer

    @staticmethod
    def describe(exchange: Exchange) -> Description:
        """By the conventions for databases."""
        command, answer = exchange.request, exchange.response
        if answer is None:
            return describe(exchange, _asked(command.words))
        status = answer.status.decode("ascii")
        rows = answer.values if command.verb in RETRIEVAL else None
        hit = _is_hit(command, answer)
        return describe(
            exchange,
            _asked(command.words),
            rows=rows,
            status_code="" if status in ("VALUE", "END") else status,
            is_error=status in _FAILED,
            extra=() if hit is None else (block((semconv.CACHE_HIT, hit)),),
        )

    @staticmethod
    def is_end_sure(response: Answer) -> bool:
        """Not where a line was not captured."""
        return not response.is_truncated

    @staticmethod
    def is_answered(request: Command) -> bool:
        """Not surely, if it is quiet."""
        return not request.is_quiet


def _is_begun(line: bytes, words: tuple[bytes, ...], long: re.Pattern[bytes]) -> bool:
    """Whether a line that is not whole may become one that begins with one of `words`."""
    if any(word.startswith(line) for word in words):
        return True
    return line.startswith(words) and long.fullmatch(line.rstrip(b"\r")) is not None


def _classify_binary(head: bytes) -> Verdict:
    """A request's header: magic, opcode, key size, extras size, data type 0, vbucket, body size, opaque, CAS."""
    if len(head) < _BINARY_HEADER:
        return Verdict.MORE if len(head) < 6 or head[5] == 0 else Verdict.NO
    key, extras = int.from_bytes(head[2:4], "big"), head[4]
    body = int.from_bytes(head[8:12], "big")
    is_one = head[1] < MAX_OPCODE and head[5] == 0 and key <= 250 and extras <= 20
    has_body = key > 0 or head[1] in _WITHOUT_BODY
    return (
        Verdict.REQUEST if is_one and has_body and key + extras <= body <= MAX_DATA else Verdict.NO
    )


def _kept(words: list[bytes]) -> tuple[bytes, ...]:
    return tuple(word[:MAX_WORD] for word in words[:MAX_WORDS])


def _is_quiet(words: list[bytes]) -> bool:
    if words[0] in META:
        flags = words[3:] if words[0] == b"ms" else words[2:]
        return b"q" in flags
    return words[0] == b"quit" or (words[-1] == b"noreply" and words[0] not in RETRIEVAL)


def _data_of(words: list[bytes]) -> int | None:
    """Bytes of data behind the line; None if there is none."""
    if words[0] in STORAGE:
        place = 4
    elif words[0] == b"ms":
        place = 2
    else:
        return None
    digits = words[place].lstrip(b"S") if len(words) > place else b""
    if not digits.isdigit() or len(digits) > 10 or int(digits) > MAX_DATA:
        raise ProtocolError("a storage command without the size of its data")
    return int(digits)


def _read_answer(stream: Stream) -> Read[Answer]:
    """Lines up to the one that ends the answer."""
    yield from stream.wait()
    stream.begin()
    begun = stream.position
    values = 0
    is_list = False
    while True:
        size = yield from stream.find((b"\n",), MAX_LINE)
        if size < 0:
            yield from stream.skip_turn(b"END\r\n")
            status = b"VALUE" if values else b""
            return Answer(status, values, stream.position - begun, is_truncated=True)
        words = stream.take(size).split()
        status = words[0] if words else b""
        if status.isdigit():
            status = b""
        elif _WORD.fullmatch(status) is None:
            raise ProtocolError("a line that is no answer")
        if status in (b"VALUE", b"VA"):
            place = 3 if status == b"VALUE" else 1
            digits = words[place] if len(words) > place else b""
            if not digits.isdigit() or len(digits) > 10 or int(digits) > MAX_DATA:
                raise ProtocolError("a value without its size")
            yield from stream.skip(int(digits) + 2)
            values += 1
            is_list = status == b"VALUE"
        elif status == b"STAT":
            is_list = True
        else:
            is_list = False
        if values > MAX_VALUES:
            raise ProtocolError("an answer without an end")
        if not is_list:
            told = b"VALUE" if values and status == b"END" else status
            return Answer(told, values, stream.position - begun)


@lru_cache(4096)
def _asked(words: tuple[bytes, ...]) -> Operation:
    text = redaction.command(words, "memcached")
    name = text.partition(" ")[0]
    return operation("memcached", name if name != "?" else "", text=text)


def _is_hit(command: Command, answer: Answer) -> bool | None:
    """Whether a read found all that it asked for; None if it was no read, or failed."""
    if command.verb in RETRIEVAL:
        asked = command.count - (2 if command.verb in (b"gat", b"gats") else 1)
        if answer.status in _HITS or answer.status in _MISSES:
            return answer.values >= asked > 0 if not answer.is_truncated else None
    elif command.verb == b"mg":
        if answer.status in _HITS:
            return True
        return False if answer.status in _MISSES else None
    return None
