"""`zerospan redact-check`: before, after, and whether what was marked came through."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from agent.cli_redact import LEAK_EXIT, redact_check, redacted, unmarked, url
from agent.errors import ConfigError
from agent.redaction import Policy


@pytest.fixture
def check(tmp_path):
    def run(samples: str, *arguments: str):
        file = tmp_path / "samples.txt"
        file.write_text(samples)
        return CliRunner().invoke(redact_check, [str(file), *arguments])

    return run


def test_statements(check):
    done = check(
        "SELECT * FROM t WHERE a = '{{hunter2}}'\n\nSELECT 1 /*a='b'*/\n", "--system", "postgresql"
    )
    assert (done.exit_code, done.output) == (
        0,
        "1 < SELECT * FROM t WHERE a = 'hunter2'\n1 > SELECT * FROM t WHERE a = ?\n3 < SELECT 1 /*a='b'*/\n3 > SELECT ?\n",
    )  # fmt: skip


def test_a_marked_secret_that_comes_through(check):
    done = check("/reset/{{hunter2}}\n")
    assert done.exit_code == LEAK_EXIT
    assert "1 > /reset/hunter2\n1 ! 1 of 1 marked secrets came through\n" in done.output


def test_rules_of_a_file(check, tmp_path):
    config = tmp_path / "zerospan.yaml"
    config.write_text('redaction: {rules: [{action: mask, pattern: "cust-[0-9]+"}]}')
    done = check("/of/{{cust-42}}/x\n", "--config", str(config))
    assert (done.exit_code, done.output.splitlines()[1]) == (0, "1 > /of/REDACTED/x")
    config.write_text("redaction: {rules: [{action: drop, key: user.name}]}")
    done = check("joe\n", "--config", str(config), "--key", "user.name")
    assert done.output.splitlines()[1] == "1 > (dropped)"


def test_a_file_that_cannot_be_read(check, tmp_path):
    done = CliRunner().invoke(redact_check, [str(tmp_path / "none")])
    assert isinstance(done.exception, ConfigError)


@pytest.mark.parametrize(
    ("sample", "system", "after"),
    [
        (b"SET user:1 secret", "redis", "SET user:{id} ?"),
        (b"get user:1", "memcached", "get user:{id}"),
        (b"https://u:p@h:8080/a/b?k=v#f", None, "https://REDACTED:REDACTED@h:8080/a/b?k=REDACTED"),
        (b"mail joe@example.com", None, "mail REDACTED"),
    ],
)
def test_kinds(sample, system, after):
    assert redacted(sample, Policy(), system=system, key=None) == after


def test_url():
    assert url(b"/a?b=c") == "/a?b=REDACTED"
    assert url(b"http://h") == "http://h"


def test_marks():
    assert unmarked(b"a {{b}} c {{d}} {{e") == (b"a b c d {{e", ["b", "d"])
    assert unmarked(b"{{}}") == (b"", [])
