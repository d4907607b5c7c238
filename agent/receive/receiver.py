"""The agent's side of receiving: keeps the server up, takes what it hands over, counts.

A thread of its own reads the channel, so that no sender waits for the main loop, nor that for any sender. It shares the queue of the
store's worker and the numbers of `Received`, nothing else.
"""

from __future__ import annotations

import dataclasses
import logging
import socket
import threading
from typing import TYPE_CHECKING

from agent.child import Child, Start
from agent.processes.selection import Verdict
from agent.receive.carry import Unpacker
from agent.receive.channel import attend

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from agent.counters import Received
    from agent.receive.settings import ReceiveSettings
    from agent.spans.span import Span

logger = logging.getLogger(__name__)


class Receiver:
    """One run's; without settings there is none.

    `offer` queues spans of that many bytes, or says that there is no room. `decide` is told that the server is not to be traced.
    """

    def __init__(
        self,
        settings: ReceiveSettings | None,
        offer: Callable[[Sequence[Span], int], bool],
        *,
        counts: Received,
        decide: Callable[[int, Verdict], None],
    ) -> None:
        self._settings = settings
        self._offer = offer
        self._counts = counts
        self._decide = decide
        self._child = Child("agent.receive", "the OTLP receiver", self._begin)
        self._theirs: socket.socket | None = None
        """The server's end of the channel, until it has its own."""

    @property
    def pid(self) -> int | None:
        """Of the server, while it lives."""
        return self._child.pid

    def step(self) -> None:
        """To be called about once a second; never waits."""
        if self._settings is None:
            return
        started = self._child.keep_up()
        if started is None:
            return
        self._decide(started, Verdict.EXCLUDE)
        # With our copy gone, the server's death is the channel's end.
        assert self._theirs is not None
        self._theirs.close()
        self._theirs = None

    def close(self) -> None:
        """End it. What it has handed over is queued."""
        self._child.close()

    def _begin(self) -> Start:
        assert self._settings is not None
        ours, self._theirs = socket.socketpair()
        unpacker = Unpacker()
        threading.Thread(
            target=attend,
            args=(ours, lambda data: self._take(data, unpacker)),
            name="receive OTLP",
            daemon=True,
        ).start()
        fd = self._theirs.fileno()
        return Start(dataclasses.replace(self._settings, channel=fd).to_json(), (fd,))

    def _take(self, data: bytes, unpacker: Unpacker) -> bool:
        """A parcel; False if there is no room for its spans."""
        counts = self._counts
        try:
            parcel = unpacker.parcel(data)
            spans = unpacker.spans(parcel)
        except (ValueError, IndexError):
            logger.error("the OTLP receiver handed over what cannot be read, please report it")
            counts.refused["internal"] += 1
            return True
        if spans and not self._offer(spans, len(data)):
            return False
        counts.accepted += len(spans)
        counts.rejected += parcel.rejected
        if parcel.refused:
            counts.refused[parcel.refused] += 1
        return True
