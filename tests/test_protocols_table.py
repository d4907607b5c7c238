"""docs/protocols.md is what the protocols say of themselves."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.protocols import load_all
from agent.protocols_table import table

DOCUMENT = Path(__file__).resolve().parent.parent / "docs" / "protocols.md"
PROTOCOLS = load_all()


def test_document_is_what_the_command_prints():
    assert DOCUMENT.read_text() == table(PROTOCOLS), "run `zerospan protocols > docs/protocols.md`"


@pytest.mark.parametrize("name", PROTOCOLS)
def test_every_protocol_says_everything_of_itself(name):
    about = PROTOCOLS[name].about
    for value in (about.title, about.captured, about.omitted, about.tested, about.roles):
        assert value.strip()
        assert "|" not in value
        assert "\n" not in value


def test_rows_are_sorted_by_name():
    lines = table({"http1": PROTOCOLS["http1"], "dns": PROTOCOLS["dns"]}).splitlines()
    assert "(`dns`) | client, server |" in lines[-2]
    assert "(`http1`) | client, server |" in lines[-1]
