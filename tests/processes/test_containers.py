"""Names of Docker's containers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from agent.processes.containers import ContainerNames
from tests.processes.tree import CONTAINER

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("content", "name"),
    [
        ('{"ID": "x", "Name": "/shop-db-1"}', "shop-db-1"),
        ('{"Name": 3}', ""),
        ("[1]", ""),
        ("{", ""),
        ("[" * 100_000, ""),
        ('{"Name": "/a\\u001b[31m"}', "a[31m"),
    ],
)
def test_name_in_docker_files(tmp_path: Path, content: str, name: str) -> None:
    (tmp_path / CONTAINER).mkdir()
    (tmp_path / CONTAINER / "config.v2.json").write_text(content)
    names = ContainerNames(tmp_path)
    assert names.of(CONTAINER) == name
    (tmp_path / CONTAINER / "config.v2.json").unlink()
    assert names.of(CONTAINER) == name


def test_unknown_containers_have_no_name(tmp_path: Path) -> None:
    names = ContainerNames(tmp_path, limit=2)
    assert [names.of(f"{index:064x}") for index in range(5)] == [""] * 5
    assert names.of("../../etc") == ""
