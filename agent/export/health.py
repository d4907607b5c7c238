"""What a person is told about an exporter: that it started to fail, why, and that it works again.

Once per trouble, and at most one new trouble a minute: a receiver that refuses every other batch does not fill the
log. The ledger has the numbers; DEBUG has every single failure.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from agent.errors import ExportError
    from agent.export.exporter import Outcome

QUIET_S: Final = 60.0


class Health:
    """Whether an exporter works, as the log has it."""

    def __init__(self, name: str, logger: logging.Logger) -> None:
        self._name = name
        self._logger = logger
        self._failing_since: float | None = None
        self._is_announced = False
        self._quiet_until = 0.0
        """Monotonic time before which no new trouble is announced."""

    def failed(self, error: ExportError) -> None:
        """A delivery did not work."""
        if self._failing_since is not None:
            self._logger.debug("%s: still failing: %s", self._name, error)
            return
        self._failing_since = time.monotonic()
        self._is_announced = self._take_turn()
        level = logging.WARNING if self._is_announced else logging.DEBUG
        trace = error.__cause__ if error.cause == "internal" else None
        self._logger.log(level, "%s: cannot export: %s", self._name, error, exc_info=trace)

    def settled(self, outcome: Outcome) -> None:
        """A delivery worked, or a part of it."""
        if outcome.dropped or outcome.message:
            level = logging.WARNING if self._take_turn() else logging.DEBUG
            what = (
                f"{outcome.dropped} spans {outcome.cause}" if outcome.dropped else "receiver says"
            )
            self._logger.log(level, "%s: %s: %s", self._name, what, outcome.message or "no reason")
        if outcome.exported and self._failing_since is not None:
            lasted_s = time.monotonic() - self._failing_since
            self._failing_since = None
            if self._is_announced:
                self._logger.info("%s: works again after %.0f s", self._name, lasted_s)

    def _take_turn(self) -> bool:
        """Whether it is time for another WARNING; if so, the next minute has none."""
        now = time.monotonic()
        if now < self._quiet_until:
            return False
        self._quiet_until = now + QUIET_S
        return True
