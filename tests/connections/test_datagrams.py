"""Look-ups by datagram, from records to spans."""

from __future__ import annotations

import pytest

from agent.connections import datagrams
from agent.spans.span import Span
from tests.protocols.test_dns import answer, query, record
from tests.scenario import EGRESS, INGRESS, Host, Run, play, request, response

SERVER = {"process": 53, "thread": 53, "socket": 800, "local": ("10.0.0.53", 53)}
CLIENT = ("10.0.0.9", 40000)


def told(run: Run) -> list[tuple[str, object, object]]:
    """Name, what was asked, and the error of each span."""
    return [
        (span.name, span.attribute("dns.question.name"), span.attribute("error.type"))
        for span in run.spans
    ]


def test_a_query_and_its_answer_are_a_span():
    host = Host()
    host.datagram(query(), direction=EGRESS).wait(4_000_000)
    host.datagram(answer("www.example.com", 1, record(1, bytes([10, 1, 2, 3]))), direction=INGRESS)
    run = play(host)
    (span,) = run.spans
    assert told(run) == [("DNS A", "www.example.com", None)]
    assert span.kind.name == "CLIENT"
    assert span.end_unix_ns - span.start_unix_ns == 4_001_000
    assert span.attribute("network.transport") == "udp"
    assert span.attribute("network.peer.address") == "10.0.0.53"
    assert span.attribute("dns.answers") == ("10.1.2.3",)
    assert run.counts == {"captured": 1, "spans": 1}


def test_a_pair_of_queries_may_be_answered_in_any_order():
    host = Host()
    host.datagram(query(number=1), direction=EGRESS)
    host.datagram(query(kind=28, number=2), direction=EGRESS)
    host.datagram(answer("www.example.com", 28, number=2), direction=INGRESS)
    host.datagram(answer(number=1, code=3), direction=INGRESS)
    assert told(play(host)) == [
        ("DNS AAAA", "www.example.com", None),
        ("DNS A", "www.example.com", "NXDOMAIN"),
    ]


def test_both_ends_on_one_host_are_joined():
    host = Host()
    host.datagram(query(), direction=EGRESS, local=("0.0.0.0", 40000))
    host.datagram(query(), direction=INGRESS, remote=CLIENT, **SERVER)
    host.datagram(answer(), direction=EGRESS, remote=CLIENT, **SERVER)
    host.datagram(answer(), direction=INGRESS, local=("0.0.0.0", 40000))
    run = play(host)
    server, client = run.spans
    assert (server.kind.name, client.kind.name) == ("SERVER", "CLIENT")
    assert server.parent_id == client.span_id
    assert server.attribute("zerospan.parent.rule") == "peer"


def test_a_look_up_belongs_to_the_request_that_waits_for_it():
    host = Host()
    server = host.accept(process=20, thread=20).received(request("/pay"))
    host.datagram(query(), direction=EGRESS)
    host.datagram(answer(), direction=INGRESS)
    server.sent(response()).close()
    run = play(host)
    by_name: dict[str, Span] = {span.name: span for span in run.spans}
    assert by_name["DNS A"].parent_id == by_name["GET /pay"].span_id


def test_a_look_up_that_a_pools_thread_makes_belongs_to_who_woke_it():
    """As asyncio's and Node's do; other requests' threads have nothing to do with it."""
    host = Host()
    server = host.accept(process=20, thread=20).received(request("/pay"))
    host.datagram(query(), direction=EGRESS, thread=21, origin=server.handed(1))
    host.datagram(answer(), direction=INGRESS, thread=21)
    server.sent(response()).close()
    by_name: dict[str, Span] = {span.name: span for span in play(host).spans}
    assert by_name["DNS A"].parent_id == by_name["GET /pay"].span_id
    assert by_name["DNS A"].attribute("zerospan.parent.rule") == "handoff"


def test_a_query_that_a_resolver_passes_on_is_no_calls_of_whom_it_received_last():
    """What was said of the thread that received it is not said of the query."""
    host = Host()
    server = host.accept(process=53, thread=53).received(request("/pay"))
    host.datagram(query(), direction=INGRESS, remote=CLIENT, origin=server.handed(1), **SERVER)
    host.datagram(answer(), direction=EGRESS, remote=CLIENT, **SERVER)
    server.sent(response()).close()
    by_name: dict[str, Span] = {span.name: span for span in play(host).spans}
    assert by_name["DNS A"].parent_id is None


def test_each_attempt_is_a_span_and_the_one_before_has_failed():
    host = Host()
    for _ in range(3):
        host.datagram(query(), direction=EGRESS).wait(5_000_000_000)
    host.datagrams_end()
    run = play(host)
    assert told(run) == [("DNS A", "www.example.com", "EAI_AGAIN")] * 3
    assert len({span.span_id for span in run.spans}) == 3
    assert [(span.end_unix_ns - span.start_unix_ns) // 10**9 for span in run.spans] == [5, 5, 5]


def test_a_socket_that_is_closed_at_once_was_not_patient():
    host = Host()
    host.datagram(query(), direction=EGRESS).datagrams_end()
    assert told(play(host)) == [("DNS A", "www.example.com", "connection_closed")]


def test_the_other_one_of_a_pair_whose_answer_is_too_long_has_not_failed():
    """glibc closes the socket, and asks for both again over TCP."""
    host = Host()
    host.datagram(query(number=1), direction=EGRESS)
    host.datagram(query(kind=28, number=2), direction=EGRESS)
    host.datagram(answer(number=1, flags=0x8380), direction=INGRESS).datagrams_end()
    run = play(host)
    assert told(run) == [("DNS A", "www.example.com", None), ("DNS AAAA", "www.example.com", None)]
    assert [span.attribute("zerospan.dns.truncated") for span in run.spans] == [True, None]
    assert run.counts == {"captured": 2, "spans": 2}


def test_a_pair_that_waits_in_vain_after_a_long_answer_has_failed():
    host = Host()
    host.datagram(query(number=1), direction=EGRESS)
    host.datagram(query(kind=28, number=2), direction=EGRESS)
    host.datagram(answer(number=1, flags=0x8380), direction=INGRESS)
    host.wait(5_000_000_000).datagrams_end()
    assert [error for _, _, error in told(play(host))] == [None, "EAI_AGAIN"]


def test_sockets_with_long_answers_are_bounded(monkeypatch):
    monkeypatch.setattr(datagrams, "MAX_SOCKETS", 1)
    host = Host()
    for number in (1, 2):
        host.datagram(query(number=1), direction=EGRESS, socket=number)
        host.datagram(query(kind=28, number=2), direction=EGRESS, socket=number)
        host.datagram(answer(number=1, flags=0x8380), direction=INGRESS, socket=number)
    host.datagrams_end(socket=1).datagrams_end(socket=2)
    errors = [error for name, _, error in told(play(host)) if name == "DNS AAAA"]
    assert errors == ["connection_closed", None]


def test_what_is_never_answered_fails_in_the_end():
    host = Host()
    host.datagram(query(), direction=EGRESS).wait(datagrams.MAX_WAIT_NS + 10**9)
    host.accept().received(request("/later")).sent(response())
    run = Run().take(host.records)
    run.pipeline.settle()
    run.finish()
    (span,) = [span for span in run.spans if span.name == "DNS A"]
    assert span.attribute("error.type") == "EAI_AGAIN"
    assert span.end_unix_ns - span.start_unix_ns == datagrams.MAX_WAIT_NS


def test_the_agents_end_leaves_a_mark():
    host = Host()
    host.datagram(query(), direction=EGRESS)
    (span,) = play(host).spans
    assert span.attribute("zerospan.incomplete") == "agent_exit"
    assert span.attribute("error.type") is None


def test_an_answer_that_nobody_waits_for_is_counted():
    host = Host()
    host.datagram(answer(), direction=INGRESS)
    run = play(host)
    assert run.spans == []
    assert run.ledger.records_ignored == {"datagram_unasked": 1}


def test_other_datagrams_are_counted_and_left_alone():
    host = Host()
    host.datagram(b"\x80\x60" + bytes(160), direction=EGRESS, remote=("10.0.0.7", 5004))
    run = play(host)
    assert run.spans == []
    assert run.ledger.records_ignored == {"datagram_unknown": 1}
    assert run.outside.budgets == []


def test_a_resolvers_socket_is_watched_on():
    host = Host()
    for number in range(1, 6):
        host.datagram(query(number=number), direction=INGRESS, remote=CLIENT, **SERVER)
        host.datagram(answer(number=number), direction=EGRESS, remote=CLIENT, **SERVER)
    run = play(host)
    assert run.outside.budgets == [(800, INGRESS, 512), (800, EGRESS, 512)]
    assert len(run.spans) == 5


def test_queries_that_wait_are_bounded(monkeypatch):
    monkeypatch.setattr(datagrams, "MAX_WAITING", 2)
    host = Host()
    for number in range(1, 5):
        host.datagram(query(number=number), direction=EGRESS)
    run = play(host)
    assert run.counts == {"captured": 4, "spans": 2, "lost": {"queries_full": 2}}


def test_a_process_that_is_excluded_takes_its_queries_with_it():
    host = Host()
    host.datagram(query(), direction=EGRESS)
    run = Run()
    run.take(host.records)
    run.pipeline.exclude(20)
    run.finish()
    assert run.spans == []
    assert run.counts == {"captured": 1, "filtered": {"process_excluded": 1}}


@pytest.mark.parametrize("more", [{"captured": 900}, {"direction": 2}, {"size": 3, "captured": 20}])
def test_malformed_records(more):
    host = Host()
    fields = {"socket": 1, "direction": EGRESS, "size": 900, "captured": 20, **more}
    host.write("datagram", process=1, thread=1, payload=bytes(20), **fields)
    assert play(host).ledger.records_ignored == {"malformed": 1}
