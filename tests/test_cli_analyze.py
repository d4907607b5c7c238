"""`zerospan analyze` over files as our exporter writes them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from agent.cli_analyze import analyze_command, read_files, read_store
from agent.counters import Ledger
from agent.errors import ConfigError, SpanFileError, StoreError
from agent.export.otlp_json import encode_line
from agent.replay import replay
from agent.spans.span import Attributes, Resource, Span, SpanKind, Status
from agent.store.retention import Limits
from agent.store.writer import Writer

RECORDINGS = Path(__file__).parent / "recordings"
RESOURCE = Resource([("service.name", "shop")])


def span(trace: int, number: int, start_ms: int, end_ms: int, **more: object) -> Span:
    kind = more.get("kind", SpanKind.SERVER)
    attributes = more.get("attributes", {})
    assert isinstance(kind, SpanKind)
    assert isinstance(attributes, dict)
    return Span(
        trace_id=trace.to_bytes(16, "big"),
        span_id=(1000 * trace + number).to_bytes(8, "big"),
        parent_id=(1000 * trace + 1).to_bytes(8, "big") if number > 1 else None,
        name=str(more.get("name", "GET /orders")),
        kind=kind,
        start_unix_ns=1_000_000 * start_ms,
        end_unix_ns=1_000_000 * end_ms,
        status=Status.UNSET,
        status_message="",
        attributes=(Attributes(attributes.items()),),
        resource=RESOURCE,
    )


def page(trace: int) -> list[Span]:
    """A request with an N+1 of 20 statements."""
    statement = {"db.system.name": "postgresql", "db.query.text": "SELECT a FROM b WHERE c = ?"}
    calls = [
        span(trace, number, 10 * number, 10 * number + 9, kind=SpanKind.CLIENT, name="SELECT b", attributes=statement)
        for number in range(2, 22)
    ]  # fmt: skip
    return [span(trace, 1, 0, 250), *calls]


def requests(first: int, took_ms: int) -> list[Span]:
    return [
        span(trace, 1, 0, took_ms + trace % 5, name="GET /x") for trace in range(first, first + 40)
    ]


@pytest.fixture
def write(tmp_path: Path):
    def write(name: str, *batches: list[Span]) -> Path:
        path = tmp_path / name
        path.write_bytes(b"".join(encode_line(batch) for batch in batches))
        return path

    return write


def run(*arguments: object, given: bytes = b"") -> Result:
    result = CliRunner().invoke(analyze_command, [str(one) for one in arguments], input=given)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def test_findings_as_text_from_several_files(write) -> None:
    first, second = write("a", page(1)[:5]), write("b", page(1)[5:], page(2))
    result = run(first, second)
    assert result.exit_code == 0
    assert "WARNING n_plus_one: `GET /orders` of shop asks postgresql" in result.stdout
    assert "  2 times, 342 ms in all; the worst is shown\n" in result.stdout
    assert result.stdout.endswith("1 finding in 2 traces, 42 spans.\n")


def test_findings_as_json_from_standard_input() -> None:
    result = run("-", "--json", given=encode_line(page(1)))
    report = json.loads(result.stdout)
    assert [one["kind"] for one in report["findings"]] == ["n_plus_one"]
    assert report["findings"][0]["details"]["count"] == 20
    assert (report["traces"], report["spans"]) == (1, 21)


def test_limits_and_choice(write) -> None:
    path = write("a", page(1))
    assert run(path, "--threshold", "n_plus_one_calls=21").stdout.startswith(
        "No findings in 1 trace"
    )
    assert run(path, "--only", "dns").stdout.startswith("No findings in 1 trace")
    assert "n_plus_one" in run(path, "--only", "dns", "--only", "n_plus_one").stdout


def test_two_sets_are_compared(write) -> None:
    before, after = write("a", requests(1, 20)), write("b", requests(101, 60))
    result = run("--before", before, after)
    assert "WARNING change: `GET /x` of shop got slower: median 22 ms, now 62 ms" in result.stdout
    assert run("--before", before, before).stdout.startswith("No findings")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--only", "dnss"], "there is no analysis 'dnss'; there are cache_miss, "),
        (["--threshold", "churn_calls"], "--threshold 'churn_calls' is not NAME=VALUE"),
        (["--threshold", "churn=1"], "there is no threshold 'churn'"),
        (["--only", "dns", "--before", "x"], "with --before there is none"),
        (["--store", "x", "y"], "only one of them can be read"),
    ],
)
def test_wrong_flags_are_named(arguments: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        run(*arguments)


def test_files_that_are_not_there_or_hold_no_spans_are_named(tmp_path: Path) -> None:
    with pytest.raises(SpanFileError, match=r"cannot read .*/none: No such file"):
        run(tmp_path / "none")
    with pytest.raises(SpanFileError, match="standard input, line 1: it is not JSON"):
        run("-", given=b"hello\n")


@pytest.mark.parametrize(
    ("recording", "titles"),
    [
        ("shop", []),
        # In the second one a client that nobody sees goes away from `GET /gone`: no trouble of the shop's.
        (
            "troubles",
            [
                "`GET /fine` of poller failed with 503; it began 1 level below, in `GET /fine` of shop: 503"
            ],
        ),
    ],
)
def test_recorded_traffic(recording: str, titles: list[str]) -> None:
    spans: list[Span] = []
    replay(RECORDINGS / f"{recording}.rec", emit=spans.append, ledger=Ledger(), seed=0)
    report = json.loads(run("-", "--json", given=encode_line(spans)).stdout)
    assert [finding["title"] for finding in report["findings"]] == titles
    assert report["spans"] == len(spans) > 0


def test_what_is_left_out_is_said(write, capsys: pytest.CaptureFixture[str]) -> None:
    read = read_files([write("a", page(1))], max_spans=5)
    assert (read.spans, read.left_out, len(read.traces)) == (5, 16, 1)
    assert capsys.readouterr().err == "zerospan: left out 16 spans beyond the first 5\n"


def stored(path: Path, *traces: list[Span]) -> Path:
    writer = Writer(path, Limits())
    for spans in traces:
        writer.write(spans)
    writer.close()
    return path


def test_a_store_is_read_where_no_file_is_given(tmp_path: Path) -> None:
    store = stored(tmp_path / "traces.db", page(1), page(2))
    result = run("--store", store, "--since", "0s")
    assert "WARNING n_plus_one: `GET /orders` of shop asks postgresql" in result.stdout
    assert result.stdout.endswith("1 finding in 2 traces, 42 spans.\n")
    assert run("--store", store).stdout == "No findings in 0 traces, 0 spans.\n"  # all from 1970
    with pytest.raises(StoreError, match="there is no store"):
        run("--store", tmp_path / "none.db")


def test_of_a_large_store_the_newest_whole_traces_are_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = stored(tmp_path / "traces.db", page(1), page(2), page(3))
    read = read_store(store, max_spans=50)
    assert [trace.trace_id[-1] for trace in read.traces] == ["2", "3"]
    assert (read.spans, read.left_out) == (42, 21)
    assert "left out 21 spans of older traces" in capsys.readouterr().err


def test_limits_come_from_the_configuration_file_and_flags_rule(tmp_path: Path, write) -> None:
    path, file = write("a", page(1)), tmp_path / "zerospan.yaml"
    file.write_text("thresholds: {n_plus_one_calls: 21}\n")
    assert run(path, "--config", file).stdout.startswith("No findings")
    assert "n_plus_one" in run(path, "--config", file, "--threshold", "n_plus_one_calls=5").stdout
    file.write_text("thresholds: {n_plus_one: 21}\n")
    with pytest.raises(ConfigError, match="there is no threshold 'n_plus_one'"):
        run(path, "--config", file)
