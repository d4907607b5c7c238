"""`zerospan protocols`."""

from __future__ import annotations

from click.testing import CliRunner

from agent.cli import commands
from agent.protocols import load_all
from agent.protocols_table import table


def test_command_prints_the_table():
    result = CliRunner().invoke(commands, ["protocols"])
    assert (result.exit_code, result.output) == (0, table(load_all()))
