"""Recordings: written, read, damaged, bounded, and nobody else's business."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.errors import RecordingError
from agent.kernel.layout import fingerprint
from agent.kernel.recording import FORMAT, MAX_RECORD, START, Recorder, Recording

BIG = 1 << 20


def write(path: Path, records, *, max_bytes: int = BIG) -> Recorder:
    recorder = Recorder(path, header={"unix_offset_ns": 7}, max_bytes=max_bytes)
    for record in records:
        recorder.write(record)
    recorder.close()
    return recorder


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "a.rec"


def test_round_trip(path):
    records = [b"one", b"", b"x" * MAX_RECORD]
    assert write(path, records).records == 3
    recording = Recording(path)
    assert recording.header == {"format": FORMAT, "layout": fingerprint(), "unix_offset_ns": 7}
    assert list(recording) == records
    assert path.read_bytes().startswith(START)


@settings(
    max_examples=20, database=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(records=st.lists(st.binary(max_size=50), max_size=10))
def test_any_records_come_back(path, records):
    write(path, records)
    assert list(Recording(path)) == records


def test_only_the_owner_can_read_it(path):
    path.touch(0o666)
    os.chmod(path, 0o666)
    write(path, [b"secret"])
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_it_has_a_bound(path):
    header = len(json.dumps({"format": FORMAT, "layout": fingerprint(), "unix_offset_ns": 7})) + 1
    recorder = write(path, [b"12345", b"123456", b"1"], max_bytes=header + 18)
    assert (recorder.records, recorder.refused, recorder.is_full) == (1, 2, True)
    assert path.stat().st_size <= header + 18
    assert list(Recording(path)) == [b"12345"]


def test_it_is_not_full_before(path):
    assert not write(path, [b"1"]).is_full


@pytest.mark.parametrize("cut", [1, 4, 6])
def test_cut_file_gives_its_whole_records_first(path, cut):
    write(path, [b"one", b"two"])
    path.write_bytes(path.read_bytes()[:-cut])
    records = iter(Recording(path))
    assert next(records) == b"one"
    with pytest.raises(RecordingError, match="ends within a record"):
        next(records)


def test_hostile_length(path):
    write(path, [])
    with path.open("ab") as file:
        file.write((MAX_RECORD + 1).to_bytes(4, "little") + b"x")
    with pytest.raises(RecordingError, match="record of 65537 bytes; it is damaged"):
        list(Recording(path))


@pytest.mark.parametrize(
    "content", [b"", b"\n", b"what\n", b"[]\n", b"{}\n", b"7\n", b"\xff\xfe\n", b"[" * 100_000]
)
def test_what_is_no_recording(path, content):
    path.write_bytes(content)
    with pytest.raises(RecordingError, match="is not a zerospan recording"):
        Recording(path)


@pytest.mark.parametrize(
    "header", [{"format": "zerospan-recording-0", "layout": fingerprint()}, {"format": FORMAT, "layout": "other"}, {"format": FORMAT}]
)  # fmt: skip
def test_recording_of_another_version(path, header):
    path.write_text(json.dumps(header) + "\n")
    with pytest.raises(RecordingError, match="record it again"):
        Recording(path)


def test_file_that_is_not_there(path):
    with pytest.raises(RecordingError, match=r"cannot read .*: No such file or directory"):
        Recording(path)


def test_file_that_cannot_be_written(tmp_path):
    with pytest.raises(RecordingError, match=r"cannot write .*: No such file or directory"):
        Recorder(tmp_path / "no" / "such", header={}, max_bytes=BIG)


def test_directory(tmp_path):
    with pytest.raises(RecordingError, match=r"cannot read .*: Is a directory"):
        Recording(tmp_path)


def test_what_cannot_be_written_to_the_end(tmp_path):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    recorder = Recorder(path, header={}, max_bytes=BIG)
    os.close(reader)
    with pytest.raises(RecordingError, match="not whole: Broken pipe"):
        recorder.close()
