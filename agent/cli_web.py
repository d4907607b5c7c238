"""`zerospan web`: the page over a store, without tracing."""

from __future__ import annotations

import os
from pathlib import Path

import click

from agent.config import DEFAULT_STORE, DEFAULT_WEB
from agent.store.reader import Reader
from agent.web.server import serve
from agent.web.settings import web_settings


@click.command(name="web")
@click.option(
    "--store", default=DEFAULT_STORE, show_default=True, metavar="PATH", help="The store to read."
)
@click.option("--web", "address", default=DEFAULT_WEB, show_default=True, metavar="ADDRESS", help="HOST:PORT, :PORT or HOST. Other hosts' visitors must show ZEROSPAN_WEB_TOKEN.")  # fmt: skip
def web_command(store: str, address: str) -> None:
    """Serve the page and the API over an existing store until Ctrl-C. Traces nothing."""
    settings = web_settings(
        address, store=Path(store), token=os.environ.get("ZEROSPAN_WEB_TOKEN", "")
    )
    Reader(Path(store)).close()  # a store that cannot be read is told now
    click.echo(f"the page over {store} is on {settings.url}", err=True)
    serve(settings)
