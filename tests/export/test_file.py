"""Spans in a file: whole lines, whatever the disk does."""

from __future__ import annotations

import fcntl
import os
import resource
import signal
import stat
from collections import Counter
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from agent.counters import Delivery
from agent.errors import ConfigError, ExportError
from agent.export.batch import Exports
from agent.export.exporter import Outcome
from agent.export.file import FileExporter
from agent.export.otlp_json import encode_line
from agent.export.retry import Retry
from tests.export import sample
from tests.export.servers import until

ONE, TWO = [sample.span(1)], [sample.span(2), sample.span(3)]


def send(exporter: FileExporter, spans) -> Outcome:
    return exporter.send(exporter.prepare(spans), timeout_s=1)


@contextmanager
def files_limited_to(size: int):
    """Writing beyond `size` fails as it does on a full disk, after a part was written."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


def test_batches_are_appended_as_lines_for_the_owner_alone(tmp_path):
    path = tmp_path / "spans.json"
    with closing(FileExporter(path)) as exporter:
        assert exporter.name == f"file:{path}"
        assert send(exporter, ONE) == Outcome(exported=1)
    with closing(FileExporter(path)) as exporter:
        assert send(exporter, TWO) == Outcome(exported=2)
    assert path.read_bytes() == encode_line(ONE) + encode_line(TWO)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_full_disk_leaves_whole_lines(tmp_path):
    path = tmp_path / "spans.json"
    with closing(FileExporter(path)) as exporter:
        send(exporter, ONE)
        with files_limited_to(path.stat().st_size + 100):
            with pytest.raises(ExportError, match="writing failed: File too large") as caught:
                send(exporter, TWO)
            assert path.read_bytes() == encode_line(ONE)
        assert (caught.value.cause, caught.value.retry) == ("disk_full", True)
        send(exporter, TWO)
    assert path.read_bytes() == encode_line(ONE) + encode_line(TWO)


def test_nothing_is_appended_to_a_torn_line_that_cannot_be_cut_off():
    memory = os.memfd_create("spans", os.MFD_ALLOW_SEALING)
    exporter = FileExporter(Path(f"/proc/self/fd/{memory}"))
    send(exporter, ONE)
    fcntl.fcntl(memory, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK)
    torn_size = os.fstat(memory).st_size + 100
    with files_limited_to(torn_size), pytest.raises(ExportError, match="File too large"):
        send(exporter, TWO)
    with pytest.raises(ExportError, match="writing failed: Operation not permitted") as caught:
        send(exporter, TWO)
    assert (caught.value.cause, caught.value.retry) == ("write_failed", False)
    assert os.fstat(memory).st_size == torn_size
    exporter.close()
    os.close(memory)


def test_a_full_disk_is_counted(tmp_path):
    deliveries: dict[str, Delivery] = {}
    exporter = FileExporter(tmp_path / "spans.json")
    with files_limited_to(100):
        retry = Retry(first_s=0.01, total_s=0.02)
        exports = Exports([exporter], deliveries=deliveries, retry=retry)
        exports.emit(ONE[0])
        exports.flush()
        until(lambda: deliveries[exporter.name].dropped)
        exports.close(1)
    assert deliveries == {exporter.name: Delivery(1, 0, Counter(disk_full=1))}


def test_a_file_that_someone_empties_grows_again_without_holes(tmp_path):
    path = tmp_path / "spans.json"
    with closing(FileExporter(path)) as exporter:
        send(exporter, ONE)
        path.write_bytes(b"")
        send(exporter, TWO)
    assert path.read_bytes() == encode_line(TWO)


def test_a_torn_line_of_an_earlier_run_is_cut_off(tmp_path):
    path = tmp_path / "spans.json"
    line = encode_line([sample.span(number) for number in range(1, 400)])
    assert len(line) > 2 * 65536
    path.write_bytes(line + line[:-1])
    with closing(FileExporter(path)):
        assert path.read_bytes() == line
    path.write_bytes(line[: len(line) // 2])
    with closing(FileExporter(path)):
        assert path.read_bytes() == b""


def test_a_file_of_someone_else_is_left_alone(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("first\nlast, without an end")
    with pytest.raises(ConfigError, match=r"notes\.txt: its last line is unfinished and not of"):
        FileExporter(path)
    assert path.read_text() == "first\nlast, without an end"


def test_what_cannot_be_a_file(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    for path, message in [
        (tmp_path, "Is a directory"),
        (tmp_path / "no" / "file", "No such file or directory"),
        (tmp_path / "fifo", "not a regular file"),
    ]:
        with pytest.raises(ConfigError, match=f"^file:{path}: {message}"):
            FileExporter(path)
