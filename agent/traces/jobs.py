"""Whose jobs the threads of pools do: told by how a job ends, where how it began does not tell.

A worker that was woken takes the job that is next, which need not be the one that it was woken for, and one whose queue is
not empty is not woken at all. But a job ends with its result: the worker answers the request itself, or it wakes the thread
that has received the request and waits. The kernel side numbers the jobs of each thread by these ends (probes/include/work.h);
each call carries the number of its job, and each answer claims one. So a call waits for the answer of a request that was
under way when it was made, and then has its parent.

A claim is believed where it is the only one, and where the call lies between the beginning of the request and the end of
the job. Threads wake one
another for locks, too, so an answer may claim another's job: then there are two claims, or the wrong one comes from a
request that has no job of its own.

A thread that was made for a request and is gone after its calls was made for nothing else. The kernel side tells of such exits
where the thread was woken in between, so that it may have belonged to a pool.

Where a call is answered to another thread than the one that made it, that one goes on with it: the job that made the
call tells nothing.

A job that nobody waits for has no end that could be seen, and passes for a part of the next one. So where more than a few of
a worker's jobs are claimed by nobody, claims are believed only of the request for which it was woken, too.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from agent.protocols.pairing import Exchange
    from agent.traces.overlaps import Overlaps

MAX_JOBS: Final = 8192
"""Claims that are kept; the oldest are forgotten, and their calls have no parent. Each holds an exchange, about 1 KB."""
MAX_CLAIMS: Final = 4
"""Of one job: two are one too many, but those of jobs without calls share a number. Of more the oldest is forgotten."""
MAX_WORKERS: Final = 8192
"""Beyond, what is known of the one that was seen first is forgotten: it is believed again."""
MEMORY: Final = 16
"""Jobs of a worker over which is averaged how many are claimed."""
MAX_UNCLAIMED: Final = 0.2
"""Four in a row are more. A lock that cuts a job in two makes some, a job that nobody waits for many."""
MAX_CHAIN: Final = 64
"""Exchanges behind one another: what is farther does not wait for what is found out of the first."""
MAX_LEFT: Final = 4096
"""Threads that are gone: more than go until their calls are settled."""
TOLERANCE_NS: Final = 1_000
"""Two processors may read the clock up to some 100 ns apart."""

Job = tuple[int, int]
"""Process, and the number that the kernel side gave."""


class Jobs:
    """The claims, and how far they are believed."""

    def __init__(self, *, limit: int = MAX_JOBS) -> None:
        self._limit = limit
        self._claims: OrderedDict[Job, list[tuple[Exchange, int]]] = OrderedDict()
        """Who claims a job, and when it was over."""
        self._left: OrderedDict[Job, int] = OrderedDict()
        """By process and thread: when it was gone."""
        self._unclaimed: dict[tuple[int, int], tuple[float, Job]] = {}
        """By process and worker, 0 for all threads that workers made: the share of jobs that nobody claimed, and the last one
        that is counted."""

    def claim(self, job: Job, exchange: Exchange, done_ns: int) -> None:
        """The answer of a server exchange says that the job was done for it at that time."""
        claims = self._claims.get(job)
        if claims is None:
            if len(self._claims) >= self._limit:
                self._claims.popitem(last=False)
            claims = self._claims[job] = []
        claims.append((exchange, done_ns))
        del claims[:-MAX_CLAIMS]

    def claims(self, call: Exchange) -> list[Exchange]:
        """The server exchanges that may be what a call was made for, by its job."""
        start_ns, end_ns = call.start_ns, call.end_ns
        return [
            claim
            for claim, done_ns in self._claims.get(call.job, ())  # type: ignore[arg-type]  # asked only of calls with a job
            if claim.start_ns <= start_ns + TOLERANCE_NS and 0 < end_ns <= done_ns + TOLERANCE_NS
        ]

    def left(self, tgid: int, tid: int, time_ns: int) -> None:
        """A thread is gone, and took no job from anybody but its maker."""
        if len(self._left) >= MAX_LEFT:
            self._left.popitem(last=False)
        self._left[tgid, tid] = time_ns

    def has_left(self, call: Exchange, overlaps: Overlaps, *, is_after: bool) -> bool:
        """Whether the thread that made a call is gone since, and was made for what the call was given.

        `is_after`: it was made by a worker that had just answered that, or has already begun with another request. That
        would claim the job, also if the thread outlived it.
        """
        assert call.job is not None
        if call.given is None or self._left.get((call.job[0], call.thread), 0) < call.start_ns:
            return False
        return not is_after or not (call.job in self._claims or _older(call, call.job[0], overlaps))

    def blocker(self, exchange: Exchange, overlaps: Overlaps) -> Exchange | None:
        """Another one that must have been settled before the trace of this one is known; None if it is known now."""
        at: Exchange | None = exchange
        for _ in range(MAX_CHAIN):
            if at is None or at.trace_id:
                break
            found = self._awaited(at, at.job[0], overlaps) if at.job is not None else None
            if found is not None:
                return found
            at = at.parent
        return None

    def _awaited(self, call: Exchange, tgid: int, overlaps: Overlaps) -> Exchange | None:
        """A request whose answer may yet tell for whom a call was made."""
        claims = self.claims(call)
        for claim in claims:
            if claim.end_ns and not claim.trace_id:
                return claim  # when it is settled, who else claims the job has been seen, too
        return None if claims else _older(call, tgid, overlaps)

    def owner(self, call: Exchange) -> Exchange | None:
        """The server exchange that a call was made for, of which the beginning of the job tells nothing certain."""
        assert call.job is not None
        claims = self.claims(call)
        unclaimed = self._judge(call.job, call.thread, is_claimed=bool(claims))
        given = call.given
        if given in claims:
            return given
        return claims[0] if len(claims) == 1 and unclaimed <= MAX_UNCLAIMED else None

    def _judge(self, job: Job, thread: int, *, is_claimed: bool) -> float:
        worker = (job[0], thread if job[1] >> 32 == thread else 0)
        share, last = self._unclaimed.get(worker, (0.0, None))
        if job == last:
            return share
        if worker not in self._unclaimed and len(self._unclaimed) >= MAX_WORKERS:
            del self._unclaimed[next(iter(self._unclaimed))]
        share += ((not is_claimed) - share) / MEMORY
        self._unclaimed[worker] = (share, job)
        return share


def _older(call: Exchange, tgid: int, overlaps: Overlaps) -> Exchange | None:
    """A request of the process that is under way and was when a call began; None if there is none."""
    oldest = overlaps.oldest(tgid)
    return oldest if oldest is not None and oldest.start_ns <= call.start_ns else None
