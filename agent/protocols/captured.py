"""Reads that many wire formats share: fields of which only the beginning is wanted, or was captured."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.stream import EndOfStream

if TYPE_CHECKING:
    from agent.stream import Read, Stream


def read_beginning(stream: Stream, size: int, limit: int) -> Read[bytes]:
    """The first of `size` bytes, as many as were captured, at most `limit`; only those are consumed."""
    wanted = min(size, limit)
    while True:
        head = stream.peek(wanted)
        if len(head) == wanted or stream.position + len(head) < stream.end:
            return stream.take(len(head))
        if stream.is_closed:
            raise EndOfStream(f"the stream has ended, {size} bytes were expected")
        yield None


def read_head(stream: Stream, size: int, limit: int) -> Read[bytes]:
    """Walk over `size` bytes; gives the first of them, as many as were captured, at most `limit`."""
    head = yield from read_beginning(stream, size, limit)
    yield from stream.skip(size - len(head))
    return head
