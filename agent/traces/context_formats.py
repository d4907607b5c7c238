"""Trace context in the formats that are older than W3C's: B3, Jaeger, Datadog, AWS X-Ray.

Each `read_…` takes a request's headers (names in lower case) and gives the context, or None where there is none or it is
malformed. The carrier comes from strangers: nothing here raises, and what is longer than MAX_VALUE is malformed.

Trace ids of 64 bits become 128 by zeros on the left, as B3, Jaeger and OpenTelemetry have it; of Datadog's, the other
half may come in a header of its own. The span that a header names is the parent, also with B3, where Zipkin's tracers
give the server's span the same id.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from agent.traces.context import RemoteContext

if TYPE_CHECKING:
    from collections.abc import Mapping

B3: Final = "b3"
JAEGER: Final = "jaeger"
DATADOG: Final = "datadog"
XRAY: Final = "xray"

MAX_VALUE: Final = 512
"""Characters of a value: Datadog's tags have at most this many by default; every other value is shorter by far."""

_SPAN: Final = re.compile(r"(?!0{16})[0-9a-f]{16}")
_NO_TRACE: Final = bytes(16)

# https://github.com/openzipkin/b3-propagation
_B3: Final = re.compile(
    r"((?:[0-9a-f]{16}){1,2})-([0-9a-f]{16})(?:-([01d])(?:-[0-9a-f]{16})?)?|([01d])"
)
_B3_TRACE: Final = re.compile(r"(?:[0-9a-f]{16}){1,2}")
# "a lenient implementation may accept" true and false, which some tracers sent before there was a specification.
_B3_STATES: Final = {"0": False, "1": True, "d": True, "false": False, "true": True}

# https://www.jaegertracing.io/docs/1.62/client-libraries/#propagation-format: {trace}:{span}:{parent}:{flags}. The
# parent's parent is "deprecated, most Jaeger clients ignore it on the receiving side".
_JAEGER: Final = re.compile(r"([0-9a-f]{1,32}):([0-9a-f]{1,16}):[^:]*:([0-9a-f]{1,2})")
_JAEGER_SAMPLED: Final = 1

# https://docs.datadoghq.com/tracing/trace_collection/trace_context_propagation/
_UNSIGNED: Final = re.compile(r"[0-9]{1,20}")
_UNSIGNED_MAX: Final = (1 << 64) - 1
_PRIORITY: Final = re.compile(r"-?[0-9]{1,3}")
_UPPER_HALF: Final = re.compile(r"(?:^|,) *_dd\.p\.tid=([0-9a-f]{16}) *(?:,|\Z)")

# https://docs.aws.amazon.com/xray/latest/devguide/xray-concepts.html#xray-concepts-tracingheader
_ROOT: Final = re.compile(r"1-([0-9a-f]{8})-([0-9a-f]{24})")
_XRAY_STATES: Final = {"0": False, "1": True, "?": None, "": None}


def read_b3(carrier: Mapping[str, str]) -> RemoteContext | None:
    """B3 in one header, else in several: "the single-header variant takes precedence"."""
    found = _B3.fullmatch(_value(carrier, "b3"))
    if found is not None and found[1]:
        return _context(found[1], found[2], B3, is_sampled=_B3_STATES.get(found[3]))
    trace, span = _value(carrier, "x-b3-traceid"), _value(carrier, "x-b3-spanid")
    if _B3_TRACE.fullmatch(trace) is None:
        return None
    try:
        is_sampled = _b3_decision(carrier)
    except KeyError:
        return None
    return _context(trace, span, B3, is_sampled=is_sampled)


def read_b3_decision(carrier: Mapping[str, str]) -> bool | None:
    """A sampling decision that comes without ids ("b3: 0"); None without one."""
    found = _B3.fullmatch(_value(carrier, "b3"))
    if found is not None and found[4]:
        return _B3_STATES[found[4]]
    if "x-b3-traceid" in carrier:
        return None
    try:
        return _b3_decision(carrier)
    except KeyError:
        return None


def read_jaeger(carrier: Mapping[str, str]) -> RemoteContext | None:
    """Jaeger's uber-trace-id; some clients escape its colons as in a URL."""
    text = _value(carrier, "uber-trace-id").lower().replace("%3a", ":")
    found = _JAEGER.fullmatch(text)
    if found is None:
        return None
    is_sampled = bool(int(found[3], 16) & _JAEGER_SAMPLED)
    return _context(found[1], found[2].zfill(16), JAEGER, is_sampled=is_sampled)


def read_datadog(carrier: Mapping[str, str]) -> RemoteContext | None:
    """Datadog's headers: decimal numbers of 64 bits, and the trace id's upper half among the tags."""
    trace = _unsigned(_value(carrier, "x-datadog-trace-id"))
    span = _unsigned(_value(carrier, "x-datadog-parent-id"))
    if not trace or not span:
        return None
    priority = _value(carrier, "x-datadog-sampling-priority")
    if priority and _PRIORITY.fullmatch(priority) is None:
        return None
    # Without a valid one the id is that of a tracer that knows 64 bits only.
    upper = _UPPER_HALF.search(_value(carrier, "x-datadog-tags"))
    # -1 and 0 reject, 1 and 2 keep.
    is_sampled = int(priority) > 0 if priority else None
    trace_id = f"{upper[1] if upper else ''}{trace:016x}"
    return _context(trace_id, f"{span:016x}", DATADOG, is_sampled=is_sampled)


def read_xray(carrier: Mapping[str, str]) -> RemoteContext | None:
    """AWS X-Ray's header. A load balancer that is the first to see a request names a trace (Root) and no span."""
    fields: dict[str, str] = {}
    for part in _value(carrier, "x-amzn-trace-id").split(";"):
        name, _, value = part.partition("=")
        fields[name.strip().lower()] = value.strip()
    root = _ROOT.fullmatch(fields.get("root", "").lower())
    sampled = fields.get("sampled", "")
    if root is None or sampled not in _XRAY_STATES:
        return None
    parent = fields.get("parent", "").lower()
    return _context(root[1] + root[2], parent, XRAY, is_sampled=_XRAY_STATES[sampled])


def _value(carrier: Mapping[str, str], name: str) -> str:
    value = carrier.get(name, "")
    return value if len(value) <= MAX_VALUE else ""


def _b3_decision(carrier: Mapping[str, str]) -> bool | None:
    """Of several headers; KeyError where it is none. "Debug implies an accept decision"."""
    if _value(carrier, "x-b3-flags") == "1":
        return True
    state = carrier.get("x-b3-sampled")
    return None if state is None else _B3_STATES[state.lower()]


def _unsigned(text: str) -> int:
    """A decimal number of 64 bits; 0, which is no id, for everything else."""
    number = int(text) if _UNSIGNED.fullmatch(text) else 0
    return number if number <= _UNSIGNED_MAX else 0


def _context(trace: str, span: str, kind: str, *, is_sampled: bool | None) -> RemoteContext | None:
    """From at most 32 hex digits and, if they are valid, 16; None if an id is all zero."""
    trace_id = bytes.fromhex(trace.zfill(32))
    if trace_id == _NO_TRACE or _SPAN.fullmatch(span) is None:
        return None
    return RemoteContext(trace_id, bytes.fromhex(span), is_sampled, "", kind)
