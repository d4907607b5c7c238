"""Which traces are exported: OpenTelemetry's samplers, as OTEL_TRACES_SAMPLER names them.

The decision is made when a span is finished, for nothing is propagated; but it depends only on the trace id and on
what the request said, so all spans of a trace share it, on all hosts.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from agent.errors import ConfigError

if TYPE_CHECKING:
    from agent.protocols.pairing import Exchange

Sampler = Callable[[bytes, bool | None], bool]
"""Of the trace id, and whether the remote parent was sampled (None: there is no remote parent)."""

NAMES: Final = (
    "always_on",
    "always_off",
    "traceidratio",
    "parentbased_always_on",
    "parentbased_always_off",
    "parentbased_traceidratio",
)


def sampler(name: str, argument: str = "") -> Sampler:
    """The sampler of that name; `argument` is the ratio for those that take one."""
    if name not in NAMES:
        raise ConfigError(f"OTEL_TRACES_SAMPLER={name!r} is none of {', '.join(NAMES)}")
    root = name.removeprefix("parentbased_")
    decide = _ratio(argument) if root == "traceidratio" else _always(decision=root == "always_on")
    if name == "parentbased_always_on":
        return lambda trace_id, remote: remote is not False  # noqa: ARG005  (the default, in one call)
    return _parent_based(decide) if name.startswith("parentbased_") else decide


def remote_decision(exchange: Exchange) -> bool | None:
    """Whether the trace was sampled where it came from; None if it began here, or was left to us. Of a settled exchange.

    What was made for it without passing the header on is in the same trace, and shares the decision.
    """
    at: Exchange | None = exchange
    while at is not None:
        if at.remote is not None:
            return at.remote.is_sampled  # type: ignore[no-any-return]  # of a RemoteContext
        if at.decision is not None:
            return at.decision
        at = at.parent
    return None


def _always(*, decision: bool) -> Sampler:
    return lambda trace_id, remote: decision  # noqa: ARG005  (a sampler's shape)


def _ratio(argument: str) -> Sampler:
    try:
        ratio = float(argument or "1")
    except ValueError:
        ratio = -1.0
    if not 0 <= ratio <= 1:
        raise ConfigError(f"OTEL_TRACES_SAMPLER_ARG={argument!r} is no number from 0 to 1")
    # Consistent with other implementations: the random part is the id's last 7 bytes (W3C Trace Context level 2).
    threshold = round((1 - ratio) * (1 << 56))
    if threshold == 1 << 56:
        return _always(decision=False)
    bound = threshold.to_bytes(7, "big")
    return lambda trace_id, remote: trace_id[9:] >= bound  # noqa: ARG005  (a sampler's shape)


def _parent_based(root: Sampler) -> Sampler:
    def decide(trace_id: bytes, remote: bool | None) -> bool:  # noqa: FBT001  (a sampler's shape)
        return root(trace_id, None) if remote is None else remote

    return decide
