"""The map for programs that draw; names cannot break out of their quotes."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from agent.query.dependencies import OUTSIDE, Edge, Node, NodeKind
from agent.show.graph import dot, mermaid
from tests.show.made import EVIL_EDGE, RED

FRONT, DB = Node(NodeKind.SERVICE, "front"), Node(NodeKind.DATABASE, "postgresql db")
EDGES = [Edge(OUTSIDE, FRONT, RED), Edge(FRONT, DB, RED)]


def test_dot():
    assert dot(EDGES) == (
        "digraph services {\n"
        "  rankdir=LR;\n"
        '  node [fontname="sans-serif"];\n'
        '  n0 [label="(unseen)", shape=plaintext];\n'
        '  n1 [label="front", shape=box];\n'
        '  n2 [label="postgresql db", shape=cylinder];\n'
        '  n0 -> n1 [label="0.50/s, 10.0 % errors, p90 90.0 ms", color=red];\n'
        '  n1 -> n2 [label="0.50/s, 10.0 % errors, p90 90.0 ms", color=red];\n'
        "}\n"
    )


def test_mermaid():
    assert mermaid(EDGES) == (
        "flowchart LR\n"
        '  n0{{"(unseen)"}}\n'
        '  n1["front"]\n'
        '  n2[("postgresql db")]\n'
        '  n0 -->|"0.50/s, 10.0 % errors, p90 90.0 ms"| n1\n'
        '  n1 -->|"0.50/s, 10.0 % errors, p90 90.0 ms"| n2\n'
    )


def test_an_evil_name():
    for text in (dot([EVIL_EDGE]), mermaid([EVIL_EDGE])):
        assert text.replace("\n", "").isprintable()
    assert "<script>" not in mermaid([EVIL_EDGE])
    assert mermaid([EVIL_EDGE]).count("\n") == 4


@given(st.text(max_size=30))
def test_a_label_ends_where_it_ends(name):
    edge = Edge(Node(NodeKind.SERVICE, name), DB, RED)
    line = next(line for line in dot([edge]).split("\n") if line.startswith("  n0 [label"))
    assert re.fullmatch(r'  n0 \[label="(?:[^"\\]|\\.)*", shape=box\];', line)
    line = mermaid([edge]).split("\n")[1]
    assert re.fullmatch(r'  n0\["[^"\]]*"\]', line)
