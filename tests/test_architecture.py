"""The rules of the house that a machine can check; import-linter (`make lint`) checks who may import whom."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parent.parent
AGENT = CHECKOUT / "agent"
PROBES = CHECKOUT / "probes"

MAX_LINES = 400
MAX_C_LINES = 250
EXCUSE = "one thing"
"""A longer module says in its docstring why it is one thing."""

WITHOUT_TEST_FILE = {
    "agent/connections/duplex.py": "tests/protocols/test_every_duplex.py, and each of its protocols",
    "agent/connections/interfaces.py": "only signatures",
    "agent/errors.py": "classes without behavior; raised and caught all over the tests",
    "agent/kernel/attach.py": "the same as bpf.py, whose part it is",
    "agent/kernel/bpf.py": "needs a kernel: every scenario of tests/vm/guest loads programs through it",
    "agent/web/__main__.py": "tests/web/test_child.py starts it",
    "agent/child.py": "tests/web/test_child.py, tests/receive/test_receiver.py",
    "agent/receive/__main__.py": "tests/receive/test_receiver.py starts it",
    "agent/protocols/__init__.py": "tests/protocols/test_registry.py",
}
"""Modules whose test is elsewhere, and where."""

DOORS = {
    "click": {
        "agent/cli.py",
        "agent/cli_analyze.py",
        "agent/cli_protocols.py",
        "agent/cli_redact.py",
        "agent/cli_traces.py",
        "agent/cli_web.py",
        "agent/cli_duration.py",
    },
    "bottle": {"agent/web/app.py"},
    "google": {"agent/receive/protobuf.py"},
    "grpc": {"agent/export/grpc.py", "agent/receive/grpc.py"},
    "isal": {"agent/export/compress.py"},
    "msgspec": {"agent/config.py", "agent/receive/carry.py", "agent/receive/settings.py"},
    "opentelemetry": {"agent/receive/protobuf.py"},
    "rich": {"agent/export/console.py", "agent/cli.py", "agent/cli_traces.py"},
    "waitress": {"agent/wsgi.py"},
    "yaml": {"agent/config.py"},
}
"""Third-party packages, and the modules that may import them."""

PROJECT_OF = {
    "google": "opentelemetry-proto",  # whose dependency protobuf is
    "grpc": "grpcio",
    "opentelemetry": "opentelemetry-proto",
    "yaml": "PyYAML",
}
"""Where a package's project has another name."""


def modules() -> list[Path]:
    return sorted(AGENT.rglob("*.py"))


def name(path: Path) -> str:
    return path.relative_to(CHECKOUT).as_posix()


def has_behavior(path: Path) -> bool:
    """Has functions or classes; constants and docstrings have none."""
    kinds = ast.FunctionDef | ast.ClassDef
    return any(isinstance(node, kinds) for node in ast.walk(ast.parse(path.read_text())))


def expected_test(path: Path) -> Path:
    relative = path.relative_to(AGENT)
    stem = relative.parent.name if path.stem == "__init__" else path.stem
    return CHECKOUT / "tests" / relative.parent / f"test_{stem}.py"


@pytest.mark.parametrize("path", modules(), ids=name)
def test_every_module_has_its_test_file(path: Path) -> None:
    if name(path) in WITHOUT_TEST_FILE or not has_behavior(path):
        return
    expected = expected_test(path)
    assert expected.exists(), (
        f"write {name(expected)}, or say in WITHOUT_TEST_FILE where it is tested"
    )


def test_exceptions_are_needed() -> None:
    stale = [
        module
        for module in WITHOUT_TEST_FILE
        if not (CHECKOUT / module).exists() or expected_test(CHECKOUT / module).exists()
    ]
    assert stale == []


@pytest.mark.parametrize("path", modules(), ids=name)
def test_module_begins_with_what_it_is_and_is_not_too_long(path: Path) -> None:
    text = path.read_text()
    docstring = ast.get_docstring(ast.parse(text))
    assert docstring, "a module opens with a docstring"
    assert len(text.splitlines()) <= MAX_LINES or EXCUSE in docstring


@pytest.mark.parametrize("path", sorted(PROBES.rglob("*.[ch]")), ids=name)
def test_c_file_states_its_license_and_is_not_too_long(path: Path) -> None:
    text = path.read_text()
    assert len(text.splitlines()) <= MAX_C_LINES
    if "stub" not in path.parts:
        assert re.match(r"(/\*|//) SPDX-License-Identifier: ", text)


def imported(path: Path) -> Iterator[str]:
    """Top-level packages that a module imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{name(path)}: imports are absolute"
            yield (node.module or "").partition(".")[0]


@pytest.mark.parametrize("package", DOORS)
def test_third_party_package_has_one_door(package: str) -> None:
    users = {name(path) for path in modules() if package in set(imported(path))}
    assert users <= DOORS[package]


def test_third_party_packages_are_the_dependencies() -> None:
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]
    declared = {re.split(r"[<>=\[ ]", line)[0] for line in project["dependencies"]}
    used = {package for path in modules() for package in imported(path)} & set(DOORS)
    assert declared == {PROJECT_OF.get(package, package) for package in used}


def programs_of(text: str) -> list[str]:
    """Functions that bcc makes programs of: the non-static ones (bcc rewrites only the main file)."""
    functions = re.findall(r"^(?!static\b)(?:int|void) (\w+)\(", text, re.MULTILINE)
    tracepoints = re.findall(r"^RAW_TRACEPOINT_PROBE\((\w+)\)", text, re.MULTILINE)
    return functions + [f"raw_tracepoint__{tracepoint}" for tracepoint in tracepoints]


@pytest.mark.parametrize("path", sorted(PROBES.glob("*.c")), ids=name)
def test_programs_in_c_are_those_in_toml(path: Path) -> None:
    described = tomllib.loads(path.with_suffix(".toml").read_text())["program"]
    # One function may be several programs, each with its hook.
    # And one name may stand for it twice in C: with trampolines, and without.
    assert set(programs_of(path.read_text())) == {entry["function"] for entry in described}


def test_every_description_has_its_c() -> None:
    assert {path.stem for path in PROBES.glob("*.toml")} == {
        path.stem for path in PROBES.glob("*.c")
    }
