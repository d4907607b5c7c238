"""Batches of spans, on their way to every exporter, whatever state it is in.

The pipeline's thread calls `emit` and `flush` and never waits. Each exporter has a worker: a queue bounded in spans
and bytes, from which the oldest batches are dropped, and one thread that sends, waits and tries again. So a receiver
that is slow or dead costs its own spans and nothing else.

Every span that was emitted ends as exported or as dropped with a cause:

    queue_full    the queue was over its bound; the oldest went
    shutdown      the deadline of `close` came first
    rejected      the receiver took the batch but not these spans
    internal      a bug of ours, logged with its traceback
    other         the cause of the ExportError that cannot be retried, or that outlasted `Retry.total_s`

The two threads share the queue, the delivery's numbers and the deadline, all under one condition. Once `close`
has counted what is left, a thread that is still stuck in a send changes nothing any more.
"""

from __future__ import annotations

import dataclasses
import functools
import logging
import random
import threading
import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from agent.counters import Delivery
from agent.errors import ExportError
from agent.export.exporter import Batch, Exporter, Outcome
from agent.export.health import Health
from agent.export.retry import Retry

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from agent.spans.span import Span

logger = logging.getLogger(__name__)

BATCH_SPANS = 512
"""OTEL_BSP_MAX_EXPORT_BATCH_SIZE's default; some 300 KB, far below the 4 MiB that gRPC receivers take."""

MAX_WAIT_S = 600.0
"""The longest Retry-After that is honoured; a receiver should not be able to switch us off for good."""


@dataclass(frozen=True, slots=True)
class QueueLimits:
    """How much one exporter may have waiting."""

    spans: int = 20_480
    size_bytes: int = 16 * 1024 * 1024


class Worker:
    """One exporter's queue and thread."""

    def __init__(
        self,
        exporter: Exporter,
        *,
        delivery: Delivery,
        limits: QueueLimits | None = None,
        retry: Retry | None = None,
    ) -> None:
        self._exporter = exporter
        self._delivery = delivery
        self._limits = limits or QueueLimits()
        self._retry = retry or Retry()
        self._health = Health(exporter.name, logger)
        self._queue: deque[Batch] = deque()
        self._spans = 0
        self._size_bytes = 0
        self._not_before = 0.0
        """The receiver's Retry-After, in monotonic time."""
        self._deadline: float | None = None
        """Set by `stop`: when to give up, in monotonic time."""
        self._is_settled = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(
            target=self._run, name=f"export to {exporter.name}", daemon=True
        )
        self._thread.start()

    def submit(self, spans: Sequence[Span]) -> None:
        """Queue spans. Never waits for the receiver; what is over the bound is dropped, oldest first."""
        batch = self._exporter.prepare(spans)
        with self._changed:
            self._delivery.emitted += batch.count
            if self._deadline is not None:
                self._delivery.dropped["shutdown"] += batch.count
                return
            self._queue.append(batch)
            self._spans += batch.count
            self._size_bytes += batch.size_bytes
            while self._spans > self._limits.spans or self._size_bytes > self._limits.size_bytes:
                self._delivery.dropped["queue_full"] += self._pop().count
            self._changed.notify()

    def offer(self, spans: Sequence[Span], size_bytes: int) -> bool:
        """Queue spans that somebody else made; False if they would fill more than half of the queue: our own come first."""
        batch = self._exporter.prepare(spans)
        batch = dataclasses.replace(batch, size_bytes=max(batch.size_bytes, size_bytes))
        limits = self._limits
        with self._changed:
            if self._deadline is not None or (
                self._queue
                and (
                    self._spans + batch.count > limits.spans // 2
                    or self._size_bytes + batch.size_bytes > limits.size_bytes // 2
                )
            ):
                return False
            self._delivery.emitted += batch.count
            self._delivery.received += batch.count
            self._queue.append(batch)
            self._spans += batch.count
            self._size_bytes += batch.size_bytes
            self._changed.notify()
        return True

    def stop(self, deadline: float) -> None:
        """Ask the thread to deliver what is queued until `deadline` (monotonic); does not wait."""
        with self._changed:
            self._deadline = deadline
            self._changed.notify()

    def join(self) -> None:
        """Wait for the thread until the deadline, then count what is left as dropped."""
        assert self._deadline is not None, "stop() comes first"
        self._thread.join(max(0.0, self._deadline - time.monotonic()))
        with self._changed:
            self._is_settled = True
            self._queue.clear()
            if left := self._delivery.pending:
                self._delivery.dropped["shutdown"] += left

    def _run(self) -> None:
        while self._work_once():
            pass
        self._settle(self._guarded(self._exporter.close))

    def _work_once(self) -> bool:
        # A function of its own: a batch must not stay alive in a local variable while the thread waits for the next.
        batch = self._take()
        if batch is not None:
            self._deliver(batch)
        elif self._deadline is not None:
            return False
        self._settle(self._guarded(self._exporter.poll))
        return True

    def _take(self) -> Batch | None:
        """The oldest batch; None after the exporter's poll interval, or when stopping with nothing queued."""
        with self._changed:
            if not self._queue and self._deadline is None:
                self._changed.wait(self._exporter.poll_s)
            return self._pop() if self._queue else None

    def _pop(self) -> Batch:
        batch = self._queue.popleft()
        self._spans -= batch.count
        self._size_bytes -= batch.size_bytes
        return batch

    def _deliver(self, batch: Batch) -> None:
        """Send until the batch is taken or given up, and count it."""
        failures = 0
        give_up_at = 0.0
        resume_at = self._not_before
        while self._wait_until(resume_at) and (timeout_s := self._timeout_s()) > 0:
            result = self._guarded(
                functools.partial(self._exporter.send, batch, timeout_s=timeout_s)
            )
            if isinstance(result, Outcome):
                self._settle(result)
                return
            failures += 1
            self._health.failed(result)
            now = time.monotonic()
            if failures == 1:
                give_up_at = now + self._retry.total_s
            if result.retry_after_s is not None:
                self._not_before = now + min(result.retry_after_s, MAX_WAIT_S)
            pause_s = self._retry.pause_s(failures, random.random())  # noqa: S311  # jitter
            resume_at = max(now + pause_s, self._not_before)
            if not result.retry or resume_at > give_up_at:
                self._settle(Outcome(dropped=batch.count, cause=result.cause))
                return
        self._settle(Outcome(dropped=batch.count, cause="shutdown"))

    def _timeout_s(self) -> float:
        if self._deadline is None:
            return self._exporter.timeout_s
        return min(self._exporter.timeout_s, self._deadline - time.monotonic())

    def _wait_until(self, resume_at: float) -> bool:
        """Wait; False when stopping leaves no time for it. Being told to stop cuts a back-off short, once."""
        with self._changed:
            was_stopping = self._deadline is not None
            while (left_s := resume_at - time.monotonic()) > 0:
                if self._deadline is not None:
                    if not was_stopping:
                        return self._not_before <= time.monotonic()
                    if resume_at > self._deadline:
                        return False
                self._changed.wait(left_s)
            return True

    def _guarded(self, action: Callable[[], Outcome]) -> Outcome | ExportError:
        """The wall of the worker: whatever an exporter raises becomes a value."""
        try:
            return action()
        except ExportError as error:
            return error
        except Exception as error:  # noqa: BLE001  # a bug in an exporter must not end its thread in silence
            failure = ExportError(f"unexpected {error!r}", cause="internal", retry=False)
            failure.__cause__ = error
            return failure

    def _settle(self, result: Outcome | ExportError) -> None:
        """Count what became of spans."""
        if isinstance(result, ExportError):
            self._health.failed(result)
            return
        self._health.settled(result)
        with self._changed:
            if not self._is_settled:
                self._delivery.exported += result.exported
                if result.dropped:
                    self._delivery.dropped[result.cause] += result.dropped


class Exports:
    """What the pipeline talks to: all exporters at once."""

    def __init__(
        self,
        exporters: Sequence[Exporter],
        *,
        deliveries: dict[str, Delivery],
        limits: QueueLimits | None = None,
        retry: Retry | None = None,
    ) -> None:
        """Start a worker per exporter; its numbers go into `deliveries` under its name."""
        self._spans: list[Span] = []
        self._workers: dict[str, Worker] = {}
        for exporter in exporters:
            delivery = deliveries[exporter.name] = Delivery()
            self._workers[exporter.name] = Worker(
                exporter, delivery=delivery, limits=limits, retry=retry
            )

    def emit(self, span: Span) -> None:
        """Hand over a finished span."""
        self._spans.append(span)
        if len(self._spans) >= BATCH_SPANS:
            self.flush()

    def flush(self) -> None:
        """Queue what has been collected; to be called about once a second."""
        if not self._spans:
            return
        spans, self._spans = self._spans, []
        for worker in self._workers.values():
            worker.submit(spans)

    def offer(self, exporter: str, spans: Sequence[Span], size_bytes: int) -> bool:
        """Hand spans that somebody else made to one exporter, from any thread; False if it has no room."""
        return self._workers[exporter].offer(spans, size_bytes)

    def close(self, deadline_s: float) -> None:
        """Deliver everything for at most `deadline_s` seconds; afterwards each delivery balances."""
        self.flush()
        deadline = time.monotonic() + deadline_s
        for worker in self._workers.values():
            worker.stop(deadline)
        for worker in self._workers.values():
            worker.join()
