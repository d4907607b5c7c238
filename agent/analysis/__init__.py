"""What traces tell a person on call: each analysis looks for one kind of trouble and gives findings.

One analysis is one file in this package: a function marked `@each_trace` (it looks at one trace at a time) or
`@all_traces` (it needs many: ratios, history). `load_all()` imports every module of the package, so adding an analysis
is adding its file. Nothing here does input or output, and the same traces give the same findings.

Two rules for all of them. A finding is rather left out than guessed, and says how sure it is and why. Traffic that is
well gives none: tests/analysis/test_healthy.py holds every analysis to that.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from agent.analysis.calls import CallTree
from agent.analysis.thresholds import Thresholds

if TYPE_CHECKING:
    from agent.analysis.finding import Finding
    from agent.spans.trace import Trace

OfTrace = Callable[[CallTree, Thresholds], Iterable["Finding"]]
OfTraces = Callable[[Sequence[CallTree], Thresholds], Iterable["Finding"]]


@dataclass(frozen=True, slots=True)
class Analysis:
    """One kind of trouble, and how to look for it."""

    name: str
    """Finding.kind of all that it finds."""
    summary: str
    """What it looks for, in one line."""
    run: OfTraces


_registry: dict[str, Analysis] = {}


def each_trace(name: str, summary: str) -> Callable[[OfTrace], OfTrace]:
    """Decorator: make a function that looks at one trace known as an analysis."""

    def decorate(function: OfTrace) -> OfTrace:
        def run(trees: Sequence[CallTree], thresholds: Thresholds) -> Iterator[Finding]:
            for tree in trees:
                yield from function(tree, thresholds)

        _add(Analysis(name, summary, run))
        return function

    return decorate


def all_traces(name: str, summary: str) -> Callable[[OfTraces], OfTraces]:
    """Decorator: make a function that looks at many traces together known as an analysis."""

    def decorate(function: OfTraces) -> OfTraces:
        _add(Analysis(name, summary, function))
        return function

    return decorate


def _add(analysis: Analysis) -> None:
    if analysis.name in _registry:
        raise ValueError(f"two analyses are named {analysis.name!r}")
    _registry[analysis.name] = analysis


def load_all() -> dict[str, Analysis]:
    """Import every module of this package; give the analyses by name."""
    for module in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{module.name}")
    return dict(sorted(_registry.items()))


def analyze(
    traces: Iterable[Trace],
    thresholds: Thresholds | None = None,
    *,
    only: Collection[str] | None = None,
) -> list[Finding]:
    """All findings in `traces`, the gravest first. `only`: names of analyses; None for every one."""
    limits = Thresholds() if thresholds is None else thresholds
    trees = [CallTree(trace) for trace in traces]
    found = [
        finding
        for analysis in load_all().values()
        if only is None or analysis.name in only
        for finding in analysis.run(trees, limits)
    ]
    return sorted(found, key=lambda finding: finding.rank)
