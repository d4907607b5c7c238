"""Instructions that name maps by number."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import CompileError
from agent.kernel.compiled import INSTRUCTION, Compiled, MapSpec, unlinked

EXIT = INSTRUCTION.pack(0x95, 0, 0, 0)


def load_map(number: int) -> bytes:
    """r1 = a map: two instructions long."""
    return INSTRUCTION.pack(0x18, 0x11, 0, number) + bytes(8)


def load_number(number: int) -> bytes:
    return INSTRUCTION.pack(0x18, 0x01, 0, number) + bytes(8)


MAPS = (MapSpec("records", 27, 0, 0, 4096, 0), MapSpec("sockets", 1, 8, 80, 10, 1))


def test_maps_are_named_by_place_and_by_descriptor():
    code = load_map(33) + load_number(33) + load_map(21) + EXIT
    kept = unlinked(code, {21: 0, 33: 1})
    assert kept == load_map(1) + load_number(33) + load_map(0) + EXIT
    assert Compiled(MAPS, {"f": kept}).linked("f", [5, 6]) == (
        load_map(6) + load_number(33) + load_map(5) + EXIT
    )


def test_what_cannot_be_linked():
    with pytest.raises(CompileError, match="not there: 7"):
        unlinked(load_map(7), {})
    with pytest.raises(CompileError, match="within an instruction"):
        unlinked(EXIT[:-1], {})
    with pytest.raises(CompileError, match="no function g"):
        Compiled(MAPS, {"f": EXIT}).linked("g", [])


@given(st.dictionaries(st.text(min_size=1), st.binary()))
def test_as_text_and_back(programs: dict[str, bytes]):
    compiled = Compiled(MAPS, programs)
    assert Compiled.from_json(compiled.to_json()) == compiled


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"[]",
        b"{}",
        b'{"maps": [], "programs": []}',
        b'{"maps": [["a"]], "programs": {}}',
        b'{"maps": 3, "programs": {}}',
        b'{"maps": [], "programs": {"f": "?"}}',
        b'{"maps": [], "programs": {"f": 3}}',
        b'{"maps": [["a", 1, 1, 1, 1, "x"]], "programs": {}}',
        b"\xff",
    ],
)
def test_text_that_is_something_else(text: bytes):
    with pytest.raises((ValueError, TypeError, AttributeError)):
        Compiled.from_json(text)
