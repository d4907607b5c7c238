"""The figures of a run as the lines that are printed. Pure: figures in, text out."""

from __future__ import annotations

import json
from typing import Any, Final

from bench.vm.workloads import WORKLOADS, Workload

LEAST_AT_HALF: Final = 0.999
"""Spans of requests at half of saturation that we promise."""
FIRST_SPAN_S: Final = 2.0

Figures = dict[str, Any]


def lines(figures: Figures) -> list[str]:
    """Give everything that was measured."""
    parts = (
        [f"Kernel {figures['kernel']}; ms are 10^6 instructions"],
        saturation(figures.get("workloads", {})),
        halves(figures.get("workloads", {})),
        pipeline(figures.get("pipeline", {})),
        life(figures.get("life")),
        ledgers(figures),
    )
    return [line for part in parts if part for line in ("", *part)][1:]


def saturation(rows: Figures) -> list[str]:
    """Give the cost of a request on a saturated CPU: its rate is the inverse of the busy time of each."""
    if not rows:
        return []
    columns = ("without", "with", "added", "limit", "BPF", "runs", "agent", "rate", "traced")
    head = f"{'ms per request (agent: s per 1000)':42}" + "".join(f"{name:>9}" for name in columns)
    return [head, *(f"{one.what:42}{_saturated(row, one)}" for one, row in _of(rows))]


def _of(rows: Figures) -> list[tuple[Workload, Figures]]:
    return [(one, rows[one.name]) for one in WORKLOADS if one.name in rows]


def _saturated(row: Figures, workload: Workload) -> str:
    without = row["without"]["busy_ms"]
    if "with" not in row:
        return f"{without:9.4f}"
    loaded = row["with"]
    traced = f"{loaded['spans'] / workload.spans:9.1%}" if workload.spans else ""
    return (
        f"{without:9.4f}{loaded['busy_ms']:9.4f}{loaded['busy_ms'] - without:9.4f}"
        f"{workload.limit_ms or '':>9}{row['bpf_ms']:9.4f}{row['bpf_runs']:9.1f}"
        f"{loaded['agent_ms']:9.4f}{without / loaded['busy_ms']:9.2f}{traced}"
    )


def halves(rows: Figures) -> list[str]:
    """Give what became of the load at half of the rates that saturate the CPU with and without the agent."""
    found = [
        f"{one.what:42}{kind:>9}{_at_rate(row[f'half_{kind}'])}"
        for one, row in _of(rows)
        for kind in ("with", "without")
        if f"half_{kind}" in row
    ]
    if not found:
        return []
    columns = ("half of", "rate/s", "answered", "failed", "late ms", "slow ms", "busy ms", "agent")
    return [f"{'':42}" + "".join(f"{name:>9}" for name in columns) + f"{'spans':>18}", *found]


def _at_rate(half: Figures) -> str:
    part = half["spans"] / half["expected_spans"] if half["expected_spans"] else 0.0
    verdict = "" if part >= LEAST_AT_HALF else f"  under {LEAST_AT_HALF:.1%}"
    return (
        f"{half['rate']:9,.0f}{half['answered']:9,}{half['failed']:9,}{half['latest_ms']:9.1f}"
        f"{half['slowest_ms']:9.1f}{half['busy_ms']:9.4f}{half['agent_ms']:9.4f}"
        f"{half['spans']:10,}{part:8.2%}{verdict}"
    )


def pipeline(rows: dict[str, float]) -> list[str]:
    """Give the cost of an exchange in user space."""
    if not rows:
        return []
    return [
        "ms per exchange, user space alone: records to OTLP bytes",
        *(f"{name:42}{cost:9.4f}" for name, cost in rows.items()),
    ]


def life(figures: Figures | None) -> list[str]:
    """Give the agent's start, rest and end."""
    if figures is None:
        return []
    resident, charged = figures["resident_mb"], figures["cgroup_mb"]
    return [
        f"first start       {_start(figures['start'])}",
        f"second start      {_start(figures['again']['start'])}",
        *_first_span(figures),
        f"stop              {figures['stop']['seconds']:.2f} s, left in the kernel: {figures['stop']['left']}",
        f"stop, second      {figures['again']['stop']['seconds']:.2f} s, left: {figures['again']['stop']['left']}",
        f"idle              {figures['idle_cpu']:.4f} CPU s per s",
        f"in the kernel     {figures['programs']} programs, {figures['maps']} maps "
        f"({figures['map_mb']:.1f} MB), {figures['links']} links",
        f"resident          {resident['VmRSS']:.1f} MB, anonymous {resident['RssAnon']:.1f} MB",
        f"its cgroup        {charged['current']:.1f} MB: kernel {charged['kernel']:.1f}, files {charged['file']:.1f}",
    ]


def _first_span(figures: Figures) -> list[str]:
    if "first_span_s" not in figures:
        return []
    return [
        f"first span        {figures['first_span_s']:.2f} s after its request (limit {FIRST_SPAN_S:.0f})"
    ]


def _start(start: dict[str, float]) -> str:
    return (
        f"{start['seconds']:.2f} s to ready; the guest was busy for {start['busy_seconds']:.2f} s of it, "
        f"the agent and its loader for {start['cpu_seconds']:.2f} s"
    )


def ledgers(figures: Figures) -> list[str]:
    """Give for each life under load what the agent holds after it, and its ledger."""
    found = []
    for part, load in (
        ("saturated", "saturation"),
        ("half_with", "half of the rate with it"),
        ("half_without", "half of the rate without it"),
    ):
        if lived := figures.get(part):
            resident, charged = lived["resident_mb"], lived["cgroup_mb"]
            found += [
                f"after {load}: RSS {resident['VmRSS']:.1f} MB, anonymous {resident['RssAnon']:.1f}, "
                f"cgroup {charged['current']:.1f} MB; ready after {lived['start']['seconds']:.1f} s, "
                f"stopped in {lived['stop']['seconds']:.2f} s",
                f"ledger of {load}: {json.dumps(lived['stop']['ledger'])}",
            ]
    return found
