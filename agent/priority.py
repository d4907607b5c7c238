"""Scheduling priority: the agent's own, and that of what it starts.

The scheduler gives each runnable thread of one nice value an equal share. Where many processes are busy, that is less than it
takes to read what they do, and records are lost, though the agent needs but a small part of the CPU.
"""

from __future__ import annotations

import logging
import os

logger = logging.getLogger(__name__)


def prioritise(nice: int) -> None:
    """Give this thread, and those that it will start, a priority; without the right to it (CAP_SYS_NICE), say so."""
    try:
        os.setpriority(os.PRIO_PROCESS, 0, nice)
    except OSError as error:
        logger.warning("the priority (nice %d) is not granted: %s", nice, error.strerror)


def give_up_priority() -> None:
    """In a process of the agent that has time: no more than everybody's."""
    if os.getpriority(os.PRIO_PROCESS, 0) < 0:
        prioritise(0)
