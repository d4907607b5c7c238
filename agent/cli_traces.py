"""The commands that read a store: query, traces, trace, services, map, top.

They work while an agent writes the store, and read all that they show before they print.
"""

from __future__ import annotations

import os
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from agent.cli_duration import Duration
from agent.config import DEFAULT_STORE
from agent.errors import ConfigError, QueryError, StoreError
from agent.export.text import printable
from agent.query.dependencies import dependencies
from agent.query.parser import parse
from agent.query.red import services
from agent.query.search import search
from agent.query.window import window
from agent.show import as_json, graph, tables, waterfall
from agent.store.reader import Listing, Order, Reader

if TYPE_CHECKING:
    from agent.show.tables import Table
    from agent.spans.trace import Trace

WIDTH: Final = 200
"""Of what is written into a pipe or file."""
TOP_WINDOW_S: Final = 60
TOP_SERVICES: Final = 20

Command = Callable[..., Any]


_store = click.option(
    "--store", default=DEFAULT_STORE, show_default=True, metavar="PATH", help="The store to read."
)
_limit = click.option(
    "--limit",
    type=click.IntRange(1, 100_000),
    default=20,
    show_default=True,
    help="How many traces.",
)
_json = click.option("--json", "is_json", is_flag=True, help="As JSON.")


def _since(default: str) -> Callable[[Command], Command]:
    return click.option(
        "--since", type=Duration(), default=default, show_default=True, help="Only traces that began at most this long ago; 0s: all."
    )  # fmt: skip


@click.command()
@click.argument("text", metavar="QUERY")
@_store
@_limit
@_since("0s")
@click.option(
    "--format", "style", type=click.Choice(["table", "json", "otlp"]), default="table", show_default=True, help="otlp: the spans found, as OTLP/JSON."
)  # fmt: skip
def query(text: str, store: str, limit: int, since: int, style: str) -> None:
    """Find traces with TraceQL: zerospan query '{ resource.service.name = "checkout" && duration > 5s }'."""
    try:
        asked = parse(text)
    except QueryError as error:
        # The query, and a mark under the place.
        shown = printable(text, max_length=len(text) + 1)
        raise ConfigError(f"{error}\n  {shown}\n  {' ' * (error.column - 1)}^") from error
    with Reader(Path(store)) as reader:
        found = search(reader, asked, limit=limit, since_unix_ns=_start(since))
    if style == "json":
        click.echo(as_json.dumps(as_json.matches(found)))
    elif style == "otlp":
        click.echo(as_json.otlp(span for match in found for span in match.spans), nl=False)
    else:
        _print_table(tables.matches(found), "nothing found")
        if len(found) == limit:
            click.echo(f"the newest {limit}; there may be more (--limit)", err=True)


@click.command()
@_store
@_limit
@_since("0s")
@click.option("--slowest", is_flag=True, help="The slowest first, instead of the newest.")
@click.option("--errors", is_flag=True, help="Only traces with an error.")
@click.option("--service", help="Only traces with a span of this service.")
@click.option("--name", help="Only traces whose root's name contains this.")
@click.option("--min-duration", type=Duration(), default="0s", help="Only traces of this duration or more.")  # fmt: skip
@_json
def traces(store: str, limit: int, since: int, is_json: bool, **wanted: Any) -> None:  # noqa: FBT001  (click passes by name)
    """List traces: the newest, the slowest, those with errors."""
    listing = Listing(
        order=Order.SLOWEST if wanted["slowest"] else Order.RECENT,
        only_errors=wanted["errors"],
        service=wanted["service"],
        name=wanted["name"],
        min_duration_ns=wanted["min_duration"],
        since_unix_ns=_start(since),
        limit=limit,
    )
    with Reader(Path(store)) as reader:
        found = reader.summaries(listing)
    if is_json:
        click.echo(as_json.dumps(as_json.rows(found)))
    else:
        _print_table(tables.traces(found), "no traces")


@click.command()
@click.argument("trace_id", metavar="ID")
@_store
@click.option(
    "--format", "style", type=click.Choice(["waterfall", "json", "otlp"]), default="waterfall", show_default=True, help="otlp: as OTLP/JSON."
)  # fmt: skip
def trace(trace_id: str, store: str, style: str) -> None:
    """Show a trace as a waterfall, and what `zerospan analyze` finds in it. ID may be the first digits of its id.

    A `*` and the full bars are the critical path: at each moment, the one span that the request was waiting for.
    """
    with Reader(Path(store)) as reader:
        found = _only(reader, trace_id)
    if style == "json":
        click.echo(as_json.dumps(as_json.trace(found)))
    elif style == "otlp":
        click.echo(as_json.otlp(found.spans), nl=False)
    else:
        _print_waterfall(found)


@click.command(name="services")
@_store
@_since("1h")
@_json
def services_command(store: str, since: int, is_json: bool) -> None:  # noqa: FBT001  (click passes by name)
    """Rate, errors and duration of every service and its operations."""
    with Reader(Path(store)) as reader:
        found = services(reader, since_unix_ns=_start(since))
        _tell_what_is_left_out(reader, _start(since))
    if is_json:
        click.echo(as_json.dumps(as_json.rows(found)))
    else:
        _print_table(tables.operations(found), "no traces")


@click.command(name="map")
@_store
@_since("1h")
@click.option("--dot", "style", flag_value="dot", help="For Graphviz.")
@click.option("--mermaid", "style", flag_value="mermaid", help="For Mermaid.")
@click.option("--json", "style", flag_value="json", help="As JSON.")
def map_command(store: str, since: int, style: str | None) -> None:
    """Who calls whom, with rate, errors and duration of every edge."""
    with Reader(Path(store)) as reader:
        edges = dependencies(reader, since_unix_ns=_start(since))
        _tell_what_is_left_out(reader, _start(since))
    if style == "dot":
        click.echo(graph.dot(edges), nl=False)
    elif style == "mermaid":
        click.echo(graph.mermaid(edges), nl=False)
    elif style == "json":
        click.echo(as_json.dumps(as_json.rows(edges)))
    else:
        _print_table(tables.edges(edges), "no calls")


def _tell_what_is_left_out(reader: Reader, since_unix_ns: int) -> None:
    """On stderr: the table, or what a program reads, is on stdout."""
    asked = window(reader, since_unix_ns=since_unix_ns)
    if asked.left_out:
        click.echo(
            f"of the newest {asked.spans} spans; {asked.left_out} older ones are left out", err=True
        )


@click.command()
@_store
@click.option(
    "--every", type=Duration(), default="2s", show_default=True, help="How often it is drawn."
)
@click.option(
    "--count", type=click.IntRange(1), help="End after so many times; otherwise Ctrl-C ends it."
)
def top(store: str, every: int, count: int | None) -> None:
    """The services of the last minute and the newest slow or failed traces, again and again."""
    drawn = 0
    with Reader(Path(store)) as reader:
        while count is None or drawn < count:
            if drawn:
                time.sleep(max(0.1, every / 1e9))
            _draw_top(reader)
            drawn += 1


COMMANDS: Final = (query, traces, trace, services_command, map_command, top)


def add_to(group: click.Group) -> None:
    """Make the commands part of `zerospan`."""
    for command in COMMANDS:
        group.add_command(command)


def _draw_top(reader: Reader) -> None:
    since = time.time_ns() - TOP_WINDOW_S * 1_000_000_000
    with reader.view():
        busy = [one for one in services(reader, since_unix_ns=since) if not one.name]
        slow = reader.summaries(Listing(order=Order.SLOWEST, since_unix_ns=since, limit=5))
        failed = reader.summaries(Listing(only_errors=True, since_unix_ns=since, limit=5))
    if sys.stdout.isatty():
        click.clear()
    click.echo(f"zerospan top  {tables.time(time.time_ns())} UTC  the last {TOP_WINDOW_S} s\n")
    _print_table(tables.operations(busy[:TOP_SERVICES]), "no traces")
    for what, found in (("slowest", slow), ("with errors", failed)):
        if found:
            click.echo(f"\n{what}:")
            _print_table(tables.traces(found), "")


def _only(reader: Reader, prefix: str) -> Trace:
    """The one trace whose id begins so."""
    ids = reader.find(prefix)
    if len(ids) > 1:
        raise StoreError(f"several traces begin with {printable(prefix)}: give more digits")
    found = reader.trace(ids[0]) if ids else None
    if found is None:
        raise StoreError(f"there is no trace {printable(prefix)} in {reader.path}")
    return found


def _start(since: int) -> int:
    return time.time_ns() - since if since else 0


def _print_waterfall(found: Trace) -> None:
    from rich.console import Console  # noqa: PLC0415  (6 MB that only a terminal needs)
    from rich.text import Text  # noqa: PLC0415

    # Half a megabyte of modules that the daemon does not need.
    from agent.analysis import analyze, report  # noqa: PLC0415
    from agent.analysis.critical_path import critical_path  # noqa: PLC0415

    width = os.get_terminal_size().columns if sys.stdout.isatty() else WIDTH
    critical: dict[str, list[waterfall.Stretch]] = defaultdict(list)
    for segment in critical_path(found):
        critical[segment.span.span_id].append((segment.start_unix_ns, segment.end_unix_ns))
    lines = waterfall.draw(found, width=width, critical=critical)
    findings = "".join(f"\n{line}" for line in report.finding_lines(analyze([found])))
    if not sys.stdout.isatty():
        click.echo("\n".join([waterfall.heading(found), *map(str, lines)]) + findings)
        return
    text = Text(waterfall.heading(found) + "\n", style="bold")
    for number, line in enumerate(lines):
        style = (
            "dim" if not number else "red" if line.is_error else "bold" if line.is_critical else ""
        )
        text.append(f"{line}\n", style=style)
    console = Console(highlight=False, markup=False, emoji=False, soft_wrap=True)
    text.append(f"{findings}\n" if findings else "")
    console.print(text, end="")


def _print_table(table: Table, nothing: str) -> None:
    from rich.console import Console  # noqa: PLC0415  (6 MB that the agent does not need)
    from rich.table import Table as RichTable  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    if not table.rows:
        click.echo(nothing)
        return
    shown = RichTable(box=None, pad_edge=False)
    for heading in table.headings:
        shown.add_column(
            Text(heading), justify="right" if heading in table.right else "left", overflow="fold"
        )
    for row in table.rows:
        shown.add_row(*map(Text, row))
    width = None if sys.stdout.isatty() else WIDTH
    Console(width=width, highlight=False, markup=False, emoji=False).print(shown)
