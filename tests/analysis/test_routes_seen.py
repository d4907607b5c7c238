"""Requests by route."""

from __future__ import annotations

from agent.analysis.routes_seen import durations, requests_by_route
from agent.spans.span import SpanKind
from tests.analysis.story import MS, Story


def test_requests_are_gathered_by_service_and_name_and_calls_are_none() -> None:
    one, two = Story(1), Story(2)
    root = one.server(0, 30, name="GET /a")
    one.http(0, 20, root, "GET http://b/")
    one.span(0, 5, root, kind=SpanKind.CONSUMER, name="take", service="mail")
    cut = {"zerospan.incomplete": "agent_exit"}
    two.server(0, 10, name="GET /a")
    two.server(0, 99, name="GET /a", attributes=cut)
    found = requests_by_route([one.trace, two.trace])
    assert found == {
        ("shop", "GET /a"): [root, two.spans[0]],
        ("mail", "take"): [one.spans[2]],
    }
    assert durations(found["shop", "GET /a"]) == [10 * MS, 30 * MS]
