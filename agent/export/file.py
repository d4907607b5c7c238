"""Spans in a file: OTLP/JSON, one ExportTraceServiceRequest a line, appended.

Traces tell what a host does, so the file is created for its owner alone. Every line is whole: when the disk fills up
in the middle of one, the file is cut back to where the line began; and a line that an earlier run left torn (power
loss, kill -9) is cut off when the file is opened. Only what is recognisably ours is ever cut.
"""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING, Final

from agent.errors import ConfigError, ExportError
from agent.export.exporter import Batch, Outcome
from agent.export.otlp_json import encode_line

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from agent.spans.span import Span

LINE_START: Final = b'{"resourceSpans":'
_CHUNK: Final = 64 * 1024
_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class FileExporter:
    """Appends batches to one file."""

    def __init__(self, path: Path) -> None:
        self.name = f"file:{path}"
        self.timeout_s = 10.0
        self.poll_s = None
        self._torn_at: int | None = None
        """Where an unfinished line begins that could not be cut off yet."""
        self._fd = _open(path)

    def prepare(self, spans: Sequence[Span]) -> Batch:
        """Encode the spans as a line."""
        body = encode_line(spans)
        return Batch(count=len(spans), size_bytes=len(body), body=body)

    def send(self, batch: Batch, *, timeout_s: float) -> Outcome:  # noqa: ARG002  # a disk has no timeout
        """Append the line, or leave the file as it was."""
        try:
            if self._torn_at is not None:
                _cut(self._fd, self._torn_at)
            self._torn_at = _size(self._fd)
            _write(self._fd, batch.body)
            self._torn_at = None
        except OSError as error:
            self._repair()
            is_full = error.errno in _FULL
            raise ExportError(
                f"writing failed: {error.strerror}",
                cause="disk_full" if is_full else "write_failed",
                retry=is_full,
            ) from error
        return Outcome(exported=batch.count)

    def poll(self) -> Outcome:
        """Nothing is held back."""
        return Outcome()

    def close(self) -> Outcome:
        """Close the file."""
        os.close(self._fd)
        return Outcome()

    def _repair(self) -> None:
        if self._torn_at is None:
            return
        try:
            _cut(self._fd, self._torn_at)
        except OSError:
            return  # tried again by the next send
        self._torn_at = None


def _open(path: Path) -> int:
    flags = (
        os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NONBLOCK
    )  # a FIFO would block
    try:
        fd = os.open(path, flags, 0o600)
    except OSError as error:
        raise ConfigError(f"file:{path}: {error.strerror}") from error
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise ConfigError(f"file:{path}: not a regular file")
    try:
        _cut_torn_line(fd, path)
    except (OSError, ConfigError):
        os.close(fd)
        raise
    return fd


def _cut_torn_line(fd: int, path: Path) -> None:
    size = start = _size(fd)
    while start > 0:
        chunk_start = max(0, start - _CHUNK)
        chunk = os.pread(fd, start - chunk_start, chunk_start)
        line_end = chunk.rfind(b"\n")
        if line_end >= 0:
            start = chunk_start + line_end + 1
            break
        start = chunk_start
    if start == size:
        return
    head = os.pread(fd, len(LINE_START), start)
    if not LINE_START.startswith(head):
        raise ConfigError(f"file:{path}: its last line is unfinished and not of zerospan")
    os.ftruncate(fd, start)


def _cut(fd: int, size: int) -> None:
    if _size(fd) > size:  # someone else may have emptied it: truncating must not make it longer
        os.ftruncate(fd, size)


def _size(fd: int) -> int:
    return os.fstat(fd).st_size


def _write(fd: int, body: bytes) -> None:
    view = memoryview(body)
    while view:
        view = view[os.write(fd, view) :]
