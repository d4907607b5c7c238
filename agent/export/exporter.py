"""What an exporter owes, and the values that pass between it and its worker."""

from __future__ import annotations

import typing
from dataclasses import dataclass

if typing.TYPE_CHECKING:
    from collections.abc import Sequence

    from agent.spans.span import Span


@dataclass(frozen=True, slots=True)
class Batch:
    """Spans made ready for one exporter."""

    count: int
    size_bytes: int
    """What the batch occupies while it is queued."""
    body: bytes = b""
    """The encoded spans, for exporters that send bytes."""
    spans: tuple[Span, ...] = ()
    """The spans themselves, for exporters that need the values."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of spans: of one batch, or of spans that an exporter held back."""

    exported: int = 0
    dropped: int = 0
    cause: str = ""
    """Why spans were dropped: a short word, the ledger's key."""
    message: str = ""
    """What the receiver had to say to a person; fit for a terminal."""


class Exporter(typing.Protocol):
    """One destination. `prepare` runs in the pipeline's thread, everything else in the worker's."""

    @property
    def name(self) -> str:
        """The destination in `--export` syntax, without credentials; the ledger's key."""

    @property
    def timeout_s(self) -> float:
        """How long one `send` may take."""

    @property
    def poll_s(self) -> float | None:
        """How often `poll` wants to be called at least; None if never."""

    def prepare(self, spans: Sequence[Span]) -> Batch:
        """Turn spans into what `send` needs."""

    def send(self, batch: Batch, *, timeout_s: float) -> Outcome:
        """Deliver a batch, or raise ExportError. Spans held back are reported by a later `send`, `poll` or `close`."""

    def poll(self) -> Outcome:
        """Do what has become due without a new batch."""

    def close(self) -> Outcome:
        """Deliver what was held back and release everything."""
