"""Which claims to a job are believed."""

from __future__ import annotations

from agent.protocols import Role
from agent.protocols.http1 import Http1
from agent.protocols.pairing import Exchange
from agent.traces import jobs
from agent.traces.jobs import MAX_CLAIMS, Jobs
from agent.traces.overlaps import Overlaps

JOB = (7, 20 << 32 | 1)
START_NS, END_NS = 1_000_000, 9_000_000


def request(start_ns: int = START_NS, end_ns: int = END_NS) -> Exchange:
    made = Exchange(Http1, Role.SERVER, None, start_ns)
    made.first_byte_ns = made.end_ns = end_ns
    return made


def claim(found: Jobs, job: tuple[int, int], exchange: Exchange) -> None:
    """Its answer begins when the job is done."""
    found.claim(job, exchange, exchange.end_ns)


def call(
    job: tuple[int, int] = JOB, *, start_ns: int = 5_000_000, given=None, thread: int = 20
) -> Exchange:
    made = Exchange(Http1, Role.CLIENT, None, start_ns)
    made.end_ns = start_ns + 1_000_000
    made.thread, made.job, made.given = thread, job, given
    return made


def test_the_only_claim_is_believed():
    found, mine, other = Jobs(), request(), request()
    claim(found, JOB, mine)
    claim(found, (7, JOB[1] + 1), other)
    assert found.owner(call()) is mine
    assert found.owner(call((8, JOB[1]))) is None


def test_a_request_that_was_not_under_way_has_no_claim():
    found = Jobs()
    claim(found, JOB, request(start_ns=6_000_000))
    claim(found, JOB, request(end_ns=4_000_000))
    assert found.owner(call()) is None
    unanswered = request(end_ns=0)
    found.claim(JOB, unanswered, END_NS)
    assert found.owner(call()) is unanswered


def test_a_call_that_was_not_over_with_the_job_is_of_another_one():
    """A thread that the worker left behind."""
    found = Jobs()
    claim(found, JOB, request(end_ns=5_500_000))
    assert found.owner(call()) is None
    unfinished = call(start_ns=1_500_000)
    unfinished.end_ns = 0
    assert found.owner(unfinished) is None


def test_of_two_claims_that_of_whoever_woke_the_worker_is_believed():
    found, one, two, third = Jobs(), request(), request(), request()
    for each in (one, two, one):
        claim(found, JOB, each)
    assert found.owner(call()) is None
    assert found.owner(call(given=third)) is None
    assert found.owner(call(given=two)) is two


def test_claims_to_a_job_are_bounded():
    found = Jobs()
    everybody = [request() for _ in range(MAX_CLAIMS + 1)]
    for each in everybody:
        claim(found, JOB, each)
    assert found.claims(call()) == everybody[1:]


def test_jobs_are_bounded():
    found = Jobs(limit=1)
    claim(found, JOB, request())
    latest = request()
    claim(found, (7, 1), latest)
    assert found.owner(call()) is None
    assert found.owner(call((7, 1))) is latest


def test_where_many_jobs_are_claimed_by_nobody_a_claim_must_agree_with_the_wake():
    """They pass for parts of the jobs that follow them. A job counts once, however many calls it has."""
    found, mine = Jobs(), request()
    jobs_of_one = [(7, JOB[1] + n) for n in range(25)]
    for nobodys in jobs_of_one[:3]:
        for _ in range(4):
            assert found.owner(call(nobodys)) is None
    claim(found, jobs_of_one[3], mine)
    assert found.owner(call(jobs_of_one[3])) is mine
    for nobodys in jobs_of_one[4:6]:
        found.owner(call(nobodys))
    claim(found, jobs_of_one[6], mine)
    assert found.owner(call(jobs_of_one[6])) is None
    assert found.owner(call(jobs_of_one[6], given=mine)) is mine
    others = (7, 21 << 32)
    claim(found, others, mine)
    assert found.owner(call(others)) is mine, "another worker is not blamed for it"
    assert found.owner(call(jobs_of_one[6], thread=99)) is mine, "nor a thread that it made"
    for job in jobs_of_one[7:]:
        claim(found, job, mine)
        found.owner(call(job))
    assert found.owner(call(jobs_of_one[-1])) is mine


def test_workers_are_bounded(monkeypatch):
    monkeypatch.setattr(jobs, "MAX_WORKERS", 1)
    found, mine = Jobs(), request()
    claim(found, JOB, mine)
    for n in range(1, 6):
        found.owner(call((7, JOB[1] + n)))
    assert found.owner(call()) is None
    found.owner(call((8, 1)))
    assert found.owner(call()) is mine


def test_what_is_far_behind_a_call_does_not_wait_for_it(monkeypatch):
    """Exchanges behind one another: the first one's parent is still to be found."""
    found, overlaps, first = Jobs(), Overlaps(), call()
    mine = request(end_ns=0)
    mine.connection = Place()
    overlaps.begun(mine)
    chain = [first]
    for _ in range(3):
        chain.append(request())
        chain[-1].parent = chain[-2]
    monkeypatch.setattr(jobs, "MAX_CHAIN", 3)
    assert [found.blocker(each, overlaps) for each in chain] == [mine, mine, mine, None]
    found.claim(JOB, mine, END_NS)
    assert found.blocker(first, overlaps) is None, "its answer has begun"
    mine.first_byte_ns = mine.end_ns = END_NS
    assert found.blocker(first, overlaps) is mine, "until it is settled"
    mine.trace_id = b"t"
    assert found.blocker(first, overlaps) is None


class Place:
    tgid = 7


def has_left(found: Jobs, made: Exchange, *under_way: Exchange, is_after: bool = False) -> bool:
    overlaps = Overlaps()
    for each in under_way:
        each.connection = Place()
        overlaps.begun(each)
    return found.has_left(made, overlaps, is_after=is_after)


def test_a_thread_that_is_gone():
    found = Jobs(limit=1)
    found.left(7, 20, 6_000_000)
    mine = request()
    assert has_left(found, call(given=mine))
    assert not has_left(found, call())
    assert not has_left(found, call((8, JOB[1]), given=mine))
    assert not has_left(found, call(start_ns=7_000_000, given=mine)), "its number is used again"
    claim(found, JOB, request(end_ns=5_500_000))
    assert has_left(found, call(given=mine), request())


def test_a_thread_that_a_worker_made_between_two_requests():
    found = Jobs()
    found.left(7, 20, 6_000_000)
    late = call(given=request(end_ns=4_000_000))
    assert has_left(found, late, is_after=True)
    assert has_left(found, late, request(start_ns=5_500_000), is_after=True)
    assert not has_left(found, late, request(), is_after=True)
    claim(found, JOB, request(end_ns=5_500_000))
    assert not has_left(found, late, is_after=True)


def test_threads_that_are_gone_are_bounded(monkeypatch):
    monkeypatch.setattr(jobs, "MAX_LEFT", 1)
    found = Jobs()
    found.left(7, 20, 6_000_000)
    found.left(7, 21, 6_000_000)
    assert not has_left(found, call(given=request()))
