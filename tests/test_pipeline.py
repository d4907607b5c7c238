"""The main path: what the records do, whatever they hold."""

from __future__ import annotations

import json
import logging

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent import pipeline as pipeline_module
from agent.kernel.layout import structs
from agent.pipeline import KIND_PROCESS, SETTLE_NS
from agent.protocols import Shortcut
from agent.protocols.http1 import Http1
from agent.traces.sampler import sampler
from tests.scenario import CLIENT, EVENTS, KINDS, Host, Run, play, request, response

PROPERTY = settings(
    max_examples=150, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow]
)


@pytest.fixture
def host() -> Host:
    return Host()


def test_exchange_waits_before_it_is_settled(host):
    host.accept().received(request("/a")).sent(response())
    run = Run().take(host.records)
    run.pipeline.settle()
    assert run.spans == []
    run.pipeline.now_ns += SETTLE_NS - 1
    run.pipeline.settle()
    assert run.spans == []
    run.pipeline.now_ns += 1
    run.pipeline.settle()
    assert run.lines == ["server GET /a -> 200, 0 bytes"]


def test_exchanges_settle_in_the_order_of_their_ends(host):
    first = host.accept(client=("10.0.0.9", 1)).received(request("/a"))
    host.accept(client=("10.0.0.9", 2)).received(request("/b")).sent(response())
    first.sent(response())
    assert play(host).lines == ["server GET /b -> 200, 0 bytes", "server GET /a -> 200, 0 bytes"]


def test_records_are_where_the_ring_has_them(host):
    """In the middle of a larger memory, with another record behind."""
    host.accept().received(request("/a")).sent(response())
    run = Run()
    for record in host.records:
        memory = memoryview(b"x" * 24 + record + b"y" * 200)
        run.pipeline.take(memory, 24, 24 + len(record))
    assert run.finish().lines == ["server GET /a -> 200, 0 bytes"]
    assert run.ledger.records_read == len(host.records)


def test_sampled_out(host):
    host.accept().received(request("/a")).sent(response())
    run = play(host, sampler("always_off"))
    assert run.spans == []
    assert (run.ledger.built, run.ledger.sampled_out, run.ledger.emitted) == (1, 1, 0)
    assert run.ledger.parents == {"none": 1}


def test_process_that_sends_spans_is_told_of(host):
    socket = host.connect(process=20)
    socket.sent(request("/v1/traces", method="POST", body=b"x")).received(response())
    socket.sent(request("/other", method="POST", body=b"x")).received(response())
    assert play(host).outside.exporting == [20]


def test_spans_that_are_sent_to_us_make_no_spans(host):
    """Over HTTP/1 they would: each delivery a span, and each span, in the end, a delivery."""
    ours = host.connect(process=20, server=("127.0.0.1", 4318), port=1)
    ours.sent(request("/v1/traces", method="POST", body=b"x")).received(response())
    other = host.connect(process=20, server=("10.0.0.1", 4319), port=2)
    other.sent(request("/v1/traces", method="POST", body=b"x")).received(response())
    asked = host.connect(process=20, server=("127.0.0.1", 4318), port=3)
    asked.sent(request("/")).received(response())
    foreign = host.connect(process=20, server=("10.0.0.1", 4318), port=4)
    foreign.sent(request("/")).received(response())
    run = Run(own_ports=frozenset({4318})).take(host.records).finish()
    assert len(run.spans) == 2
    assert run.ledger.filtered == {"own_receiver": 2}
    assert run.ledger.is_balanced()
    assert run.outside.exporting == [20, 20]


def test_services_learn_their_routes_apart(host):
    """Two processes of a service share what they learn."""
    for number, name in ((10, "shop"), (11, "shop"), (12, "stock")):
        host.process(number, name)
        host.accept(process=number, client=("10.0.0.9", number)).received(request("/a"))
    run = Run().take(host.records)
    routes = {number: run.pipeline.party(number).routes for number in (10, 11, 12)}  # type: ignore[union-attr]
    assert routes[10] is routes[11]
    assert routes[10] is not routes[12]


def test_parties_are_bounded(monkeypatch):
    monkeypatch.setattr(pipeline_module, "MAX_PARTIES", 2)
    run = Run()
    parties = [run.pipeline.party(number) for number in (1, 2, 3)]
    assert run.pipeline.party(3) is parties[2]
    assert run.pipeline.party(1) is not parties[0]


def test_process_events_reach_who_knows_processes(host, monkeypatch):
    run = Run()
    told: list[tuple] = []
    for name in ("forked", "executed", "exited", "listening"):
        monkeypatch.setattr(
            run.outside, name, lambda *values, name=name: told.append((name, *values))
        )
    host.write("fork", process=10, thread=10, child=11)
    host.write(
        "exec", process=11, thread=11, comm=b"sh", size=9, captured=5, payload=b"sh\0-c and more"
    )
    host.write("listen", process=11, thread=11, port=80)
    host.write("exit", process=11, thread=11)
    run.take(host.records)
    assert told == [
        ("forked", 10, 11, 1_000_001_000),
        ("executed", 11, b"sh", b"sh\0-c", 1_000_002_000),
        ("listening", 11, 80),
        ("exited", 11),
    ]


def test_bug_of_a_parser_is_logged_once_without_what_was_said(host, monkeypatch, caplog):
    def broken(exchange):
        raise ValueError(exchange.request.target)

    monkeypatch.setattr(Http1, "describe", staticmethod(broken))
    socket = host.accept()
    for _ in range(2):
        socket.received(request("/secret")).sent(response())
    with caplog.at_level(logging.DEBUG):
        run = play(host)
    (record,) = caplog.records
    assert record.levelname == "ERROR"
    assert "a bug in the http1 parser, please report it: ValueError\n" in caplog.text
    assert "in broken" in caplog.text
    assert "secret" not in caplog.text
    assert run.counts == {"captured": 2, "unparsed": {"bug": 2}}


def test_bug_of_a_reader_costs_its_exchange(host, monkeypatch, caplog):
    def broken(self, stream):
        yield from stream.wait()
        raise ValueError(bytes(stream.peek()))

    monkeypatch.setattr(Http1, "request", broken)
    monkeypatch.setattr(Http1, "shortcut", Shortcut)
    host.accept().received(request("/secret")).sent(response())
    run = play(host)
    assert run.counts == {"captured": 1, "unparsed": {"bug": 1}}
    assert "ValueError" in caplog.text
    assert "secret" not in caplog.text


@pytest.mark.parametrize("size", [0, 23, 24, 119])
def test_short_records_are_malformed(size):
    run = Run().take([EVENTS["data_event"].pack(kind=KINDS["EVENT_DATA"])[:size]])
    assert run.ledger.records_ignored == {"malformed": 1}


@pytest.mark.parametrize("kind", [0, 10, 999, 2**32 - 1])
def test_unknown_kinds_are_malformed(kind):
    run = Run().take([EVENTS["event_header"].pack(kind=kind)])
    assert run.ledger.records_ignored == {"malformed": 1}


# Hypothesis: the record decoder and everything behind it.

CODES = {"B": 8, "H": 16, "I": 32, "Q": 64}
SMALL = st.integers(0, 4)
HEADS = (
    request("/a"),
    response(200, b"body"),
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n",
    b"HTTP/1.1 101 X\r\n\r\n",
    b"",
    b"GET ",
)


@st.composite
def records(draw) -> bytes:
    """Records that may be right in many places: small numbers meet."""
    name = draw(
        st.sampled_from([name for name in EVENTS if name not in ("event_header", "origin")])
    )
    struct = structs("events.h")[name]
    payload = draw(st.sampled_from(HEADS) | st.binary(max_size=80))
    values = {}
    for field, zero in zip(struct.fields, struct.packer.unpack(bytes(struct.size)), strict=True):
        if isinstance(zero, bytes):
            values[field] = draw(st.binary(max_size=len(zero)))
        else:
            values[field] = draw(SMALL | st.sampled_from((80, 200, 2**16 - 1)))
            values[field] = min(values[field], 2**16 - 1)
    values["kind"] = KINDS[f"EVENT_{name.removesuffix('_event').upper()}"]
    for field in ("position", "other_position", "time_ns", "ingress_position", "egress_position"):
        if field in values and draw(st.integers(0, 5)) == 0:
            values[field] = draw(st.sampled_from((2**64 - 1, 2**63, 2**32)))
    if name == "data_event" and draw(st.booleans()):
        values |= {
            "size": len(payload),
            "captured": len(payload),
            "direction": draw(st.integers(0, 1)),
        }
    if name == "data_event" and draw(st.integers(0, 5)) == 0:
        values["turn"] = 2**32 - 1
    return struct.pack(**values) + payload


@PROPERTY
@given(st.lists(records(), max_size=40))
def test_records_that_look_right_are_survived_and_counted(many):
    run = Run().take(many)
    run.finish()
    assert run.ledger.records_read == len(many)
    assert len(run.pipeline.connections) == 0


@PROPERTY
@given(st.lists(st.binary(max_size=200), max_size=20))
def test_arbitrary_bytes_are_survived(many):
    Run().take(many).finish()


@PROPERTY
@given(st.binary(max_size=120))
def test_arbitrary_facts_of_processes_are_survived(text):
    Run().take([EVENTS["event_header"].pack(kind=KIND_PROCESS) + text]).finish()


@PROPERTY
@given(
    st.lists(
        st.tuples(st.booleans(), st.sampled_from(HEADS) | st.binary(max_size=300)), max_size=60
    )
)
def test_garbage_on_a_connection_is_bounded(moves):
    host = Host()
    socket = host.connect()
    assert socket.role == CLIENT
    for is_request, data in moves:
        (socket.asks if is_request else socket.answers)(data)
    run = Run().take(host.records)
    connection = run.pipeline.connections.get(socket.number)
    if connection is not None:
        assert len(connection.kept) <= 128
        assert len(connection.pending()) <= len(moves)
    run.finish()


def test_services_are_bounded(host, monkeypatch):
    """Their names come from the traced processes: the first one's routes go, and are learnt anew."""
    monkeypatch.setattr(pipeline_module, "MAX_SERVICES", 2)
    for number, name in ((10, "one"), (11, "two"), (12, "three")):
        host.process(number, name)
        host.accept(process=number, client=("10.0.0.9", number)).received(request("/a"))
    run = Run().take(host.records)
    assert list(run.pipeline._routes) == ["two", "three"]


def test_ledger_is_json():
    assert json.loads(json.dumps(play(Host()).ledger.as_json()))["balanced"] is True
