"""Spans as trees on the terminal, for people: in color there, as plain text into a pipe or file.

Spans count as exported once they are printed, and as dropped when the output is gone.
"""

from __future__ import annotations

import io
import sys
import time
import typing
from typing import Final, TextIO

from agent.errors import ConfigError
from agent.export.exporter import Batch, Outcome
from agent.export.tree import Line, Trace, Traces, draw

if typing.TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from agent.spans.span import Span

SPAN_BYTES: Final = 1024
"""What a queued span is taken to occupy: the object with a block of attributes of its own."""


class Output(typing.Protocol):
    """Writes drawn traces."""

    def write(self, lines: Iterable[Line]) -> None:
        """Write the lines and an empty one; OSError or ValueError when the output is gone."""


class ConsoleExporter:
    """Prints each trace once it is complete."""

    def __init__(self, stream: TextIO, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.name = "console"
        self.timeout_s = 10.0
        self.poll_s = 0.25
        self._traces = Traces()
        self._clock = clock
        self._output = output_for(stream)

    def prepare(self, spans: Sequence[Span]) -> Batch:
        """Pass the spans on."""
        return Batch(count=len(spans), size_bytes=len(spans) * SPAN_BYTES, spans=tuple(spans))

    def send(self, batch: Batch, *, timeout_s: float) -> Outcome:  # noqa: ARG002  # a terminal has none
        """Add the spans to their traces and print those that are complete."""
        now_s = self._clock()
        for span in batch.spans:
            self._traces.add(span, now_s=now_s)
        return self.poll()

    def poll(self) -> Outcome:
        """Print the traces that have become complete."""
        return self._print(self._traces.take_due(self._clock()))

    def close(self) -> Outcome:
        """Print what is left."""
        return self._print(self._traces.take_all())

    def _print(self, traces: Sequence[Trace]) -> Outcome:
        printed = 0
        try:
            for trace in traces:
                self._output.write(draw(trace))
                printed += len(trace.rows)
        except (OSError, ValueError) as error:  # ValueError: the stream was closed
            dropped = sum(len(trace.rows) for trace in traces) - printed
            return Outcome(printed, dropped, cause="output_closed", message=str(error))
        return Outcome(exported=printed)


def standard_output() -> TextIO:
    """Standard output, in a file object of its own.

    A worker that is stuck in a write (a pager that nobody scrolls) holds its file object's lock. It must not be the
    lock of sys.stdout, which the interpreter flushes when it ends: CPython may abort there, "could not acquire lock
    for <_io.BufferedWriter name='<stdout>'> at interpreter shutdown" (Modules/_io/bufferedio.c).
    """
    if sys.stdout is None:
        raise ConfigError("console: there is no standard output")
    try:
        return open(  # open as long as the agent runs; the descriptor is not ours to close
            sys.stdout.fileno(), "w", encoding=sys.stdout.encoding, errors="replace", closefd=False
        )
    except io.UnsupportedOperation:  # replaced by something in memory
        return sys.stdout


def output_for(stream: TextIO) -> Output:
    """Color for a terminal, plain text for everything else."""
    return Terminal(stream) if stream.isatty() else PlainText(stream)


class PlainText:
    """Lines as they are; what the stream's encoding lacks becomes a question mark."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._encoding = stream.encoding or "utf-8"  # io.StringIO has none

    def write(self, lines: Iterable[Line]) -> None:
        """Write a trace."""
        text = "\n".join(str(line) for line in lines) + "\n\n"
        self._stream.write(text.encode(self._encoding, "replace").decode(self._encoding))
        self._stream.flush()


class Terminal:
    """Lines in color, by rich. They are never parsed as markup, wrapped or cropped."""

    def __init__(self, stream: TextIO) -> None:
        # rich takes 6 MB and is of use on a terminal only, where a daemon never is.
        import rich.console  # noqa: PLC0415
        import rich.text  # noqa: PLC0415

        self._console = rich.console.Console(
            file=stream, highlight=False, markup=False, emoji=False, soft_wrap=True
        )
        self._text = rich.text.Text

    def write(self, lines: Iterable[Line]) -> None:
        """Write a trace."""
        text = self._text()
        for line in lines:
            text.append(line.lead, style="dim" if line.name else "bold")
            if line.name:
                text.append(line.name, style="bold red" if line.is_error else "bold cyan")
                text.append(f"  {line.detail}")
            if line.result:
                text.append(f"  {line.result}", style="red" if line.is_error else "green")
            text.append("\n")
        self._console.print(text)
