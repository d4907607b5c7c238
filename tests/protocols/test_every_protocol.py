"""What every protocol owes, whichever it is (STYLE.md 2.10). Its own tests give the bytes: `SAMPLES`."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from itertools import accumulate
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.protocols import MAX_CLASSIFY, Protocol, Verdict, load_all
from tests.wire import Reading, Result, Sample, bytewise, cut, holed, read, whole

PROTOCOLS = sorted(load_all().items())


def samples(name: str) -> list[Sample]:
    return importlib.import_module(f"tests.protocols.test_{name}").SAMPLES


def directions() -> Iterator[tuple[type[Protocol], str, Sample]]:
    for name, protocol in PROTOCOLS:
        for sample in samples(name):
            yield protocol, "request", sample
            yield protocol, "response", sample


def requests_of(protocol: type[Protocol], sample: Sample) -> tuple[Any, ...]:
    return read(protocol(), "request", whole(b"".join(sample.requests))).messages


def read_all(protocol: type[Protocol], kind: str, sample: Sample, pieces: list) -> Result:
    answering = requests_of(protocol, sample) if kind == "response" else ()
    return read(protocol(), kind, pieces, answering=answering)


def wire(kind: str, sample: Sample) -> tuple[bytes, ...]:
    return sample.requests if kind == "request" else sample.responses


every_direction = pytest.mark.parametrize(("protocol", "kind", "sample"), list(directions()))
every_protocol = pytest.mark.parametrize("protocol", [protocol for _, protocol in PROTOCOLS])


@every_direction
def test_byte_by_byte_gives_what_whole_gives(protocol, kind, sample):
    data = b"".join(wire(kind, sample))
    expected = read_all(protocol, kind, sample, whole(data))
    assert len(expected.messages) == len(wire(kind, sample))
    assert read_all(protocol, kind, sample, bytewise(data)) == expected


@every_direction
@given(places=st.lists(st.integers(1, 2000), max_size=8))
def test_cutting_differently_changes_nothing(protocol, kind, sample, places):
    data = b"".join(wire(kind, sample))
    expected = read_all(protocol, kind, sample, whole(data))
    assert read_all(protocol, kind, sample, cut(data, places)) == expected


@every_direction
def test_every_prefix_needs_more(protocol, kind, sample):
    for index, message in enumerate(wire(kind, sample)):
        before = b"".join(wire(kind, sample)[:index])
        for size in range(len(message)):
            result = read_all(protocol, kind, sample, whole(before + message[:size]))
            assert (len(result.messages), result.error) == (index, None)


@every_direction
def test_a_message_ends_where_the_next_begins(protocol, kind, sample):
    answering = requests_of(protocol, sample) if kind == "response" else ()
    reading = Reading(protocol(), kind, answering)
    for piece in whole(b"".join(wire(kind, sample))):
        reading.feed(piece)
    assert reading.ends == list(accumulate(map(len, wire(kind, sample))))


@every_protocol
@given(data=st.binary(max_size=300), places=st.lists(st.integers(1, 300), max_size=4))
def test_arbitrary_bytes_raise_protocol_errors_only(protocol, data, places):
    for kind in ("request", "response"):
        read(protocol(), kind, cut(data, places), is_closed=True)
    assert protocol.classify(data) in Verdict


@every_direction
@given(st.data())
def test_damaged_messages_raise_protocol_errors_only(protocol, kind, sample, data):
    message = bytearray(data.draw(st.sampled_from(wire(kind, sample))))
    for _ in range(data.draw(st.integers(1, 6))):
        message[data.draw(st.integers(0, len(message) - 1))] = data.draw(st.integers(0, 255))
    read_all(protocol, kind, sample, bytewise(bytes(message)))


@every_direction
@given(st.data())
def test_a_hole_never_gives_a_wrong_message(protocol, kind, sample, data):
    index = data.draw(st.integers(0, len(sample.requests) - 1))
    message = wire(kind, sample)[index]
    start = data.draw(st.integers(0, len(message) - 1))
    stop = data.draw(st.integers(start + 1, len(message)))
    request = requests_of(protocol, sample)[index]
    answering = [request] if kind == "response" else []
    expected = read(protocol(), kind, whole(message), answering=answering).messages[0]

    reading = Reading(protocol(), kind, answering)
    for piece in holed(message, start, stop):
        if reading.error is None:
            reading.feed(piece)
    reading.end_turn()
    assert reading.messages or reading.error is not None
    for found in reading.messages:
        assert found == expected or is_marked(found)


def is_marked(message: Any) -> bool:
    """Whether a message says that it is not all there."""
    return message.is_truncated or getattr(message, "body_size", 0) is None


@every_protocol
def test_heads_are_claimed_by_one_protocol_only(protocol):
    for sample in samples(protocol.name):
        for kind, message in (("REQUEST", sample.requests[0]), ("RESPONSE", sample.responses[0])):
            verdicts = {name: other.classify(message) for name, other in PROTOCOLS}
            assert verdicts.pop(protocol.name) is Verdict[kind]
            assert set(verdicts.values()) <= {Verdict.NO}


@every_protocol
@given(head=st.binary(min_size=MAX_CLASSIFY, max_size=MAX_CLASSIFY + 20))
def test_classify_decides_after_so_many_bytes(protocol, head):
    assert protocol.classify(head) is not Verdict.MORE


@every_protocol
def test_classify_never_changes_its_mind(protocol):
    for sample in samples(protocol.name):
        for message in (sample.requests[0], sample.responses[0]):
            verdicts = [protocol.classify(message[:size]) for size in range(len(message) + 1)]
            decided = [verdict for verdict in verdicts if verdict is not Verdict.MORE]
            assert len(set(decided)) == 1
            assert verdicts == [Verdict.MORE] * (len(verdicts) - len(decided)) + decided
