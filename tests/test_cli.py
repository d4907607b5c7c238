"""The command line: every wrong thing gives one clear sentence and its exit code."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TextIO

import pytest

import agent
from agent.kernel import loader
from agent.kernel.btf import VMLINUX
from tests.record_scenarios import FOLDER

CHECKOUT = Path(__file__).resolve().parent.parent


def zerospan(
    *arguments: str, stdin: TextIO | None = None, **environment: str
) -> subprocess.CompletedProcess[str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith("OTEL_")}
    return subprocess.run(
        [sys.executable, "-m", "agent", *arguments],
        cwd=CHECKOUT,
        env={**kept, **environment},
        stdin=stdin or subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_version():
    done = zerospan("--version")
    assert (done.returncode, done.stdout) == (0, f"zerospan, version {agent.__version__}\n")


def test_help_lists_the_commands():
    done = zerospan("--help")
    assert done.returncode == 0
    commands = done.stdout.partition("Commands:\n")[2]
    assert [line.split()[0] for line in commands.splitlines()] == [
        "analyze",
        "check",
        "explain",
        "map",
        "protocols",
        "ps",
        "query",
        "record",
        "redact-check",
        "replay",
        "run",
        "services",
        "top",
        "trace",
        "traces",
        "web",
    ]


# `run` and `record` stop at the first wrong setting, long before a program would be loaded.
WRONG = {
    ("run", "--what"): "No such option",
    ("what",): "No such command 'what'",
    ("run", "--port", "http"): "Invalid value for '--port': 'http' is not a valid integer",
    ("run", "--port", "0"): "zerospan: port 0 is not from 1 to 65535",
    ("run", "--exclude-port", "70000"): "zerospan: port 70000 is not from 1 to 65535",
    ("run", "--pid", "-1"): "zerospan: pid -1 is not positive",
    ("run", "--ring-kb", "100"): "zerospan: setting ring_kb: 100 is not a power of two",
    ("run", "--log-level", "loud"): "zerospan: setting log_level: 'loud' is none of debug",
    ("run", "--export", "ftp://x"): "zerospan: --export: 'ftp://x' is not one of otlp+grpc://",
    ("run", "--export", "otlp+http://h:99999"): "99999",
    ("run", "--sampler", "some"): "zerospan: OTEL_TRACES_SAMPLER='some' is none of always_on",
    ("run", "--sampler", "traceidratio", "--sampler-arg", "2"): "zerospan: OTEL_TRACES_SAMPLER_ARG='2' is no number",
    ("run", "--config", "/no/such.yaml"): "zerospan: cannot read the configuration file /no/such.yaml: No such file",
    ("run", "--store-mb", "1"): "zerospan: setting store_mb: 1 is not from 16 to 1048576",
    ("run", "--store-hours", "0"): "zerospan: setting store_hours: 0.0 is not from 0 to 8784",
    ("run", "--receive", "4317"): "zerospan: --receive: '4317' is none of otlp, otlp+grpc://",
    ("run", "--receive", "otlp", "--export", "console"): "zerospan: --receive: spans of others go into a store",
    ("query", "{ name = 5 }"): "zerospan: column 10: name is compared with text in quotes",
    ("query",): "Missing argument 'QUERY'",
    ("traces", "--since", "5"): "'5' is no duration, such as 500ms, 5s or 1h30m",
    ("record",): "Missing argument 'FILE'",
    ("record", "x.rec", "--max-mb", "0"): "Invalid value for '--max-mb'",
    ("replay", "x.rec", "--seed", "x"): "Invalid value for '--seed'",
    ("explain",): "Missing argument 'TRACE_ID'",
    ("explain", "abc"): "zerospan: 'abc' is no trace id",
    ("explain", "abcd", "/no/such"): "zerospan: cannot read /no/such: No such file",
    ("explain", "abcd", "/"): "zerospan: cannot read /: Is a directory",
    ("explain", "abcd", "README.md"): "zerospan: README.md, line 1: it is not JSON",
    ("explain", "abcd", "/dev/null"): "zerospan: /dev/null has 0 traces, but none whose id begins with abcd",
    ("explain", "abcd", "tests/recordings/shop.rec"): "shop.rec has 2 traces, but none",
}  # fmt: skip


@pytest.mark.parametrize(("arguments", "told"), WRONG.items(), ids=map(" ".join, WRONG))
def test_wrong_setting(arguments, told):
    done = zerospan(*arguments)
    assert done.returncode == 2
    assert told in done.stderr
    assert "Traceback" not in done.stderr
    assert (
        len([line for line in done.stderr.splitlines() if line.startswith(("zerospan:", "Error:"))])
        == 1
    )
    assert done.stdout == ""


@pytest.mark.parametrize(
    ("variable", "value", "told"),
    [
        ("ZEROSPAN_RING_KB", "many", "setting ring_kb: Expected `int`, got `str`"),
        (
            "OTEL_PROPAGATORS",
            "tracecontext,ottrace",
            "OTEL_PROPAGATORS: 'ottrace' is none of tracecontext, b3, b3multi, jaeger, datadog, xray, baggage, none",
        ),
    ],
)
def test_wrong_variable(variable, value, told):
    done = zerospan("run", **{variable: value})
    assert (done.returncode, done.stderr) == (2, f"zerospan: {told}\n")


def test_a_store_that_is_not_there(tmp_path):
    done = zerospan("traces", "--store", str(tmp_path / "none.db"))
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr.startswith(f"zerospan: there is no store {tmp_path}/none.db")
    assert done.stderr.count("\n") == 1


def test_a_query_that_is_wrong_shows_where(tmp_path):
    done = zerospan("query", "{ name = 5 }")
    assert done.stderr.splitlines()[1:] == ["  { name = 5 }", "           ^"]


@pytest.mark.parametrize("command", ["run", "record"])
def test_without_root(command):
    if os.geteuid() == 0:
        drop = ["setpriv", "--reuid=65534", "--clear-groups"]
        probe = subprocess.run(
            [*drop, sys.executable, "-c", "import agent.cli"],
            cwd=CHECKOUT,
            capture_output=True,
            check=False,
        )
        if probe.returncode:
            pytest.skip("another user cannot read this checkout")
    else:
        drop = []
    arguments = [command] if command == "run" else [command, "/tmp/no/such.rec"]
    done = subprocess.run(
        [*drop, sys.executable, "-m", "agent", *arguments],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert (
        done.stderr.splitlines()[0]
        == "zerospan: loading BPF programs needs root: run zerospan with sudo"
    )


def test_replay():
    done = zerospan("replay", str(FOLDER / "shop.rec"), "--export", "console")
    assert done.returncode == 0
    assert "GET /orders/{id}" in done.stdout
    ledger = json.loads(done.stderr.splitlines()[-1])
    assert ledger["balanced"]
    assert ledger["exporters"] == {"console": {"emitted": 12, "exported": 12, "dropped": {}}}


def test_two_replays_write_the_same(tmp_path):
    for name in ("a", "b"):
        assert (
            zerospan(
                "replay", str(FOLDER / "shop.rec"), "--export", f"file:{tmp_path / name}"
            ).returncode
            == 0
        )
    assert (tmp_path / "a").read_text() == (tmp_path / "b").read_text() != ""


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (None, "cannot read "),
        (b"what\n", "is not a zerospan recording"),
        (b"", "is not a zerospan recording"),
    ],
)
def test_replay_of_what_is_no_recording(tmp_path, content, told):
    path = tmp_path / "a.rec"
    if content is not None:
        path.write_bytes(content)
    done = zerospan("replay", str(path))
    assert done.returncode == 3
    (sentence,) = [line for line in done.stderr.splitlines() if line.startswith("zerospan:")]
    assert told in sentence
    assert "Traceback" not in done.stderr


def test_replay_of_a_cut_recording_tells_what_it_held(tmp_path):
    path = tmp_path / "cut.rec"
    path.write_bytes((FOLDER / "shop.rec").read_bytes()[:-3])
    done = zerospan("replay", str(path), "--export", "console")
    assert done.returncode == 3
    assert "GET /orders/{id}" in done.stdout
    sentence, ledger = done.stderr.splitlines()
    assert sentence.endswith("cut.rec ends within a record")
    assert json.loads(ledger)["balanced"]


def test_explain_file_standard_input_and_recording(tmp_path):
    recording, spans = str(FOLDER / "shop.rec"), tmp_path / "spans.jsonl"
    zerospan("replay", recording, "--export", f"file:{spans}")
    trace_id = json.loads((FOLDER / "shop.spans.json").read_text())["spans"][0]["trace_id"]
    of_file = zerospan("explain", trace_id[:8], str(spans))
    assert (of_file.returncode, of_file.stderr) == (0, "")
    assert of_file.stdout.startswith(f"trace {trace_id}  6 spans, 1 root")
    assert of_file.stdout.endswith("rules: 3 peer, 2 thread, 1 none\n")
    with spans.open() as stdin:
        of_input = zerospan("explain", trace_id, stdin=stdin)
    of_recording = zerospan("explain", trace_id[:4], recording)
    assert of_input.stdout == of_recording.stdout == of_file.stdout
    assert "2 traces, but none" in zerospan("explain", trace_id, recording, "--seed", "1").stderr


def test_explain_of_a_cut_recording_tells_what_it_held(tmp_path):
    path = tmp_path / "cut.rec"
    path.write_bytes((FOLDER / "shop.rec").read_bytes()[:-3])
    trace_id = json.loads((FOLDER / "shop.spans.json").read_text())["spans"][0]["trace_id"]
    done = zerospan("explain", trace_id, str(path))
    assert done.returncode == 3
    assert done.stdout.startswith(f"trace {trace_id}  6 spans")
    assert done.stderr.endswith("cut.rec ends within a record\n")
    assert zerospan("explain", "ffff", str(path)).returncode == 3


def test_reader_that_goes_away():
    """As in `zerospan ps | head -1`."""
    command = f"{sys.executable} -m agent replay {FOLDER / 'shop.rec'} --export console | true"
    done = subprocess.run(
        command, shell=True, cwd=CHECKOUT, capture_output=True, text=True, check=False
    )
    assert "Traceback" not in done.stderr


def test_check_says_what_run_would():
    done = zerospan("check")
    is_possible = done.returncode == 0
    assert done.returncode in (0, 1)
    assert (
        done.stdout.splitlines()[-1]
        == f"zerospan run will {'' if is_possible else 'NOT '}work here."
    )
    assert ("NO " in done.stdout) != is_possible
    if os.geteuid() == 0 and VMLINUX.exists():
        assert is_possible == any(loader.hook_kinds())


@pytest.mark.skipif(loader.hook_kinds()[1], reason="this kernel has kprobes")
def test_check_of_kprobes_without_any():
    done = zerospan("check", "--kprobes")
    assert done.returncode == 1
    assert "NO  programs: this kernel " in done.stdout


def test_check_checks_its_flags_first():
    done = zerospan("check", "--ring-kb", "3")
    assert (done.returncode, done.stdout) == (2, "")


def test_ps():
    done = zerospan("ps", "--pid", "1")
    assert done.returncode == 0
    assert done.stdout.split()[:7] == [
        "PID",
        "SERVICE",
        "RUNTIME",
        "PORTS",
        "TRACED",
        "WHY",
        "CANNOT",
    ]
