"""What others send is redacted as what zerospan reads itself."""

from __future__ import annotations

import pytest

from agent.receive.redact import attributes, redacted
from agent.redaction import Action, Policy, Redaction, Rule
from agent.spans.span import SpanKind, Status, Value
from agent.spans.trace import ReadEvent, ReadLink, ReadSpan

TOKEN = "ghp_16C7e42F292c6912E7710c838347Ae178B4a"


@pytest.mark.parametrize(
    ("key", "value", "kept"),
    [
        ("url.full", "https://u:p@shop.example/a?q=red#top", "https://shop.example/a?q=REDACTED"),
        ("http.url", f"http://shop/reset/{TOKEN}", "http://shop/reset/REDACTED"),
        ("http.target", "/a?q=1", "/a?q=REDACTED"),
        ("url.query", "q=1&r=2", "q=REDACTED&r=REDACTED"),
        ("url.query", ("q=1",), ("q=1",)),
        ("db.query.text", "SELECT 1", "SELECT 1"),
        ("http.status_code", 200, 200),
        ("sizes", (1, 2.5, True), (1, 2.5, True)),
    ],
)  # fmt: skip
def test_by_place(key, value, kept):
    assert attributes({key: value}, Policy()) == {key: kept}


def test_secrets_go_everywhere():
    block = {"message": f"token {TOKEN} is bad"}
    span = ReadSpan(
        trace_id="4b" * 16,
        span_id="05" * 8,
        parent_id=None,
        name="work",
        kind=SpanKind.INTERNAL,
        start_unix_ns=1,
        end_unix_ns=2,
        status=Status.ERROR,
        status_message=f"with {TOKEN}",
        attributes=block,
        events=(ReadEvent("exception", 1, block),),
        links=(ReadLink("4b" * 16, "05" * 8, block),),
    )
    found = redacted(span, {"service.name": "shop"}, Policy())
    assert TOKEN not in repr(found)
    assert found.resource == {"service.name": "shop"}
    assert found.events[0].name == "exception"


def test_the_operators_rules_hold():
    policy = Policy(Redaction((Rule(Action.DROP, "enduser.*"), Rule(Action.MASK, "size"))))
    block: dict[str, Value] = {"enduser.id": "ada", "size": 7, "codes": (1, "a")}
    assert attributes(block, policy) == {"size": "REDACTED", "codes": (1, "a")}
