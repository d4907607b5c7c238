"""What the guest's files, the agent's last line and its batches say."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.export.otlp import encode
from bench.vm.__main__ import AGENT
from bench.vm.life import parse_ledger
from bench.vm.readings import TICK_S, idle_s, map_bytes
from bench.vm.workloads import agent_command, take_spans
from tests.scenario import Host, play, request, response

STAT = """cpu  132 0 3019 70151 13 7 21 0 0 0
cpu0 132 0 3019 70151 13 7 21 0 0 0
intr 67520 34 9
"""


def test_idle_time_has_the_waiting_for_disks_in_it() -> None:
    assert idle_s(STAT) == pytest.approx((70151 + 13) * TICK_S)


@pytest.mark.parametrize(
    ("kind", "told", "expected"),
    [
        ("ringbuf", 0, 8 << 20),
        ("ringbuf", 8_455_000, 8_455_000),
        ("lru_hash", 2_000_000, 2_000_000),
    ],
)
def test_memory_of_a_map(kind: str, told: int, expected: int) -> None:
    shown = {"type": kind, "max_entries": 8 << 20, "bytes_memlock": told}
    assert map_bytes(shown) == expected


def test_the_ledger_is_the_last_line() -> None:
    stderr = 'ready: 22 programs attached in 1.0 s\n{"balanced": true}\n'
    assert parse_ledger(stderr) == {"balanced": True}


@pytest.mark.parametrize("last", ["Segmentation fault", "7", ""])
def test_another_agent_has_another_last_line(last: str) -> None:
    assert parse_ledger(f"ready: yes\n{last}\n") == {"text": last or "ready: yes"}


def test_an_agents_command_is_filled_in() -> None:
    words = agent_command(AGENT, sink=4318, ports=[80, 81], file=Path("/tmp/f"))
    assert words[1:] == [
        "-m",
        "agent",
        "run",
        "--export",
        "otlp+http://127.0.0.1:4318",
        "--export",
        "file:/tmp/f",
        "--port",
        "80",
        "--port",
        "81",
    ]
    assert "file:" not in " ".join(agent_command(AGENT, sink=4318, ports=[80]))
    assert agent_command("other {sink}", sink=1, ports=[2], file=Path("/f")) == ["other", "1"]


def test_spans_are_counted_in_the_batches_once(tmp_path: Path) -> None:
    host = Host()
    connection = host.accept()
    for number in range(23):
        connection.received(request(f"/{number}")).sent(response(200, b"hi"))
    folder = tmp_path / "sink-body" / "0"
    folder.mkdir(parents=True)
    spans = play(host).spans
    (folder / "1").write_bytes(encode(spans[:20]))
    (folder / "2").write_bytes(encode(spans[20:]))
    assert take_spans(tmp_path) == 23
    assert take_spans(tmp_path) == 0
