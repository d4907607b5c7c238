"""One direction of a connection: bytes in order, with holes, and the times at which they passed.

A `Stream` does no I/O. Whoever has bytes feeds it, then steps the generator that reads. Three numbers describe it:

    0 ────────── position ────────── end
      consumed              passed

Between `position` and `end` lie captured bytes and holes. The kernel captures only the beginning of each turn, so
holes are ordinary: `skip` walks over them, reading across one raises `Gap`. A hole is a pair of numbers, it costs
no memory. `feed` reports bytes that passed, `advance` bytes of which only the count is known, `end_turn` that the
other direction began to speak, `close` the end of file.

Rules of this file:
- Every reader is a generator that yields None for "more bytes, please", and consumes nothing before it succeeds;
  only `skip` and its kin consume as they go.
- Every wait for a delimiter has a limit, and what waits unread has one (`MAX_BUFFERED`, `MAX_PIECES`): what comes
  beyond it becomes a hole, counted in `dropped`.
- Bytes before `end` are not accepted again: a duplicate is trimmed, a late piece does not fill its hole.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator
from typing import Final, TypeVar

from agent.errors import Gap, ProtocolError

T = TypeVar("T")
Read = Generator[None, None, T]
"""A read that may need more bytes: `yield None` asks for them."""

MAX_BUFFERED: Final = 256 * 1024
"""Captured bytes that wait unread. A reader needs one head at a time (64 KiB in HTTP); the rest is slack for the
direction whose turn to be read has not come, as with pipelined requests."""

MAX_PIECES: Final = 1024
"""Pieces between holes, and times, that are remembered: a bound on what many tiny pieces can cost (about 150 KB)."""

JOINED_PIECE: Final = 8 * 1024
"""Pieces beyond a hole are joined up to this size."""


class EndOfStream(ProtocolError):  # noqa: N818  # named like Gap, for what happened
    """The direction ended inside a message, or, with `position == end`, between two."""


class Stream:
    """One direction's bytes. See the module's text for the words."""

    __slots__ = (
        "_ahead",
        "_buffer",
        "_captured",
        "_times",
        "begun_at",
        "begun_ns",
        "dropped",
        "end",
        "is_closed",
        "now_ns",
        "position",
        "turn_end",
    )

    def __init__(self) -> None:
        self.position = 0
        """Bytes consumed."""
        self.end = 0
        """Bytes that passed."""
        self.now_ns = 0
        """When the last consumed byte passed."""
        self.begun_at = -1
        """Where the message that is being read began; set by `begin`."""
        self.begun_ns = 0
        """When it began."""
        self.turn_end = 0
        """Where this direction's latest turn that is over ended."""
        self.is_closed = False
        self.dropped = 0
        """Captured bytes that were given up because too much waited unread."""
        self._buffer = bytearray()
        """Captured bytes from `position` to the first hole."""
        self._ahead: deque[tuple[int, bytes]] = deque()
        """Captured pieces beyond holes, in order: where each begins, and its bytes."""
        self._captured = 0
        """Bytes in `_ahead`."""
        self._times: deque[tuple[int, int, int]] = deque()
        """(end, time_ns, begun_ns) of stretches that passed together; the last one ends at `end`."""

    # What happened to the direction.

    def feed(
        self, position: int, data: bytes, size: int, time_ns: int, *, start_ns: int = 0
    ) -> None:
        """`size` bytes passed after the first `position`; they begin with `data`, the rest was not captured.

        `start_ns` is when the call that moved them began, if that is known: what a message's beginning counts from.
        """
        end = self.end
        if position != end:
            if position < end:
                data = data[end - position :]
                size -= end - position
                position = end
                if size <= 0:
                    return
            else:
                self._passed(position, time_ns, 0)
        if size <= 0:
            return
        if data:
            buffered = len(self._buffer)
            if buffered + self._captured + len(data) > MAX_BUFFERED:
                self.dropped += len(data)
            elif self.position + buffered == position:
                self._buffer += data
            else:
                self._store(position, data)
        self._passed(position + size, time_ns, start_ns)

    def advance(self, position: int, time_ns: int, *, tail: bytes = b"") -> None:
        """All bytes up to `position` have passed, the last of them at `time_ns`; they end with `tail`."""
        if position > self.end:
            tail = tail[max(0, len(tail) - (position - self.end)) :]
            self.feed(position - len(tail), tail, len(tail), time_ns)
            if not tail:
                self._passed(position, time_ns, 0)

    def end_turn(self, position: int, time_ns: int) -> None:
        """The other direction began to speak when `position` bytes had passed in this one, the last at `time_ns`."""
        self.advance(position, time_ns)
        self.turn_end = max(self.turn_end, position)

    def close(self) -> None:
        """Nothing more will pass."""
        self.is_closed = True

    # Looking, without waiting.

    def peek(self, size: int = MAX_BUFFERED) -> bytes:
        """The captured bytes that come next, at most `size`, up to the first hole."""
        return bytes(self._buffer[:size])

    @property
    def is_at_gap(self) -> bool:
        """Whether the next byte passed without being captured."""
        return not self._buffer and self.position < self.end

    def begin(self) -> None:
        """A message begins at `position`, whose byte has passed: note where and when."""
        times = self._times
        while times[0][0] <= self.position:
            times.popleft()
        self.begun_at = self.position
        self.begun_ns = times[0][2]

    # Readers: to be used with `yield from`.

    def wait(self) -> Read[None]:
        """Wait until the next byte has passed; `EndOfStream` if none will."""
        while self.position == self.end:
            if self.is_closed:
                raise EndOfStream("the stream has ended")
            yield None

    def find(self, delimiters: tuple[bytes, ...], limit: int) -> Read[int]:
        """Bytes up to and with the first of `delimiters`, all captured; -1 if a hole comes before it."""
        seen = 0
        longest = max(map(len, delimiters))
        while True:
            buffer = self._buffer
            start = max(0, seen - longest + 1)
            ends = [at + len(d) for d in delimiters if (at := buffer.find(d, start, limit)) >= 0]
            if ends:
                return min(ends)
            seen = len(buffer)
            if seen >= limit:
                raise ProtocolError(f"no {delimiters[0]!r} in {limit} bytes")
            if self.position + seen < self.end:
                return -1
            if self.is_closed:
                raise EndOfStream(f"the stream has ended before {delimiters[0]!r}")
            yield None

    def read_until(self, delimiter: bytes, limit: int) -> Read[bytes]:
        """The bytes up to and with `delimiter`, at most `limit`."""
        size = yield from self.find((delimiter,), limit)
        if size < 0:
            raise Gap(f"hole before {delimiter!r} at {self.position + len(self._buffer)}")
        return self.take(size)

    def read_line(self, limit: int) -> Read[bytes]:
        """One line with its line feed, at most `limit` bytes."""
        return (yield from self.read_until(b"\n", limit))

    def read(self, size: int) -> Read[bytes]:
        """Exactly `size` bytes; the caller bounds `size`, which cannot exceed MAX_BUFFERED."""
        if size > MAX_BUFFERED:
            raise ProtocolError(f"a read of {size} bytes exceeds {MAX_BUFFERED}")
        while len(self._buffer) < size:
            if self.position + len(self._buffer) < self.end:
                raise Gap(f"hole at {self.position + len(self._buffer)}")
            if self.is_closed:
                raise EndOfStream(f"the stream has ended, {size} bytes were expected")
            yield None
        return self.take(size)

    def skip(self, size: int) -> Read[None]:
        """Walk over `size` bytes, captured or not."""
        target = self.position + size
        while True:
            self._consume(min(target, self.end))
            if self.position == target:
                return
            if self.is_closed:
                raise EndOfStream(f"the stream has ended {target - self.position} bytes early")
            yield None

    def skip_to_end(self) -> Read[None]:
        """Walk over all that comes until the end of the stream, which is the proper end here."""
        while True:
            self._consume(self.end)
            if self.is_closed:
                return
            yield None

    def skip_turn(self, *endings: bytes) -> Read[None]:
        """Walk to the end of a message whose size cannot be known: bytes that would tell it were not captured.

        It ends with the turn that it is part of, or where what passed so far ends with one of `endings`, or with
        the stream.
        """
        known = tuple(ending for ending in endings if ending)
        longest = max(map(len, known), default=0)
        begun = self.position
        tail = b""
        while True:
            turn_end = self.turn_end
            if turn_end > begun or (turn_end == begun == self.end and turn_end > self.begun_at):
                self._consume(turn_end)
                return
            if self.position < self.end:
                tail = self._tail(tail, longest)
                self._consume(self.end)
            if self.is_closed or tail.endswith(known):
                return
            yield None

    def take(self, size: int) -> bytes:
        """Consume the next `size` bytes, which have been captured."""
        data = bytes(self._buffer[:size])
        self._consume(self.position + size)
        return data

    def leave(self, size: int) -> None:
        """Give up the next `size` captured bytes, or, if there are none, the hole that comes next."""
        if self._buffer:
            self._consume(self.position + min(size, len(self._buffer)))
        else:
            self._consume(self._ahead[0][0] if self._ahead else self.end)

    # Private methods.

    def _passed(self, end: int, time_ns: int, start_ns: int) -> None:
        """Bytes up to `end` passed together."""
        times = self._times
        if len(times) == MAX_PIECES:
            # Too many to remember apart: the latest stretch grows and takes the later time.
            start_ns = times.pop()[2]
        times.append((end, time_ns, start_ns or time_ns))
        self.end = end

    def _store(self, position: int, data: bytes) -> None:
        """Keep a piece that lies beyond a hole."""
        ahead = self._ahead
        if ahead and ahead[-1][0] + len(ahead[-1][1]) == position:
            # Joined pieces stay short enough that joining them one by one does not get slow.
            if len(ahead[-1][1]) < JOINED_PIECE:
                start, before = ahead.pop()
                position, data = start, before + data
                self._captured -= len(before)
        elif len(ahead) == MAX_PIECES:
            self.dropped += len(data)
            return
        ahead.append((position, data))
        self._captured += len(data)

    def _consume(self, target: int) -> None:
        """Move `position` forward to `target`, which has passed."""
        size = target - self.position
        if size <= 0:
            return
        self.position = target
        times = self._times
        while times[0][0] < target:
            times.popleft()
        self.now_ns = times[0][1]
        del self._buffer[:size]
        if not self._buffer and self._ahead:
            self._reach()

    def _reach(self) -> None:
        """Take over pieces that `position` has come to."""
        ahead = self._ahead
        while ahead and ahead[0][0] <= self.position + len(self._buffer):
            start, data = ahead.popleft()
            self._captured -= len(data)
            self._buffer += data[max(0, self.position - start) :]

    def _tail(self, before: bytes, size: int) -> bytes:
        """The last captured bytes of all that passed, at most `size`; `before` are those before `position`."""
        start, data = self._ahead[-1] if self._ahead else (self.position, bytes(self._buffer))
        if start + len(data) != self.end:
            return b""
        if start == self.position:
            data = before + data
        return data[max(0, len(data) - size) :]
