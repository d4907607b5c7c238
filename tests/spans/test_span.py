"""Spans as values."""

from __future__ import annotations

from opentelemetry.proto.trace.v1 import trace_pb2

from agent.spans.span import Attributes, Resource, Span, SpanKind, Status, encoded
from agent.spans.wire import SPAN_ATTRIBUTE, attributes


def test_blocks_of_equal_content_are_equal():
    one, two = (Attributes([("a", 1), ("b", ("x", "y"))]) for _ in range(2))
    assert one == two
    assert hash(one) == hash(two)
    assert one != Attributes([("a", 2)])
    assert one != "a"
    assert repr(one) == "Attributes({'a': 1, 'b': ('x', 'y')})"


def test_encoded_form_does_not_count():
    one, two = Attributes([("a", 1)]), Attributes([("a", 1)])
    one.wire = b"..."
    assert one == two


def test_a_block_that_came_encoded_is_read():
    items = (("a", 1), ("b", "x"))
    block = encoded(attributes(items, SPAN_ATTRIBUTE))
    assert block.items == items
    assert block == Attributes(items)
    assert hash(block) == hash(Attributes(items))


def test_resources_are_compared_by_identity():
    one = Resource([("service.name", "shop")])
    assert one != Resource([("service.name", "shop")])
    assert one.get("service.name") == "shop"
    assert one.get("nothing") is None


def test_attribute_is_found_in_any_block():
    span = Span(
        b"t" * 16,
        b"s" * 8,
        None,
        "GET",
        SpanKind.SERVER,
        1,
        2,
        Status.UNSET,
        "",
        (Attributes([("a", 1)]), Attributes([("b", False)])),
        Resource(()),
    )
    assert (span.attribute("a"), span.attribute("b"), span.attribute("c")) == (1, False, None)


def test_numbers_are_those_of_the_protocol():
    for kind in SpanKind:
        assert trace_pb2.Span.SpanKind.keys()[kind] == f"SPAN_KIND_{kind.name}"
    for status in Status:
        assert trace_pb2.Status.StatusCode.keys()[status] == f"STATUS_CODE_{status.name}"
