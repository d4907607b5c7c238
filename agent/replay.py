"""Runs a recording through the pipeline: the same records, the same spans, without a kernel."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from agent.config import DEFAULT_PROPAGATORS
from agent.kernel.recording import Recording
from agent.pipeline import Pipeline
from agent.spans.span import Resource, Span, Value
from agent.traces.context import Ids
from agent.traces.context_propagators import propagators
from agent.traces.sampler import Sampler, sampler

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from agent.counters import Ledger

ROUND: Final = 1000
"""Records between two times that exchanges are settled."""


@dataclass(frozen=True, slots=True)
class RecordedRuntime:
    """What the recording tells of a program."""

    uses_goroutines: bool = False
    is_proxy: bool = False
    reuses_threads: bool = False


class RecordedProcesses:
    """The processes that a recording tells of; and the kernel side, which is not there."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[Resource, RecordedRuntime]] = {}
        self._unknown: dict[int, tuple[Resource, RecordedRuntime]] = {}

    def identify(self, tgid: int) -> tuple[Resource, Any]:
        """Who that is. All that was recorded is traced."""
        found = self._known.get(tgid) or self._unknown.get(tgid)
        if found is None:
            name = (("service.name", f"process-{tgid}"), ("process.pid", tgid))
            found = self._unknown[tgid] = (Resource(name), RecordedRuntime())
        return found

    def recorded(self, pid: int, facts: dict[str, Any]) -> None:
        """A recording tells who a process is."""
        attributes = [(_text(key), _value(value)) for key, value in facts["resource"]]
        runtime = RecordedRuntime(
            bool(facts["uses_goroutines"]),
            bool(facts["is_proxy"]),
            bool(facts.get("reuses_threads")),  # a fact that older recordings lack
        )
        self._known[pid] = (Resource(attributes), runtime)

    def forked(self, parent: int, child: int, time_ns: int) -> None:
        """Of no matter: the recording names each process before its first connection."""

    def executed(self, pid: int, comm: bytes, arguments: bytes, time_ns: int) -> None:
        """Likewise."""

    def exited(self, pid: int) -> None:
        """Likewise."""

    def listening(self, pid: int, port: int) -> None:
        """Likewise."""

    def exports_itself(self, pid: int) -> None:
        """What was recorded stays traced."""

    def mute(self, socket: int) -> None:
        """There is no kernel side to tell."""

    def set_budget(self, socket: int, direction: int, size: int) -> None:
        """Likewise."""

    def forget_statement(self, tgid: int, statement: int) -> None:
        """Likewise."""


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{type(value).__name__} is no text")
    return value


def _value(value: object) -> Value:
    """An attribute's value, as JSON has it; a recording may hold anything."""
    if isinstance(value, list):
        return tuple(map(_text, value))
    if not isinstance(value, str | int | float | bool):
        raise TypeError(f"{type(value).__name__} is no attribute's value")
    return value


def replay(
    path: Path,
    *,
    emit: Callable[[Span], None],
    ledger: Ledger,
    decide: Sampler | None = None,
    seed: int = 0,
) -> None:
    """All of a recording. The ids come from `seed`, so two replays give equal spans."""
    recording = Recording(path)
    processes = RecordedProcesses()
    pipeline = Pipeline(
        processes=processes,
        kernel=processes,
        ledger=ledger,
        emit=emit,
        sampler=decide or sampler("always_on"),
        ids=Ids(random.Random(seed).randbytes),  # noqa: S311  (reproducible on purpose)
        contexts=propagators(DEFAULT_PROPAGATORS),
        unix_offset_ns=int(recording.header.get("unix_offset_ns", 0)),
    )
    try:
        for count, record in enumerate(recording, 1):
            pipeline.replay((record,))
            if count % ROUND == 0:
                pipeline.settle()
    finally:
        # A recording that was cut gives what it holds.
        pipeline.finish(pipeline.now_ns)
