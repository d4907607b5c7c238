"""The ledger: every item that was captured is accounted for, at every stage (docs/ledger.md).

    records      what the kernel side wrote or could not write
    exchanges    captured = spans + lost + unparsed + filtered
    spans        built = sampled_out + emitted
    exporters    each: emitted = exported + dropped, and emitted = all spans of ours + those that it received
    received     spans that others sent: accepted, rejected

A cause is a short word of few values. Whoever loses something counts it here, where it happens.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field


@dataclass(slots=True)
class Delivery:
    """What became of the spans that one exporter was given."""

    emitted: int = 0
    exported: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    received: int = 0
    """Those of `emitted` that others had made."""

    @property
    def pending(self) -> int:
        """Spans that are still queued or under way."""
        return self.emitted - self.exported - self.dropped.total()


@dataclass(slots=True)
class Received:
    """OTLP that others sent. Written by the thread that reads it."""

    accepted: int = 0
    """Spans that were queued."""
    rejected: int = 0
    """Spans that were wrong; their sender was told."""
    refused: Counter[str] = field(default_factory=Counter)
    """Requests that were not taken, by cause; their senders were told."""

    def as_json(self) -> dict[str, object]:
        """As the ledger shows it."""
        return {
            "accepted": self.accepted,
            "rejected": self.rejected,
            "refused": dict(self.refused),
        }


@dataclass(slots=True)
class Ledger:
    """The agent's own numbers. Only the main loop writes it, but for `exporters`, which the workers write, and `received`."""

    records_read: int = 0
    records_lost: Counter[str] = field(default_factory=Counter)
    """Events that the kernel side could not hand over, by cause."""
    kernel: dict[str, int] = field(default_factory=dict)
    """What the kernel side counted besides: submitted, bulk_calls, …"""
    records_ignored: Counter[str] = field(default_factory=Counter)
    """Records of connections that are not followed (any more), by cause."""

    captured: int = 0
    """Exchanges of which anything was seen, or whose loss is known."""
    built: int = 0
    """Spans made of them."""
    lost: Counter[str] = field(default_factory=Counter)
    unparsed: Counter[str] = field(default_factory=Counter)
    filtered: Counter[str] = field(default_factory=Counter)

    sampled_out: int = 0
    emitted: int = 0
    """Spans handed to the exporters."""
    exporters: dict[str, Delivery] = field(default_factory=dict)
    received: Received | None = None
    """None where nothing is received."""

    connections: Counter[str] = field(default_factory=Counter)
    """opened, closed, filtered, muted_<cause>."""
    parents: Counter[str] = field(default_factory=Counter)
    """Spans by the rule that found their parent."""
    limits: Counter[str] = field(default_factory=Counter)
    """What met a bound of ours and lost no exchange by it: routes_full, …"""

    def is_balanced(self) -> bool:
        """Whether nothing is missing between the stages."""
        lost = self.lost.total() + self.unparsed.total() + self.filtered.total()
        return (
            self.captured == self.built + lost
            and self.built == self.sampled_out + self.emitted
            and all(
                delivery.emitted == self.emitted + delivery.received and delivery.pending == 0
                for delivery in self.exporters.values()
            )
            and (self.received.accepted if self.received is not None else 0)
            == sum(delivery.received for delivery in self.exporters.values())
        )

    def as_json(self) -> dict[str, object]:
        """The form that is printed at exit; the keys are described in docs/ledger.md."""
        return {
            "records": {
                "read": self.records_read,
                "lost": dict(self.records_lost),
                "ignored": dict(self.records_ignored),
                **self.kernel,
            },
            "exchanges": {
                "captured": self.captured,
                "spans": self.built,
                "lost": dict(self.lost),
                "unparsed": dict(self.unparsed),
                "filtered": dict(self.filtered),
            },
            "spans": {
                "built": self.built,
                "sampled_out": self.sampled_out,
                "emitted": self.emitted,
                "parents": dict(self.parents),
            },
            "exporters": {
                name: {
                    "emitted": delivery.emitted,
                    **({} if self.received is None else {"received": delivery.received}),
                    "exported": delivery.exported,
                    "dropped": dict(delivery.dropped),
                }
                for name, delivery in self.exporters.items()
            },
            **({} if self.received is None else {"received": self.received.as_json()}),
            "connections": dict(self.connections),
            "limits": dict(self.limits),
            "balanced": self.is_balanced(),
        }
