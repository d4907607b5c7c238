"""Which trace contexts are read from requests, and which goes before which: OTEL_PROPAGATORS.

The formats are tried in the order of their names; the first that gives a valid context has it. A malformed one counts
as missing. docs/propagation.md tells users the same.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from agent.errors import ConfigError
from agent.traces.context import RemoteContext, extract
from agent.traces.context_formats import (
    B3,
    DATADOG,
    JAEGER,
    XRAY,
    read_b3,
    read_b3_decision,
    read_datadog,
    read_jaeger,
    read_xray,
)

Reader = Callable[[Mapping[str, str]], RemoteContext | None]

TRACEPARENT: Final = "traceparent"
FORMATS: Final = (TRACEPARENT, B3, JAEGER, DATADOG, XRAY)
"""Values of `RemoteContext.format`, and so of zerospan.parent.rule."""

_W3C_FIELDS: Final = ("traceparent", "tracestate")
_B3_FIELDS: Final = ("b3", "x-b3-traceid", "x-b3-spanid", "x-b3-sampled", "x-b3-flags")
_DATADOG_FIELDS: Final = tuple(
    f"x-datadog-{name}" for name in ("trace-id", "parent-id", "sampling-priority", "tags")
)
# OpenTelemetry's API specification, "B3 Extract": both names "MUST attempt to extract B3 encoded using single and
# multi-header formats"; they differ in what they send.
_READERS: Final[Mapping[str, tuple[Reader, tuple[str, ...]]]] = {
    "tracecontext": (extract, _W3C_FIELDS),
    "b3": (read_b3, _B3_FIELDS),
    "b3multi": (read_b3, _B3_FIELDS),
    "jaeger": (read_jaeger, ("uber-trace-id",)),
    "datadog": (read_datadog, _DATADOG_FIELDS),
    "xray": (read_xray, ("x-amzn-trace-id",)),
}
_NOTHING_TO_READ: Final = "baggage"
"""It carries no trace context; it is in OpenTelemetry's default."""
_NONE: Final = "none"
NAMES: Final = (*_READERS, _NOTHING_TO_READ, _NONE)


class Propagators:
    """Reads contexts in the formats of `names`, in their order."""

    def __init__(self, names: Sequence[str]) -> None:
        """`names`: of NAMES, each once or more; raises ConfigError."""
        for name in names:
            if name not in NAMES:
                raise ConfigError(f"OTEL_PROPAGATORS: {name!r} is none of {', '.join(NAMES)}")
        if _NONE in names and len(set(names)) > 1:
            raise ConfigError("OTEL_PROPAGATORS: 'none' stands alone")
        chosen = [_READERS[name] for name in names if name in _READERS]
        self._readers: tuple[Reader, ...] = tuple(dict.fromkeys(reader for reader, _ in chosen))
        self.fields: frozenset[bytes] = frozenset(
            field.encode() for _, fields in chosen for field in fields
        )
        """Names of the header fields to be captured, in lower case."""

    def extract(self, carrier: Mapping[str, str] | None) -> RemoteContext | None:
        """The context of a request, from what `carrier` gave of it; None without a valid one."""
        if not carrier:
            return None
        for read in self._readers:
            found = read(carrier)
            if found is not None:
                return found
        return None

    def decision(self, carrier: Mapping[str, str] | None) -> bool | None:
        """Whether a request that names no span is to be sampled: only B3 can say so. For those without a context."""
        return read_b3_decision(carrier) if carrier and read_b3 in self._readers else None


def propagators(text: str) -> Propagators:
    """As OTEL_PROPAGATORS writes them: names with commas between; raises ConfigError."""
    return Propagators([name for part in text.split(",") if (name := part.strip())])
