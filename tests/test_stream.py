"""One direction of bytes: in order, with holes and times."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import Gap, ProtocolError
from agent.stream import MAX_BUFFERED, MAX_PIECES, EndOfStream, Read, Stream


def step(reader: Read):
    """One step: the returned value, or "more"."""
    try:
        assert next(reader) is None
    except StopIteration as stop:
        return stop.value
    return "more"


def stream_of(*pieces: tuple[bytes, int]) -> Stream:
    """A stream of (captured, size) pieces, the nth at time n."""
    stream = Stream()
    for number, (data, size) in enumerate(pieces, 1):
        stream.feed(stream.end, data, size, number)
    return stream


class TestFeed:
    def test_in_order(self):
        stream = stream_of((b"ab", 2), (b"cd", 2))
        assert (stream.position, stream.end, stream.peek()) == (0, 4, b"abcd")

    def test_a_later_position_leaves_a_hole(self):
        stream = Stream()
        stream.feed(0, b"ab", 2, 1)
        stream.feed(5, b"cd", 2, 2)
        assert (stream.end, stream.peek()) == (7, b"ab")
        assert step(stream.skip(5)) is None
        assert stream.peek() == b"cd"

    def test_what_was_not_captured_is_a_hole(self):
        stream = stream_of((b"ab", 10), (b"cd", 2))
        assert step(stream.skip(10)) is None
        assert (stream.peek(), stream.is_at_gap) == (b"cd", False)

    @pytest.mark.parametrize(
        ("position", "data", "size", "seen"),
        [
            (0, b"abcd", 4, b"abcd"),
            (1, b"bcdef", 5, b"abcdef"),
            (3, b"d", 1, b"abcd"),
            (2, b"c", 9, b"abcd"),
            (4, b"", 0, b"abcd"),
        ],
    )
    def test_bytes_that_passed_before_are_trimmed(self, position, data, size, seen):
        stream = stream_of((b"abcd", 4))
        stream.feed(position, data, size, 2)
        assert (stream.peek(), stream.end) == (seen, max(4, position + size))

    def test_a_late_piece_does_not_fill_its_hole(self):
        stream = stream_of((b"ab", 10))
        stream.feed(2, b"cd", 2, 2)
        assert (stream.peek(), stream.end) == (b"ab", 10)


class TestAdvance:
    def test_only_the_count_is_known(self):
        stream = stream_of((b"ab", 2))
        stream.advance(100, 9)
        assert step(stream.skip(100)) is None
        assert (stream.position, stream.now_ns) == (100, 9)

    def test_it_never_goes_back(self):
        stream = stream_of((b"ab", 2))
        stream.advance(1, 9)
        stream.advance(2, 9, tail=b"ab")
        assert (stream.end, stream.peek()) == (2, b"ab")

    def test_the_tail_is_captured(self):
        stream = stream_of((b"ab", 2))
        stream.advance(20, 9, tail=b"yz")
        assert step(stream.skip(18)) is None
        assert (stream.peek(), stream.end) == (b"yz", 20)

    def test_a_tail_may_reach_back_before_the_end(self):
        stream = stream_of((b"ab", 2))
        stream.advance(4, 9, tail=b"__abyz")
        assert stream.peek() == b"abyz"


class TestTimes:
    def test_of_the_last_consumed_byte(self):
        stream = stream_of((b"ab", 2), (b"cd", 2), (b"", 4))
        seen = []
        for size in (1, 1, 1, 1, 3, 1):
            assert step(stream.skip(size)) is None
            seen.append(stream.now_ns)
        assert seen == [1, 1, 2, 2, 3, 3]

    def test_of_a_beginning(self):
        stream = Stream()
        stream.feed(0, b"ab", 2, 10, start_ns=5)
        stream.feed(2, b"cd", 2, 20)
        stream.begin()
        assert (stream.begun_at, stream.begun_ns) == (0, 5)
        stream.take(2)
        stream.begin()
        assert (stream.begun_at, stream.begun_ns) == (2, 20)

    def test_too_many_to_remember_are_joined(self):
        stream = Stream()
        for number in range(3 * MAX_PIECES):
            stream.feed(number, b"x", 1, number)
        stream.take(MAX_PIECES)
        assert stream.now_ns == 3 * MAX_PIECES - 1
        stream.take(MAX_PIECES * 2)
        assert (stream.position, stream.now_ns) == (3 * MAX_PIECES, 3 * MAX_PIECES - 1)


class TestWait:
    def test_for_a_byte(self):
        stream = Stream()
        reader = stream.wait()
        assert step(reader) == "more"
        stream.advance(1, 1)
        assert step(reader) is None

    def test_none_comes(self):
        stream = Stream()
        stream.close()
        with pytest.raises(EndOfStream):
            next(stream.wait())


class TestReadUntil:
    def test_it_waits_and_consumes_nothing_before(self):
        stream = stream_of((b"ab\r", 3))
        reader = stream.read_until(b"\r\n", 10)
        assert step(reader) == "more"
        assert stream.position == 0
        stream.feed(3, b"\nrest", 5, 2)
        assert step(reader) == b"ab\r\n"
        assert stream.peek() == b"rest"

    def test_lines(self):
        stream = stream_of((b"a\nb\n", 4))
        assert [step(stream.read_line(10)) for _ in range(2)] == [b"a\n", b"b\n"]

    def test_the_limit(self):
        stream = stream_of((b"abcd\n", 5))
        assert step(stream.read_line(5)) == b"abcd\n"
        stream = stream_of((b"abcd\n", 5))
        with pytest.raises(ProtocolError, match="in 4 bytes"):
            next(stream.read_line(4))

    def test_across_a_hole(self):
        stream = stream_of((b"ab", 5), (b"\n", 1))
        with pytest.raises(Gap, match="at 2"):
            next(stream.read_line(100))

    def test_at_the_end(self):
        stream = stream_of((b"ab", 2))
        stream.close()
        with pytest.raises(EndOfStream):
            next(stream.read_line(100))

    def test_the_first_of_several(self):
        stream = stream_of((b"ab\n\r\nc\n\n", 9))
        assert step(stream.find((b"\n\n", b"\n\r\n"), 100)) == 5


class TestRead:
    def test_exactly(self):
        stream = stream_of((b"ab", 2))
        reader = stream.read(3)
        assert step(reader) == "more"
        stream.feed(2, b"cd", 2, 2)
        assert step(reader) == b"abc"

    def test_across_a_hole(self):
        with pytest.raises(Gap):
            next(stream_of((b"ab", 5)).read(3))

    def test_at_the_end(self):
        stream = stream_of((b"ab", 2))
        stream.close()
        with pytest.raises(EndOfStream):
            next(stream.read(3))

    def test_too_much(self):
        with pytest.raises(ProtocolError):
            next(Stream().read(MAX_BUFFERED + 1))


class TestSkip:
    def test_over_holes_and_into_the_future(self):
        stream = stream_of((b"ab", 5), (b"cd", 2))
        reader = stream.skip(9)
        assert (step(reader), stream.position) == ("more", 7)
        stream.feed(7, b"efgh", 4, 3)
        assert (step(reader), stream.position, stream.peek()) == (None, 9, b"gh")

    def test_past_the_end(self):
        stream = stream_of((b"ab", 2))
        stream.close()
        with pytest.raises(EndOfStream, match="1 bytes early"):
            next(stream.skip(3))

    def test_to_the_end(self):
        stream = stream_of((b"ab", 5))
        reader = stream.skip_to_end()
        assert step(reader) == "more"
        stream.advance(9, 4)
        stream.close()
        assert (step(reader), stream.position, stream.now_ns) == (None, 9, 4)


class TestSkipTurn:
    def begun(self, *pieces: tuple[bytes, int]) -> Stream:
        stream = stream_of(*pieces)
        stream.begin()
        return stream

    def test_it_ends_with_the_turn(self):
        stream = self.begun((b"ab", 5))
        reader = stream.skip_turn(b"")
        assert step(reader) == "more"
        stream.end_turn(20, 3)
        stream.feed(20, b"next", 4, 4)
        assert (step(reader), stream.position, stream.peek()) == (None, 20, b"next")

    def test_it_ends_with_a_turn_that_ended_before(self):
        stream = self.begun((b"ab", 5))
        stream.end_turn(5, 3)
        assert (step(stream.skip_turn(b"")), stream.position) == (None, 5)

    def test_nothing_may_be_left_of_the_turn(self):
        stream = self.begun((b"ab", 2))
        stream.take(2)
        stream.end_turn(2, 3)
        assert step(stream.skip_turn(b"")) is None

    def test_an_earlier_turn_is_another_one(self):
        stream = self.begun((b"ab", 2))
        stream.end_turn(2, 3)
        stream.take(2)
        stream.feed(2, b"cd", 9, 4)
        stream.begin()
        assert step(stream.skip_turn(b"")) == "more"

    def test_it_ends_with_the_stream(self):
        stream = self.begun((b"ab", 5))
        stream.close()
        assert step(stream.skip_turn(b"")) is None

    @pytest.mark.parametrize(
        ("pieces", "is_end"),
        [
            ([(b"xEND", 4)], True),
            ([(b"xEND", 5)], False),
            ([(b"xE", 2), (b"N", 1), (b"D", 1)], True),
            ([(b"xE", 2), (b"N", 3), (b"D", 1)], False),
            ([(b"", 5), (b"END", 3)], True),
            ([(b"", 5), (b"EN", 2), (b"D", 1)], True),
            ([(b"x", 5), (b"ENDx", 4)], False),
        ],
    )
    def test_it_ends_where_an_ending_is_seen(self, pieces, is_end):
        stream = self.begun((b"?", 1))
        reader = stream.skip_turn(b"END")
        outcome = step(reader)
        for data, size in pieces:
            assert outcome == "more"
            stream.feed(stream.end, data, size, 2)
            outcome = step(reader)
        assert outcome == (None if is_end else "more")


class TestLeave:
    def test_captured_bytes_first_then_the_hole(self):
        stream = stream_of((b"abc", 5), (b"de", 4))
        stream.leave(2)
        assert (stream.position, stream.peek()) == (2, b"c")
        stream.leave(9)
        assert (stream.position, stream.is_at_gap) == (3, True)
        stream.leave(1)
        assert (stream.position, stream.peek()) == (5, b"de")
        stream.leave(2)
        stream.leave(1)
        assert (stream.position, stream.end) == (9, 9)
        stream.leave(1)
        assert stream.position == 9


class TestBounds:
    def test_captured_bytes(self):
        stream = Stream()
        for _ in range(100):
            stream.feed(stream.end, b"x" * 10000, 10000, 1)
        assert len(stream.peek()) <= MAX_BUFFERED
        assert stream.dropped == stream.end - len(stream.peek())
        assert step(stream.skip(10**6)) is None

    def test_captured_bytes_beyond_holes(self):
        stream = Stream()
        for _ in range(100):
            stream.feed(stream.end, b"x" * 10000, 10001, 1)
        assert 0 < stream.dropped < 10**6
        assert step(stream.skip(stream.end)) is None
        assert stream._captured == 0

    def test_pieces(self):
        stream = Stream()
        for _ in range(5 * MAX_PIECES):
            stream.feed(stream.end, b"x", 2, 1)
        assert len(stream._ahead) == MAX_PIECES
        assert len(stream._times) == MAX_PIECES
        assert stream.dropped == 4 * MAX_PIECES - 1

    def test_small_pieces_that_touch_are_joined(self):
        stream = stream_of((b"", 1))
        for _ in range(2 * MAX_PIECES):
            stream.feed(stream.end, b"x" * 20, 20, 1)
        assert stream.dropped == 0
        assert step(stream.skip(1)) is None
        assert stream.peek() == b"x" * (40 * MAX_PIECES)


@given(st.data())
def test_whatever_is_captured_comes_out_where_it_was(data):
    """Against a plain model: a list of bytes, None where nothing was captured."""
    model: list[Any] = []
    stream = Stream()
    for number in range(1, data.draw(st.integers(1, 12))):
        position = max(0, len(model) + data.draw(st.integers(-5, 5)))
        captured = data.draw(st.binary(max_size=8))
        size = len(captured) + data.draw(st.sampled_from([0, 0, 3]))
        stream.feed(position, captured, size, number)
        model += [None] * (position - len(model))
        piece = [*captured, *[None] * (size - len(captured))]
        model += piece[len(model) - position :]
        ahead = data.draw(st.integers(0, 6))
        if ahead <= stream.end - stream.position:
            assert step(stream.skip(ahead)) is None
        rest = model[stream.position :]
        seen = bytes(rest[: rest.index(None)] if None in rest else rest)
        assert (stream.end, stream.peek()) == (len(model), seen)
        assert stream.is_at_gap == (bool(rest) and rest[0] is None)
