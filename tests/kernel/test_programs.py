"""What the probes say of themselves."""

from __future__ import annotations

from dataclasses import replace

import pytest

from agent.errors import LayoutError
from agent.kernel import programs
from agent.kernel.layout import structs
from agent.kernel.programs import Probe, ProgramSpec, load_probes

PROBES = {probe.name: probe for probe in load_probes()}
PROGRAMS = [program for probe in PROBES.values() for program in probe.programs]


def test_all_files_are_read():
    assert {"connect", "data", "process"} <= set(PROBES)
    assert all(probe.summary and probe.programs for probe in PROBES.values())


def test_events_are_those_of_the_header():
    told = {event for probe in PROBES.values() for event in probe.events}
    assert told <= set(structs("events.h"))
    assert told >= set(structs("events.h")) - {
        "event_header",
        "origin",
        "progress_event",
        "close_event",
    }


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.function)
def test_program(program: ProgramSpec):
    kinds = {hook.partition(":")[0] for hook in program.hooks}
    assert len(kinds) == 1, "one function has one kind of context"
    (kind,) = kinds
    assert kind in (
        *("fentry", "fexit", "kprobe", "kretprobe", "raw_tracepoint", "sock_ops", "sk_msg"),
        *("uprobe", "uretprobe"),
    )
    assert program.needs_trampolines == (kind in ("fentry", "fexit"))
    assert not program.is_fallback or kind in ("kprobe", "kretprobe")
    assert program.is_fallback or kind != "kretprobe", "a trampoline sees arguments and result"
    assert program.why.endswith(".")
    assert program.condition is None or program.condition.lstrip("!").startswith(
        ("HAS_", "PROPAGATE_")
    )
    if kind == "raw_tracepoint":
        assert program.function == f"raw_tracepoint__{program.hooks[0].partition(':')[2]}"


@pytest.mark.parametrize("trampolines", [True, False])
def test_functions_are_named_once_but_for_their_variants(trampolines: bool):
    names = [
        (program.function, program.variant, program.condition, program.is_required)
        for program in PROGRAMS
        if not (program.is_fallback if trampolines else program.needs_trampolines)
    ]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize(
    ("condition", "known", "holds"),
    [
        (None, {}, True),
        ("HAS_x__y", {"HAS_x__y": 1}, True),
        ("HAS_x__y", {"HAS_x__y": 0}, False),
        ("HAS_x__y", {}, False),
        ("!HAS_x__y", {"HAS_x__y": 1}, False),
        ("!HAS_x__y", {"HAS_x__y": 0}, True),
    ],
)
def test_condition(condition: str | None, known: dict[str, int], holds: bool):
    assert replace(PROGRAMS[0], condition=condition).holds(known) == holds


def test_at_most_thirty_programs_are_loaded():
    """Unless they propagate contexts, which takes more."""
    usual = [
        program
        for probe in PROBES.values()
        for program in probe.programs
        if probe.condition in (None, "TRACE_SQLITE")
        and not (program.condition or "").startswith("PROPAGATE_")
    ]
    assert sum(not program.is_fallback for program in usual) <= 30
    assert sum(not program.needs_trampolines for program in usual) <= 30


TOML = """
summary = "s"
events = []
[[program]]
function = "f"
hooks = ["kprobe:a", "kprobe:b"]
required = false
without_trampolines = true
condition = "HAS_x__y"
variant = 3
why = "w"
"""


def test_a_description(tmp_path, monkeypatch):
    (tmp_path / "one.toml").write_text(TOML)
    (tmp_path / "one.c").touch()
    monkeypatch.setattr(programs, "probes_folder", lambda: tmp_path)
    assert load_probes() == (
        Probe(
            name="one",
            summary="s",
            events=(),
            programs=(
                ProgramSpec(
                    function="f",
                    hooks=("kprobe:a", "kprobe:b"),
                    is_required=False,
                    needs_trampolines=False,
                    is_fallback=True,
                    condition="HAS_x__y",
                    variant=3,
                    why="w",
                ),
            ),
        ),
    )


@pytest.mark.parametrize("key", ["summary", "events", "function", "hooks", "required", "why"])
def test_description_that_lacks_something(tmp_path, monkeypatch, key):
    kept = [line for line in TOML.splitlines() if not line.startswith(key)]
    (tmp_path / "one.toml").write_text("\n".join(kept))
    monkeypatch.setattr(programs, "probes_folder", lambda: tmp_path)
    with pytest.raises(LayoutError, match=rf"probes/one\.toml lacks '{key}'"):
        load_probes()
