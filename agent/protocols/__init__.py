"""What a protocol owes, and how protocols are found.

One protocol is one file in this package: a class marked `@register`. `load_all()` imports every module of the
package, so adding a protocol is adding its file. Registration order means nothing: `classify` is strict enough that
at most one protocol claims any head.

All of this is sans-IO: bytes and times come in, messages and exchanges come out.
"""

from __future__ import annotations

import enum
import importlib
import pkgutil
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Generator, Hashable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Final, TypeVar

from agent.protocols.pairing import ById, InOrder

if TYPE_CHECKING:
    from collections.abc import Iterable

    from agent.protocols.pairing import Exchange
    from agent.spans.span import Attributes, SpanKind
    from agent.stream import Stream

T = TypeVar("T")

Wire = Generator[T | None, None, T | None]
"""A reader. `yield None` means "more bytes, please". `yield message` says that the message's head is known, so that
work done for it can be attributed while its body still passes; the same object is returned at its end. A reader that
returns None has read something that is part of no exchange: a greeting, a notice, a step of an authentication."""


class Verdict(enum.Enum):
    """What the first bytes of a direction look like to one protocol."""

    REQUEST = enum.auto()
    RESPONSE = enum.auto()
    GREETING = enum.auto()
    """What the server says first on a new connection."""
    NO = enum.auto()
    MORE = enum.auto()
    """It may be this protocol: too few bytes to tell."""


class Role(enum.IntEnum):
    """Who the traced process is on a connection; the numbers are those of `enum role` in events.h."""

    UNKNOWN = 0
    SERVER = 1
    CLIENT = 2


# Without slots, so that defaults are the class's: the hot path sets only what differs.
@dataclass
class Description:
    """What a protocol knows of an exchange; addresses, times, kind and resource are added for all in one place."""

    name: str
    """Span name, of low cardinality."""
    attributes: tuple[Attributes, ...]
    """Blocks that other spans share, as a rule."""
    error_type: str | None = None
    """error.type, where the exchange failed; the span's status is ERROR exactly then."""
    status_message: str = ""
    kind: SpanKind | None = None
    """Where it is not that of the role: PRODUCER, CONSUMER."""
    links: tuple[tuple[bytes, bytes], ...] = ()
    """Other spans that it has to do with: a trace's id and a span's."""
    own: bytes = b""
    """Further attributes, which no other span has, encoded by the tables of `agent.spans.wire`."""


@dataclass(slots=True)
class Datagram:
    """A message that is whole in one datagram."""

    is_answer: bool
    key: Hashable
    """What a query and its answer have in common."""
    message: Any
    is_short: bool = False
    """An answer that did not fit: what was asked on its socket is asked again on a stream."""


@dataclass(frozen=True, slots=True)
class About:
    """What a person may want to know of a protocol: a row of docs/protocols.md (agent/protocols_table.py)."""

    title: str
    captured: str
    omitted: str
    """What is not captured, or not understood."""
    tested: str
    """The programs that it was tried against; honest where there was none."""
    roles: str = "client, server"


class Shortcut:
    """The hot path of a protocol: messages of a common shape, each whole in one piece.

    One serves all connections of a process to one place, so it may remember what repeats. What it answers equals what
    the readers would.
    """

    remembers: ClassVar[bool] = True
    """To keep messages that may come again (connections/endpoint.py) is cheaper than to read them again."""

    def request(self, data: bytes) -> Any | None:
        """The request that `data` is, if it is exactly one of a common shape."""
        del data
        return None

    def response(self, data: bytes, size: int, request: Any) -> Any | None:
        """The response of which `size` bytes begin with `data`, if it is of a common shape.

        Its `size` says where it ends, which may be later.
        """
        del data, size, request
        return None


class Protocol(ABC):
    """One connection's parser; `classify` and `describe` apart, one instance per connection that needs the readers."""

    name: ClassVar[str]
    about: ClassVar[About]
    shortcut: ClassVar[type[Shortcut]] = Shortcut
    reads_datagrams: ClassVar[bool] = False
    """`datagram` may answer."""
    is_stateful: ClassVar[bool] = False
    """What a message means depends on those before it on its connection. Then there is an instance for every connection,
    whose `quick` is its hot path, and no message is kept for other connections."""
    capture: ClassVar[int] = 0
    """Bytes of each turn that are wanted from the beginning, where the default is too few; 0: the default."""
    is_database: ClassVar[bool] = False
    """A database's, cache's or broker's: the setting `database_servers` says whether their own side is reported."""
    is_duplex: ClassVar[bool] = False
    """Both sides begin exchanges (connections/dialogue.py). `request` reads what the client says and `response` what the
    server says; either gives the head of a message, which begins an exchange and has a `key`, or an `answers.Answer`."""

    has_batches: ClassVar[bool] = False
    """Requests may join the exchange of the one before (`joins`). Responses come in the order of requests then; and both readers
    take the rest of the turn for one message that `is_end_sure` denies where it begins in a hole."""

    def __init__(self) -> None:
        self.pairing: InOrder | ById = InOrder()
        """The exchanges under way: whoever drives the readers begins and ends them here."""
        self.is_opaque = False
        """The connection speaks another protocol from here on."""
        self.opaque_cause = "upgraded"
        """Why: for the ledger."""
        self.shared: OrderedDict[Any, Any] = OrderedDict()
        """What it knows for all connections of its process to one place, which are given the same one; it bounds it."""
        self.quick: Shortcut | None = None
        """The hot path, where it needs to know what was said before."""
        self.wants_capture = 0
        """Captured bytes per turn with which the longest head so far would have been whole; 0 if all were."""

    @classmethod
    @abstractmethod
    def classify(cls, head: bytes) -> Verdict:
        """Tell what the first bytes of one direction are. Decides for good after at most MAX_CLASSIFY bytes."""

    @abstractmethod
    def request(self, stream: Stream) -> Wire[object]:
        """Read exactly one request. It has `carrier`: trace context as it came, None without any."""

    @abstractmethod
    def response(self, stream: Stream) -> Wire[object]:
        """Read exactly one response: the one to the oldest request that has none yet, or to the one that `ById` chose."""

    def forget(self) -> None:
        """Messages were missed: what is under way ends here, and what was said last may not hold any more."""
        self.pairing.clear()

    def missed(self, *, is_server: bool) -> None:
        """Duplex, or paired by id: bytes that the server, else the client, said were not understood; reading begins anew behind them."""
        del is_server

    @classmethod
    def find(cls, data: bytes, *, is_server: bool) -> int:
        """Duplex: where in `data`, which follows a gap, a message of that side surely begins; -1: nowhere. A call moved its
        beginning, and programs mostly send whole messages."""
        del data, is_server
        return -1

    @classmethod
    def datagram(cls, data: bytes) -> Datagram | None:
        """The message that a datagram, or its captured beginning, is; None if it is none of this protocol."""
        del data
        return None

    @staticmethod
    @abstractmethod
    def describe(exchange: Exchange) -> Description:
        """Name, attributes and error of a finished or failed exchange."""

    @staticmethod
    def is_answered(request: Any) -> bool:
        """Whether a response to it will come. Otherwise its exchange ends with it."""
        del request
        return True

    def joins(self, exchange: Exchange, request: Any, *, is_together: bool) -> bool:
        """A request is whole: whether it is a part of `exchange`, the newest one, which nothing has answered yet, from now on.

        `is_together`: both became whole with the same event.
        """
        del exchange, request, is_together
        return False

    def completes(self, exchange: Exchange, response: Any) -> bool:
        """A response to `exchange` is whole: whether it was the last one. It may have several where requests joined it."""
        del exchange, response
        return True

    @staticmethod
    def is_open(request: Any) -> bool:
        """Whether only the end of their turn tells how many responses answer what joined a request."""
        del request
        return False

    @staticmethod
    def is_end_sure(response: Any) -> bool:
        """Whether the bytes told where a response that was read ended. Otherwise the end of its turn did."""
        del response
        return True

    @staticmethod
    def names(exchange: Exchange) -> Iterable[tuple[bytes, str]]:
        """Addresses (16 bytes, IPv4 mapped) that the client was told, and the name that it asked for."""
        del exchange
        return ()

    @staticmethod
    def delivers_spans(exchange: Exchange) -> bool:
        """Whether a client sends OpenTelemetry spans with it: such a process traces itself."""
        del exchange
        return False


CAPTURE_ALL: Final = 0xFFFFFFFF
"""For `capture` of duplex protocols: a turn of messages that nobody answers has no bound. Of one call the kernel side
captures 16 KB."""
MAX_CLASSIFY = 64
"""After so many bytes of a direction that no protocol claims, a connection is of an unknown protocol."""

_registry: dict[str, type[Protocol]] = {}


def register(cls: type[Protocol]) -> type[Protocol]:
    """Class decorator: make a protocol known under its name."""
    if cls.name in _registry:
        raise ValueError(f"two protocols are named {cls.name!r}")
    _registry[cls.name] = cls
    return cls


def load_all() -> dict[str, type[Protocol]]:
    """Import every module of this package; give the protocols by name."""
    for module in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{module.name}")
    return dict(_registry)
