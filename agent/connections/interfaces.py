"""What the stages next to the connections promise them: who is told of exchanges, and what the kernel side is asked."""

from __future__ import annotations

import typing
from typing import Any

if typing.TYPE_CHECKING:
    from agent.connections.connection import Connection
    from agent.protocols.pairing import Exchange

Origin = tuple[int, int, int, int, int]
"""The fields of `struct origin` (probes/include/events.h), in its order: task, task_parent, cause_socket, cause_turn,
cause. None stands for one without task and cause, so most events cost nothing."""


class Follower(typing.Protocol):
    """The next stage: finds out for whom an exchange was made."""

    def opened(self, connection: Connection, tid: int, origin: Origin | None = None) -> None:
        """A watched process connected to somebody."""

    def begun(
        self,
        exchange: Exchange,
        tid: int,
        join_key: tuple[Any, int],
        origin: Origin | None = None,
    ) -> None:
        """A request's head passed, in this thread."""

    def resumed(self, exchange: Exchange, tid: int, origin: Origin | None = None) -> None:
        """Bytes of an exchange came in, in this thread."""

    def resumed_any(self, exchanges: list[Exchange], tid: int) -> None:
        """Bytes of these came in together, or, where there are none, of one that is not known yet."""

    def answered(self, exchange: Exchange, origin: Origin) -> None:
        """Bytes of an answer left, and say which job was done for it, or in which callback of a loop they were sent."""

    def ended(self, exchange: Exchange) -> None:
        """It has its response, or has failed."""


class Kernel(typing.Protocol):
    """What the stages ask of the kernel side."""

    def mute(self, socket: int) -> None:
        """Tell no more of a socket."""

    def set_budget(self, socket: int, direction: int, size: int) -> None:
        """Capture up to `size` bytes of each turn in a direction."""

    def forget_statement(self, tgid: int, statement: int) -> None:
        """A statement of an embedded database will not end: its process is gone."""
