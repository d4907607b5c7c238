"""Traces on a stream, a pipe that is gone, and a terminal."""

from __future__ import annotations

import io
import os
import re
import sys
from collections import Counter

import pytest

from agent.counters import Delivery
from agent.errors import ConfigError
from agent.export.batch import Exports
from agent.export.console import ConsoleExporter, standard_output
from agent.export.exporter import Outcome
from agent.spans.span import SpanKind, Status
from tests.export import sample
from tests.export.servers import until

ROOT = sample.span(1)
CHILD = sample.span(
    2, trace_id=ROOT.trace_id, parent_id=ROOT.span_id, kind=SpanKind.CLIENT, status=Status.ERROR
)
DRAWN = (
    f"trace {ROOT.trace_id.hex()}  2 spans  12.3 ms\n"
    "GET /orders/{id}  server  front → 12.3 ms  200\n"
    "└─ GET /orders/{id}  client  front → 12.3 ms  200\n"
    "\n"
)


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def send(exporter: ConsoleExporter, *spans) -> Outcome:
    return exporter.send(exporter.prepare(spans), timeout_s=1)


def test_a_trace_is_printed_when_it_is_complete():
    stream, clock = io.StringIO(), Clock()
    exporter = ConsoleExporter(stream, clock=clock)
    assert send(exporter, CHILD) == Outcome()
    clock.now_s = 0.5
    assert send(exporter, ROOT) == Outcome()
    clock.now_s = 1.4
    assert exporter.poll() == Outcome()
    assert stream.getvalue() == ""
    clock.now_s = 1.6
    assert exporter.poll() == Outcome(exported=2)
    assert stream.getvalue() == DRAWN
    assert exporter.close() == Outcome()


def test_what_is_left_is_printed_at_the_end():
    stream = io.StringIO()
    exporter = ConsoleExporter(stream, clock=Clock())
    send(exporter, CHILD, ROOT)
    assert exporter.close() == Outcome(exported=2)
    assert stream.getvalue() == DRAWN


def test_an_output_that_cannot_show_everything():
    raw = io.BytesIO()
    exporter = ConsoleExporter(io.TextIOWrapper(raw, encoding="ascii"), clock=Clock())
    send(exporter, CHILD, ROOT)
    exporter.close()
    assert raw.getvalue().decode("ascii") == re.sub(r"[^\x00-\x7f]", "?", DRAWN)


def test_an_output_that_is_gone_is_counted():
    reading, writing = os.pipe()
    os.close(reading)
    stream = os.fdopen(writing, "w")
    deliveries: dict[str, Delivery] = {}
    exports = Exports([ConsoleExporter(stream)], deliveries=deliveries)
    exports.emit(CHILD)
    exports.emit(ROOT)
    exports.close(5)
    assert deliveries == {"console": Delivery(2, 0, Counter(output_closed=2))}
    with pytest.raises(BrokenPipeError):
        stream.close()


def test_the_worker_prints_without_another_batch():
    stream = io.StringIO()
    deliveries: dict[str, Delivery] = {}
    exports = Exports([ConsoleExporter(stream)], deliveries=deliveries)
    exports.emit(CHILD)
    exports.emit(ROOT)
    exports.flush()
    until(lambda: deliveries["console"].exported == 2)
    assert stream.getvalue() == DRAWN
    exports.close(1)


def test_a_terminal_gets_color_and_nothing_of_the_traced_program(monkeypatch):
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.delenv("NO_COLOR", raising=False)
    terminal, program = os.openpty()
    name = "GET /[bold]:smile:" + "x" * 60 + "\x1b[2J"
    with os.fdopen(program, "w") as stream:
        exporter = ConsoleExporter(stream, clock=Clock())
        send(
            exporter, sample.span(1, name=name), sample.span(1, name="failed", status=Status.ERROR)
        )
        assert exporter.close() == Outcome(exported=2)
        written = os.read(terminal, 65536).decode()
    os.close(terminal)
    colors = re.findall(r"\x1b\[[\d;]*m", written)
    assert len(colors) > 4
    plain = re.sub(r"\x1b\[[\d;]*m", "", written).replace("\r\n", "\n")
    assert plain == (
        f"trace {ROOT.trace_id.hex()}  2 spans  12.3 ms\n"
        f"GET /[bold]:smile:{'x' * 60}\\x1b[2J  server  front → 12.3 ms  200\n"
        "failed  server  front → 12.3 ms  200\n"
        "\n"
    )


def test_standard_output_is_opened_once_more(capfd):
    stream = standard_output()
    assert stream is not sys.stdout
    stream.write("→\n")
    stream.close()
    print("still open", flush=True)
    assert capfd.readouterr().out == "→\nstill open\n"


def test_standard_output_in_memory_and_none(monkeypatch):
    in_memory = io.StringIO()
    monkeypatch.setattr(sys, "stdout", in_memory)
    assert standard_output() is in_memory
    monkeypatch.setattr(sys, "stdout", None)
    with pytest.raises(ConfigError, match="console: there is no standard output"):
        standard_output()
