"""Values as they are stored and read back."""

from __future__ import annotations

import math

from hypothesis import given

from agent.store.values import attributes_from_json, clean, from_slot, to_json, to_slot, type_of
from tests.store.made import tables, values


@given(values)
def test_a_clean_value_comes_back_from_a_slot_with_its_type(value):
    value = clean(value)
    back = from_slot(to_slot(value), type_of(value))
    assert (type(back), back) == (type(value), value)


@given(tables)
def test_attributes_come_back_from_json_with_their_types(table):
    table = {key: clean(value) for key, value in table.items()}
    back = attributes_from_json(to_json(table))
    assert [(k, type(v), v) for k, v in back.items()] == [(k, type(v), v) for k, v in table.items()]


def test_what_no_receiver_would_take_is_made_valid():
    assert clean("a\udcffb") == "a?b"
    assert clean(1 << 63) == "9223372036854775808"
    assert clean(("\ud800",)) == ("?",)
    assert clean(True) is True


def test_not_a_number_has_no_column_and_comes_back_all_the_same():
    assert to_slot(math.nan) is None
    back = from_slot(None, type_of(math.nan))
    assert isinstance(back, float)
    assert math.isnan(back)
