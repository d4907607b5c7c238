"""The program text, and the constants that it asks of a kernel."""

from __future__ import annotations

import re

import pytest

from agent.errors import KernelError
from agent.kernel import source
from agent.kernel.btf import VMLINUX
from agent.kernel.programs import Probe, load_probes, probes_folder
from agent.kernel.source import constants, flags, program_text
from tests.kernel.btf_blob import sample

TEXT = """
x = OFFSETOF_thing__ns_DOT_inum + OFFSETOF_thing__left;
#if HAS_thing__deep && !HAS_thing__shallow
y = ENUM_iter_type__ITER_IOVEC;
#if HAS_FUNCTION_tcp_sendmsg || HAS_FUNCTION_tcp_sendpage
z = ctx[ARGUMENTS_tcp_sendmsg] + ctx[ARGUMENTS_tcp_sendpage] + OFFSETOF_thing__shallow;
"""


def test_constants():
    assert constants(TEXT, sample()) == {
        "OFFSETOF_thing__ns_DOT_inum": 36,
        "OFFSETOF_thing__left": 8,
        "HAS_thing__deep": 1,
        "HAS_thing__shallow": 0,
        "ENUM_iter_type__ITER_IOVEC": 1,
        "HAS_FUNCTION_tcp_sendmsg": 1,
        "HAS_FUNCTION_tcp_sendpage": 0,
        "ARGUMENTS_tcp_sendmsg": 3,
    }


def test_flags():
    assert flags({"B": 2, "A": 1}) == ["-DA=1", "-DB=2"]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / "include").mkdir()
    monkeypatch.setattr(source, "probes_folder", lambda: tmp_path)
    return tmp_path


def probe(name: str) -> Probe:
    return Probe(name, "", (), ())


def test_each_file_is_pasted_once_and_lines_keep_their_numbers(folder):
    (folder / "include" / "a.h").write_text("in a\n")
    (folder / "include" / "b.h").write_text('#include "a.h"\nin b\n')
    (folder / "one.c").write_text('one 1\n#include "b.h"\n#include "a.h"\none 4\n')
    (folder / "two.c").write_text('#include "a.h"\n#include <host.h>\ntwo 3\n')
    told = numbered(program_text([probe("one"), probe("two")]))
    assert told == {
        "one 1": "one.c:1",
        "in a": "include/a.h:1",
        "in b": "include/b.h:2",
        "one 4": "one.c:4",
        "#include <host.h>": "two.c:2",
        "two 3": "two.c:3",
    }


def numbered(text: str) -> dict[str, str]:
    """Where the compiler believes each line to be."""
    found = {}
    file, number = "", 0
    for line in text.splitlines():
        mark = re.fullmatch(r'#line (\d+) "probes/(.+)"', line)
        if mark:
            file, number = mark[2], int(mark[1])
            continue
        if line:
            assert line not in found, f"{line} is there twice"
            found[line] = f"{file}:{number}"
        number += 1
    return found


def test_file_without_a_last_newline(folder):
    (folder / "one.c").write_text("x")
    with pytest.raises(KernelError, match=r"probes/one\.c does not end with a newline"):
        program_text([probe("one")])


def test_marks_of_our_own_text_are_right():
    text = program_text(load_probes())
    assert '#include "' not in text
    marks = list(re.finditer(r'^#line (\d+) "probes/([^"]+)"\n(.*)$', text, re.MULTILINE))
    assert len(marks) > 10
    for mark in marks:
        lines = (probes_folder() / mark[2]).read_text().split("\n")
        assert mark[3].startswith("#line") or lines[int(mark[1]) - 1].startswith(
            (mark[3], "#include")
        )


@pytest.mark.skipif(not VMLINUX.exists(), reason="this kernel has no BTF")
def test_this_kernel_has_what_our_text_asks_for():
    text = program_text(load_probes())
    known = constants(text)
    # Structs changed over time; everything else that is missing is asked for under a condition of its own.
    conditions = {
        name.partition("_")[2].removeprefix("FUNCTION_")
        for name in known
        if name.startswith("HAS_")
    }
    older = {"OFFSETOF_iov_iter__iov"}
    asked = set(re.findall(r"\b(?:OFFSETOF|ENUM|ARGUMENTS)_[a-z]\w+", text))
    missing = {name for name in asked - known.keys() if name.partition("_")[2] not in conditions}
    assert missing <= older
