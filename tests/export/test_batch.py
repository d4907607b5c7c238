"""Exports and its workers against receivers that are slow, busy, wrong, gone or stuck: every span is accounted for."""

from __future__ import annotations

import gc
import logging
import socket
import threading
import time
import weakref
from collections import Counter
from contextlib import closing, contextmanager

import pytest

from agent.counters import Delivery, Ledger, Received
from agent.export.batch import BATCH_SPANS, Exports, QueueLimits
from agent.export.exporter import Batch, Outcome
from agent.export.grpc import GrpcExporter
from agent.export.http import HttpExporter
from agent.export.retry import Retry
from agent.export.settings import Otlp, Reach, Transport
from tests.export import sample
from tests.export.servers import Answer, GrpcReceiver, HttpReceiver, running, until
from tests.export.test_response import partial_success

QUICK = Retry(first_s=0.01, longest_s=0.05, total_s=20)


def to_http(port: int, timeout_s: float = 5) -> HttpExporter:
    reach = Reach(timeout_s=timeout_s)
    return HttpExporter(Otlp(Transport.HTTP, "127.0.0.1", port, reach=reach))


class Pipeline:
    """Exports with the ledger that a pipeline keeps of them."""

    def __init__(self, *exporters, retry: Retry = QUICK, limits: QueueLimits | None = None) -> None:
        self.ledger = Ledger()
        deliveries = self.ledger.exporters
        self.exports = Exports(exporters, deliveries=deliveries, limits=limits, retry=retry)

    def emit(self, count: int) -> None:
        for number in range(count):
            self.ledger.captured += 1
            self.ledger.built += 1
            self.ledger.emitted += 1
            self.exports.emit(sample.span(number + 1))

    def close(self, deadline_s: float = 5) -> None:
        self.exports.close(deadline_s)
        assert self.ledger.is_balanced()

    @property
    def delivery(self) -> Delivery:
        (delivery,) = self.ledger.exporters.values()
        return delivery


@contextmanager
def nobody():
    """A port that refuses connections."""
    with closing(socket.socket()) as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


def test_spans_go_out_in_batches_and_the_rest_on_flush_and_close():
    with running(HttpReceiver()) as receiver:
        pipeline = Pipeline(to_http(receiver.port))
        pipeline.emit(BATCH_SPANS + 10)
        until(lambda: len(receiver.requests) == 1)
        pipeline.exports.flush()
        pipeline.exports.flush()
        until(lambda: len(receiver.requests) == 2)
        pipeline.emit(5)
        pipeline.close()
    assert [len(request.spans) for request in receiver.requests] == [BATCH_SPANS, 10, 5]
    assert pipeline.delivery == Delivery(BATCH_SPANS + 15, BATCH_SPANS + 15)


def test_all_exporters_get_the_same_batches():
    with running(HttpReceiver()) as http, running(GrpcReceiver()) as grpc:
        to_grpc = GrpcExporter(Otlp(Transport.GRPC, "127.0.0.1", grpc.port))
        pipeline = Pipeline(to_http(http.port), to_grpc)
        pipeline.emit(BATCH_SPANS * 2 + 1)
        pipeline.close()
        assert [request.body for request in http.requests] == grpc.requests
    total = BATCH_SPANS * 2 + 1
    assert pipeline.ledger.exporters == {
        f"otlp+http://127.0.0.1:{http.port}": Delivery(total, total),
        f"otlp+grpc://127.0.0.1:{grpc.port}": Delivery(total, total),
    }


def test_a_dead_collector_never_blocks_and_the_oldest_go():
    limits = QueueLimits(spans=4 * BATCH_SPANS)
    with nobody() as port:
        pipeline = Pipeline(to_http(port), limits=limits, retry=Retry(first_s=5))
        started = time.monotonic()
        pipeline.emit(20 * BATCH_SPANS)
        assert time.monotonic() - started < 2
        assert pipeline.delivery.pending <= 5 * BATCH_SPANS  # one more is under way
        pipeline.close(deadline_s=0.3)
        assert time.monotonic() - started < 4
    dropped = pipeline.delivery.dropped
    assert dropped.keys() == {"queue_full", "shutdown"}
    assert dropped.total() == 20 * BATCH_SPANS
    assert dropped["queue_full"] >= 15 * BATCH_SPANS


def test_a_stuck_receiver_loses_the_oldest_and_keeps_the_newest():
    release = threading.Event()
    with running(HttpReceiver(Answer(waits_for=release), Answer())) as receiver:
        pipeline = Pipeline(to_http(receiver.port), limits=QueueLimits(spans=10))
        pipeline.emit(3)
        pipeline.exports.flush()
        until(lambda: receiver.requests)
        for _ in range(5):
            pipeline.emit(4)
            pipeline.exports.flush()
        release.set()
        pipeline.close()
    assert pipeline.delivery == Delivery(23, 11, Counter(queue_full=12))
    assert [len(request.spans) for request in receiver.requests] == [3, 4, 4]


def test_the_queue_is_bounded_in_bytes():
    release = threading.Event()
    with running(HttpReceiver(Answer(waits_for=release), Answer())) as receiver:
        pipeline = Pipeline(to_http(receiver.port), limits=QueueLimits(size_bytes=1000))
        pipeline.emit(1)
        pipeline.exports.flush()
        until(lambda: receiver.requests)
        pipeline.emit(100)  # more than the bound by itself
        pipeline.exports.flush()
        release.set()
        pipeline.close()
    assert pipeline.delivery == Delivery(101, 1, Counter(queue_full=100))


def test_a_busy_receiver_is_asked_again():
    with running(HttpReceiver(Answer(503), Answer(429), Answer(502), Answer())) as receiver:
        pipeline = Pipeline(to_http(receiver.port))
        pipeline.emit(7)
        pipeline.exports.flush()
        until(lambda: pipeline.delivery.exported)
        pipeline.close()
    assert pipeline.delivery == Delivery(7, 7)
    assert len({request.body for request in receiver.requests}) == 1
    assert len(receiver.requests) == 4


def test_what_cannot_succeed_is_sent_once():
    with running(HttpReceiver(Answer(400), Answer())) as receiver:
        pipeline = Pipeline(to_http(receiver.port))
        pipeline.emit(7)
        pipeline.exports.flush()
        until(lambda: pipeline.delivery.dropped)
        pipeline.emit(2)
        pipeline.close()
    assert pipeline.delivery == Delivery(9, 2, Counter(http_400=7))
    assert len(receiver.requests) == 2


def test_retrying_ends():
    with running(HttpReceiver(Answer(503))) as receiver:
        pipeline = Pipeline(to_http(receiver.port), retry=Retry(0.01, 0.02, total_s=0.1))
        pipeline.emit(7)
        pipeline.exports.flush()
        until(lambda: pipeline.delivery.dropped)
        pipeline.close()
    assert pipeline.delivery == Delivery(7, 0, Counter(http_503=7))
    assert len(receiver.requests) >= 3


def test_retry_after_holds_back_this_batch_and_the_next():
    refusal = Answer(429, headers={"Retry-After": "1"})
    with running(HttpReceiver(refusal, Answer())) as receiver:
        pipeline = Pipeline(to_http(receiver.port), retry=Retry(0.01, 0.02, total_s=0.5))
        pipeline.emit(1)
        pipeline.exports.flush()
        until(lambda: receiver.requests)
        started = time.monotonic()
        pipeline.emit(2)
        pipeline.exports.flush()
        until(lambda: pipeline.delivery.exported)
        assert time.monotonic() - started > 0.9
        pipeline.close()
    # The first batch cannot wait longer than total_s: it is given up, but the receiver has its second of peace.
    assert pipeline.delivery == Delivery(3, 2, Counter(http_429=1))


def test_retry_after_beyond_the_deadline_of_close():
    refusal = Answer(503, headers={"Retry-After": "30"})
    with running(HttpReceiver(refusal)) as receiver:
        pipeline = Pipeline(to_http(receiver.port), retry=Retry(total_s=60))
        pipeline.emit(1)
        pipeline.exports.flush()
        until(lambda: receiver.requests)
        started = time.monotonic()
        pipeline.emit(4)
        pipeline.close(deadline_s=10)
        assert time.monotonic() - started < 2
        assert len(receiver.requests) == 1
    assert pipeline.delivery == Delivery(5, 0, Counter(shutdown=5))


def test_close_cuts_a_back_off_short_for_one_more_try():
    with running(HttpReceiver(Answer(503), Answer())) as receiver:
        pipeline = Pipeline(to_http(receiver.port), retry=Retry(first_s=30, longest_s=30))
        pipeline.emit(3)
        pipeline.exports.flush()
        until(lambda: receiver.requests)
        (worker,) = pipeline.exports._workers.values()
        waiters = vars(worker._changed)["_waiters"]
        until(lambda: worker._health._failing_since is not None and waiters)
        pipeline.close(deadline_s=5)
    assert pipeline.delivery == Delivery(3, 3)


def test_close_ends_by_its_deadline_though_a_send_is_stuck():
    release = threading.Event()
    with running(HttpReceiver(Answer(waits_for=release))) as receiver:
        pipeline = Pipeline(to_http(receiver.port, timeout_s=15))
        pipeline.emit(3)
        pipeline.exports.flush()
        until(lambda: receiver.requests)
        pipeline.emit(4)
        started = time.monotonic()
        pipeline.close(deadline_s=0.2)
        assert time.monotonic() - started < 1
        before = pipeline.delivery
        assert before == Delivery(7, 0, Counter(shutdown=7))
        release.set()  # the late answer must not be counted a second time
        until(lambda: not any("export to" in thread.name for thread in threading.enumerate()))
        assert pipeline.delivery == Delivery(7, 0, Counter(shutdown=7))


def test_spans_after_close_are_counted():
    with running(HttpReceiver()) as receiver:
        pipeline = Pipeline(to_http(receiver.port))
        pipeline.close()
        pipeline.emit(2)
        pipeline.exports.flush()
        assert pipeline.delivery == Delivery(2, 0, Counter(shutdown=2))
        assert pipeline.ledger.is_balanced()


def test_rejected_spans_are_counted():
    with running(HttpReceiver(Answer(body=partial_success(3, "too old")))) as receiver:
        pipeline = Pipeline(to_http(receiver.port))
        pipeline.emit(10)
        pipeline.close()
    assert pipeline.delivery == Delivery(10, 7, Counter(rejected=3))


def test_a_person_is_told_once_of_a_failure_and_of_its_end(caplog):
    caplog.set_level(logging.INFO, logger="agent.export.batch")
    with running(HttpReceiver(Answer(503), Answer(503), Answer(502), Answer())) as receiver:
        pipeline = Pipeline(to_http(receiver.port))
        pipeline.emit(7)
        pipeline.exports.flush()
        until(lambda: pipeline.delivery.exported)
        pipeline.close()
    name = f"otlp+http://127.0.0.1:{receiver.port}"
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("WARNING", f"{name}: cannot export: the receiver answered 503 Service Unavailable"),
        ("INFO", f"{name}: works again after 0 s"),
    ]


class Buggy:
    """An exporter with a bug in every place."""

    name = "buggy"
    timeout_s = 1.0
    poll_s = 0.01

    def prepare(self, spans):
        return Batch(count=len(spans), size_bytes=0, spans=tuple(spans))

    def send(self, batch, *, timeout_s):  # noqa: ARG002  # an exporter's signature
        raise KeyError("send")

    def poll(self):
        raise KeyError("poll")

    def close(self):
        raise KeyError("close")


def test_a_bug_in_an_exporter_is_contained_counted_and_shown_once(caplog):
    pipeline = Pipeline(Buggy())
    for _ in range(3):
        pipeline.emit(2)
        pipeline.exports.flush()
    pipeline.close()
    assert pipeline.delivery == Delivery(6, 0, Counter(internal=6))
    (record,) = caplog.records
    assert record.exc_info is not None


class Keeper(Buggy):
    """Delivers, and remembers only whether the last batch still lives."""

    def __init__(self) -> None:
        self.last: weakref.ref[KeptSpan] | None = None

    def send(self, batch, *, timeout_s):  # noqa: ARG002  # an exporter's signature
        self.last = weakref.ref(batch.spans[0])
        return Outcome(exported=batch.count)

    def poll(self):
        return Outcome()

    def close(self):
        return Outcome()


class KeptSpan:
    """Stands for a span; unlike one it can be referred to weakly."""


def test_nothing_is_kept_after_it_was_sent():
    keeper = Keeper()
    deliveries: dict[str, Delivery] = {}
    exports = Exports([keeper], deliveries=deliveries, retry=QUICK)
    exports.emit(KeptSpan())  # type: ignore[arg-type]  # nobody looks into it
    exports.flush()
    until(lambda: deliveries["buggy"].exported)

    def is_gone() -> bool:
        gc.collect()
        return keeper.last is not None and keeper.last() is None

    until(is_gone)
    exports.close(1)


@pytest.mark.parametrize("deadline_s", [0.0, 0.01, 2.0])
def test_the_ledger_balances_whatever_the_receiver_does(deadline_s):
    answers = [Answer(503), Answer(400), Answer(hangs_up=True), Answer()] * 5
    with running(HttpReceiver(*answers)) as receiver:
        pipeline = Pipeline(to_http(receiver.port), limits=QueueLimits(spans=50))
        for size in range(1, 25):
            pipeline.emit(size)
            pipeline.exports.flush()
        pipeline.close(deadline_s)
    assert pipeline.delivery.emitted == 300


def test_spans_of_others_never_push_out_ours():
    release = threading.Event()
    stalled = Answer(waits_for=release)
    with running(HttpReceiver(stalled)) as receiver:
        pipeline = Pipeline(to_http(receiver.port), limits=QueueLimits(spans=100))
        pipeline.ledger.received = Received()
        (name,) = pipeline.ledger.exporters
        others = [sample.span(number + 1) for number in range(30)]

        def offer(size_bytes: int = 0) -> bool:
            taken = pipeline.exports.offer(name, others, size_bytes)
            assert pipeline.ledger.received is not None
            pipeline.ledger.received.accepted += 30 if taken else 0
            return taken

        # The first batch is under way, which leaves an empty queue; of that, half is for others.
        assert offer()
        until(lambda: receiver.requests)
        assert [offer(), offer()] == [True, False]
        pipeline.emit(20)
        pipeline.exports.flush()
        release.set()
        until(lambda: pipeline.delivery.pending == 0)
        assert offer(size_bytes=10**9), (
            "an empty queue takes anything: it would never be taken later"
        )
        pipeline.close()
    assert not pipeline.exports.offer(name, others, 0), "the worker is told to end"
    assert (pipeline.delivery.exported, pipeline.delivery.received) == (110, 90)
