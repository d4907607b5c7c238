"""What SQL finds is what the evaluation of every trace finds, and in the right order."""

from __future__ import annotations

import random
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.query.evaluate import Match, evaluate
from agent.query.parser import parse
from agent.query.search import search
from agent.store.reader import Reader
from agent.store.writer import Writer
from tests.query.made import queries, random_spans, traces_of, written
from tests.store.made import BACK, MS, NOW_NS, span


def told(match: Match) -> tuple[object, ...]:
    """A match, to be compared; NaN equals itself here."""
    numbers = [(name, str(number)) for name, number in match.numbers]
    return (match.trace.trace_id, [one.span_id for one in match.spans], numbers, match.fields)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.lists(queries, min_size=10, max_size=10))
def test_search_finds_what_evaluation_finds(seed, texts):
    spans = random_spans(random.Random(seed))
    traces = traces_of(spans)
    with tempfile.TemporaryDirectory() as folder:
        writer = written(spans, Path(folder) / "traces.db")
        with Reader(Path(folder) / "traces.db") as reader:
            for text in texts:
                query = parse(text)
                found = search(reader, query, limit=10)
                expected = [evaluate(query, trace) for trace in reversed(traces)]
                assert [told(match) for match in found] == [
                    told(match) for match in expected if match
                ], text
        writer.close()


@pytest.fixture
def reader(tmp_path):
    writer = Writer(tmp_path / "traces.db", clock=lambda: NOW_NS)
    for trace in range(1, 101):
        writer.write(
            [
                span(
                    trace,
                    1,
                    start_unix_ns=NOW_NS + trace * MS,
                    attributes={"path": f"/{trace}", "size": trace, "ratio": trace / 10},
                ),
                span(trace, 2, 1, resource=BACK, start_unix_ns=NOW_NS + trace * MS),
            ]
        )
    with Reader(tmp_path / "traces.db") as opened:
        yield opened
    writer.close()


def numbers(reader: Reader, text: str, **options) -> list[int]:
    return [int(match.trace.trace_id, 16) for match in search(reader, parse(text), **options)]


def test_the_newest_come_first_and_no_more_than_wanted(reader):
    assert numbers(reader, "{ }", limit=3) == [100, 99, 98]
    assert len(numbers(reader, "{ }", limit=1000)) == 100
    assert numbers(reader, "{ .size < 50 }", limit=2) == [49, 48]


def test_only_traces_that_began_since(reader):
    assert numbers(reader, "{ }", since_unix_ns=NOW_NS + 98 * MS) == [100, 99, 98]
    relation = "{ .size > 0 } > { .zone = nil }"
    assert numbers(reader, relation, since_unix_ns=NOW_NS + 99 * MS) == []
    relation = '{ .size > 0 } > { .zone = "a" }'
    assert numbers(reader, relation, since_unix_ns=NOW_NS + 99 * MS) == [100, 99]


def test_patterns_on_values_of_their_own(reader):
    assert numbers(reader, '{ .path =~ "/9.?" }', limit=3) == [99, 98, 97]
    assert numbers(reader, '{ .path !~ "/1?[0-9]?[0-9]" }') == []


def test_numbers_of_sets(reader):
    assert numbers(reader, "{ .size > 0 } | sum(.size) >= 99") == [100, 99]
    assert numbers(reader, "{ .size > 0 } | avg(.ratio) >= 9.9") == [100, 99]
    assert numbers(reader, "{ } > { } | count() > 1") == []
    assert len(numbers(reader, "{ } >> { } | count() = 1", limit=200)) == 100
    (match,) = search(reader, parse("{ } | max(.size) | count()"), limit=1)
    assert match.numbers == (("max(.size)", 100), ("count()", 2))
