"""The way from the server to the agent: a pair of stream sockets, `>I length` and a parcel, answered by one byte.

One parcel is under way at a time. Whoever waits for its answer waits for the agent to have queued it, or to have said that
there is no room.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_PARCEL: Final = 64 * 1024 * 1024
"""Bytes. Larger ones are nothing of ours: the bound of a request is far below."""
PATIENCE_S: Final = 2.0
"""How long a sender is kept waiting for room before it is told to come back."""
PAUSE_S: Final = 0.02
ANSWER_S: Final = 10.0
"""The agent answers within milliseconds, or not at all."""

_LENGTH: Final = struct.Struct(">I")
_TAKEN: Final = b"\1"
_FULL: Final = b"\0"


class Closed(Exception):  # noqa: N818  # what it is
    """The other end is gone."""


class Channel:
    """The server's end; for any thread."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end
        self._end.settimeout(ANSWER_S)
        self._lock = threading.Lock()

    def deliver(self, parcel: bytes) -> bool:
        """Hand a parcel over; False if the agent had no room all the time. Closed if there is no agent any more."""
        give_up_at = time.monotonic() + PATIENCE_S
        while not self._hand_over(parcel):
            if time.monotonic() > give_up_at:
                return False
            time.sleep(PAUSE_S)
        return True

    def _hand_over(self, parcel: bytes) -> bool:
        with self._lock:
            try:
                self._end.sendall(_LENGTH.pack(len(parcel)) + parcel)
                answer = self._end.recv(1)
            except OSError as error:
                # Half a parcel may be under way: nothing can follow it.
                with contextlib.suppress(OSError):
                    self._end.shutdown(socket.SHUT_RDWR)
                raise Closed from error
        if not answer:
            raise Closed
        return answer == _TAKEN


def attend(end: socket.socket, take: Callable[[bytes], bool]) -> None:
    """The agent's end: give every parcel to `take`, which says whether it was taken, until the server is gone."""
    with end, contextlib.suppress(OSError, Closed):
        while True:
            (length,) = _LENGTH.unpack(_exactly(end, _LENGTH.size))
            if length > MAX_PARCEL:
                return
            end.sendall(_TAKEN if take(_exactly(end, length)) else _FULL)


def _exactly(end: socket.socket, size: int) -> bytes:
    found = bytearray()
    while len(found) < size:
        more = end.recv(min(size - len(found), 1 << 20))
        if not more:
            raise Closed
        found += more
    return bytes(found)
