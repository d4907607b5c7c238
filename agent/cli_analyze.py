"""`zerospan analyze`: findings in files of spans, as `--export file:PATH` and other OTLP/JSON writers make them."""

from __future__ import annotations

import sys
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from agent.errors import ConfigError, SpanFileError
from agent.export.otlp_read import read_spans
from agent.spans.trace import ReadSpan, Trace

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

MAX_SPANS: Final = 500_000
"""Of all files of one side, kept in memory; a span takes about 2 KB."""


@dataclass(frozen=True, slots=True)
class Read:
    """What files held."""

    traces: list[Trace]
    spans: int
    left_out: int
    """Spans beyond the limit; parts of traces, perhaps."""


@click.command(name="analyze")
@click.argument("files", metavar="[FILE]...", nargs=-1, type=click.Path(path_type=Path))
@click.option("--before", multiple=True, metavar="FILE", type=click.Path(path_type=Path), help="Compare with these spans, route by route, instead: what got slower, or fails more often? Repeatable.")  # fmt: skip
@click.option("--only", multiple=True, metavar="NAME", help="Only this analysis. Repeatable.")
@click.option("--threshold", multiple=True, metavar="NAME=VALUE", help="Set a limit of docs/analysis.md. Repeatable.")  # fmt: skip
@click.option("--json", "is_json", is_flag=True, help="One JSON object instead of text.")
def analyze_command(
    files: tuple[Path, ...],
    before: tuple[Path, ...],
    only: tuple[str, ...],
    threshold: tuple[str, ...],
    is_json: bool,  # noqa: FBT001  (click passes flags by name)
) -> None:
    """Look for trouble in spans: what is slow and why, what fails and where that began.

    FILE holds spans as `--export file:PATH` writes them; without one, they are read from standard input.
    """
    # Half a megabyte of modules that the daemon does not need.
    from agent.analysis import analyze, load_all  # noqa: PLC0415
    from agent.analysis.comparison import compare  # noqa: PLC0415
    from agent.analysis.report import as_json, lines  # noqa: PLC0415
    from agent.analysis.thresholds import Thresholds, overridden  # noqa: PLC0415

    limits = overridden(Thresholds(), _pairs(threshold))
    if before and only:
        raise ConfigError(
            "--only chooses analyses of one set of spans; with --before there is none"
        )
    if unknown := set(only) - load_all().keys():
        raise ConfigError(
            f"there is no analysis {min(unknown)!r}; there are {', '.join(load_all())}"
        )
    seen = read_files(files)
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
    """The traces in all of `files`, or on standard input if there is none. Raises SpanFileError.

    Spans beyond `max_spans` are left out, and a line on stderr says so.
    """
    by_trace: dict[str, list[ReadSpan]] = defaultdict(list)
    kept = left_out = 0
    for file in files or (None,):
        for span in _spans(file):
            if kept < max_spans:
                kept += 1
                by_trace[span.trace_id].append(span)
            else:
                left_out += 1
    if left_out:
        click.echo(f"zerospan: left out {left_out} spans beyond the first {max_spans}", err=True)
    return Read([Trace(spans) for spans in by_trace.values()], kept, left_out)


def _spans(path: Path | None) -> Iterator[ReadSpan]:
    """Of one file; None is standard input."""
    if path is None:
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
