"""docs/accuracy.md describes the shapes and services that there are, and shows figures of no others."""

from __future__ import annotations

import re

from deploy.guest import CHECKOUT
from tests.accuracy.cases import SHAPES
from tests.accuracy.report import HEADINGS, HOPS
from tests.accuracy.runtimes import RUNTIMES

TEXT = (CHECKOUT / "docs" / "accuracy.md").read_text()


def rows(heading: str) -> list[list[str]]:
    """The rows of all tables with this heading."""
    found = []
    for part in TEXT.split(heading)[1:]:
        lines = part.splitlines()[2:]
        end = next((n for n, line in enumerate(lines) if not line.startswith("|")), len(lines))
        found += [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[:end]]
    assert found, heading
    return found


def test_shapes_are_those_that_are_measured() -> None:
    described = {row[0].strip("`"): row[1] for row in rows("| shape | what a request does |")}
    assert described == {shape.name: shape.what for shape in SHAPES.values()}


def test_services_are_those_that_are_measured() -> None:
    described = {row[0].strip("`"): row[1] for row in rows("| service | is |")}
    assert described == {runtime.name: runtime.what for runtime in RUNTIMES}


def test_figures_are_of_shapes_that_the_services_have() -> None:
    shapes = {runtime.name: runtime.shapes for runtime in RUNTIMES}
    for name, named, *_ in rows(f"| {' | '.join(HEADINGS)} |"):
        assert {shape.removesuffix(HOPS) for shape in named.split(", ")} <= {*shapes[name]}


def test_figures_say_of_which_kernel_and_day() -> None:
    headings = re.findall(r"^### Linux (\d\S+), (\d{4}-\d{2}-\d{2})$", TEXT, re.MULTILINE)
    assert headings
