"""Go's build info."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.binaries.elf import open_elf
from agent.binaries.go import MAX_MODULES, GoBuild, GoBuilds, has_tls, parse_build, read_build
from tests.binaries.elf_files import MAGIC, build_info, elf

if TYPE_CHECKING:
    from pathlib import Path

MODULES = (
    "path\texample.com/shop/cmd/shop\n"
    "mod\texample.com/shop\t(devel)\t\n"
    "dep\tgo.opentelemetry.io/otel/sdk\tv1.28.0\th1:abc=\n"
    "dep\texample.com/old\tv1.0.0\n"
    "=>\texample.com/new\tv1.0.1\th1:x=\n"
    "build\t-compiler=gc\n"
)
SHOP = GoBuild(
    version="1.22.3",
    path="example.com/shop/cmd/shop",
    modules=frozenset(
        {"example.com/shop", "go.opentelemetry.io/otel/sdk", "example.com/old", "example.com/new"}
    ),
)


@pytest.mark.parametrize(
    ("raw", "build"),
    [
        (build_info("go1.22.3", MODULES), SHOP),
        (build_info("go1.25.5 X:nocoverageredesign"), GoBuild("1.25.5")),
        (build_info("devel go1.24-abcdef"), GoBuild("1.24-abcdef")),
        (build_info("go1.16", flags=0), GoBuild()),
        (build_info("what"), GoBuild()),
        (b"no build info" * 5, None),
        (MAGIC, None),
        (build_info("go1.22.3", MODULES)[:60], GoBuild("1.22.3")),
    ],
)
def test_build_info(raw: bytes, build: GoBuild | None) -> None:
    assert parse_build(raw) == build


@pytest.mark.parametrize(
    "content",
    [
        elf({".text": b"x" * 99, ".go.buildinfo": build_info("go1.22.3", MODULES)}),
        elf({".go.buildinfo": build_info("go1.22.3", MODULES)}, position_independent=True),
        elf({".data": b"y" * 16 + build_info("go1.22.3", MODULES)}, stripped=True),
    ],
    ids=["plain", "position-independent", "without sections"],
)
def test_build_info_of_a_file(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "shop"
    path.write_bytes(content)
    opened = open_elf(str(path))
    assert opened is not None
    with opened as file:
        assert read_build(file) == SHOP


def test_tls_is_found_in_the_function_table(tmp_path: Path) -> None:
    with_tls = {".gopclntab": b"a" * (1 << 20) + b"crypto/tls.(*Conn).Write\0"}
    for name, content in {"yes": with_tls, "no": {".gopclntab": b"net.Dial\0"}, "none": {}}.items():
        (tmp_path / name).write_bytes(elf(content))
        opened = open_elf(str(tmp_path / name))
        assert opened is not None
        with opened as file:
            assert has_tls(file) == (name == "yes")


def test_files_are_read_once_and_forgotten_in_turn(tmp_path: Path) -> None:
    builds = GoBuilds(limit=2)
    for name in ("a", "b", "c"):
        (tmp_path / name).write_bytes(elf({".go.buildinfo": build_info(f"go1.2{ord(name) - 97}")}))
    assert [builds.of(str(tmp_path / name)) for name in ("a", "a", "b", "c", "a")] == [
        GoBuild("1.20"),
        GoBuild("1.20"),
        GoBuild("1.21"),
        GoBuild("1.22"),
        GoBuild("1.20"),
    ]
    (tmp_path / "script").write_text("#!/bin/sh\n")
    assert builds.of(str(tmp_path / "script")) is None
    assert builds.of(str(tmp_path / "none")) is None


@given(st.binary(max_size=400))
def test_any_content_after_the_magic(content: bytes) -> None:
    assert parse_build(MAGIC + b"\x08\x02" + bytes(16) + content) is not None


@given(st.integers(0, 300), st.integers(0, 255))
def test_changed_bytes_change_the_answer_at_most(position: int, value: int) -> None:
    raw = bytearray(build_info("go1.22.3", MODULES))
    raw[position % len(raw)] = value
    parse_build(bytes(raw))


def test_modules_are_bounded() -> None:
    build = parse_build(build_info("go1.22.3", "".join(f"dep\tm{n}\tv1\n" for n in range(5000))))
    assert build is not None
    assert len(build.modules) == MAX_MODULES
