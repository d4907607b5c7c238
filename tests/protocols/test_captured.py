"""Fields of which the beginning is wanted."""

from __future__ import annotations

import pytest

from agent.protocols.captured import read_head
from agent.stream import EndOfStream
from tests.protocols.messages import read_all
from tests.wire import Piece, bytewise, holed, whole


def reader(size: int, limit: int):
    return lambda stream: read_head(stream, size, limit)


def test_as_much_as_is_wanted():
    assert read_all(reader(6, 4), whole(b"abcdef")) == [b"abcd"]
    assert read_all(reader(3, 9), bytewise(b"abcdef")) == [b"abc", b"def"]
    assert read_all(reader(0, 9), []) == []


def test_as_much_as_was_captured():
    assert read_all(reader(6, 6), holed(b"abcdef", 2, 4)) == [b"ab"]
    assert read_all(reader(6, 6), [Piece(b"", 6)]) == [b""]


@pytest.mark.parametrize("size", [1, 3])
def test_the_end_comes_before(size):
    assert read_all(reader(4, 4), whole(b"abcd"[:size]), is_closed=True) == [EndOfStream]
