"""The waterfall, as it is seen."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from agent.show.waterfall import FULL, MAX_DEPTH, MIN_BAR, draw, heading
from agent.spans.trace import Trace
from tests.show.made import EVIL_TRACE, TRACE
from tests.store.made import MS, NOW_NS, as_read, span


def drawn(width: int = 80, **options) -> str:
    return "\n".join(str(line) for line in draw(TRACE, width=width, **options))


def test_a_trace():
    assert heading(TRACE) == f"trace {1:032x}  4 spans  2 services  100.0 ms  1 error"
    assert drawn() == "\n".join(
        [
            " NAME        SERVICE  DURATION",
            " GET /       front    100.0 ms  ███████████████████████████████████████████",
            " ├─ call     front     50.0 ms      █████████████████████",
            " │  └─ work  back      30.0 ms          █████████████                        503",
            " └─ end      front        0 µs                                            █",
        ]
    )


def test_the_critical_path_is_drawn_full_and_its_spans_are_marked():
    ms = [NOW_NS + at * MS for at in range(101)]
    critical = {
        f"{1:016x}": [(ms[0], ms[20]), (ms[50], ms[100])],
        f"{3:016x}": [(ms[20], ms[50])],
    }
    assert drawn(width=87, critical=critical) == "\n".join(
        [
            " NAME        SERVICE  DURATION",
            "*GET /       front    100.0 ms  ██████████░░░░░░░░░░░░░░░█████████████████████████",
            " ├─ call     front     50.0 ms       ░░░░░░░░░░░░░░░░░░░░░░░░░",
            "*│  └─ work  back      30.0 ms            ███████████████                           503",
            " └─ end      front        0 µs                                                   ░",
        ]
    )


def test_a_narrow_terminal_gets_a_short_bar():
    lines = draw(TRACE, width=10)
    assert {len(line.bar) for line in lines} == {MIN_BAR}


def test_what_a_program_wrote_cannot_act_on_the_terminal():
    text = heading(EVIL_TRACE) + "".join(str(line) for line in draw(EVIL_TRACE, width=80))
    assert text.isprintable()
    assert "\\x1b[31m<script>" in text


def test_a_deep_trace_stays_on_the_screen():
    deep = Trace(as_read(span(1, n, n - 1 if n > 1 else None)) for n in range(1, 3000))
    lines = draw(deep, width=100)
    assert len(lines) == 3000
    assert max(len(line.name) for line in lines) <= 60
    assert MAX_DEPTH * 3 > 60  # so names are cut there, and the depth is bounded all the same


@given(st.lists(st.tuples(st.integers(0, 10**12), st.integers(0, 10**12)), min_size=1, max_size=9))
def test_every_bar_has_its_width_and_something_in_it(times):
    trace = Trace(
        as_read(span(1, n, start_unix_ns=start, duration_ns=took))
        for n, (start, took) in enumerate(times, 1)
    )
    for line in draw(trace, width=100)[1:]:
        assert FULL in line.bar
        assert len(line.bar) == len(draw(trace, width=100)[0].bar)
