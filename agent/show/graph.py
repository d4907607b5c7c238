"""The service map as text for programs that draw: Graphviz (https://graphviz.org/doc/info/lang.html) and Mermaid
(https://mermaid.js.org/syntax/flowchart.html).

Names come from traced programs: what has a meaning in either language is escaped, so that a name cannot become a
node, an attribute or a link.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from agent.export.text import printable
from agent.export.tree import duration
from agent.query.dependencies import NodeKind

if TYPE_CHECKING:
    from collections.abc import Iterable

    from agent.query.dependencies import Edge, Node

_DOT_SHAPES: Final = {
    NodeKind.SERVICE: "box",
    NodeKind.DATABASE: "cylinder",
    NodeKind.ADDRESS: "ellipse",
    NodeKind.UNSEEN: "plaintext",
}
_MERMAID_SHAPES: Final = {
    NodeKind.SERVICE: ("[", "]"),
    NodeKind.DATABASE: ("[(", ")]"),
    NodeKind.ADDRESS: ("([", "])"),
    NodeKind.UNSEEN: ("{{", "}}"),
}


def dot(edges: Iterable[Edge]) -> str:
    """A digraph for Graphviz; edges with errors are red."""
    edges = list(edges)
    ids = _ids(edges)
    lines = ["digraph services {", "  rankdir=LR;", '  node [fontname="sans-serif"];']
    lines += [
        f"  {id_} [label={_dot_text(node.name)}, shape={_DOT_SHAPES[node.kind]}];"
        for node, id_ in ids.items()
    ]
    for edge in edges:
        color = ", color=red" if edge.red.errors else ""
        label = _dot_text(label_of(edge))
        lines.append(f"  {ids[edge.caller]} -> {ids[edge.callee]} [label={label}{color}];")
    return "\n".join([*lines, "}", ""])


def mermaid(edges: Iterable[Edge]) -> str:
    """A flowchart for Mermaid."""
    edges = list(edges)
    ids = _ids(edges)
    lines = ["flowchart LR"]
    for node, id_ in ids.items():
        before, after = _MERMAID_SHAPES[node.kind]
        lines.append(f'  {id_}{before}"{_mermaid_text(node.name)}"{after}')
    lines += [
        f'  {ids[edge.caller]} -->|"{_mermaid_text(label_of(edge))}"| {ids[edge.callee]}'
        for edge in edges
    ]
    return "\n".join([*lines, ""])


def label_of(edge: Edge) -> str:
    """Rate, errors and duration in a few words."""
    red = edge.red
    return (
        f"{red.rate_per_s:.2f}/s, {100 * red.error_share:.1f} % errors, p90 {duration(red.p90_ns)}"
    )


def _ids(edges: Iterable[Edge]) -> dict[Node, str]:
    nodes = dict.fromkeys(node for edge in edges for node in (edge.caller, edge.callee))
    return {node: f"n{number}" for number, node in enumerate(nodes)}


def _dot_text(text: str) -> str:
    escaped = printable(text).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _mermaid_text(text: str) -> str:
    """Everything but letters, digits and harmless signs as an entity: `#35;`."""
    return "".join(_mermaid_character(character) for character in printable(text))


def _mermaid_character(character: str) -> str:
    is_harmless = character.isalnum() or character in " .,-_/%:()µ"
    return character if is_harmless else f"#{ord(character)};"
