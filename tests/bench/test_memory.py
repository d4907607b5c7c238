"""Memory is read while exchanges pass, and all of them do."""

from __future__ import annotations

from bench.__main__ import memory_line
from bench.memory import Reading, growth_kib, parse_status, readings


def test_status_of_a_process() -> None:
    assert parse_status("Name:\tpython\nVmRSS:\t   34720 kB\nRssAnon:\t   23416 kB\n") == (
        34720,
        23416,
    )


def test_ten_readings_over_all_exchanges() -> None:
    found = list(readings(6_000))
    assert len(found) == 10
    assert [one.exchanges for one in found] == sorted(one.exchanges for one in found)
    assert found[-1].exchanges == 6_000
    assert all(one.rss_kib > one.anonymous_kib > 1000 for one in found)


def test_growth_leaves_out_the_time_when_caches_fill() -> None:
    found = [Reading(n, 0, kib) for n, kib in ((1, 10), (2, 30), (3, 35), (4, 36))]
    assert growth_kib(found) == 6
    assert growth_kib(found[:1]) == 0


def test_a_reading_as_a_line() -> None:
    told = memory_line(Reading(1_000_000, 39676, 28332))
    assert told.split() == [
        "1,000,000",
        "exchanges:",
        "RSS",
        "39,676",
        "KiB,",
        "anonymous",
        "28,332",
        "KiB",
    ]
