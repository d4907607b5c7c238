"""Spans and the truth about them → how many have the right parent, none, or a wrong one. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from tests.accuracy.cases import Edge, Edges, Key
from tests.vm.harness_spans import ExportedSpan
from tests.vm.harness_tracing import path_of

PARENT_RULE = "zerospan.parent.rule"
LINK = "link"
"""The rule under which a wrong link is counted."""


@dataclass(slots=True)
class Score:
    """What became of edges. The sum is their number, and more where a request was made twice."""

    right: int = 0
    """The parent is the right one; or, for what began after its parent had ended, a link is."""
    none: Counter[str] = field(default_factory=Counter)
    """There is no parent where there should be one, by `zerospan.parent.rule`."""
    wrong: Counter[str] = field(default_factory=Counter)
    """Another parent, a parent that nobody exported, or a parent where there should be none; by rule."""
    unseen: int = 0
    """There is no span to have a parent."""

    @property
    def total(self) -> int:
        return self.right + self.none.total() + self.wrong.total() + self.unseen


class Spans:
    """Exported spans, by what tells them apart."""

    def __init__(self, spans: Iterable[ExportedSpan]) -> None:
        self._by_key: dict[Key, list[ExportedSpan]] = {}
        for span in spans:
            self._by_key.setdefault(Key(span.kind, path_of(span)), []).append(span)

    def score(self, edges: Iterable[Edge]) -> Score:
        """Judge each edge."""
        score = Score()
        for edge in edges:
            children = self._by_key.get(edge.child, [])
            score.unseen += not children
            for child in children:
                self._judge(child, edge, score)
        return score

    def _judge(self, child: ExportedSpan, edge: Edge, score: Score) -> None:
        rule = str(child.attributes.get(PARENT_RULE, ""))
        wanted = self._by_key.get(edge.parent, []) if edge.parent else []
        if child.parent_span_id:
            named = (child.trace_id, child.parent_span_id)
            if named in {(span.trace_id, span.span_id) for span in wanted}:
                score.right += 1
            else:
                score.wrong[rule] += 1
        elif child.links:
            if set(child.links) <= {span.span_id for span in wanted}:
                score.right += 1
            else:
                score.wrong[LINK] += 1
        elif edge.parent is None:
            score.right += 1
        else:
            score.none[rule] += 1


@dataclass(frozen=True, slots=True)
class Cell:
    """One measurement: a shape in a runtime at some concurrency."""

    runtime: str
    shape: str
    concurrency: int
    requests: int
    failed: int
    """Requests that the service did not answer as it should; nothing is asked of their spans."""
    work: Score
    hops: Score


def judge(
    spans: Spans,
    edges: Edges,
    *,
    runtime: str,
    shape: str,
    concurrency: int,
    requests: int,
    failed: int,
) -> Cell:
    """Score both kinds of edges of a measurement."""
    return Cell(
        runtime=runtime,
        shape=shape,
        concurrency=concurrency,
        requests=requests,
        failed=failed,
        work=spans.score(edges.work),
        hops=spans.score(edges.hops),
    )
