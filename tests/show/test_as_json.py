"""JSON for programs: what is read back is what was there."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from agent.export.otlp_json import encode_line
from agent.query.evaluate import evaluate
from agent.query.parser import parse
from agent.show import as_json
from agent.show.as_json import dumps, matches, otlp, rows, trace
from tests.show.made import EVIL, EVIL_EDGE, EVIL_TRACE, TRACE
from tests.store.made import any_spans, as_read


def test_a_trace():
    told = json.loads(dumps(trace(TRACE)))
    assert told["trace_id"] == TRACE.trace_id
    assert [one["name"] for one in told["spans"]] == ["GET /", "call", "work", "end"]
    assert told["spans"][2]["status"] == "error"
    assert told["spans"][2]["attributes"] == {"http.response.status_code": 503}


def test_what_a_query_found():
    match = evaluate(parse("{ status = error } | count() | select(kind, .none)"), TRACE)
    assert match is not None
    (told,) = json.loads(dumps(matches([match])))
    assert (told["root_name"], told["spans_total"], told["numbers"]) == ("GET /", 4, {"count()": 1})
    assert [one["selected"] for one in told["spans"]] == [{"kind": "server", ".none": None}]


def test_no_text_can_act_on_a_terminal_and_all_of_it_comes_back():
    text = dumps(trace(EVIL_TRACE))
    assert text.replace("\n", "").isprintable()
    assert text.isascii()
    (told,) = json.loads(text)["spans"]
    assert (told["name"], told["attributes"][EVIL], told["attributes"]["nan"]) == (EVIL, EVIL, None)
    assert json.loads(dumps(rows([EVIL_EDGE])))[0]["caller"] == {"kind": "service", "name": EVIL}


@given(st.lists(any_spans(), min_size=1, max_size=5))
def test_otlp_is_what_the_exporter_writes(spans):
    """Resources that are equal are one resource here; so are those of the spans, one by one."""
    for one in spans:
        written = json.loads(encode_line([one]))
        assert json.loads(otlp([as_read(one)])) == written
    together = json.loads(otlp([as_read(one) for one in spans]))
    count = sum(
        len(scope["spans"])
        for resource in together["resourceSpans"]
        for scope in resource["scopeSpans"]
    )
    assert count == len(spans)


def test_a_span_says_all_it_has():
    told = as_json.span(EVIL_TRACE.root)
    assert [event["name"] for event in told["events"]] == [EVIL]
    assert told["links"] == [{"trace_id": "31" * 16, "span_id": "32" * 8, "attributes": {}}]
