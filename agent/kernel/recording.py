"""Recordings: the raw records of a run, for the same pipeline without a kernel.

A file is a line of JSON (format, layout fingerprint, clock offset), then records, each behind a 4-byte length. Recordings hold captured bytes of other people's traffic: the file is readable by its owner
only. Reading checks every length: a recording may have been cut by a full disk, or be somebody's bad joke.
"""

from __future__ import annotations

import json
import os
import struct
from typing import TYPE_CHECKING, Any, BinaryIO, Final

from agent.errors import RecordingError
from agent.kernel.layout import fingerprint

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

FORMAT: Final = "zerospan-recording-1"
START: Final = b'{"format": "zerospan-recording'
"""How every recording begins, of whatever version."""
MAX_RECORD: Final = 64 * 1024
MAX_HEADER: Final = 4 * 1024 * 1024
DEFAULT_MAX_BYTES: Final = 256 * 1024 * 1024

_LENGTH: Final = struct.Struct("<I")


class Recorder:
    """Writes one recording."""

    def __init__(self, path: Path, *, header: Mapping[str, Any], max_bytes: int) -> None:
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            os.fchmod(descriptor, 0o600)
        except OSError as error:
            raise RecordingError(f"cannot write {path}: {error.strerror}") from error
        self._file: BinaryIO = os.fdopen(descriptor, "wb", buffering=1 << 20)
        self._left = max_bytes
        self.records = 0
        self.refused = 0
        """Records that came when the file was full."""
        line = json.dumps({"format": FORMAT, "layout": fingerprint(), **header}).encode() + b"\n"
        self._file.write(line)
        self._left -= len(line)

    @property
    def is_full(self) -> bool:
        """Whether the bound was reached."""
        return self.refused > 0

    def write(self, record: bytes) -> None:
        """Add a record, unless the file is full."""
        size = len(record) + _LENGTH.size
        if self.refused or size > self._left:
            self.refused += 1
            return
        self._file.write(_LENGTH.pack(len(record)))
        self._file.write(record)
        self._left -= size
        self.records += 1

    def close(self) -> None:
        """Write what is buffered."""
        try:
            self._file.close()
        except OSError as error:
            raise RecordingError(f"the recording is not whole: {error.strerror}") from error


class Recording:
    """Reads one recording."""

    def __init__(self, path: Path) -> None:
        try:
            self._file: BinaryIO = path.open("rb")
        except OSError as error:
            raise RecordingError(f"cannot read {path}: {error.strerror}") from error
        self._path = path
        try:
            self.header = self._read_header()
        except RecordingError:
            self._file.close()
            raise

    def _read_header(self) -> dict[str, Any]:
        try:
            header: dict[str, Any] = json.loads(self._file.readline(MAX_HEADER))
            is_known = header["format"] == FORMAT
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise RecordingError(f"{self._path} is not a zerospan recording") from error
        except OSError as error:
            raise RecordingError(f"cannot read {self._path}: {error.strerror}") from error
        if not is_known or header.get("layout") != fingerprint():
            raise RecordingError(
                f"{self._path} was recorded by a version of zerospan with other records; record it again"
            )
        return header

    def __iter__(self) -> Iterator[bytes]:
        """The records in order. A file that ends within one raises RecordingError after the whole ones."""
        with self._file:
            while prefix := self._file.read(_LENGTH.size):
                if len(prefix) < _LENGTH.size:
                    raise RecordingError(f"{self._path} ends within a record")
                (length,) = _LENGTH.unpack(prefix)
                if length > MAX_RECORD:
                    raise RecordingError(
                        f"{self._path} holds a record of {length} bytes; it is damaged"
                    )
                record = self._file.read(length)
                if len(record) < length:
                    raise RecordingError(f"{self._path} ends within a record")
                yield record
