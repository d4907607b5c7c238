"""Who is the parent: conversations of several processes on one host.

`family(run)` gives, for every span, the rule that found its parent and the parent's path.
"""

from __future__ import annotations

import random
from itertools import permutations

import pytest

from agent.config import DEFAULT_PROPAGATORS
from agent.pipeline import SETTLE_NS
from agent.protocols import Role
from agent.protocols.http1 import Http1
from agent.protocols.http1_head import Request
from agent.protocols.pairing import Exchange
from agent.spans import semconv
from agent.traces import correlate
from agent.traces.context import Ids
from agent.traces.context_propagators import propagators
from agent.traces.correlate import Correlator
from agent.traces.held import HOLD_NS
from agent.traces.sampler import remote_decision, sampler
from agent.traces.served import KEPT
from tests.scenario import (
    AF_UNIX,
    CLIENT,
    SERVER,
    Host,
    Run,
    Socket,
    exchange,
    facts,
    line,
    play,
    request,
    response,
)

TRACE = "0af7651916cd43dd8448eb211c80319c"
OUTSIDE = "b7ad6b7169203331"
HEADER = f"traceparent: 00-{TRACE}-{OUTSIDE}-01\r\n"


def family(run: Run) -> dict[str, tuple[str, str | None]]:
    """By kind and path: rule and parent; a parent from a header is its id."""
    names = {span.span_id: name(span) for span in run.spans}
    return {
        name(span): (
            str(facts(span)[semconv.PARENT_RULE]),
            None if span.parent_id is None else names.get(span.parent_id, span.parent_id.hex()),
        )
        for span in run.spans
    }


def name(span) -> str:
    kind, _, path, *_ = line(span).split()
    return f"{kind} {path.removeprefix('http://shop')}"


def traces(run: Run) -> int:
    return len({span.trace_id for span in run.spans})


@pytest.fixture
def host() -> Host:
    return Host()


# 1, 2: server exchanges.


def test_header(host):
    host.accept().received(request("/a", fields=HEADER + "tracestate: k=v\r\n")).sent(response())
    (span,) = play(host).spans
    assert (span.trace_id.hex(), (span.parent_id or b"").hex()) == (TRACE, OUTSIDE)
    assert (span.is_parent_remote, span.trace_state) == (True, "k=v")
    assert facts(span)[semconv.PARENT_RULE] == "traceparent"


@pytest.mark.parametrize("first", ["client", "server"])
def test_peer_in_either_order_of_arrival(host, first):
    client, server = host.connect(), host.accept()
    ends = [client, server] if first == "client" else [server, client]
    for end in ends:
        end.asks(request("/a"))
    for end in ends:
        end.answers(response())
    run = play(host)
    assert family(run) == {"client /a": ("none", None), "server /a": ("peer", "client /a")}
    assert traces(run) == 1


def test_peer_of_each_request_on_a_connection(host):
    client, server = host.connect(), host.accept()
    for path in ("/a", "/b"):
        exchange(client, server, request(path), response())
    assert family(play(host)) == {
        "client /a": ("none", None),
        "server /a": ("peer", "client /a"),
        "client /b": ("none", None),
        "server /b": ("peer", "client /b"),
    }


def test_peer_when_sequence_numbers_wrap(host):
    numbers = (2**32 - 20, 2**32 - 30)
    client, server = host.connect(sequences=numbers), host.accept(sequences=numbers)
    for path in ("/a", "/b"):
        exchange(client, server, request(path), response())
    assert family(play(host))["server /b"] == ("peer", "client /b")


def test_peer_of_pipelined_requests(host):
    client, server = host.connect(), host.accept()
    for end in (client, server):
        end.asks(request("/a") + request("/b"))
    for end in (server, client):
        end.answers(response() + response())
    assert {k: v for k, v in family(play(host)).items() if k.startswith("server")} == {
        "server /a": ("peer", "client /a"),
        "server /b": ("peer", "client /b"),
    }


def test_peer_over_a_unix_socket(host):
    client = host.connect(family=AF_UNIX)
    server = host.accept(family=AF_UNIX, peer=client)
    for path in ("/a", "/b"):
        exchange(client, server, request(path), response())
    assert family(play(host))["server /b"] == ("peer", "client /b")


def test_other_connections_are_no_peers(host):
    client = host.connect(port=40001)
    server = host.accept(client=("10.0.0.9", 40002))
    exchange(client, server, request("/a"), response())
    assert family(play(host))["server /a"] == ("none", None)


def test_header_that_the_client_sent_leads_through_both_ends(host):
    client, server = host.connect(), host.accept()
    exchange(client, server, request("/a", fields=HEADER), response())
    run = play(host)
    assert family(run) == {
        "client /a": ("traceparent", OUTSIDE),
        "server /a": ("peer", "client /a"),
    }
    assert {span.trace_id.hex() for span in run.spans} == {TRACE}


# 3: client exchanges.


def backend(host: Host, path: str, *, thread: int = 10, fields: str = "", **more) -> Socket:
    """The thread of a service calls another host."""
    socket = host.connect(process=10, thread=thread, server=("10.9.9.9", 80), **more)
    return socket.sent(request(path, fields=fields), thread=thread)


def test_thread(host):
    front = host.accept().received(request("/a"))
    backend(host, "/b").received(response()).close()
    backend(host, "/c", port=40001).received(response()).close()
    front.sent(response())
    run = play(host)
    assert family(run) == {
        "server /a": ("none", None),
        "client /b": ("opener", "server /a"),
        "client /c": ("opener", "server /a"),
    }
    assert traces(run) == 1


def test_thread_on_a_pooled_connection(host):
    pooled = host.connect(process=10, thread=10, server=("10.9.9.9", 80))
    front = host.accept()
    for path in ("/a", "/b"):
        front.received(request(path))
        pooled.sent(request(f"{path}/x")).received(response())
        front.sent(response())
    assert family(play(host)) == {
        "server /a": ("none", None),
        "client /a/x": ("thread", "server /a"),
        "server /b": ("none", None),
        "client /b/x": ("thread", "server /b"),
    }


def test_threads_are_apart(host):
    fronts = [host.accept(thread=n, client=("10.0.0.9", n)) for n in (11, 12)]
    pooled = [host.connect(process=10, thread=n, port=n, server=("10.9.9.9", 80)) for n in (11, 12)]
    for n, front in enumerate(fronts):
        front.received(request(f"/{n}"))
    for n, socket in enumerate(pooled):
        socket.sent(request(f"/{n}/x"))
    for socket in (*pooled, *fronts):
        socket.answers(response())
    assert family(play(host)) == {
        "client /0/x": ("thread", "server /0"),
        "client /1/x": ("thread", "server /1"),
        "server /0": ("none", None),
        "server /1": ("none", None),
    }


def test_work_that_has_ended_is_no_parent(host):
    front = host.accept()
    front.received(request("/a")).sent(response())
    backend(host, "/late").received(response())
    assert family(play(host))["client /late"] == ("none", None)


def test_connection_that_was_opened_for_work_that_has_ended(host):
    front = host.accept()
    front.received(request("/a"))
    late = host.connect(process=10, thread=10, server=("10.9.9.9", 80))
    front.sent(response())
    late.sent(request("/late")).received(response())
    assert family(play(host))["client /late"] == ("none", None)


def test_lost_work_is_no_parent(host):
    front = host.accept()
    front.received(request("/a")).sent(response(), is_lost=True)
    front.received(request("/b"), is_lost=True).sent(response())
    backend(host, "/late").received(response())
    assert family(play(host)) == {"client /late": ("none", None)}


def test_thread_that_does_not_serve_has_no_work(host):
    host.accept().received(request("/a"))
    backend(host, "/b", thread=99).received(response())
    assert family(play(host))["client /b"] == ("none", None)


# Event loops.


def test_proxy_interleaves(host):
    """One thread, two clients. Each upstream connection is opened in one turn of the loop, and used in a later one."""
    host.process(10, "nginx", is_proxy=True)
    first, second = (host.accept(client=("10.0.0.9", 41000 + n)) for n in range(2))
    first.received(request("/1"))
    one = host.connect(process=10, thread=10, port=50001, server=("10.9.9.9", 80))
    second.received(request("/2"))
    two = host.connect(process=10, thread=10, port=50002, server=("10.9.9.9", 80))
    one.sent(request("/1/up"))
    two.sent(request("/2/up"))
    two.received(response())
    second.sent(response())
    one.received(response())
    first.sent(response())
    assert family(play(host)) == {
        "client /2/up": ("opener", "server /2"),
        "server /2": ("none", None),
        "client /1/up": ("opener", "server /1"),
        "server /1": ("none", None),
    }


def test_proxy_with_pooled_upstreams(host):
    host.process(10, "nginx", is_proxy=True)
    one, two = (
        host.connect(process=10, thread=10, port=50001 + n, server=("10.9.9.9", 80))
        for n in range(2)
    )
    first, second = (host.accept(client=("10.0.0.9", 41000 + n)) for n in range(2))
    first.received(request("/1"))
    one.sent(request("/1/up"))
    second.received(request("/2"))
    two.sent(request("/2/up"))
    one.received(response())
    # The reactor rule: what the loop does next is for the work of the response it has received.
    two_more = host.connect(process=10, thread=10, port=50009, server=("10.9.9.9", 80))
    two_more.sent(request("/1/retry"))
    for socket in (two_more, two, first, second):
        socket.answers(response())
    told = family(play(host))
    assert told["client /1/up"] == ("thread", "server /1")
    assert told["client /2/up"] == ("thread", "server /2")
    assert told["client /1/retry"] == ("opener", "server /1")


def test_event_loop_with_one_request_under_way_goes_on_with_it(host):
    front = host.accept()
    front.received(request("/a"))
    pooled = host.connect(process=10, thread=10, server=("10.9.9.9", 80))
    for path in ("/a/1", "/a/2"):
        pooled.sent(request(path)).received(response())
    front.sent(response())
    told = family(play(host))
    assert told["client /a/1"] == ("opener", "server /a")
    assert told["client /a/2"] == ("thread", "server /a")


def test_event_loop_with_several_requests_under_way_is_not_guessed(host):
    for n in range(2):
        host.accept(client=("10.0.0.9", 41000 + n)).received(request(f"/{n}"))
    backend(host, "/x").received(response())
    assert family(play(host))["client /x"] == ("refused:concurrent", None)


def test_response_to_nobodys_call_ends_what_the_thread_is_known_to_work_for(host):
    """A poller in the same loop."""
    poller = host.connect(process=10, thread=10, port=50001, server=("10.9.9.9", 80))
    poller.sent(request("/poll"))
    host.accept().received(request("/a"))
    poller.received(response())
    backend(host, "/after").received(response())
    assert family(play(host))["client /after"] == ("none", None)


def test_goroutines_are_not_guessed(host):
    host.process(10, "go", uses_goroutines=True)
    host.accept().received(request("/a"))
    backend(host, "/b").received(response())
    assert family(play(host))["client /b"] == ("refused:goroutine", None)


# 3: what a thread was handed by another one.

WOKEN, CREATED, BACKLOG, UNCLEAR = 1, 2, 3, 4
USED, MIXED = 256, 512


@pytest.mark.parametrize(("cause", "rule"), [(WOKEN, "handoff"), (CREATED, "created")])
def test_a_thread_works_for_the_only_request_there_is(host, cause, rule):
    front = host.accept().received(request("/0"))
    back = host.connect(process=10, thread=20, port=50000, server=("10.9.9.9", 80))
    back.sent(request("/call"), origin=front.handed(cause)).received(response())
    front.sent(response(), thread=20)
    assert family(play(host))["client /call"] == (rule, "server /0")


@pytest.mark.parametrize("is_answered", [False, True])
def test_a_woken_worker_may_have_taken_the_job_of_another_request(host, is_answered):
    """Two are under way at one time, also if one of them is answered by the time that the call is made."""
    fronts = [
        host.accept(client=("10.0.0.9", 41000 + n)).received(request(f"/{n}")) for n in (0, 1)
    ]
    told = fronts[0].handed(WOKEN)
    if is_answered:
        fronts[1].sent(response())
    back = host.connect(process=10, thread=20, port=50000, server=("10.9.9.9", 80))
    back.sent(request("/call"), origin=told).received(response())
    assert family(play(host))["client /call"] == ("refused:handoff", None)


@pytest.mark.parametrize(("cause", "rule"), [(CREATED, "created")])
def test_a_thread_works_for_the_request_that_it_was_made_for(host, cause, rule):
    """One thread receives two requests and makes a thread for each, which overtake one another."""
    fronts = [
        host.accept(client=("10.0.0.9", 41000 + n)).received(request(f"/{n}")) for n in (0, 1)
    ]
    told = [front.handed(cause) for front in fronts]
    backs = [
        host.connect(process=10, thread=20 + n, port=50000 + n, server=("10.9.9.9", 80))
        for n in (0, 1)
    ]
    for n in (1, 0):
        backs[n].sent(request(f"/call/{n}"), origin=told[n])
    for n in (0, 1):
        backs[n].received(response())
        fronts[n].sent(response(), thread=20 + n)
    found = family(play(host))
    assert found["client /call/0"] == (rule, "server /0")
    assert found["client /call/1"] == (rule, "server /1")


def test_what_was_handed_counts_before_what_the_thread_received_as_a_client(host):
    first, second = (
        host.accept(thread=n, client=("10.0.0.9", 41000 + n)).received(request(f"/{n}"))
        for n in (1, 2)
    )
    back = host.connect(process=10, thread=20, port=50000, server=("10.9.9.9", 80))
    back.sent(request("/a"), origin=first.handed(CREATED)).received(response())
    back.sent(request("/b"), origin=second.handed(CREATED)).received(response())
    found = family(play(host))
    assert found["client /a"] == ("created", "server /1")
    assert found["client /b"] == ("created", "server /2")


@pytest.mark.parametrize(
    ("cause", "rule"), [(BACKLOG, "refused:backlog"), (UNCLEAR, "refused:handoff")]
)
def test_a_worker_that_nobody_woke_for_it_claims_nothing(host, cause, rule):
    front = host.accept().received(request("/a"))
    back = host.connect(process=10, thread=20, port=50000, server=("10.9.9.9", 80))
    back.sent(request("/1"), origin=front.handed(WOKEN)).received(response())
    back.sent(request("/2"), origin=front.handed(cause)).received(response())
    found = family(play(host))
    assert found["client /1"] == ("handoff", "server /a")
    assert found["client /2"] == (rule, None)


@pytest.mark.parametrize(
    ("cause", "rule"),
    [
        (WOKEN, "refused:backlog"),
        (CREATED, "link"),
        (WOKEN | USED, "refused:backlog"),
        (CREATED | USED, "refused:backlog"),
    ],
)
def test_work_after_the_answer_is_linked_once(host, cause, rule):
    """A thread that has made calls before may have gone on with something else."""
    front = host.accept().received(request("/a"))
    told = front.handed(cause)
    front.sent(response())
    back = host.connect(process=10, thread=20, port=50000, server=("10.9.9.9", 80))
    host.wait(10_000_000)
    back.sent(request("/b"), origin=told).received(response())
    run = play(host)
    assert family(run)["client /b"] == (rule, None)
    (call,) = [span for span in run.spans if name(span) == "client /b"]
    assert len(call.links) == (rule == "link")


def test_a_thread_left_behind_is_linked_though_the_next_request_is_there(host):
    front = host.accept().received(request("/a"))
    told = front.handed(CREATED)
    front.sent(response()).received(request("/b"))
    host.wait(10_000_000)
    back = host.connect(process=10, thread=20, port=50000, server=("10.9.9.9", 80))
    back.sent(request("/late"), origin=told).received(response())
    run = play(host)
    assert family(run)["client /late"] == ("link", None)
    (late,) = [span for span in run.spans if name(span) == "client /late"]
    (first,) = [span for span in run.spans if name(span) == "server /a"]
    assert [link.span_id for link in late.links] == [first.span_id]


def test_a_turn_that_is_over_is_not_the_next_one(host):
    front = host.accept().received(request("/a"))
    told = front.handed(WOKEN)
    front.sent(response()).received(request("/b"))
    back = host.connect(process=10, thread=20, port=50000, server=("10.9.9.9", 80))
    back.sent(request("/c"), origin=told).received(response())
    assert family(play(host))["client /c"] == ("refused:handoff", None)


def test_pipelined_requests_share_a_turn_and_are_not_told_apart(host):
    front = host.accept().received(request("/a") + request("/b"))
    back = host.connect(process=10, thread=20, port=50000, server=("10.9.9.9", 80))
    back.sent(request("/c"), origin=front.handed(WOKEN)).received(response())
    assert family(play(host))["client /c"] == ("refused:handoff", None)


@pytest.mark.parametrize(
    ("requests", "found"),
    [(1, ("created", "server /0")), (2, ("refused:concurrent", None))],
)
def test_an_event_loop_that_hands_work_on_after_other_answers(host, requests, found):
    """It may have gone on with another request than the one that it received last."""
    fronts = [
        host.accept(client=("10.0.0.9", 41000 + n)).received(request(f"/{n}"))
        for n in range(requests)
    ]
    back = host.connect(process=10, thread=20, port=50000, server=("10.9.9.9", 80))
    back.sent(request("/b"), origin=fronts[-1].handed(CREATED | MIXED)).received(response())
    assert family(play(host))["client /b"] == found


def test_a_wake_says_nothing_of_goroutines(host):
    host.process(10, "go", uses_goroutines=True)
    front = host.accept().received(request("/a"))
    back = host.connect(process=10, thread=20, port=50000, server=("10.9.9.9", 80))
    back.sent(request("/b"), origin=front.handed(WOKEN)).received(response())
    assert family(play(host))["client /b"] == ("refused:goroutine", None)


# 3: jobs, whose ends tell for whom they were done.

RESULT = 6
JOB = 20 << 32
PASSED = 1024


def fronts_of(host: Host, requests: int) -> list[Socket]:
    """Requests under way in one process, each received by a thread of its own."""
    return [
        host.accept(thread=11 + n, client=("10.0.0.9", 41000 + n)).received(request(f"/{n}"))
        for n in range(requests)
    ]


def work(host: Host, name: str, job: int, told: dict[str, int]) -> None:
    """A worker's call of another host, in a job."""
    back = host.connect(process=10, thread=20, port=50000 + host.sockets)
    back.sent(request(f"/{name}"), origin={**told, "task_parent": job}).received(response())


def result(host: Host, job: int) -> dict[str, int]:
    """What an answer says of a job that was over just now."""
    return {"cause": RESULT, "task_parent": job, "cause_socket": host.now_ns}


@pytest.mark.parametrize("cause", [WOKEN, BACKLOG, UNCLEAR, CREATED | PASSED])
def test_whoever_woke_the_worker_its_job_is_for_whom_it_ends(host, cause):
    fronts = fronts_of(host, 2)
    work(host, "a", JOB + 1, fronts[0].handed(cause))
    work(host, "b", JOB + 2, fronts[0].handed(cause))
    fronts[0].sent(response(), origin=result(host, JOB + 2))
    fronts[1].sent(response(), origin=result(host, JOB + 1))
    found = family(play(host))
    assert found["client /a"] == ("result", "server /1")
    assert found["client /b"] == ("result", "server /0")


def test_a_worker_that_answers_itself(host):
    fronts = fronts_of(host, 2)
    work(host, "a", JOB, fronts[0].handed(WOKEN))
    fronts[1].sent(response(), thread=20, origin=result(host, JOB))
    fronts[0].sent(response(), thread=21, origin=result(host, JOB + 7))
    assert family(play(host))["client /a"] == ("result", "server /1")


def test_a_call_that_is_answered_to_another_thread(host):
    """Whoever sent it may have the result of another one."""
    fronts = fronts_of(host, 2)
    back = host.connect(process=10, thread=20, port=50000)
    back.sent(request("/a"), origin={**fronts[0].handed(WOKEN), "task_parent": JOB})
    back.received(response(), thread=21)
    fronts[1].sent(response(), origin=result(host, JOB))
    fronts[0].sent(response(), origin=result(host, JOB + 7))
    assert family(play(host))["client /a"] == ("refused:handoff", None)


def test_where_one_request_alone_is_under_way_its_wake_is_believed(host):
    front = host.accept().received(request("/0"))
    work(host, "a", JOB, front.handed(WOKEN))
    front.sent(response(), origin=result(host, JOB))
    assert family(play(host))["client /a"] == ("handoff", "server /0")


def test_a_result_of_a_job_without_calls(host):
    host.accept().received(request("/0")).sent(response(), origin=result(host, JOB))
    assert family(play(host)) == {"server /0": ("none", None)}


def test_a_job_that_nobody_claims(host):
    fronts = fronts_of(host, 2)
    work(host, "a", JOB, fronts[0].handed(WOKEN))
    for front in fronts:
        front.sent(response())
    assert family(play(host))["client /a"] == ("refused:handoff", None)


def test_a_job_that_two_requests_claim(host):
    """One of them was woken for a lock. Where the worker was woken for the other one, that is it."""
    fronts = fronts_of(host, 4)
    work(host, "a", JOB + 1, fronts[0].handed(UNCLEAR) | {"cause_socket": 0})
    work(host, "b", JOB + 2, fronts[3].handed(WOKEN))
    for n, front in enumerate(fronts):
        front.sent(response(), origin=result(host, JOB + 1 + n // 2))
    found = family(play(host))
    assert found["client /a"] == ("refused:handoff", None)
    assert found["client /b"] == ("result", "server /3")


def test_a_call_that_was_not_over_with_the_job_is_of_another(host):
    """As of a thread that the worker made for the request before, though the answer came late."""
    fronts = fronts_of(host, 2)
    told = result(host, JOB)
    work(host, "a", JOB, fronts[0].handed(UNCLEAR))
    for front in fronts:
        front.sent(response(), origin=told)
    assert family(play(host))["client /a"] == ("refused:handoff", None)


def test_a_request_that_came_later_than_the_call_has_no_claim(host):
    fronts = fronts_of(host, 2)
    work(host, "a", JOB, fronts[0].handed(UNCLEAR))
    late = host.accept(thread=13, client=("10.0.0.9", 41002)).received(request("/2"))
    late.sent(response(), origin=result(host, JOB))
    for front in fronts:
        front.sent(response())
    assert family(play(host))["client /a"] == ("refused:handoff", None)


def test_a_thread_that_a_pool_makes_may_take_the_job_of_another_request(host):
    fronts = fronts_of(host, 2)
    work(host, "a", JOB, fronts[0].handed(CREATED))
    work(host, "b", JOB + 1, fronts[0].handed(CREATED))
    fronts[1].sent(response(), origin=result(host, JOB))
    fronts[0].sent(response(), origin=result(host, JOB + 1))
    found = family(play(host))
    assert found["client /a"] == ("refused:handoff", None)
    assert found["client /b"] == ("created", "server /0")


@pytest.mark.parametrize("is_gone", [True, False])
def test_a_thread_that_is_gone_was_made_for_what_it_did(host, is_gone):
    """In between it was woken by another request's thread, perhaps for a lock."""
    fronts = fronts_of(host, 2)
    work(host, "a", JOB, fronts[0].handed(UNCLEAR))
    if is_gone:
        host.leaves(process=10, thread=20)
    for front in fronts:
        front.sent(response())
    expected = ("created", "server /0") if is_gone else ("refused:handoff", None)
    assert family(play(host))["client /a"] == expected


def test_a_thread_that_is_gone_may_have_had_the_job_of_another_request(host):
    fronts = fronts_of(host, 2)
    work(host, "a", JOB, fronts[0].handed(UNCLEAR))
    host.leaves(process=10, thread=20)
    fronts[0].sent(response())
    fronts[1].sent(response(), origin=result(host, JOB))
    assert family(play(host))["client /a"] == ("refused:handoff", None)


def test_a_thread_that_a_runtime_keeps_is_known_for_its_first_call_only(host):
    host.process(10, "puma", reuses_threads=True)
    fronts = fronts_of(host, 2)
    work(host, "a", JOB, fronts[0].handed(CREATED))
    work(host, "b", JOB, fronts[0].handed(CREATED | USED))
    told = fronts[0].handed(CREATED)
    for front in fronts:
        front.sent(response(), origin=result(host, JOB))
    work(host, "c", JOB, told)
    found = family(play(host))
    assert found["client /a"] == ("created", "server /0")
    assert found["client /b"] == ("refused:handoff", None)
    assert found["client /c"] == ("refused:handoff", None), "made for a request that is over"


def test_a_call_waits_for_the_answer_and_what_hangs_on_it_waits_too(host):
    fronts = fronts_of(host, 2)
    call = host.connect(process=10, thread=20, port=50000)
    call.sent(request("/a"), origin={**fronts[0].handed(WOKEN), "task_parent": JOB})
    peer = host.accept(process=30, thread=30, client=("10.0.0.9", 50000)).received(request("/a"))
    peer.sent(response())
    call.received(response())
    run = Run().take(host.records)
    run.pipeline.now_ns += SETTLE_NS
    run.pipeline.settle()
    assert run.lines == []
    taken = len(host.records)
    for n in (0, 1):
        fronts[n].sent(response(), origin=result(host, JOB + 1 - n))
    run.take(host.records[taken:])
    run.pipeline.now_ns += SETTLE_NS
    run.pipeline.settle()
    assert len(run.spans) == 4
    assert family(run)["client /a"] == ("result", "server /1")
    assert family(run)["server /a"] == ("peer", "client /a")
    assert traces(run) == 2
    assert run.finish().ledger.is_balanced()


def test_a_call_does_not_wait_for_ever(host):
    fronts = fronts_of(host, 2)
    work(host, "a", JOB, fronts[0].handed(WOKEN))
    run = Run().take(host.records)
    for ns in (SETTLE_NS, HOLD_NS):
        run.pipeline.now_ns += ns
        run.pipeline.settle()
    assert family(run) == {"client /a": ("refused:handoff", None)}
    assert run.ledger.limits == {"held_too_long": 1}


def test_a_call_that_no_request_can_claim_does_not_wait(host):
    front = host.accept().received(request("/0"))
    told = front.handed(WOKEN)
    front.sent(response())
    work(host, "a", JOB, told)
    run = Run().take(host.records)
    run.pipeline.now_ns += SETTLE_NS
    run.pipeline.settle()
    assert family(run)["client /a"] == ("refused:backlog", None)


# 3: tasks that a runtime tells apart.

TASK = 5


def test_a_task_works_for_its_request_whatever_its_thread_received(host):
    """An event loop: one thread, requests that overtake one another, answers between."""
    fronts = [
        host.accept(client=("10.0.0.9", 41000 + n)).received(request(f"/{n}")) for n in range(3)
    ]
    told = [front.handed(TASK) for front in fronts]
    backs = [host.connect(process=10, port=50000 + n, server=("10.9.9.9", 80)) for n in range(3)]
    for n in (2, 0, 1):
        backs[n].sent(request(f"/call/{n}"), origin=told[n])
    for n in (1, 2, 0):
        backs[n].received(response())
    backs[0].sent(request("/more"), origin=told[1]).received(response())
    for n in range(3):
        fronts[n].sent(response())
    found = family(play(host))
    assert found["client /more"] == ("task", "server /1")
    for n in range(3):
        assert found[f"client /call/{n}"] == ("task", f"server /{n}")


def test_what_a_task_does_after_the_response_is_linked_though_the_next_request_is_there(host):
    front = host.accept().received(request("/a"))
    told = front.handed(TASK)
    front.sent(response()).received(request("/b"))
    host.wait(10_000_000)
    back = host.connect(process=10, port=50000, server=("10.9.9.9", 80))
    back.sent(request("/late"), origin=told).received(response())
    front.sent(response())
    run = play(host)
    assert family(run)["client /late"] == ("link", None)
    (late,) = [span for span in run.spans if name(span) == "client /late"]
    (first,) = [span for span in run.spans if name(span) == "server /a"]
    assert [link.span_id for link in late.links] == [first.span_id]


@pytest.mark.parametrize("requests", [1, 2])
def test_a_task_that_was_made_for_nothing_claims_nothing(host, requests):
    """Not even where one request alone is under way."""
    for n in range(requests):
        host.accept(client=("10.0.0.9", 41000 + n)).received(request(f"/{n}"))
    back = host.connect(process=10, port=50000, server=("10.9.9.9", 80))
    told = {"cause_socket": 0, "cause_turn": 0, "cause": TASK}
    back.sent(request("/b"), origin=told).received(response())
    assert family(play(host))["client /b"] == ("refused:task", None)


def test_a_request_before_the_last_ones_is_forgotten(host):
    front = host.accept().received(request("/a"))
    told = front.handed(TASK)
    for number in range(KEPT):
        front.sent(response()).received(request(f"/{number}"))
    back = host.connect(process=10, port=50000, server=("10.9.9.9", 80))
    back.sent(request("/late"), origin=told).received(response())
    assert family(play(host))["client /late"] == ("refused:task", None)


def test_pipelined_requests_of_a_task_are_not_told_apart(host):
    front = host.accept().received(request("/a") + request("/b"))
    back = host.connect(process=10, port=50000, server=("10.9.9.9", 80))
    back.sent(request("/c"), origin=front.handed(TASK)).received(response())
    assert family(play(host))["client /c"] == ("refused:task", None)


# 4: headers of client requests.


def test_forwarded_header_does_not_hide_the_nearer_parent(host):
    front = host.accept().received(request("/a", fields=HEADER))
    backend(host, "/b", fields=HEADER).received(response())
    front.sent(response())
    run = play(host)
    assert family(run) == {
        "client /b": ("opener", "server /a"),
        "server /a": ("traceparent", OUTSIDE),
    }
    assert traces(run) == 1


SDK = "00f067aa0ba902b7"


@pytest.mark.parametrize("has_peer", [False, True])
def test_header_of_an_sdk_names_the_nearer_parent(host, has_peer):
    """The program has an SDK, which went on with the trace and sends a span of its own."""
    asked = request("/a", fields=HEADER)
    if has_peer:
        host.connect().sent(asked)
    host.accept().received(asked)
    backend(host, "/b", fields=f"traceparent: 00-{TRACE}-{SDK}-01\r\n").received(response())
    run = play(host)
    assert family(run)["client /b"] == ("traceparent", SDK)
    assert traces(run) == 1


def test_header_of_another_trace_rules(host):
    other = "4bf92f3577b34da6a3ce929d0e0e4736"
    host.accept().received(request("/a"))
    backend(host, "/b", fields=f"traceparent: 00-{other}-{SDK}-01\r\n").received(response())
    run = play(host)
    assert family(run)["client /b"] == ("traceparent", SDK)
    assert traces(run) == 2


# Chains.


def chain(host: Host, hops: int) -> None:
    """Services that call one another; the responses come back in the end."""
    sockets: list[Socket] = []
    for hop in range(hops):
        port = 40000 + hop
        client = host.connect(process=hop, thread=hop, port=port)
        client.sent(request(f"/{hop}"))
        server = host.accept(process=hop + 1, thread=hop + 1, client=("10.0.0.9", port))
        server.received(request(f"/{hop}"))
        sockets += [client, server]
    for socket in reversed(sockets):
        socket.answers(response())


def test_chain_of_four_hops_is_one_trace(host):
    chain(host, 4)
    run = play(host)
    assert traces(run) == 1
    told = family(run)
    assert told["client /0"] == ("none", None)
    for hop in range(4):
        assert told[f"server /{hop}"] == ("peer", f"client /{hop}")
    for hop in range(1, 4):
        assert told[f"client /{hop}"] == ("opener", f"server /{hop - 1}")


def test_chain_under_a_header_is_of_its_trace(host):
    host.accept(process=1, thread=1).received(request("/in", fields=HEADER))
    chain_from = host.connect(process=1, thread=1, port=50000).sent(request("/x"))
    host.accept(process=2, thread=2, client=("10.0.0.9", 50000)).received(request("/x")).sent(
        response()
    )
    chain_from.received(response())
    assert {span.trace_id.hex() for span in play(host).spans} == {TRACE}


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_exchanges_may_settle_in_any_order(order):
    """A client, its server, and the server's own call: whichever is settled first, they are one trace."""
    client, server, inner = (made(n) for n in (CLIENT, SERVER, CLIENT))
    correlator = Correlator(Ids(random.Random(1).randbytes), propagators(DEFAULT_PROPAGATORS))
    correlator.begun(client, 1, ("a", 1))
    correlator.begun(server, 2, ("a", 1))
    correlator.begun(inner, 2, ("b", 1))
    exchanges = (client, server, inner)
    for index in order:
        correlator.settle(exchanges[index])
    assert {e.trace_id for e in exchanges} == {client.trace_id}
    assert [e.parent for e in exchanges] == [None, client, server]
    assert [e.rule for e in exchanges] == ["none", "peer", "thread"]


# Bounds.


class _Process:
    uses_goroutines = False
    is_proxy = False
    reuses_threads = False

    @property
    def runtime(self) -> _Process:
        return self


class _Connection:
    opener = None
    socket = 1
    tgid = 10
    turn = 1
    process = _Process()


def made(role: int) -> Exchange:
    whole = Exchange(Http1, Role(role), Request("GET", b"/", "1.1"), 1)
    whole.connection = _Connection()
    return whole


def test_requests_that_wait_for_their_other_end_are_bounded(monkeypatch):
    monkeypatch.setattr(correlate, "MAX_WAITING", 1)
    correlator = Correlator(Ids(random.Random(1).randbytes), propagators(DEFAULT_PROPAGATORS))
    first, second, late = made(CLIENT), made(CLIENT), made(SERVER)
    correlator.begun(first, 1, ("a", 1))
    correlator.begun(second, 1, ("b", 1))
    correlator.begun(late, 2, ("b", 1))
    assert late.parent is None
    correlator.settle(first)
    again, peer = made(CLIENT), made(SERVER)
    correlator.begun(again, 1, ("c", 1))
    correlator.begun(peer, 2, ("c", 1))
    assert peer.parent is again


def test_threads_are_bounded(monkeypatch):
    monkeypatch.setattr(correlate, "MAX_THREADS", 1)
    correlator = Correlator(Ids(random.Random(1).randbytes), propagators(DEFAULT_PROPAGATORS))
    for thread in (1, 2):
        correlator.begun(made(SERVER), thread, ("a", thread))
    forgotten, known = made(CLIENT), made(CLIENT)
    correlator.begun(forgotten, 1, ("b", 1))
    correlator.begun(known, 2, ("b", 2))
    assert (forgotten.rule, known.rule) == ("", "thread")


def test_parents_in_a_ring_are_cut():
    correlator = Correlator(Ids(random.Random(1).randbytes), propagators(DEFAULT_PROPAGATORS))
    one, two = made(SERVER), made(CLIENT)
    one.parent, two.parent = two, one
    correlator.settle(one)
    assert one.trace_id == two.trace_id
    assert (one.parent is None) != (two.parent is None)


# What the sampler is told.


@pytest.mark.parametrize(("flags", "sampled"), [("00", 0), ("01", 3)])
def test_whole_trace_shares_the_decision_that_came_with_it(host, flags, sampled):
    asked = request("/a", fields=f"traceparent: 00-{TRACE}-{OUTSIDE}-{flags}\r\n")
    client, server = host.connect(), host.accept()
    client.sent(asked)
    server.received(asked)
    backend(host, "/b").received(response())
    server.sent(response())
    client.received(response())
    run = play(host, sampler("parentbased_always_on"))
    assert len(run.spans) == sampled
    assert run.ledger.sampled_out == 3 - sampled


def test_a_call_that_begins_after_its_request_was_answered_is_linked() -> None:
    correlator = Correlator(Ids(random.Random(1).randbytes), propagators(DEFAULT_PROPAGATORS))
    work, call = made(SERVER), made(CLIENT)
    correlator.begun(work, 7, ("a", 1))
    correlator.begun(call, 7, ("b", 1))
    assert call.parent is work
    # The record of the answer came later, but the answer was earlier.
    work.start_ns, work.end_ns, call.start_ns, call.end_ns = 1_000, 2_000, 9_000, 10_000
    correlator.settle(work)
    correlator.settle(call)
    assert call.rule == "link"
    assert call.link is work
    assert not call.parent
    assert call.trace_id != work.trace_id


@pytest.mark.parametrize(("header", "decision"), [("0", False), ("1", True), ("d", True)])
def test_a_decision_without_a_context_is_the_traces(header, decision) -> None:
    correlator = Correlator(Ids(random.Random(1).randbytes), propagators(DEFAULT_PROPAGATORS))
    work, call = made(SERVER), made(CLIENT)
    work.request.carrier = {"b3": header}
    correlator.begun(work, 7, ("a", 1))
    correlator.begun(call, 7, ("b", 1))
    correlator.settle(call)
    assert work.rule == "none"
    assert [remote_decision(each) for each in (work, call)] == [decision, decision]


def test_the_rule_names_the_format() -> None:
    correlator = Correlator(Ids(random.Random(1).randbytes), propagators(DEFAULT_PROPAGATORS))
    work = made(SERVER)
    work.request.carrier = {"uber-trace-id": "00000000000000010000000000000002:3:0:1"}
    correlator.begun(work, 7, ("a", 1))
    correlator.settle(work)
    assert (work.rule, work.trace_id.hex()) == ("jaeger", "00000000000000010000000000000002")
