"""Rates, errors and durations, counted by hand and compared."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from agent.query.red import Operation, Red, quantile, services
from agent.spans.span import SpanKind, Status
from agent.store.reader import Reader
from agent.store.writer import Writer
from tests.store.made import BACK, MS, NOW_NS, span


def test_services_and_their_operations(tmp_path):
    writer = Writer(tmp_path / "t.db", clock=lambda: NOW_NS)
    for trace in range(1, 101):
        start = NOW_NS + (trace - 1) * 100 * MS
        writer.write(
            [
                span(trace, 1, name="GET /a" if trace % 2 else "GET /b", start_unix_ns=start, duration_ns=trace * MS,
                     status=Status.ERROR if trace % 10 == 0 else Status.UNSET),
                span(trace, 2, 1, kind=SpanKind.CLIENT, start_unix_ns=start, duration_ns=9 * MS),
                span(trace, 3, 2, name="take", kind=SpanKind.CONSUMER, resource=BACK, start_unix_ns=start, duration_ns=MS),
            ]
        )  # fmt: skip
    with Reader(tmp_path / "t.db") as reader:
        found = services(reader)
        late = services(reader, since_unix_ns=NOW_NS + 9_800 * MS)
    writer.close()
    back = Red(100, 0, 10.0, MS, MS, MS)
    assert found == [
        Operation("back", "", back),
        Operation("back", "take", back),
        Operation("front", "", Red(100, 10, 10.0, 50 * MS, 90 * MS, 99 * MS)),
        Operation("front", "GET /a", Red(50, 0, 5.0, 49 * MS, 89 * MS, 99 * MS)),
        Operation("front", "GET /b", Red(50, 10, 5.0, 50 * MS, 90 * MS, 100 * MS)),
    ]
    assert [(one.service, one.red.count) for one in late if not one.name] == [
        ("back", 2),
        ("front", 2),
    ]
    assert found[2].red.error_share == 0.1


def test_nothing_in_a_store(tmp_path):
    writer = Writer(tmp_path / "t.db", clock=lambda: NOW_NS)
    with Reader(tmp_path / "t.db") as reader:
        assert services(reader) == []
    writer.close()


@given(st.lists(st.integers(), min_size=1), st.floats(0, 1))
def test_a_quantile_is_one_of_them_and_splits_them(values, share):
    values.sort()
    found = quantile(values, share)
    assert sum(value <= found for value in values) >= share * len(values) - 1e-6
    assert sum(value < found for value in values) <= share * len(values)
