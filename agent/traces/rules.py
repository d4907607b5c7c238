"""How a parent was found, or why there is none: `zerospan.parent.rule`; and what the kernel side tells of a thread's work.

README.md says what each rule means, and explain.py says it of a span.
"""

from __future__ import annotations

from typing import Final

RULE_PEER: Final = "peer"
RULE_THREAD: Final = "thread"
RULE_OPENER: Final = "opener"
RULE_HANDOFF: Final = "handoff"
RULE_CREATED: Final = "created"
RULE_RESULT: Final = "result"
RULE_TASK: Final = "task"
RULE_GOROUTINE: Final = "goroutine"
RULE_CALLBACK: Final = "callback"
RULE_ALONE: Final = "alone"
RULE_NONE: Final = "none"
RULE_LATE: Final = "link"
REFUSED_GOROUTINE: Final = "refused:goroutine"
REFUSED_CONCURRENT: Final = "refused:concurrent"
REFUSED_BACKLOG: Final = "refused:backlog"
REFUSED_HANDOFF: Final = "refused:handoff"
REFUSED_TASK: Final = "refused:task"
REFUSED_LOOP: Final = "refused:loop"

WORK: Final = frozenset(
    (
        *(RULE_THREAD, RULE_OPENER, RULE_HANDOFF, RULE_CREATED, RULE_RESULT, RULE_TASK),
        *(RULE_GOROUTINE, RULE_CALLBACK, RULE_ALONE),
    )
)
"""Rules that find the work for which a call was made."""

CAUSE_NONE, CAUSE_WOKEN, CAUSE_CREATED, CAUSE_BACKLOG, CAUSE_UNCLEAR, CAUSE_TASK = range(6)
CAUSE_LOOP: Final = 7
CAUSE_USED: Final = 256
CAUSE_MIXED: Final = 512
CAUSE_PASSED: Final = 1024
"""As in probes/include/events.h."""

Origin = tuple[int, int, int, int, int]
"""The fields of `struct origin` there: task, task_parent, cause_socket, cause_turn, cause."""
