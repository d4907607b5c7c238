"""The command `zerospan`. An AgentError becomes one sentence and an exit code.

0  done
1  this kernel or machine cannot do it
2  a flag, variable, file or URL is wrong
3  a recording or a store cannot be read or written
4  redact-check: a secret came through
"""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final, NoReturn

import click

from agent import __version__, check, cli_traces
from agent.cli_analyze import analyze_command
from agent.cli_protocols import protocols_command
from agent.cli_redact import redact_check
from agent.cli_web import web_command
from agent.config import DEFAULT_STORE, DEFAULT_WEB, Config, load
from agent.counters import Ledger
from agent.daemon import (
    Daemon,
    discovery_of,
    kernel_settings,
    pid_max,
    print_ledger,
    require_root,
)
from agent.errors import AgentError, ConfigError, RecordingError, SpanFileError, StoreError
from agent.explain import Search, explain
from agent.export.batch import Exports
from agent.export.endpoint import open_exporters
from agent.export.otlp_json import encode_line
from agent.export.otlp_read import read_line, read_spans
from agent.export.settings import Store, settings_from
from agent.kernel.recording import DEFAULT_MAX_BYTES, START, Recorder
from agent.places import destinations, page_of, receiver_of
from agent.priority import prioritise
from agent.processes.listing import rows
from agent.replay import replay
from agent.traces.context_propagators import propagators
from agent.traces.sampler import sampler

if TYPE_CHECKING:
    from agent.spans.span import Span

KERNEL_EXIT: Final = 1
CONFIG_EXIT: Final = 2
RECORDING_EXIT: Final = 3
MIB: Final = 1024 * 1024

Command = Callable[..., Any]


def main() -> NoReturn:
    """Run the command line; ends the process."""
    try:
        commands(standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except click.Abort:
        sys.exit(130)
    except (RecordingError, StoreError) as error:
        _fail(error, RECORDING_EXIT)
    except (ConfigError, SpanFileError) as error:
        _fail(error, CONFIG_EXIT)
    except AgentError as error:
        _fail(error, KERNEL_EXIT)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(KERNEL_EXIT)
    sys.exit(0)


def _fail(error: AgentError, code: int) -> NoReturn:
    click.echo(f"zerospan: {error}", err=True)
    sys.exit(code)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="zerospan")
def commands() -> None:
    """Traces programs that nobody instrumented.

    BPF programs watch the sockets of this host; what they see of HTTP, DNS, databases and brokers becomes OpenTelemetry spans,
    joined into traces and sent to any collector. Nothing is injected into the traced programs.

    Exit codes: 0 done, 1 this machine cannot do it, 2 a setting is wrong, 3 a recording or store is unusable,
    4 redact-check found a secret that came through.
    """


cli_traces.add_to(commands)
commands.add_command(redact_check)
commands.add_command(protocols_command)
commands.add_command(analyze_command)
commands.add_command(web_command)


def _selection(command: Command) -> Command:
    """The flags that say what is traced."""
    for verb, prefix in (
        ("Trace only", ""),
        ("Do not trace", "exclude-"),
        ("Propagate contexts of", "propagate-"),
    ):
        for kind, of, example in (
            ("pid", int, "this process and its children of the same program"),
            ("exe", str, "programs whose path or file name fits this glob"),
            ("port", int, "processes that listen on this TCP port"),
            ("container", str, "the container of this name or id"),
        ):
            command = click.option(
                f"--{prefix}{kind}",
                f"{prefix.replace('-', '_')}{kind}",
                type=of,
                multiple=True,
                help=f"{verb} {example}. Repeatable.",
            )(command)
    return command


def _settings(command: Command) -> Command:
    """The flags that `run` and `record` share."""
    for option in (
        click.option(
            "--config", "path", type=click.Path(path_type=Path), help="YAML file of settings."
        ),
        click.option(
            "--trace-instrumented",
            is_flag=True,
            default=None,
            help="Trace processes that export OpenTelemetry themselves, too.",
        ),
        click.option(
            "--propagate",
            multiple=True,
            metavar="HOW",
            help="tcp-option or http-header: requests of chosen processes carry trace contexts to other hosts. Repeatable.",
        ),
        click.option(
            "--ring-kb", type=int, help="Size of the ring buffer in KiB, a power of two [8192]."
        ),
        click.option(
            "--kprobes",
            is_flag=True,
            default=None,
            help="Use kprobes even where cheaper hooks work.",
        ),
        click.option("--log-level", help="debug, info, warning or error [info]."),
    ):
        command = option(command)
    return _selection(command)


@commands.command()
@_settings
@click.option("--export", multiple=True, metavar="URL", help="otlp+grpc://HOST:PORT, otlp+http://HOST:PORT, otlp+grpcs:, otlp+https:, file:PATH, store:PATH or console. Repeatable. Without it the OTEL_EXPORTER_OTLP_ variables rule; without those, the store.")  # fmt: skip
@click.option("--store", metavar="PATH", help=f"Keep traces in this file, whatever else is asked for; {DEFAULT_STORE} if nothing is.")  # fmt: skip
@click.option("--store-mb", type=int, help="How large the store may get, in MiB [512].")
@click.option("--store-hours", type=float, help="How long the store keeps a trace [24].")
@click.option("--web", metavar="ADDRESS", help=f"Serve a page over the store there: HOST:PORT, :PORT or HOST [{DEFAULT_WEB}]. Other hosts' visitors must show ZEROSPAN_WEB_TOKEN.")  # fmt: skip
@click.option("--no-web", is_flag=True, help="Serve no page.")
@click.option("--receive", multiple=True, metavar="WHERE", help="Take spans that others send into the store: otlp (gRPC on 127.0.0.1:4317, HTTP on 127.0.0.1:4318), otlp+grpc://HOST:PORT or otlp+http://HOST:PORT. Repeatable.")  # fmt: skip
@click.option("--export-findings", is_flag=True, default=None, help="Tell what analyses find in a trace by events of its spans.")  # fmt: skip
@click.option("--sampler", help="As OTEL_TRACES_SAMPLER [parentbased_always_on].")
@click.option("--sampler-arg", help="As OTEL_TRACES_SAMPLER_ARG: the ratio.")
def run(**flags: Any) -> None:
    """Trace this host until SIGTERM or Ctrl-C, then print the ledger as the last line on stderr."""
    if flags.pop("no_web"):
        flags["web"] = ""
    config = _config(flags)
    export = destinations(config)
    sampler(config.sampler, config.sampler_arg)
    propagators(config.propagators)
    web = page_of(config, export)
    receive = receiver_of(config, export)
    require_root()
    prioritise(config.nice)  # first: threads inherit it
    daemon = Daemon(config, export, web=web, receive=receive)
    for one in export:
        if isinstance(one, Store):
            where = "" if str(one.path) == DEFAULT_STORE else f" --store {one.path}"
            click.echo(f"traces are kept in {one.path}: see `zerospan traces{where}`", err=True)
    if web is not None:
        click.echo(f"look at them on {web.url}", err=True)
    for scheme, place in receive.places.items() if receive is not None else ():
        click.echo(f"spans of others are received on {scheme}://{place.authority}", err=True)
    _run(daemon.run, daemon.ledger)


@commands.command()
@click.argument("file", type=click.Path(path_type=Path))
@_settings
@click.option("--max-mb", type=click.IntRange(1, 65536), default=DEFAULT_MAX_BYTES // MIB, show_default=True, help="Stop when the file has this size.")  # fmt: skip
def record(file: Path, max_mb: int, **flags: Any) -> None:
    """Write the kernel's raw records to FILE until SIGTERM or Ctrl-C.

    The file holds captured traffic: only its owner can read it.
    """
    config = _config(flags)
    require_root()
    prioritise(config.nice)  # first: threads inherit it
    daemon = Daemon(
        config,
        [],
        recorder=lambda header: Recorder(file, header=header, max_bytes=max_mb * MIB),
    )
    _run(daemon.run, daemon.ledger)


@commands.command(name="replay")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--export", multiple=True, metavar="URL", help="As in `zerospan run`.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of the ids.")
def replay_command(file: Path, export: tuple[str, ...], seed: int) -> None:
    """Run a recording through the pipeline. The same file and seed give the same spans."""
    ledger = Ledger()
    exports = Exports(
        open_exporters(settings_from(os.environ, export)), deliveries=ledger.exporters
    )

    def work() -> None:
        try:
            replay(file, emit=exports.emit, ledger=ledger, seed=seed)
        finally:
            exports.close(60.0)

    _run(work, ledger)


@commands.command(name="explain")
@click.argument("trace_id")
@click.argument("file", type=click.Path(path_type=Path), required=False)
@click.option("--seed", type=int, default=0, show_default=True, help="Of the ids, if FILE is a recording.")  # fmt: skip
def explain_command(trace_id: str, file: Path | None, seed: int) -> None:
    """Say of each span of a trace why its parent is its parent, and of each root why it has none.

    TRACE_ID may be cut to its first digits, 4 at least. FILE holds spans as `--export file:PATH` writes them, or is a
    recording; without it, spans are read from standard input.
    """
    search = Search(trace_id)
    name = str(file or "standard input")
    trouble = None
    if file is None:
        _search_spans(search, sys.stdin.buffer, name)
    else:
        try:
            with file.open("rb") as opened:
                is_recording = opened.peek(len(START)).startswith(START)
                if not is_recording:
                    _search_spans(search, opened, name)
        except OSError as error:
            raise SpanFileError(f"cannot read {name}: {error.strerror}") from error
        if is_recording:
            trouble = _search_recording(search, file, seed)
    for line in explain(search.trace(name), left_out=search.left_out):
        click.echo(line)
    if trouble is not None:
        raise trouble


def _search_spans(search: Search, file: BinaryIO, name: str) -> None:
    for span in read_spans(file, name):
        if search.wants(span.trace_id):
            search.add(span)


def _search_recording(search: Search, file: Path, seed: int) -> RecordingError | None:
    """Replay a recording into the search. Of one that was cut, what it holds is searched, too."""

    def take(span: Span) -> None:
        if search.wants(span.trace_id.hex()):
            for read in read_line(encode_line([span])):
                search.add(read)

    try:
        replay(file, emit=take, ledger=Ledger(), seed=seed)
    except RecordingError as error:
        if not search.has_found:
            raise
        return error
    return None


@commands.command(name="check")
@_settings
def check_command(**flags: Any) -> None:
    """Say whether `zerospan run` would work here, what it would attach, and what that can do."""
    config = _config(flags)
    is_possible = True
    for finding in check.findings(kernel_settings(config, pid_max()), force_kprobes=config.kprobes):
        mark = "ok " if finding.is_fine else "NO "
        click.echo(f"{mark} {finding.subject}: {finding.state}")
        if not finding.is_fine:
            if finding.advice:
                click.echo(f"      -> {finding.advice}")
            is_possible = is_possible and not finding.is_fatal
    click.echo(
        "zerospan run will work here." if is_possible else "zerospan run will NOT work here."
    )
    if not is_possible:
        sys.exit(KERNEL_EXIT)


@commands.command()
@_settings
def ps(**flags: Any) -> None:
    """List the processes with sockets: who they are, whether they are traced and why, what stays unseen."""
    from rich.console import Console  # noqa: PLC0415  (10 MB that the daemon does not need)
    from rich.table import Table  # noqa: PLC0415

    config = _config(flags)
    discovery = discovery_of(
        config,
        settings_from(os.environ, config.export),
        lambda pid, verdict: None,  # noqa: ARG005  (there is nobody to tell)
    )
    discovery.scan()
    table = Table(box=None, pad_edge=False)
    for heading in ("PID", "SERVICE", "RUNTIME", "PORTS", "TRACED", "WHY", "CANNOT SEE"):
        table.add_column(heading, overflow="fold")
    for row in rows(discovery):
        table.add_row(
            str(row.pid),
            row.service,
            row.runtime,
            " ".join(map(str, row.ports)),
            "yes" if row.is_traced else "no",
            row.why,
            "; ".join(row.cannot_see),
        )
    console = Console(width=None if sys.stdout.isatty() else 200, markup=False)
    console.print(table)


def _run(work: Callable[[], None], ledger: Ledger) -> None:
    """Work to the end. The ledger comes last, also behind an error."""
    try:
        work()
    except AgentError as error:
        click.echo(f"zerospan: {error}", err=True)
        print_ledger(ledger)
        sys.exit(RECORDING_EXIT if isinstance(error, RecordingError) else KERNEL_EXIT)
    print_ledger(ledger)


def _config(flags: dict[str, Any]) -> Config:
    """Settings from flags, environment and file; sets up logging."""
    path = flags.pop("path", None)
    given: dict[str, Any] = {"select": {}, "exclude": {}, "propagate_for": {}}
    for name, value in flags.items():
        if value is None or value == ():
            continue
        verb, _, kind = name.rpartition("_")
        place = {"": "select", "exclude": "exclude", "propagate": "propagate_for"}.get(verb, "")
        if place and kind in ("pid", "exe", "port", "container"):
            given[place][kind] = list(value)
        else:
            given[name] = list(value) if isinstance(value, tuple) else value
    config = load(flags=given, environment=os.environ, path=path)
    logging.basicConfig(
        level=config.log_level.upper(),
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
        stream=sys.stderr,
    )
    logging.Formatter.converter = time.gmtime
    return config
