"""`zerospan protocols`: what is understood, and what is not."""

from __future__ import annotations

import click

from agent.protocols import load_all
from agent.protocols_table import table


@click.command(name="protocols")
def protocols_command() -> None:
    """Print which protocols are understood, what is captured of them and what is not, as a Markdown table."""
    click.echo(table(load_all()), nl=False)
