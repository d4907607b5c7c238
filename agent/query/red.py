"""Rate, errors and duration: of services and their operations, from the spans in which they serve.

A service serves in spans of kind SERVER and CONSUMER; an operation is such a span's name. Quantiles are those of the
spans themselves (nearest rank), not of a histogram.
"""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from agent.query.window import window
from agent.spans.span import SpanKind, Status

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agent.store.reader import Reader

SERVING: Final = frozenset({SpanKind.SERVER, SpanKind.CONSUMER})


@dataclass(frozen=True, slots=True)
class Red:
    """Of some spans."""

    count: int
    errors: int
    rate_per_s: float
    p50_ns: int
    p90_ns: int
    p99_ns: int

    @property
    def error_share(self) -> float:
        """From 0 to 1."""
        return self.errors / self.count


@dataclass(frozen=True, slots=True)
class Operation:
    """What a service was asked for, and how it went."""

    service: str
    name: str
    """The spans' name; empty for all of the service together."""
    red: Red


def services(reader: Reader, *, since_unix_ns: int = 0) -> list[Operation]:
    """Every service with its operations after it, those with the most spans first.

    Of the traces of `window`. The rate is over the time from the first to the last of them.
    """
    durations: dict[tuple[str, str], list[int]] = defaultdict(list)
    errors: dict[tuple[str, str], int] = defaultdict(int)
    with reader.view():
        serving = {id_ for id_, shape in reader.shapes.items() if shape.kind in SERVING}
        span = window(reader, since_unix_ns=since_unix_ns)
        groups: dict[int, list[int]] = {}
        for resource, shape, duration in reader.connection.execute(
            f"SELECT resource, shape, duration FROM spans WHERE trace >= ? AND shape IN ({','.join(map(str, serving))})",
            (span.first,),
        ):
            # One integer for both: half the time of a tuple.
            try:
                groups[resource << 40 | shape].append(duration)
            except KeyError:
                groups[resource << 40 | shape] = [duration]
        for group, found in groups.items():
            service = reader.resources[group >> 40].service
            shape = reader.shapes[group & ((1 << 40) - 1)]
            failed = len(found) if shape.status == Status.ERROR else 0
            for key in ((service, ""), (service, shape.name)):
                durations[key] += found
                errors[key] += failed
    operations = [
        Operation(service, name, red_of(found, errors[service, name], span.seconds))
        for (service, name), found in durations.items()
    ]
    total = {one.service: one.red.count for one in operations if not one.name}
    operations.sort(
        key=lambda one: (-total[one.service], one.service, bool(one.name), -one.red.count, one.name)
    )
    return operations


def red_of(durations: list[int], errors: int, window_s: float) -> Red:
    """The numbers of spans of these durations (at least one), which are put in order."""
    durations.sort()
    return Red(
        len(durations),
        errors,
        len(durations) / window_s,
        quantile(durations, 0.5),
        quantile(durations, 0.9),
        quantile(durations, 0.99),
    )


def quantile(ordered: Sequence[int], share: float) -> int:
    """The least value that `share` of them do not exceed."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]
