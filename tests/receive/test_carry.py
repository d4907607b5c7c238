"""Spans on their way from the server to the agent: all of them, with every field, and one resource per process."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.receive import carry
from agent.receive.carry import Unpacker, encode
from agent.spans.span import Resource
from tests.store.made import BACK, any_spans, as_read, fields, span


@settings(database=None)
@given(st.lists(any_spans(), max_size=3))
def test_every_field_arrives(spans):
    unpacker = Unpacker()
    parcel = unpacker.parcel(encode([as_read(one) for one in spans], rejected=2))
    found = unpacker.spans(parcel)
    assert [fields(as_read(one)) for one in found] == [fields(as_read(one)) for one in spans]
    assert (parcel.rejected, parcel.refused) == (2, "")


def test_processes_are_known_again(monkeypatch):
    monkeypatch.setattr(carry, "MAX_RESOURCES", 2)
    unpacker = Unpacker()

    def resources(*made):
        body = encode([as_read(one) for one in made])
        return [one.resource for one in unpacker.spans(unpacker.parcel(body))]

    first, other = resources(span(1, 1), span(1, 2, resource=BACK))
    assert resources(span(2, 1)) == [first]
    assert first is not other
    truth = Resource([("service.name", "front"), ("process.pid", True)])
    (third,) = resources(span(3, 1, resource=truth))
    assert third.attributes[1] == ("process.pid", True)


def test_a_refusal():
    parcel = Unpacker().parcel(encode([], refused="not_otlp"))
    assert (parcel.spans, parcel.refused) == ([], "not_otlp")


@pytest.mark.parametrize("data", [b"", b"\xc1", b"\x91\x01", encode([as_read(span(1, 1))])[:-3]])
def test_what_is_no_parcel(data):
    with pytest.raises(ValueError, match=r".*"):
        Unpacker().parcel(data)
