"""What is kept of a start is given to the next one, unless somebody else could have written it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from agent.kernel import cache
from agent.kernel.compiled import Compiled, MapSpec

COMPILED = Compiled((MapSpec("records", 27, 0, 0, 4096, 0),), {"f": bytes(16)})
KEY = cache.key_of("text", ["-DA=1"], "libbcc 1")


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "zerospan"


def test_what_was_written_is_read(directory):
    assert not cache.has_any(directory)
    assert cache.read(KEY, directory) is None
    cache.write(KEY, COMPILED, directory)
    assert cache.has_any(directory)
    assert cache.read(KEY, directory) == COMPILED
    assert directory.stat().st_mode & 0o777 == 0o700
    assert (directory / KEY).stat().st_mode & 0o777 == 0o600
    cache.write(KEY, COMPILED, directory)
    assert [path.name for path in directory.iterdir()] == [KEY]


def test_key_is_of_all_that_the_result_depends_on():
    assert cache.key_of("text", ["-DB=1", "-DA=1"], "c") == cache.key_of(
        "text", ["-DA=1", "-DB=1"], "c"
    )
    others = {
        cache.key_of("text2", ["-DA=1"], "libbcc 1"),
        cache.key_of("text", ["-DA=2"], "libbcc 1"),
        cache.key_of("text", ["-DA=1"], "libbcc 2"),
        cache.key_of("text", [], "libbcc 1"),
    }
    assert len(others | {KEY}) == 5


@pytest.mark.parametrize("mode", [0o750, 0o701, 0o777])
def test_directory_that_others_may_enter(directory, mode):
    cache.write(KEY, COMPILED, directory)
    directory.chmod(mode)
    assert cache.read(KEY, directory) is None
    cache.write("another", COMPILED, directory)
    assert [path.name for path in directory.iterdir()] == [KEY]


def test_directory_that_is_a_link(directory, tmp_path):
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    directory.symlink_to(tmp_path / "elsewhere")
    cache.write(KEY, COMPILED, directory)
    assert list(directory.iterdir()) == []
    assert cache.read(KEY, directory) is None


@pytest.mark.skipif(os.geteuid() != 0, reason="gives files away")
@pytest.mark.parametrize("of", ["directory", "file"])
def test_what_is_somebody_elses(directory, of):
    cache.write(KEY, COMPILED, directory)
    os.chown(directory if of == "directory" else directory / KEY, 65534, -1)
    assert cache.read(KEY, directory) is None


@pytest.mark.parametrize("mode", [0o620, 0o602])
def test_file_that_others_may_write(directory, mode):
    cache.write(KEY, COMPILED, directory)
    (directory / KEY).chmod(mode)
    assert cache.read(KEY, directory) is None


@pytest.mark.parametrize("spoil", ["cut", "changed", "empty", "link", "directory"])
def test_file_that_is_not_as_it_was_written(directory, spoil):
    cache.write(KEY, COMPILED, directory)
    path = directory / KEY
    whole = path.read_bytes()
    if spoil == "cut":
        path.write_bytes(whole[:-1])
    elif spoil == "changed":
        path.write_bytes(whole.replace(b"4096", b"8192"))
    elif spoil == "empty":
        path.write_bytes(b"")
    elif spoil == "link":
        path.rename(directory / "other")
        path.symlink_to("other")
    else:
        path.unlink()
        path.mkdir()
    assert cache.read(KEY, directory) is None


def test_file_that_is_whole_and_of_another_form(directory):
    cache.write(KEY, COMPILED, directory)
    for text in (b"{}", b'{"maps": [], "programs": []}'):
        (directory / KEY).write_bytes(cache._digest(text) + b"\n" + text)
        assert cache.read(KEY, directory) is None


def test_few_are_kept(directory):
    for number in range(cache.KEPT + 3):
        cache.write(f"key{number}", COMPILED, directory)
        os.utime(directory / f"key{number}", ns=(number, number))
    assert len(list(directory.iterdir())) == cache.KEPT
    assert cache.read(f"key{cache.KEPT + 2}", directory) == COMPILED


def test_no_place_to_keep_anything(tmp_path):
    nowhere = tmp_path / "missing" / "zerospan"
    cache.write(KEY, COMPILED, nowhere)
    assert cache.read(KEY, nowhere) is None
    assert not cache.has_any(nowhere)


def test_compiler_is_known_by_its_file(tmp_path):
    library = tmp_path / "lib.so.0.26"
    library.write_bytes(b"one")
    (tmp_path / "lib.so.0").symlink_to("lib.so.0.26")
    before = cache.compiler_identity("lib.so.0", [tmp_path / "missing", tmp_path])
    assert before is not None
    assert before.startswith(f"{library} 3 ")
    library.write_bytes(b"other")
    assert cache.compiler_identity("lib.so.0", [tmp_path]) != before
    assert cache.compiler_identity("lib.so.1", [tmp_path]) is None
