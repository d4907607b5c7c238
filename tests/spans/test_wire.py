"""Blocks that are encoded as they are made: what was put in is read out, and is what the general encoder makes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from agent.spans.wire import (
    INT64_MAX,
    INT64_MIN,
    SPAN_ATTRIBUTE,
    Integers,
    Strings,
    attributes,
    double,
    pack_double,
    read,
    utf8,
)

_TEXT = Strings("text")
_SIZE = Integers("size")
_TIME = double("time")


@given(
    st.text(max_size=20) | st.integers(0, 5000).map(lambda size: "x" * size),
    st.integers(INT64_MIN, INT64_MAX) | st.integers(0, 5000),
    st.floats(allow_nan=False),
)
def test_what_the_tables_make_is_what_the_encoder_makes(text, number, seconds):
    body = utf8(text)
    made = _TEXT[len(body)] + body + _SIZE[number] + _TIME + pack_double(seconds)
    items = (("text", body.decode()), ("size", number), ("time", seconds))
    assert made == attributes(items, SPAN_ATTRIBUTE)
    assert read(made) == items


def test_the_tables_are_bounded():
    for number in range(100_000):
        assert _SIZE[number]
        assert _TEXT[number]
    assert len(_SIZE) < 5000
    assert len(_TEXT) < 500
