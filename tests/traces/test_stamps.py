"""Contexts that the kernel side gave to requests, and what becomes of the spans."""

from __future__ import annotations

import itertools

from agent.protocols import Role
from agent.protocols.http1 import Http1
from agent.protocols.pairing import Exchange
from agent.traces.context import Ids
from agent.traces.context_propagators import propagators
from agent.traces.correlate import Correlator
from agent.traces.rules import RULE_THREAD
from agent.traces.stamps import MAX_STAMPS, RULE_SENT, RULE_TCP_OPTION, Stamp, Stamps

TRACE, OTHER_TRACE = b"\x11" * 16, b"\x22" * 16
SPAN, OTHER_SPAN, FAR_SPAN = b"\x01" * 8, b"\x02" * 8, b"\x0f" * 8
NO_SPAN = bytes(8)


class Runtime:
    uses_goroutines = False
    is_proxy = False
    reuses_threads = False


class Process:
    runtime = Runtime()


class Place:
    """A connection."""

    opener = None
    turn = 1
    process = Process()
    tgid = 10

    def __init__(self, socket: int) -> None:
        self.socket = socket


class Asked:
    carrier: dict[str, str] | None = None


def correlator() -> Correlator:
    count = itertools.count(1)
    return Correlator(
        Ids(lambda size: b"".join(next(count).to_bytes(8, "big") for _ in range(size // 8))[:size]),
        propagators("tracecontext"),
    )


def exchange(role: Role, socket: int, start_ns: int = 100) -> Exchange:
    made = Exchange(Http1, role, Asked(), start_ns)
    made.connection = Place(socket)
    return made


def begin(found: Correlator, made: Exchange, sequence: int, tid: int = 7) -> Exchange:
    found.begun(made, tid, (made.connection.socket, sequence))
    return made


def test_a_request_from_another_host_continues_its_trace() -> None:
    found = correlator()
    server = begin(found, exchange(Role.SERVER, 1), 500)
    found.stamps.add((1, 500), Stamp(TRACE, SPAN, FAR_SPAN, 1, is_remote=True))
    found.settle(server)
    assert (server.trace_id, server.span_id, server.rule) == (TRACE, SPAN, RULE_TCP_OPTION)
    assert server.remote.span_id == FAR_SPAN
    assert server.remote.is_sampled is True
    assert not found.stamps


def test_sampling_is_left_open_where_the_sender_left_it_open() -> None:
    found = correlator()
    server = begin(found, exchange(Role.SERVER, 1), 500)
    found.stamps.add((1, 500), Stamp(TRACE, SPAN, FAR_SPAN, 0, is_remote=True))
    found.settle(server)
    assert server.remote.is_sampled is None


def test_a_header_goes_before_the_option() -> None:
    found = correlator()
    server = exchange(Role.SERVER, 1)
    server.request = Asked()
    server.request.carrier = {"traceparent": f"00-{OTHER_TRACE.hex()}-{FAR_SPAN.hex()}-01"}
    begin(found, server, 500)
    found.stamps.add((1, 500), Stamp(TRACE, SPAN, OTHER_SPAN, 1, is_remote=True))
    found.settle(server)
    assert (server.trace_id, server.rule) == (OTHER_TRACE, "traceparent")
    assert server.remote.span_id == FAR_SPAN


def test_a_call_has_the_span_id_that_it_was_sent_with() -> None:
    found = correlator()
    server = begin(found, exchange(Role.SERVER, 1), 500)
    client = begin(found, exchange(Role.CLIENT, 2, 200), 900)
    found.stamps.add((1, 500), Stamp(TRACE, SPAN, NO_SPAN, 0, is_remote=False))
    found.stamps.add((2, 900), Stamp(TRACE, OTHER_SPAN, SPAN, 0, is_remote=False))
    found.settle(client)
    assert (client.trace_id, client.span_id, client.rule) == (TRACE, OTHER_SPAN, RULE_THREAD)
    assert client.parent is server
    assert (server.trace_id, server.span_id) == (TRACE, SPAN)


def test_each_attempt_of_a_call_has_the_span_id_that_it_was_sent_with() -> None:
    """The same bytes on the same connection, and on another one that happens to have the same sequence numbers."""
    found = correlator()
    server = begin(found, exchange(Role.SERVER, 1), 500)
    places = [(2, 900), (2, 950), (3, 900)]
    calls = [
        begin(found, exchange(Role.CLIENT, socket, 200 + socket), sequence)
        for socket, sequence in places
    ]
    for number, place in enumerate(places, 1):
        found.stamps.add(place, Stamp(TRACE, bytes(7) + bytes((number,)), SPAN, 0, is_remote=False))
    found.stamps.add((1, 500), Stamp(TRACE, SPAN, NO_SPAN, 0, is_remote=False))
    for call in calls:
        found.settle(call)
    assert [call.span_id[-1] for call in calls] == [1, 2, 3]
    assert [call.parent for call in calls] == [server] * 3
    assert not found.stamps.keys() & set(places)


def test_a_call_that_was_sent_in_another_trace_is_linked_to_what_it_was_made_for() -> None:
    found = correlator()
    server = begin(found, exchange(Role.SERVER, 1), 500)
    client = begin(found, exchange(Role.CLIENT, 2, 200), 900)
    found.stamps.add((1, 500), Stamp(TRACE, SPAN, NO_SPAN, 0, is_remote=False))
    found.stamps.add((2, 900), Stamp(OTHER_TRACE, OTHER_SPAN, NO_SPAN, 0, is_remote=False))
    found.settle(client)
    assert (client.trace_id, client.span_id) == (OTHER_TRACE, OTHER_SPAN)
    assert (client.parent, client.link, client.rule) == (None, server, RULE_SENT)


def test_a_call_behind_an_encrypted_request_is_a_child_of_the_other_hosts_span() -> None:
    found = correlator()
    client = begin(found, exchange(Role.CLIENT, 2), 900)
    found.stamps.add((2, 900), Stamp(TRACE, SPAN, FAR_SPAN, 2, is_remote=True))
    found.settle(client)
    assert (client.trace_id, client.span_id, client.rule) == (TRACE, SPAN, RULE_TCP_OPTION)
    assert client.remote.span_id == FAR_SPAN
    assert client.remote.is_sampled is False


def test_without_a_stamp_nothing_changes() -> None:
    found = correlator()
    server = begin(found, exchange(Role.SERVER, 1), 500)
    found.stamps.add((1, 501), Stamp(TRACE, SPAN, FAR_SPAN, 1, is_remote=True))
    found.settle(server)
    assert server.trace_id != TRACE
    assert server.span_id != SPAN
    assert server.remote is None


def test_the_oldest_stamp_goes_when_there_are_too_many() -> None:
    stamps = Stamps()
    stamp = Stamp(TRACE, SPAN, NO_SPAN, 0, is_remote=False)
    assert all(stamps.add((number, 0), stamp) for number in range(MAX_STAMPS))
    assert not stamps.add((MAX_STAMPS, 0), stamp)
    assert len(stamps) == MAX_STAMPS
    first, last = exchange(Role.CLIENT, 0), exchange(Role.CLIENT, MAX_STAMPS)
    first.join_key, last.join_key = (None, 0), (None, 0)
    assert stamps.of(first) is None
    assert stamps.of(last) is not None
