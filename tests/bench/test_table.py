"""The tables of a run in the guest, from figures as the guest leaves them."""

from __future__ import annotations

from typing import Any

from bench.vm.table import halves, life, lines, pipeline, saturation

START = {"seconds": 11.13, "busy_seconds": 5.09, "cpu_seconds": 5.01}
STOP = {"seconds": 2.27, "status": 0, "left": 0, "ledger": {"balanced": True}}
HELD: dict[str, Any] = {
    "programs": 22,
    "maps": 5,
    "links": 22,
    "map_mb": 3.5,
    "resident_mb": {"VmRSS": 32.8, "RssAnon": 21.7},
    "cgroup_mb": {"current": 42.9, "kernel": 17.1, "file": 3.8},
}


def half(spans: int, **more: Any) -> dict[str, Any]:
    return {
        "rate": 800.4,
        "requests": 2401,
        "answered": 2401,
        "failed": 0,
        "seconds": 3.0,
        "latest_ms": 1.2,
        "slowest_ms": 8.5,
        "spans": spans,
        "expected_spans": 2401,
        "busy_ms": 0.98,
        "agent_ms": 0.33,
        **more,
    }


def gunicorn(**more: Any) -> dict[str, Any]:
    row = {
        "without": {"requests": 3200, "seconds": 2, "busy_ms": 0.6, "agent_ms": 0.0, "spans": 0.0},
        "with": {"requests": 2000, "seconds": 2, "busy_ms": 0.75, "agent_ms": 0.1, "spans": 1.0},
        "bpf_ms": 0.0106,
        "bpf_runs": 15.1,
        **more,
    }
    return {"gunicorn": row}


def test_cost_of_a_request() -> None:
    row = saturation(gunicorn())[1]
    assert row.startswith("gunicorn (sync) hello, 4 connections")
    cells = ["0.6000", "0.7500", "0.1500", "0.18", "0.0106", "15.1", "0.1000", "0.80", "100.0%"]
    assert row.split()[5:] == cells


def test_a_chain_has_five_spans_per_request_and_an_unselected_server_none() -> None:
    rows = {"chain": gunicorn()["gunicorn"], "redis": gunicorn()["gunicorn"]}
    assert [row.split()[-1] for row in saturation(rows)[1:]] == ["20.0%", "0.80"]


def test_baseline_alone() -> None:
    baseline = {"gunicorn": {"without": gunicorn()["gunicorn"]["without"]}}
    assert saturation(baseline)[1].split()[5:] == ["0.6000"]
    told = lines({"kernel": "6.1.0-56-amd64", "workloads": baseline})
    assert len(told) == 4
    assert told[0].startswith("Kernel 6.1.0-56-amd64")


def test_half_of_saturation_says_when_it_is_under_what_is_promised() -> None:
    rows = gunicorn(half_with=half(2399), half_without=half(2398))
    _, kept, lost = halves(rows)
    assert kept.endswith("2,399  99.92%")
    assert lost.endswith("2,398  99.88%  under 99.9%")
    assert [line[42:51].strip() for line in (kept, lost)] == ["with", "without"]


def test_half_of_saturation_with_no_answer_is_no_success() -> None:
    row = gunicorn(half_without=half(0, answered=0, failed=2401, expected_spans=0))
    assert halves(row)[1].endswith("0   0.00%  under 99.9%")


def test_costs_of_the_pipeline() -> None:
    assert pipeline({"repeated heads": 0.0836})[1].split() == ["repeated", "heads", "0.0836"]


def test_a_life() -> None:
    figures = {
        "start": {**START, "seconds": 14.97},
        "again": {"start": START, "stop": STOP},
        "first_span_s": 1.12,
        "idle_cpu": 0.0004,
        "stop": STOP,
        **HELD,
    }
    told = "\n".join(life(figures))
    for part in (
        "first start       14.97 s to ready",
        "second start      11.13 s to ready",
        "first span        1.12 s after its request",
        "22 programs, 5 maps (3.5 MB)",
        "anonymous 21.7 MB",
        "42.9 MB",
        "0.0004 CPU s per s",
    ):
        assert part in told
    del figures["first_span_s"]
    assert "first span" not in "\n".join(life(figures))


def test_what_was_not_measured_is_not_there() -> None:
    assert lines({"kernel": "6.1"}) == ["Kernel 6.1; ms are 10^6 instructions"]


def test_everything() -> None:
    lived = {"start": START, "stop": STOP, **HELD}
    told = "\n".join(
        lines(
            {
                "kernel": "6.1",
                "workloads": gunicorn(half_with=half(2401)),
                "pipeline": {"repeated heads": 0.0836},
                "saturated": lived,
                "half_with": lived,
            }
        )
    )
    assert "ledger of saturation: {" in told
    assert 'ledger of half of the rate with it: {"balanced": true}' in told
    assert "100.00%" in told
