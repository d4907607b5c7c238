"""Pipelines of Redis: commands that were sent together are one exchange, and so is all that answers them.

https://redis.io/docs/latest/develop/using-commands/pipelining/

A batch has the commands that became whole with the same call: a client's write, or a server's read. Those that change
what comes next, and those with passwords (`UNUSUAL`), are in none. As many replies answer it as it has commands. If not
all of its bytes were captured, how many commands it has is told by the replies up to the end of their turn (`is_open`).

Kept are the patterns of the commands, each once, in the order in which they first came.

No protocol by itself: nothing is registered here.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, ClassVar, Final

from agent import redaction
from agent.protocols.db_semantics import MAX_BLOCKS, operation
from agent.protocols.redis_messages import (
    PASSWORD_SUBCOMMANDS,
    PASSWORDS,
    SUBSCRIPTIONS,
    Command,
    Kind,
    Reply,
)
from agent.spans import semconv
from agent.spans.span import Attributes
from agent.spans.wire import Integers

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

MAX_SHAPES: Final = 16
"""Patterns of commands that a batch keeps; more are counted alone."""
MAX_TEXT: Final = 2048
"""Characters of a batch's text; further patterns are left out."""
MAX_SIZES: Final = 1024
"""Outcomes of batches that are kept ready-made."""

UNUSUAL: Final = (
    SUBSCRIPTIONS | PASSWORDS | PASSWORD_SUBCOMMANDS | {b"MONITOR", b"PSYNC", b"SYNC", b"CLIENT"}
)
"""Commands that change what comes next, or of which not every word is kept."""

_SIZE: Final = Integers(semconv.DB_OPERATION_BATCH_SIZE)
_FAILURES: Final = Integers(semconv.DB_BATCH_FAILURES)

Shape = tuple[bytes, ...]
"""A command's words as `redaction.shape` gives them."""


@dataclass(slots=True)
class Batch:
    """Commands that were sent together."""

    shapes: tuple[Shape, ...]
    """Their patterns, each once, at most MAX_SHAPES."""
    count: int
    """Of all commands; where `is_open`, of those that were seen."""
    is_open: bool = False
    """There may be more of them: not all bytes were captured."""
    is_partial: bool = False
    """Not all patterns are kept: there are too many, or words were not captured."""
    carrier: ClassVar[None] = None
    name: ClassVar[bytes] = b""
    is_subscription: ClassVar[bool] = False

    @classmethod
    def of(cls, commands: Iterable[Sequence[bytes]], count: int) -> Batch:
        """The batch of commands of which the words are given."""
        shapes = tuple(dict.fromkeys(map(redaction.shape, commands)))
        return cls(shapes[:MAX_SHAPES], count, is_partial=len(shapes) > MAX_SHAPES)

    def add(self, command: Command) -> None:
        """One more was sent with them. Only while nobody else has the batch."""
        self.count += 1
        self.is_open |= command.is_end_guessed
        if command.is_truncated or not command.words:
            self.is_partial = True
            return
        shape = redaction.shape(command.words)
        if shape not in self.shapes:
            if len(self.shapes) < MAX_SHAPES:
                self.shapes += (shape,)
            else:
                self.is_partial = True


def is_usual(command: Command) -> bool:
    """Whether a command can be a part of a batch."""
    return command.name not in UNUSUAL


@lru_cache(MAX_SIZES)
def succeeded(count: int, size: int) -> Reply:
    """So many replies without an error, in so many bytes."""
    return Reply(Kind.BATCH, size, count)


def together(before: Reply | None, reply: Reply) -> Reply:
    """What a batch was answered so far, and the next reply."""
    failures = int(bool(reply.error))
    if before is None:
        return Reply(
            Kind.BATCH,
            reply.size,
            1,
            reply.error,
            failures=failures,
            is_truncated=reply.is_truncated,
        )
    before.size += reply.size
    before.count += 1
    before.failures += failures
    before.error = before.error or reply.error
    before.is_truncated |= reply.is_truncated
    return before


def size_of(batch: Batch, reply: Reply | None) -> int:
    """How many commands a batch has; 0 if that is not known."""
    if not batch.is_open:
        return batch.count
    if reply is None or (reply.is_truncated and max(reply.count, batch.count) > 1):
        return 0
    return reply.count


def outcome(size: int, failures: int) -> bytes:
    """What only one batch has, encoded."""
    return (_SIZE[size] if size else b"") + (_FAILURES[failures] if failures else b"")


@lru_cache(MAX_BLOCKS)
def asked(shapes: tuple[Shape, ...], error: str, is_partial: bool) -> Attributes:  # noqa: FBT001  # a part of the key
    """The block that batches of these commands share; the name is its second item.

    A transaction that was sent as a whole is one by its name; MULTI and EXEC are commands like the others. Where there are
    other commands, too, the name tells of none.
    """
    names = [name.partition(" ")[0].upper() for name in map(redaction.command, shapes)]
    kind = "PIPELINE"
    if not is_partial and len(names) > 2 and names[0] == "MULTI" and names[-1] == "EXEC":
        kind, names = "MULTI", names[1:-1]
    if not is_partial and len(set(names)) == 1 and names[0] not in ("", "?"):
        kind = f"{kind} {names[0]}"
    items = operation("redis", kind, text=_text(shapes)).attributes.items
    return Attributes((*items, (semconv.DB_RESPONSE_STATUS_CODE, error)) if error else items)


def _text(shapes: tuple[Shape, ...]) -> str:
    """The texts of all patterns, as many as there is room for."""
    texts: list[str] = []
    size = 0
    for text in dict.fromkeys(redaction.command(shape) or "?" for shape in shapes):
        size += len(text)
        if texts and size > MAX_TEXT:
            break
        texts.append(text)
    return "; ".join(texts) or "?"
