"""Right, none, wrong: each way in which a span can have its parent or not."""

from __future__ import annotations

from collections import Counter
from typing import Any

from tests.accuracy.cases import CLIENT, SERVER, SHAPES, Edge, Key
from tests.accuracy.score import Score, Spans, judge
from tests.vm.harness_spans import ExportedSpan

ASKED = Key(SERVER, "/one/7")
CALL = Key(CLIENT, "/work/7/0")
EDGE = Edge(CALL, ASKED)


def span(
    key: Key, own: str, parent: str = "", *, trace: str = "t", rule: str = "thread", **more: Any
) -> ExportedSpan:
    url = (
        {"url.path": key.path}
        if key.kind == SERVER
        else {"url.full": f"http://127.0.0.1:1{key.path}"}
    )
    fields = {
        "trace_id": trace,
        "span_id": own,
        "parent_span_id": parent,
        "name": "GET",
        "kind": key.kind,
        "start_ns": 0,
        "end_ns": 1,
        "attributes": {**url, "zerospan.parent.rule": rule},
        "resource": {},
        "status": 0,
        "links": (),
    }
    return ExportedSpan(**{**fields, **more})


def test_parent_is_the_request() -> None:
    assert Spans([span(ASKED, "s"), span(CALL, "c", "s")]).score([EDGE]) == Score(right=1)


def test_without_parent_the_rule_says_why() -> None:
    spans = Spans([span(ASKED, "s"), span(CALL, "c", rule="refused:concurrent")])
    assert spans.score([EDGE]) == Score(none=Counter({"refused:concurrent": 1}))


def test_another_request_is_a_wrong_parent() -> None:
    other = Key(SERVER, "/one/8")
    spans = Spans([span(ASKED, "s"), span(other, "o"), span(CALL, "c", "o")])
    assert spans.score([EDGE]) == Score(wrong=Counter({"thread": 1}))


def test_parent_in_another_trace_is_wrong() -> None:
    spans = Spans([span(ASKED, "s"), span(CALL, "c", "s", trace="u")])
    assert spans.score([EDGE]) == Score(wrong=Counter({"thread": 1}))


def test_parent_that_nobody_exported_is_wrong() -> None:
    assert Spans([span(CALL, "c", "s")]).score([EDGE]) == Score(wrong=Counter({"thread": 1}))


def test_link_to_the_request_is_right_and_to_another_wrong() -> None:
    request, other = span(ASKED, "s"), span(Key(SERVER, "/one/8"), "o")
    linked = Spans([request, other, span(CALL, "c", links=("s",))])
    assert linked.score([EDGE]) == Score(right=1)
    mistaken = Spans([request, other, span(CALL, "c", links=("o",))])
    assert mistaken.score([EDGE]) == Score(wrong=Counter({"link": 1}))


def test_wrong_parent_is_not_mended_by_a_right_link() -> None:
    spans = Spans(
        [span(ASKED, "s"), span(Key(SERVER, "/one/8"), "o"), span(CALL, "c", "o", links=("s",))]
    )
    assert spans.score([EDGE]) == Score(wrong=Counter({"thread": 1}))


def test_span_that_is_not_there_is_unseen() -> None:
    assert Spans([span(ASKED, "s")]).score([EDGE]) == Score(unseen=1)


def test_call_made_twice_is_judged_twice() -> None:
    spans = Spans([span(ASKED, "s"), span(CALL, "c", "s"), span(CALL, "d", rule="none")])
    assert spans.score([EDGE]) == Score(right=1, none=Counter({"none": 1}))


def test_request_from_outside_must_have_no_parent() -> None:
    root = Edge(ASKED, None)
    assert Spans([span(ASKED, "s")]).score([root]) == Score(right=1)
    assert Spans([span(ASKED, "s", "x", rule="peer")]).score([root]) == Score(
        wrong=Counter({"peer": 1})
    )


def test_kinds_are_told_apart_where_paths_are_the_same() -> None:
    edge = Edge(Key(SERVER, "/inner/7"), Key(CLIENT, "/inner/7"))
    spans = Spans([span(Key(CLIENT, "/inner/7"), "c"), span(Key(SERVER, "/inner/7"), "s", "c")])
    assert spans.score([edge]) == Score(right=1)


def test_cell_has_both_kinds_of_edges() -> None:
    edges = SHAPES["one"].edges(7)
    spans = Spans(
        [
            span(ASKED, "s"),
            span(CALL, "c", rule="none"),
            span(Key(SERVER, "/work/7/0"), "b", "c", rule="peer"),
        ]
    )
    cell = judge(spans, edges, runtime="go", shape="one", concurrency=8, requests=2, failed=1)
    assert (cell.work, cell.hops) == (Score(none=Counter({"none": 1})), Score(right=2))
    assert (cell.work.total, cell.hops.total) == (1, 2)
