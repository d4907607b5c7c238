"""Where an error began."""

from __future__ import annotations

import pytest
from hypothesis import given

from agent.analysis import analyze
from agent.analysis.calls import CallTree
from agent.analysis.error_origin import error_origin
from agent.analysis.finding import Level
from agent.spans.span import Status
from agent.spans.trace import Trace
from tests.analysis.forest import any_trace
from tests.analysis.story import DEFAULTS, Story, found, ids


def chain(*errors: str | None) -> Story:
    """A request, the call that it makes, the request that this is, and so on."""
    story = Story(service="front")
    parent = story.server(0, 100, name="GET /page", error=errors[0])
    for depth, error in enumerate(errors[1:], 1):
        at, until = depth, 100 - depth
        if depth % 2:
            parent = story.http(at, until, parent, f"GET http://s{depth}/", name="GET", error=error)
        else:
            parent = story.server(at, until, parent, service=f"s{depth}", error=error)
    return story


def test_the_deepest_failed_span_and_the_chain_up_to_the_user() -> None:
    story = chain("500", "502", "502", "connection_refused")
    (finding,) = found(error_origin, story)
    assert finding.title == (
        "`GET /page` of front failed with 500; it began 3 levels below, in `GET` of s2 at s3:80: connection_refused"
    )
    assert finding.span_ids == ids(*reversed(story.spans))
    assert finding.confidence.level is Level.HIGH
    assert finding.details["chain"] == [
        "s2: GET",
        "s2: GET /orders",
        "front: GET",
        "front: GET /page",
    ]
    assert finding.details["error_type"] == "connection_refused"


def test_an_error_that_began_in_the_request_itself() -> None:
    (finding,) = found(error_origin, chain("500", None))
    assert finding.title == (
        "`GET /page` of front failed with 500, and no call of it that was seen failed"
    )
    assert finding.confidence.level is Level.MEDIUM


def test_of_several_the_last_to_end_is_taken_with_less_certainty() -> None:
    story = Story()
    root = story.server(0, 100, error="500")
    story.http(0, 30, root, "GET http://a/", error="503")
    last = story.http(40, 90, root, "GET http://b/", error="503")
    story.http(91, 95, root, "GET http://c/")
    (finding,) = found(error_origin, story)
    assert (finding.details["origin_span_id"], finding.confidence.level) == (
        last.span_id,
        Level.MEDIUM,
    )
    assert finding.details["other_failures"] == 1


def test_an_error_below_a_span_that_did_not_fail_is_doubtful() -> None:
    (finding,) = found(error_origin, chain("500", None, "500"))
    assert finding.confidence.level is Level.LOW


@pytest.mark.parametrize(
    "errors", [(None, "500", "500"), ("404", "404"), (None,)], ids=["mended", "asked wrong", "fine"]
)
def test_no_error_of_the_users(errors: tuple[str | None, ...]) -> None:
    assert found(error_origin, chain(*errors)) == []


def test_too_many_requests_are_an_error_of_the_users() -> None:
    assert len(found(error_origin, chain("429"))) == 1


def test_other_trees_of_the_trace_are_not_looked_at() -> None:
    story = Story()
    root = story.server(0, 100, error="500")
    story.http(200, 300, None, "GET http://a/", error="503")
    assert [one.span_ids for one in found(error_origin, story)] == [ids(root)]


@given(any_trace())
def test_the_origin_failed_and_the_chain_leads_up_to_the_root(trace: Trace) -> None:
    findings = list(error_origin(CallTree(trace), DEFAULTS))
    assert len(findings) == (trace.root.status is Status.ERROR)
    for finding in findings:
        spans = [trace.by_id[span_id] for span_id in finding.span_ids]
        assert spans[0].status is Status.ERROR
        assert spans[-1] is trace.root
        assert [trace.parent(span) for span in spans[:-1]] == spans[1:]


@pytest.mark.parametrize("error", ["process_exit", "connection_closed"])
def test_a_load_generator_that_ends_with_requests_under_way(error: str) -> None:
    """As wrk does; seen from both ends, through a proxy."""
    story = Story(service="wrk")
    asked = story.http(0, 20, None, "GET http://front/", error=error)
    front = story.server(1, 20, asked, service="nginx", error="connection_reset")
    call = story.http(2, 20, front, "GET http://app/", error="connection_closed")
    story.server(3, 21, call, service="app", error="connection_closed_by_peer")
    assert analyze([story.trace]) == []


@pytest.mark.parametrize("error", ["connection_reset", "connection_closed_by_peer"])
def test_a_user_who_goes_away(error: str) -> None:
    story = Story(service="nginx")
    root = story.server(0, 20, error=error)
    story.http(2, 20, root, "GET http://app/", error="connection_closed")
    assert analyze([story.trace]) == []


@pytest.mark.parametrize("error", ["process_exit", "connection_closed", "500"])
def test_a_server_that_goes_away_is_trouble(error: str) -> None:
    (finding,) = found(error_origin, chain(error))
    assert error in finding.title


def test_a_client_whose_server_goes_away_is_trouble() -> None:
    story = Story(service="batch")
    story.http(0, 20, None, "GET http://front/", error="connection_closed_by_peer")
    assert len(found(error_origin, story)) == 1
