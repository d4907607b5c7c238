"""Reading a ring that has the kernel's layout."""

from __future__ import annotations

import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.kernel import ring as ring_module
from agent.kernel.ring import Ring
from tests.kernel.memory_ring import BUSY, DISCARD, PAGE, MemoryRing


class Both:
    """A ring's two ends."""

    def __init__(self) -> None:
        self.writer = MemoryRing()
        self.reader = Ring(self.writer.descriptor, self.writer.size)
        self.taken: list[bytes] = []

    def take(self, data: memoryview, at: int, end: int) -> None:
        self.taken.append(bytes(data[at:end]))

    def drain(self) -> int:
        return self.reader.drain(self.take)

    def close(self) -> None:
        self.reader.close()
        self.writer.close()


@pytest.fixture
def ring():
    both = Both()
    yield both
    both.close()


def test_empty(ring):
    assert ring.drain() == 0
    assert ring.reader.waiting() == 0


def test_records_in_their_order(ring):
    for payload in (b"one", b"", b"three: 12", b"x" * 100):
        ring.writer.submit(payload)
    assert ring.reader.waiting() == 16 + 8 + 24 + 112
    assert ring.drain() == 4
    assert ring.taken == [b"one", b"", b"three: 12", b"x" * 100]
    assert ring.writer.consumer == ring.writer.producer
    assert ring.drain() == 0


def test_busy_record_stops_the_walk_until_it_is_committed(ring):
    ring.writer.submit(b"one")
    at = ring.writer.reserve(b"two")
    ring.writer.submit(b"three")
    assert (ring.drain(), ring.taken) == (1, [b"one"])
    assert ring.writer.consumer == at
    ring.writer.commit(at, 3)
    assert (ring.drain(), ring.taken) == (2, [b"one", b"two", b"three"])


def test_discarded_record_is_passed_over(ring):
    ring.writer.submit(b"one")
    ring.writer.reserve(b"discarded", flags=DISCARD)
    ring.writer.submit(b"two")
    assert (ring.drain(), ring.taken) == (2, [b"one", b"two"])


def test_busy_record_that_will_be_discarded_is_busy(ring):
    ring.writer.reserve(b"x", flags=BUSY | DISCARD)
    assert ring.drain() == 0


def test_records_around_the_end_are_whole(ring):
    first = b"a" * (PAGE - 32)
    ring.writer.submit(first)
    ring.drain()
    ring.writer.submit(b"around the end of the data")
    ring.writer.submit(b"after it")
    ring.drain()
    assert ring.taken == [first, b"around the end of the data", b"after it"]


def test_what_is_written_meanwhile_waits_for_the_next_round(ring):
    ring.writer.submit(b"one")

    def take(data: memoryview, at: int, end: int) -> None:
        ring.take(data, at, end)
        ring.writer.submit(b"more")

    assert ring.reader.drain(take) == 1
    assert ring.drain() == 1
    assert ring.taken == [b"one", b"more"]


def test_room_is_given_back_while_reading(ring, monkeypatch):
    monkeypatch.setattr(ring_module, "PUBLISH_BYTES", 32)
    seen = []
    for _ in range(4):
        ring.writer.submit(b"12345678")
    ring.reader.drain(lambda *place: seen.append(ring.writer.consumer if place else 0))
    assert seen == [0, 0, 32, 32]


def test_record_that_raises_is_not_read_again(ring):
    ring.writer.submit(b"one")
    ring.writer.submit(b"two")

    def fail(data: memoryview, at: int, end: int) -> None:
        raise ValueError

    with pytest.raises(ValueError):  # noqa: PT011  (our own)
        ring.reader.drain(fail)
    assert (ring.drain(), ring.taken) == (1, [b"two"])


def test_a_wake_up_ends_a_wait_once():
    """A counter stands for the ring's descriptor, which is as readable as the counter is: until somebody reads it."""
    memory = MemoryRing()
    counter = os.eventfd(0)
    reader = Ring(memory.descriptor, memory.size, wake_descriptor=counter)
    assert not reader.wait(0)
    os.eventfd_write(counter, 1)
    assert reader.wait(60)
    assert not reader.wait(0), "what lies there is no reason to wake again"
    os.eventfd_write(counter, 1)
    assert reader.wait(60)
    reader.close()
    memory.close()
    os.close(counter)


@settings(max_examples=50, deadline=None, database=None)
@given(
    st.lists(st.tuples(st.binary(max_size=600), st.sampled_from((0, 0, 0, DISCARD))), max_size=60)
)
def test_whatever_was_written_is_read(records):
    both = Both()
    expected = []
    for payload, flags in records:
        both.writer.reserve(payload, flags=flags)
        if not flags:
            expected.append(payload)
        if both.reader.waiting() > PAGE - 700:
            both.drain()
    both.drain()
    assert both.taken == expected
    both.close()
