"""The declarations of the services under test."""

from __future__ import annotations

import pytest

from tests.accuracy.cases import SHAPES
from tests.accuracy.runtimes import RUNTIMES, SERVICES, select


def test_names_are_unique_and_shapes_exist() -> None:
    names = [runtime.name for runtime in RUNTIMES]
    assert len(set(names)) == len(names)
    assert {shape for runtime in RUNTIMES for shape in runtime.shapes} == SHAPES.keys()


def test_templates_exist() -> None:
    templates = {name for r in RUNTIMES for name in (r.config, r.behind_config) if name}
    assert {name for name in templates if not (SERVICES / name).exists()} == set()


def test_selection_by_the_beginning_of_a_name_or_of_its_parts() -> None:
    assert [runtime.name for runtime in select("go")] == ["go", "go-stripped"]
    assert [runtime.name for runtime in select("prefork,nginx")] == ["python-prefork", "nginx"]
    assert select("") == list(RUNTIMES)
    with pytest.raises(ValueError, match="no runtime is named cobol"):
        select("cobol")
