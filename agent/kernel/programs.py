"""What the probes are: each `probes/<name>.toml`, read into values."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING

from agent.errors import LayoutError

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable


@dataclass(frozen=True, slots=True)
class ProgramSpec:
    """One BPF program and the kernel functions it hooks."""

    function: str
    hooks: tuple[str, ...]
    """`kind:name`; all of them are attached."""
    is_required: bool
    """Without it the agent does not start."""
    needs_trampolines: bool
    """fentry or fexit; False for its stand-in by kprobes and for tracepoints."""
    is_fallback: bool
    """Loaded only where the kernel has no BPF trampolines."""
    condition: str | None
    """A constant that must not be 0 (`HAS_FUNCTION_…`); with a `!` before it, one that must be."""
    variant: int | None
    """What the loader puts in for VARIANT_MARK (probes/include/hooks.h); None for a program without variants."""
    why: str

    def holds(self, known: Mapping[str, int]) -> bool:
        """Whether the condition holds where these are the constants."""
        if self.condition is None:
            return True
        return bool(known.get(self.condition.lstrip("!"))) != self.condition.startswith("!")


@dataclass(frozen=True, slots=True)
class Probe:
    """One `.c` with its `.toml`."""

    name: str
    summary: str
    events: tuple[str, ...]
    programs: tuple[ProgramSpec, ...]
    condition: str | None = None
    """A setting that must not be 0 for the probe to be loaded at all: without it, its text is not even compiled."""

    def is_wanted(self, settings: Mapping[str, int]) -> bool:
        """Whether the probe is to be loaded."""
        return self.condition is None or bool(settings.get(self.condition))


def probes_folder() -> Traversable:
    """The BPF sources, the same from a checkout and from an installed package."""
    return files("probes")


def load_probes() -> tuple[Probe, ...]:
    """All probes there are, by name."""
    names = sorted(
        entry.name.removesuffix(".toml")
        for entry in probes_folder().iterdir()
        if entry.name.endswith(".toml")
    )
    return tuple(_load(name) for name in names)


def _load(name: str) -> Probe:
    table = tomllib.loads((probes_folder() / f"{name}.toml").read_text())
    try:
        return Probe(
            name=name,
            summary=table["summary"],
            events=tuple(table["events"]),
            programs=tuple(_program(entry) for entry in table["program"]),
            condition=str(table["condition"]) if "condition" in table else None,
        )
    except KeyError as error:
        raise LayoutError(f"probes/{name}.toml lacks {error}") from error


def _program(entry: dict[str, object]) -> ProgramSpec:
    hooks = entry["hooks"]
    assert isinstance(hooks, Sequence)
    condition = entry.get("condition")
    return ProgramSpec(
        function=str(entry["function"]),
        hooks=tuple(hooks),
        is_required=entry["required"] is True,
        needs_trampolines=hooks[0].startswith(("fentry:", "fexit:")),
        is_fallback=entry.get("without_trampolines") is True,
        condition=str(condition) if condition is not None else None,
        variant=variant if isinstance(variant := entry.get("variant"), int) else None,
        why=str(entry["why"]),
    )
