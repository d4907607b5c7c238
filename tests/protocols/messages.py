"""Steps a message layer's readers, as a connection would."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from agent.errors import ProtocolError
from agent.stream import EndOfStream, Read, Stream
from tests.wire import Piece, bytewise, cut, whole

STEPS = 100_000
"""More than any test's reading takes."""


def read_all(
    reader: Callable[[Stream], Read[Any]], pieces: list[Piece], *, is_closed: bool = False
) -> list[Any]:
    """The messages in `pieces`, and behind them the class of the error that stopped the reading, if one did."""
    stream = Stream()
    messages: list[Any] = []
    step = reader(stream)
    steps = 0
    for number in range(len(pieces) + 1):
        if number == len(pieces):
            if not is_closed:
                break
            stream.close()
        else:
            stream.feed(stream.end, pieces[number].data, pieces[number].size, 1)
        while True:
            steps += 1
            assert steps < STEPS
            try:
                next(step)
                break
            except StopIteration as stop:
                messages.append(stop.value)
                step = reader(stream)
                if stream.position == stream.end:
                    break
            except EndOfStream:
                if stream.position < stream.end:
                    messages.append(EndOfStream)
                return messages
            except ProtocolError as error:
                return [*messages, type(error)]
    return messages


def three_ways(reader: Callable[[], Callable[[Stream], Read[Any]]], data: bytes) -> list[Any]:
    """Whole, byte by byte and in halves give the same, which this returns. `reader` makes one with fresh state."""
    result = read_all(reader(), whole(data))
    assert read_all(reader(), bytewise(data)) == result
    assert read_all(reader(), cut(data, [len(data) // 2])) == result
    return result
