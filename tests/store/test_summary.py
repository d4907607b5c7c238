"""What `traces` says is what the whole trace says, in whatever order and pieces its spans come."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.spans.span import Status
from agent.store import summary
from agent.store.reader import Listing, Reader
from agent.store.writer import Writer
from tests.store.made import BACK, FRONT, MS, NOW_NS, span


@st.composite
def batches(draw):
    """Spans of two traces: parents that are missing, in cycles, or begin after their children; some twice."""
    numbers = st.integers(1, 8)
    spans = [
        span(
            draw(st.sampled_from([1, 2])),
            number,
            draw(st.none() | numbers),
            start_unix_ns=NOW_NS + draw(st.integers(0, 6)) * MS,
            duration_ns=draw(st.sampled_from([0, 5 * MS, 2000 * MS])),
            name=f"name {number}",
            status=draw(st.sampled_from([Status.UNSET, Status.UNSET, Status.ERROR])),
            resource=draw(st.sampled_from([FRONT, BACK])),
        )
        for number in draw(st.lists(numbers, min_size=1, max_size=12))
    ]
    cut = draw(st.integers(0, len(spans)))
    return [part for part in (spans[:cut], spans[cut:]) if part]


@settings(max_examples=60, deadline=None)
@given(batches(), st.sampled_from([0, 20_000]))
def test_summaries_are_true(parts, in_memory):
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory() as folder:
        patch.setattr(summary, "MAX_IN_MEMORY", in_memory)
        path = Path(folder) / "traces.db"
        writer = Writer(path, clock=lambda: NOW_NS)
        for part in parts:
            writer.write(part)
        with Reader(path) as reader:
            listed = reader.summaries(Listing())
            for one in listed:
                trace = reader.trace(one.trace_id)
                assert trace is not None
                assert one.start_unix_ns == trace.start_unix_ns
                assert one.duration_ns == trace.duration_ns
                assert one.spans == len(trace.spans)
                assert one.errors == sum(span.status == Status.ERROR for span in trace.spans)
                assert one.root_name == trace.root.name
                assert one.root_service == trace.root.service
            kept = dict(reader.connection.execute("SELECT hex(trace_id), is_kept FROM traces"))
            assert kept == {
                one.trace_id.upper(): one.errors > 0 or one.duration_ns >= summary.SLOW_NS
                for one in listed
            }
        assert len(listed) == len({one.trace_id for part in parts for one in part})
        writer.close()
