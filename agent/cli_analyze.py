"""`zerospan analyze`: findings in the store, or in files of spans as OTLP/JSON writers make them (`--export file:PATH`)."""

from __future__ import annotations

import os
import sys
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from agent.cli_duration import Duration
from agent.config import DEFAULT_STORE, load
from agent.errors import ConfigError, SpanFileError
from agent.export.otlp_read import read_spans
from agent.spans.trace import ReadSpan, Trace
from agent.store.reader import Reader

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

MAX_SPANS: Final = 500_000
"""Of all files of one side, or of a store, kept in memory; a span takes about 2 KB."""
STDIN: Final = Path("-")


@dataclass(frozen=True, slots=True)
class Read:
    """What files held."""

    traces: list[Trace]
    spans: int
    left_out: int
    """Spans beyond the limit; parts of traces, perhaps."""


@click.command(name="analyze")
@click.argument("files", metavar="[FILE]...", nargs=-1, type=click.Path(path_type=Path))
@click.option("--store", metavar="PATH", help=f"The store to read where no FILE is given [{DEFAULT_STORE}].")  # fmt: skip
@click.option("--since", type=Duration(), default="1h", show_default=True, help="Of a store: traces that began at most this long ago; 0s: all.")  # fmt: skip
@click.option("--config", "path", type=click.Path(path_type=Path), help="YAML file of settings; its `thresholds` hold.")  # fmt: skip
@click.option("--before", multiple=True, metavar="FILE", type=click.Path(path_type=Path), help="Compare with these spans, route by route, instead: what got slower, or fails more often? Repeatable.")  # fmt: skip
@click.option("--only", multiple=True, metavar="NAME", help="Only this analysis. Repeatable.")
@click.option("--threshold", multiple=True, metavar="NAME=VALUE", help="Set a limit of docs/analysis.md. Repeatable.")  # fmt: skip
@click.option("--json", "is_json", is_flag=True, help="One JSON object instead of text.")
def analyze_command(  # noqa: PLR0913  (one for each flag)
    files: tuple[Path, ...],
    store: str | None,
    since: int,
    path: Path | None,
    before: tuple[Path, ...],
    only: tuple[str, ...],
    threshold: tuple[str, ...],
    is_json: bool,  # noqa: FBT001  (click passes flags by name)
) -> None:
    """Look for trouble in spans: what is slow and why, what fails and where that began.

    Without FILE the store is read that `zerospan run` keeps. FILE holds spans as `--export file:PATH` writes them; `-` is
    standard input.
    """
    # Half a megabyte of modules that the daemon does not need.
    from agent.analysis import analyze, load_all  # noqa: PLC0415
    from agent.analysis.comparison import compare  # noqa: PLC0415
    from agent.analysis.report import as_json, lines  # noqa: PLC0415
    from agent.analysis.thresholds import Thresholds, overridden  # noqa: PLC0415

    if store is not None and files:
        raise ConfigError("--store and FILE: only one of them can be read")
    config = load(flags={}, environment=os.environ, path=path)
    limits = overridden(Thresholds(), {**config.thresholds, **_pairs(threshold)})
    if before and only:
        raise ConfigError(
            "--only chooses analyses of one set of spans; with --before there is none"
        )
    if unknown := set(only) - load_all().keys():
        raise ConfigError(
            f"there is no analysis {min(unknown)!r}; there are {', '.join(load_all())}"
        )
    if files:
        seen = read_files(files)
    else:
        start = time.time_ns() - since if since else 0
        seen = read_store(Path(store or DEFAULT_STORE), since_unix_ns=start)
    if before:
        findings = compare(read_files(before).traces, seen.traces, limits)
    else:
        findings = analyze(seen.traces, limits, only=set(only) or None)
    if is_json:
        click.echo(as_json(findings, traces=len(seen.traces), spans=seen.spans))
        return
    for line in lines(findings, traces=len(seen.traces), spans=seen.spans):
        click.echo(line)


def read_files(files: Sequence[Path], *, max_spans: int = MAX_SPANS) -> Read:
    """The traces in all of `files`. Raises SpanFileError.

    Spans beyond `max_spans` are left out, and a line on stderr says so.
    """
    by_trace: dict[str, list[ReadSpan]] = defaultdict(list)
    kept = left_out = 0
    for file in files:
        for span in _spans(file):
            if kept < max_spans:
                kept += 1
                by_trace[span.trace_id].append(span)
            else:
                left_out += 1
    if left_out:
        click.echo(f"zerospan: left out {left_out} spans beyond the first {max_spans}", err=True)
    return Read([Trace(spans) for spans in by_trace.values()], kept, left_out)


def read_store(path: Path, *, since_unix_ns: int = 0, max_spans: int = MAX_SPANS) -> Read:
    """The newest whole traces of a store. Raises StoreError. Those beyond `max_spans` are left out, and a line says so."""
    with Reader(path) as reader, reader.view():
        ids, spans, left_out = reader.newest(since_unix_ns=since_unix_ns, max_spans=max_spans)
        traces = reader.traces(ids)
    if left_out:
        click.echo(f"zerospan: left out {left_out} spans of older traces (--since)", err=True)
    return Read(traces, spans, left_out)


def _spans(path: Path) -> Iterator[ReadSpan]:
    """Of one file."""
    if path == STDIN:
        yield from read_spans(sys.stdin.buffer, "standard input")
        return
    try:
        with path.open("rb") as file:
            yield from read_spans(file, str(path))
    except OSError as error:
        raise SpanFileError(f"cannot read {path}: {error.strerror}") from error


def _pairs(texts: Sequence[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for text in texts:
        name, separator, value = text.partition("=")
        if not separator:
            raise ConfigError(f"--threshold {text!r} is not NAME=VALUE")
        found[name.strip()] = value.strip()
    return found
