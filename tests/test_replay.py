"""Recordings through the whole pipeline, compared with the spans beside them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from agent.counters import Ledger
from agent.errors import RecordingError
from agent.kernel.recording import Recorder
from agent.pipeline import KIND_PROCESS
from agent.replay import RecordedProcesses, replay
from agent.spans.span import Span
from agent.traces.sampler import sampler
from tests.record_scenarios import FOLDER, SCENARIOS, as_json, replayed
from tests.scenario import EVENTS, Host, request, response

RECORDINGS = sorted(FOLDER.glob("*.rec"))


def name(path: Path) -> str:
    return path.stem


def test_there_are_recordings():
    assert set(map(name, RECORDINGS)) >= set(SCENARIOS)


@pytest.mark.parametrize("path", RECORDINGS, ids=name)
def test_recording_gives_its_spans(path):
    assert replayed(path) == json.loads(path.with_suffix(".spans.json").read_text())


@pytest.mark.parametrize("path", RECORDINGS, ids=name)
def test_two_replays_are_equal_and_balance(path):
    first = replayed(path)
    assert first == replayed(path)
    assert first["ledger"]["balanced"]


def test_seed_changes_the_ids_only():
    def without_ids(span: Span) -> dict[str, object]:
        told = as_json(span)
        return {key: told[key] for key in told if not key.endswith("_id")}

    path = FOLDER / "shop.rec"
    runs: list[list[Span]] = [[], []]
    for seed, spans in enumerate(runs):
        replay(path, emit=spans.append, ledger=Ledger(), seed=seed)
    assert list(map(without_ids, runs[0])) == list(map(without_ids, runs[1]))
    assert runs[0][0].trace_id != runs[1][0].trace_id


def test_sampler(tmp_path):
    ledger = Ledger()
    spans: list[Span] = []
    replay(FOLDER / "shop.rec", emit=spans.append, ledger=ledger, decide=sampler("always_off"))
    assert (ledger.emitted, ledger.sampled_out) == (0, 12)
    assert ledger.is_balanced()


@pytest.fixture
def record(tmp_path):
    """Write records to a file."""

    def write(records: list[bytes]) -> Path:
        path = tmp_path / "a.rec"
        recorder = Recorder(path, header={}, max_bytes=1 << 24)
        for one in records:
            recorder.write(one)
        recorder.close()
        return path

    return write


def run(path: Path) -> tuple[list[Span], Ledger]:
    spans: list[Span] = []
    ledger = Ledger()
    replay(path, emit=spans.append, ledger=ledger)
    return spans, ledger


def test_process_that_was_not_recorded_is_called_by_its_number(record):
    host = Host()
    host.accept(process=7).received(request("/a")).sent(response())
    (span,), _ = run(record(host.records))
    assert span.resource.attributes == (("service.name", "process-7"), ("process.pid", 7))


def test_long_recording_is_settled_on_the_way(record):
    host = Host()
    socket = host.accept()
    for number in range(1500):
        socket.received(request(f"/{number}")).sent(response())
        host.wait(1_000_000)
    spans, ledger = run(record(host.records))
    assert len(spans) == ledger.captured == 1500


def facts(value: object) -> bytes:
    return EVENTS["event_header"].pack(kind=KIND_PROCESS, tgid=10) + json.dumps(value).encode()


GOOD = {"resource": [["service.name", "shop"]], "uses_goroutines": False, "is_proxy": False}


@pytest.mark.parametrize(
    "value",
    [
        None,
        [],
        7,
        {},
        {**GOOD, "resource": None},
        {**GOOD, "resource": [["a"]]},
        {**GOOD, "resource": [[1, 2]]},
        {**GOOD, "resource": [["a", {}]]},
        {**GOOD, "resource": [["a", None]]},
        {**GOOD, "resource": [["a", [1]]]},
    ],
)
def test_hostile_process_is_malformed(record, value):
    host = Host()
    host.accept().received(request("/a")).sent(response())
    (span,), ledger = run(record([facts(value), *host.records]))
    assert span.resource.get("service.name") == "process-10"
    assert ledger.records_ignored == {"malformed": 1}


@pytest.mark.parametrize("text", [b"", b"{", b"\xff", b"[" * 60_000])
def test_process_that_is_no_json_is_malformed(record, text):
    header = EVENTS["event_header"].pack(kind=KIND_PROCESS, tgid=10)
    _, ledger = run(record([header + text]))
    assert ledger.records_ignored == {"malformed": 1}


def test_lists_come_back_as_tuples():
    processes = RecordedProcesses()
    processes.recorded(10, {**GOOD, "resource": [["process.command_args", ["a", "b"]], ["n", 1.5]]})
    resource, runtime = processes.identify(10)
    assert resource.attributes == (("process.command_args", ("a", "b")), ("n", 1.5))
    assert (runtime.uses_goroutines, runtime.is_proxy) == (False, False)
    assert processes.identify(10)[0] is resource


def test_cut_recording_says_so_after_what_it_holds(tmp_path):
    path = tmp_path / "cut.rec"
    path.write_bytes((FOLDER / "shop.rec").read_bytes()[:-3])
    spans: list[Span] = []
    with pytest.raises(RecordingError, match="ends within a record"):
        replay(path, emit=spans.append, ledger=Ledger())
    assert len(spans) == 12


def test_other_events_of_a_recording_change_nothing(record):
    host = Host()
    host.write("fork", process=10, thread=10, child=11)
    host.write("exec", process=11, thread=11, comm=b"sh", size=3, captured=3, payload=b"sh\0")
    host.write("listen", process=11, thread=11, port=80)
    host.write("exit", process=11, thread=11)
    spans, ledger = run(record(host.records))
    assert (spans, ledger.records_ignored) == ([], {})
