"""A span as a row, and back."""

from __future__ import annotations

from hypothesis import given

from agent.store.rows import TIME_MAX, Owner, from_row, to_row
from agent.store.schema import SLOTS
from agent.store.shapes import Shaper
from agent.store.values import clean, clean_text
from tests.store.made import any_spans, as_read, fields, span


def back(one, shaper=None):
    known, values = (shaper or Shaper()).split(one)
    row = to_row(one, Owner(1, 2, 3), values)
    resource = {clean_text(key): clean(value) for key, value in one.resource.attributes}
    return from_row(row, one.trace_id.hex(), known.shape, resource)


@given(any_spans())
def test_every_span_comes_back(one):
    assert fields(back(one)) == fields(as_read(one))


def test_more_values_than_columns_come_back():
    shaper = Shaper()
    for number in range(30):
        one = span(1, 1, attributes={f"k{i}": f"{i}/{number}" for i in range(SLOTS + 3)})
        found = back(one, shaper)
    known, _ = shaper.split(one)
    assert len(known.shape.slots) == SLOTS + 3
    assert fields(found) == fields(as_read(one))


def test_times_that_no_column_holds_are_cut():
    found = back(span(1, 1, start_unix_ns=2**64 - 1, end_unix_ns=5))
    assert (found.start_unix_ns, found.end_unix_ns) == (TIME_MAX, TIME_MAX)
    found = back(span(1, 1, start_unix_ns=10, end_unix_ns=2**64))
    assert (found.start_unix_ns, found.end_unix_ns) == (10, TIME_MAX)
    found = back(span(1, 1, start_unix_ns=10, end_unix_ns=3))
    assert (found.start_unix_ns, found.end_unix_ns) == (10, 10)
