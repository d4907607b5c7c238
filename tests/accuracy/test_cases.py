"""The truth: which spans a request must give, and whose children they are."""

from __future__ import annotations

from pathlib import Path

import pytest

from deploy.guest import CHECKOUT
from tests.accuracy.cases import CLIENT, INNER, SERVER, SHAPES, Edge, Key, edges_of


def test_a_call_belongs_to_its_request() -> None:
    edges = SHAPES["one"].edges(7)
    asked, call = Key(SERVER, "/one/7"), Key(CLIENT, "/work/7/0")
    assert edges.work == (Edge(call, asked),)
    assert edges.hops == (Edge(asked, None), Edge(Key(SERVER, "/work/7/0"), call))


def test_each_of_several_calls_belongs_to_the_request() -> None:
    edges = SHAPES["fan"].edges(7)
    assert edges.work == tuple(
        Edge(Key(CLIENT, f"/work/7/{call}"), Key(SERVER, "/fan/7")) for call in range(3)
    )


def test_second_service_stands_between() -> None:
    edges = SHAPES["hops"].edges(7)
    asked, inner = Key(SERVER, "/hops/7"), Key(SERVER, "/inner/7")
    outward, call = Key(CLIENT, "/inner/7"), Key(CLIENT, "/work/7/0")
    assert edges.work == (Edge(outward, asked), Edge(call, inner))
    assert edges.hops == (
        Edge(asked, None),
        Edge(inner, outward),
        Edge(Key(SERVER, "/work/7/0"), call),
    )


def test_edges_of_several_requests_are_all_of_theirs() -> None:
    shape = SHAPES["sequence"]
    every = edges_of(shape, [7, 8])
    assert every.work == shape.edges(7).work + shape.edges(8).work
    assert every.hops == shape.edges(7).hops + shape.edges(8).hops


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_no_two_spans_have_one_key(shape) -> None:
    edges = edges_of(shape, [7, 8])
    assert len({edge.child for edge in edges.work}) == len(edges.work)
    assert len({edge.child for edge in edges.hops}) == len(edges.hops)


def test_inner_shape_is_none_that_is_asked_for_from_outside() -> None:
    assert INNER not in SHAPES
    assert {shape.through for shape in SHAPES.values()} == {"", INNER}


@pytest.mark.parametrize("path", sorted((CHECKOUT / "agent" / "traces").glob("*.py")), ids=str)
def test_who_finds_parents_does_not_look_at_the_truth(path: Path) -> None:
    text = path.read_text().lower()
    assert [word for word in ("x-request-id", ".target", "url_path", ".path") if word in text] == []


def test_a_proxy_that_is_a_part_of_the_service() -> None:
    edges = SHAPES["one"].edges(7, "/php")
    asked, passed, call = Key(SERVER, "/one/7"), Key(CLIENT, "/php/one/7"), Key(CLIENT, "/work/7/0")
    behind = Key(SERVER, "/php/one/7")
    assert edges.work == (Edge(passed, asked), Edge(call, behind))
    assert edges.hops == (
        Edge(asked, None),
        Edge(behind, passed),
        Edge(Key(SERVER, "/work/7/0"), call),
    )
    every = edges_of(SHAPES["hops"], [7, 8], "/php")
    assert len({edge.child for edge in every.work + every.hops}) == 2 * 9
