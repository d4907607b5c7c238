"""A request's way through the server."""

from __future__ import annotations

import gzip
import json

import pytest

from agent.receive import intake as intake_module
from agent.receive.intake import Answer, Fate, TooLarge, unzip
from tests.receive.sending import Agent, add, message, one


def test_what_is_right_is_handed_over_and_what_is_wrong_is_counted():
    request = message(trace_id=b"\0" * 16)
    add(request, span_id=b"\0" * 8)
    add(request, span_id=b"x")
    add(request, name="right")
    agent = Agent()
    answer = agent.intake.take_protobuf(request.SerializeToString())
    assert (answer.fate, answer.rejected) == (Fate.TAKEN, 3)
    assert answer.message == "spanId is not 8 bytes"
    assert [span.name for span in agent.spans] == ["right"]
    assert agent.rejected == 3


def test_json():
    span = {"traceId": "4b" * 16, "spanId": "05" * 8, "name": "work"}
    spans = [span, {**span, "traceId": "?"}]
    body = {"resourceSpans": [{"scopeSpans": [{"spans": spans}]}]}
    agent = Agent()
    answer = agent.intake.take_json(json.dumps(body).encode())
    assert answer == Answer(Fate.TAKEN, 1, "traceId is not 32 hexadecimal digits")
    assert [span.name for span in agent.spans] == ["work"]


def test_a_request_without_spans():
    agent = Agent()
    assert agent.intake.take_protobuf(b"") == Answer(Fate.TAKEN)
    assert agent.spans == []


@pytest.mark.parametrize("body", [b"{", b"[" * 100_000, b'{"resourceSpans": 7}', b"\xff"])
def test_garbage(body):
    agent = Agent()
    assert agent.intake.take_json(body).fate is Fate.GARBAGE
    assert agent.intake.take_protobuf(b"\xff" + body).fate is Fate.GARBAGE
    assert agent.refused == ["not_otlp"] * 2


def test_deep_json_within_an_attribute_costs_its_span_or_the_request():
    deep = '{"arrayValue":{"values":[' * 3000 + "]}}" * 3000
    span = f'{{"traceId":"{"4b" * 16}","spanId":"{"05" * 8}","attributes":[{{"key":"k","value":{deep}}}]}}'
    agent = Agent()
    body = f'{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{span}]}}]}}]}}'
    assert agent.intake.take_json(body.encode()).fate is Fate.GARBAGE


def test_large_requests_go_in_parts(monkeypatch):
    monkeypatch.setattr(intake_module, "PARCEL_SPANS", 2)
    request = message(span_id=b"x")
    for number in range(1, 6):
        add(request, span_id=bytes([number] * 8))
    agent = Agent()
    assert agent.intake.take_protobuf(request.SerializeToString()).rejected == 1
    assert [len(parcel.spans) for parcel in agent.parcels] == [2, 2, 1]
    assert agent.rejected == 1


def test_an_agent_without_room():
    agent = Agent(lambda: False)
    assert agent.intake.take_protobuf(one()).fate is Fate.FULL
    assert agent.refused == ["queue_full"]


def test_processes_share_a_resource():
    request = message()
    spans = request.resource_spans[0].scope_spans[0].spans
    spans.add(trace_id=b"t" * 16, span_id=b"s" * 8)
    agent = Agent()
    agent.intake.take_protobuf(request.SerializeToString())
    assert agent.spans[0].resource is agent.spans[1].resource


def test_unzip(monkeypatch):
    assert unzip(gzip.compress(b"abc")) == b"abc"
    for wrong in (b"abc", gzip.compress(b"abc" * 99)[:-9], b""):
        with pytest.raises(ValueError, match="gzip"):
            unzip(wrong)
    monkeypatch.setattr(intake_module, "MAX_REQUEST", 1000)
    with pytest.raises(TooLarge):
        unzip(gzip.compress(b"\0" * 1_000_000))
