"""DNS trouble: the name, the resolver, the code, and what it did to the request that needed the answer.

Spans with dns.question.name; the resolver is server.address (or network.peer.address); error.type is the response's
code or `timeout`. What the program was told: a name that does not exist is EAI_NONAME of getaddrinfo(3); no answer, or
one that says that the resolver cannot tell (SERVFAIL, REFUSED), is EAI_AGAIN.

No trouble: NXDOMAIN on the way through a search list (`db.shop.svc.cluster.local` before `db`) or for one kind of
addresses, when a look-up of the same or the shortened name succeeds for the same owner. Look-ups without an owner are
held against those of the same service, in all traces.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from agent.analysis import all_traces
from agent.analysis.calls import Call, Sort, address, error_type
from agent.analysis.finding import MAX_EVIDENCE, Confidence, Evidence, Finding, Level, Severity
from agent.analysis.intervals import covered_ns
from agent.analysis.wording import operation, plain, took
from agent.spans.span import Status

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from agent.analysis.calls import CallTree
    from agent.analysis.thresholds import Thresholds
    from agent.spans.trace import ReadSpan

NAME_UNKNOWN: Final = frozenset(("NXDOMAIN", "NOERROR", "NODATA", "HOST_NOT_FOUND", "EAI_NONAME"))
"""The name, or an address of this kind for it, does not exist."""
GRAVE_NS: Final = 1_000_000_000
MAX_LABELS: Final = 127
"""Of a name (RFC 1035 §3.1: 255 bytes, two for each label)."""
SHOWN: Final = 10
"""Names and resolvers that `details` lists."""


@dataclass(slots=True)
class _Lookups:
    """What one piece of work asked resolvers."""

    service: str
    owner: ReadSpan | None
    """None: nobody is known to have waited."""
    has_failed_root: bool = False
    calls: list[Call] = field(default_factory=list)


@all_traces("dns", "names that do not resolve, or slowly, and the requests that waited for them")
def dns(trees: Sequence[CallTree], thresholds: Thresholds) -> Iterator[Finding]:
    """One finding per owner and name that failed, and one per owner whose look-ups were slow."""
    for lookups in _gather(trees):
        answered = {call.operation for call in lookups.calls if not call.is_failed}
        hurtful = _hurtful(lookups.calls, answered)
        for name, calls in hurtful.items():
            yield _failed(lookups, name, calls, has_succeeded=name in answered)
        slow = [
            call
            for call in lookups.calls
            if not call.is_failed and call.interval.length_ns >= thresholds.dns_slow_ns
        ]
        if slow and not hurtful:
            yield _slow(lookups, slow)


def _gather(trees: Iterable[CallTree]) -> list[_Lookups]:
    found: dict[tuple[str, ...], _Lookups] = {}
    for tree in trees:
        for call in tree.calls:
            if call.sort is not Sort.DNS:
                continue
            owner, service = tree.owner(call), call.span.service
            key = (service,) if owner is None else (tree.trace.trace_id, owner.span_id)
            if key not in found:
                has_failed_root = owner is not None and tree.trace.root.status is Status.ERROR
                found[key] = _Lookups(service, owner, has_failed_root)
            found[key].calls.append(call)
    return list(found.values())


def _hurtful(calls: list[Call], answered: set[str]) -> dict[str, list[Call]]:
    """The failed look-ups that were no step of a search that found something, by the name that was searched for."""
    reachable = {longer for name in answered for longer in _searched_for(name)}
    failed: list[Call] = []
    for call in calls:
        is_unknown = error_type(call.span).upper() in NAME_UNKNOWN
        is_search = call.operation in reachable or not answered.isdisjoint(
            _searched_for(call.operation)
        )
        if call.is_failed and not (is_unknown and is_search):
            failed.append(call)
    names = {call.operation for call in failed}
    found: dict[str, list[Call]] = defaultdict(list)
    for call in failed:
        shortest = next(name for name in _searched_for(call.operation) if name in names)
        found[shortest].append(call)
    return found


def _searched_for(name: str) -> list[str]:
    """The names of which `name` may be one step of a search, shortest first: `db`, `db.shop`, `db.shop.local`."""
    labels = name.split(".")[:MAX_LABELS]
    return [".".join(labels[:count]) for count in range(1, len(labels))] + [name]


def _failed(lookups: _Lookups, name: str, calls: list[Call], *, has_succeeded: bool) -> Finding:
    cost_ns = covered_ns(call.interval for call in calls)
    codes = list(dict.fromkeys(error_type(call.span) or "error" for call in calls))
    resolvers = list(dict.fromkeys(address(call.span) for call in calls))
    owner = lookups.owner
    is_owner_failed = lookups.has_failed_root or (
        owner is not None and owner.status is Status.ERROR
    )
    is_unknown = all(code.upper() in NAME_UNKNOWN for code in codes)
    severity = Severity.WARNING
    if is_owner_failed or cost_ns >= GRAVE_NS:
        severity = Severity.CRITICAL
    elif is_unknown:
        severity = Severity.INFO
    told = "EAI_NONAME" if is_unknown else "EAI_AGAIN"
    outcome = "resolved only in the end" if has_succeeded else f"did not resolve ({told})"
    who = operation(owner) if owner is not None else plain(lookups.service)
    lost = (
        f"{took(cost_ns)} of {took(owner.duration_ns)} lost"
        if owner is not None
        else f"{took(cost_ns)} lost"
    )
    return Finding(
        kind="dns",
        severity=severity,
        title=(
            f"{who} needed the name {plain(name)}, which {outcome}: resolver "
            f"{_listed(resolvers) or 'of unknown address'} gave {_listed(codes)} to {_count(calls)}, {lost}"
        ),
        subject=(lookups.service, name, *sorted(codes)),
        evidence=_evidence(calls),
        confidence=_confidence(owner, cost_ns, is_owner_failed=is_owner_failed),
        saving_ns=cost_ns,
        details={
            "owner_span_id": None if owner is None else owner.span_id,
            "name": name,
            "names": sorted({call.operation for call in calls})[:SHOWN],
            "resolvers": resolvers[:SHOWN],
            "codes": codes[:SHOWN],
            "lookups": len(calls),
            "cost_ns": cost_ns,
            "has_succeeded": has_succeeded,
            "has_failed_owner": is_owner_failed,
        },
    )


def _slow(lookups: _Lookups, calls: list[Call]) -> Finding:
    cost_ns = covered_ns(call.interval for call in calls)
    slowest = max(calls, key=lambda call: call.interval.length_ns)
    owner = lookups.owner
    who = operation(owner) if owner is not None else plain(lookups.service)
    return Finding(
        kind="dns",
        severity=Severity.CRITICAL if cost_ns >= GRAVE_NS else Severity.WARNING,
        title=(
            f"{who} waited {took(slowest.interval.length_ns)} for resolver "
            f"{plain(slowest.target) or 'of unknown address'} to resolve {plain(slowest.operation)}"
        ),
        subject=(lookups.service, slowest.operation, "slow"),
        evidence=_evidence(calls),
        confidence=Confidence(Level.HIGH, "the look-up's own duration"),
        saving_ns=cost_ns,
        details={
            "owner_span_id": None if owner is None else owner.span_id,
            "name": slowest.operation,
            "names": sorted({call.operation for call in calls})[:SHOWN],
            "resolvers": list(dict.fromkeys(call.target for call in calls))[:SHOWN],
            "codes": [],
            "lookups": len(calls),
            "cost_ns": cost_ns,
        },
    )


def _confidence(owner: ReadSpan | None, cost_ns: int, *, is_owner_failed: bool) -> Confidence:
    if owner is None:
        return Confidence(
            Level.MEDIUM, "the look-ups are certain; who waited for them is not known"
        )
    if is_owner_failed:
        return Confidence(Level.HIGH, "the request that needed the name failed")
    if 2 * cost_ns >= owner.duration_ns:
        return Confidence(Level.HIGH, "the request spent most of its time on the look-ups")
    return Confidence(Level.MEDIUM, "the look-ups failed; the request did not, and went on")


def _evidence(calls: list[Call]) -> tuple[Evidence, ...]:
    spans: dict[str, list[ReadSpan]] = defaultdict(list)
    for call in calls:
        spans[call.span.trace_id].append(call.span)
    return tuple(Evidence.of(group) for group in list(spans.values())[:MAX_EVIDENCE])


def _listed(texts: list[str]) -> str:
    return ", ".join(plain(text) for text in texts[:SHOWN])


def _count(calls: list[Call]) -> str:
    return "1 look-up" if len(calls) == 1 else f"{len(calls)} look-ups"
